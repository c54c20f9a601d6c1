/* Landlock by its bare system calls. See landlock.h. The structures stand here because Debian 12's headers
 * are older than the kernels that purser meets.
 */
#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CREATE_VERSION 1u
#define RULE_PATH      1
#define RULE_PORT      2

#define FS_EXECUTE    (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE  (1ull << 2)
#define FS_READ_DIR   (1ull << 3)
#define FS_REFER      (1ull << 13)
#define FS_TRUNCATE   (1ull << 14)
#define FS_IOCTL_DEV  (1ull << 15)
#define FS_MAKE_CHAR  (1ull << 6)
#define FS_MAKE_BLOCK (1ull << 11)
#define NET_BIND      (1ull << 0)
#define NET_CONNECT   (1ull << 1)
#define SCOPE_ALL     3ull

/* What a rule for a single file may say. */
#define FS_ON_FILE (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

typedef struct Ruleset {
    uint64_t fs, net, scoped;
} Ruleset;

typedef struct PathRule {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed)) PathRule;

typedef struct PortRule {
    uint64_t allowed, port;
} PortRule;

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

unsigned landlock_can(int abi)
{
    unsigned walls = 0;
    if (abi >= 1)
        walls |= LANDLOCK_FILES;
    if (abi >= 4)
        walls |= LANDLOCK_CONNECT | LANDLOCK_BIND;
    if (abi >= 6)
        walls |= LANDLOCK_SCOPE;
    return walls;
}

/* Every right over files that this version knows. */
static uint64_t known_fs(int abi)
{
    uint64_t all = (1ull << 13) - 1;
    if (abi >= 2)
        all |= FS_REFER;
    if (abi >= 3)
        all |= FS_TRUNCATE;
    if (abi >= 5)
        all |= FS_IOCTL_DEV;
    return all;
}

int landlock_begin(unsigned walls, Landlock *ret_landlock)
{
    Landlock landlock = {.abi = landlock_abi()};
    landlock.walls = walls & landlock_can(landlock.abi);
    if (landlock.walls == 0)
        return -EOPNOTSUPP;
    Ruleset rules = {
        .fs = landlock.walls & LANDLOCK_FILES ? known_fs(landlock.abi) : 0,
        .net = (landlock.walls & LANDLOCK_BIND ? NET_BIND : 0) |
               (landlock.walls & LANDLOCK_CONNECT ? NET_CONNECT : 0),
        .scoped = landlock.walls & LANDLOCK_SCOPE ? SCOPE_ALL : 0,
    };
    size_t size = landlock.abi >= 6   ? sizeof(rules)
                  : landlock.abi >= 4 ? 2 * sizeof(uint64_t)
                                      : sizeof(uint64_t);
    landlock.fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (landlock.fd < 0)
        return -errno;
    *ret_landlock = landlock;
    return 0;
}

void landlock_done(Landlock *landlock)
{
    fd_close(&landlock->fd);
}

int landlock_allow_fd(const Landlock *landlock, int fd, unsigned access)
{
    struct stat status;
    PathRule rule = {.parent = fd};
    if (!(landlock->walls & LANDLOCK_FILES))
        return 0;
    if (access & LANDLOCK_READ)
        rule.allowed |= FS_READ_FILE | FS_READ_DIR;
    if (access & LANDLOCK_EXECUTE)
        rule.allowed |= FS_EXECUTE;
    if (access & LANDLOCK_WRITE)
        rule.allowed |=
            ~(FS_READ_FILE | FS_READ_DIR | FS_EXECUTE | FS_IOCTL_DEV | FS_MAKE_CHAR | FS_MAKE_BLOCK);
    if (access & LANDLOCK_DEVICE)
        rule.allowed |= FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
    rule.allowed &= known_fs(landlock->abi);
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISDIR(status.st_mode))
        rule.allowed &= FS_ON_FILE;
    return syscall(SYS_landlock_add_rule, landlock->fd, RULE_PATH, &rule, 0) < 0 ? -errno : 0;
}

int landlock_allow_path(const Landlock *landlock, const char *path, unsigned access)
{
    if (!(landlock->walls & LANDLOCK_FILES))
        return 0;
    CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : landlock_allow_fd(landlock, fd, access);
}

int landlock_allow_connect(const Landlock *landlock, uint16_t port)
{
    PortRule rule = {NET_CONNECT, port};
    if (!(landlock->walls & LANDLOCK_CONNECT))
        return 0;
    return syscall(SYS_landlock_add_rule, landlock->fd, RULE_PORT, &rule, 0) < 0 ? -errno : 0;
}

int landlock_enforce(const Landlock *landlock)
{
    return syscall(SYS_landlock_restrict_self, landlock->fd, 0) < 0 ? -errno : 0;
}
