/* User ids of roles and retrievers. See users.h. */
#include "supervisor/users.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervisor/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define FIRST_RETRIEVER 16u
#define NUMBERS         100000000u
#define KILL_ROUNDS     500 /* 2 ms each */

static UserId own_user(uid_t uid)
{
    if (geteuid() != 0)
        return (UserId){geteuid(), getegid(), false};
    return (UserId){uid, (gid_t)uid, true};
}

UserId user_of_role(RoleUser role)
{
    return own_user(USERS_BASE + (uid_t)role);
}

/* The number on `name`'s line ("name number"), or UINT32_MAX; *ret_next is one past the highest number seen.
 * A last line without its end is what a power cut left: nobody has been given that number, or a part of it.
 */
static uint32_t look_up(Slice text, const char *name, uint32_t *ret_next)
{
    uint32_t found = UINT32_MAX;
    *ret_next = 0;
    for (Slice line, rest = text; slice_cut(rest, '\n', &line, &rest);) {
        Slice key, value;
        uint64_t number;
        slice_cut(line, ' ', &key, &value);
        if (text_parse_u64(value, NUMBERS + 1000000, &number))
            continue;
        if (slice_is(key, name))
            found = (uint32_t)number;
        if (number >= *ret_next)
            *ret_next = (uint32_t)number + 1;
    }
    return found;
}

int user_of_retriever(int state_fd, const char *name, bool prepare, UserId *ret_user, Fault *fault)
{
    if (geteuid() != 0) {
        *ret_user = own_user(0);
        return 0;
    }
    CLEANUP_FD int fd = openat(state_fd, "users", O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND | O_NOFOLLOW, 0600);
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    int r = fd < 0 || flock(fd, LOCK_EX) < 0 ? -errno : io_read_all(fd, &text);
    if (r)
        return fault_set(fault, r, "Cannot read the list of user ids STATE/users: %s.", strerror(-r));
    uint32_t next, number = look_up(buf_slice(&text), name, &next);
    if (number == UINT32_MAX) {
        char line[96];
        /* Each state folder begins somewhere else, so that two pursers on one machine never share an id: each
         * kills what is left of its own. */
        number = next ? next : randombytes_uniform(NUMBERS);
        int n = snprintf(line, sizeof(line), "%s %u\n", name, number);
        Slice there = buf_slice(&text);
        const char *end = memrchr(there.ptr, '\n', there.len);
        size_t whole = end ? (size_t)(end - there.ptr) + 1 : 0;
        if (whole < there.len && ftruncate(fd, (off_t)whole) < 0)
            r = -errno;
        if (r || (r = io_write_all(fd, line, (size_t)n)) || (fsync(fd) < 0 && (r = -errno)))
            return fault_set(fault, r, "Cannot add %s to STATE/users: %s.", name, strerror(-r));
    }
    *ret_user = own_user(USERS_BASE + FIRST_RETRIEVER + 2 * number + (prepare ? 1 : 0));
    return 0;
}

int user_become(const UserId *user)
{
    if (!user->own)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0)
        return -errno;
    return getuid() == user->uid && geteuid() == user->uid ? 0 : -EPERM;
}

typedef struct Alive {
    uid_t uid;
    bool any;
} Alive;

/* The dead count for kill() until they are reaped, which is not the business of the process that asks here.
 */
static void note_alive(const ProcessState *process, void *context)
{
    Alive *alive = context;
    alive->any |= process->uid == alive->uid && process->pid != getpid() && process->state != 'Z';
}

static NORETURN void kill_all_as(const UserId *user)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (user_become(user))
        _exit(1);
    for (unsigned round = 0; round < KILL_ROUNDS; round++) {
        Alive alive = {user->uid, false};
        /* As that user kill(-1) reaches all its processes but this one, at once: no race with a fork. */
        if (kill(-1, SIGKILL) < 0)
            break;
        process_each(alive.uid, note_alive, &alive);
        if (!alive.any)
            break;
        usleep(2000);
    }
    _exit(0);
}

pid_t user_kill_begin(const UserId *user)
{
    pid_t pid = user->own ? process_fork() : 0;
    if (user->own && pid == 0)
        kill_all_as(user);
    return pid;
}

void user_kill_wait(pid_t *child)
{
    int status;
    while (*child > 0 && waitpid(*child, &status, 0) < 0 && errno == EINTR)
        ;
    *child = 0;
}

void user_kill_all(const UserId *user)
{
    pid_t child = user_kill_begin(user);
    user_kill_wait(&child);
}
