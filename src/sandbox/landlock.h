/* Landlock by its bare system calls: a list of what may still be done to files and by TCP; all else is
 * refused, for this thread and what it starts, for good. What the kernel does not know yet is left out, and
 * landlock_can() says so. No allocation, no library: the static runner links this too.
 */
#pragma once

#include "base/slice.h"

typedef enum LandlockWall {
    LANDLOCK_FILES = 1,   /* kernel 5.13 */
    LANDLOCK_CONNECT = 2, /* TCP connects: 6.7 */
    LANDLOCK_BIND = 4,    /* TCP listeners: 6.7 */
    LANDLOCK_SCOPE = 8,   /* signals and abstract sockets to outside: 6.12 */
} LandlockWall;

typedef enum LandlockAccess {
    LANDLOCK_READ = 1,    /* files, and listing of folders */
    LANDLOCK_EXECUTE = 2, /* also mapping as code is not limited by Landlock: this is execve */
    LANDLOCK_WRITE = 4,   /* write, make, rename, remove: files, folders, links, sockets, fifos */
    LANDLOCK_DEVICE = 8,  /* writing to what exists, without making anything: /dev/null */
} LandlockAccess;

typedef struct Landlock {
    int fd; /* the rule set; -1: none */
    int abi;
    unsigned walls; /* those that this kernel can build, of those asked for */
} Landlock;

#define LANDLOCK_NONE ((Landlock){.fd = -1})

/* The kernel's version of Landlock; 0 when it has none or it is off. */
int landlock_abi(void);
/* Which of the walls that version can build. */
unsigned landlock_can(int abi);

/* 0 with landlock.walls telling what will be walled; -EOPNOTSUPP when nothing can be. */
int landlock_begin(unsigned walls, Landlock *ret_landlock) MUST_USE;
void landlock_done(Landlock *landlock);

/* A file or a folder with all that is beneath. -ENOENT and others of open(2). */
int landlock_allow_path(const Landlock *landlock, const char *path, unsigned access) MUST_USE;
int landlock_allow_fd(const Landlock *landlock, int fd, unsigned access) MUST_USE;
int landlock_allow_connect(const Landlock *landlock, uint16_t port) MUST_USE;

/* Needs no_new_privs. */
int landlock_enforce(const Landlock *landlock) MUST_USE;
