/* User ids when purser runs as root: one per role, two per retriever (its script, and the preparation of its
 * environment, so that a script cannot write what was prepared). Which id a retriever has is kept in
 * STATE/users, so that it never changes hands; each state folder begins at a random one, so that two pursers
 * on one machine share none. Started by a person, everything runs as that person.
 */
#pragma once

#include "base/fault.h"

#include <stdbool.h>
#include <sys/types.h>

#define USERS_BASE 1900000000u /* above every range that Debian, systemd and container tools give out */

typedef struct UserId {
    uid_t uid;
    gid_t gid;
    bool own; /* not the person's: setgroups, setgid, setuid before exec */
} UserId;

typedef enum RoleUser { USER_KEEPER = 1, USER_GATE = 2, USER_CLERK = 3 } RoleUser;

UserId user_of_role(RoleUser role);

/* The ids of a retriever; adds it to STATE/users when it is new. `prepare`: the one that its environment is
 * built as. */
int user_of_retriever(int state_fd, const char *name, bool prepare, UserId *ret_user, Fault *fault) MUST_USE;

/* In a child, before exec: becomes that user, for good. -errno. */
int user_become(const UserId *user) MUST_USE;

/* Kills every process of that user (only of an `own` one), repeatedly, until none is left. */
void user_kill_all(const UserId *user);
/* The same in two: by a child, which is waited for (0: nothing to wait for). */
pid_t user_kill_begin(const UserId *user);
void user_kill_wait(pid_t *child);
