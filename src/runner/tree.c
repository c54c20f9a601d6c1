/* Ending a process tree. See tree.h. */
#include "runner/tree.h"

#include "base/clock.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LAST_RESORT_AFTER (2 * CLOCK_SECOND)

typedef struct Process {
    pid_t pid, parent;
    bool ours;
} Process;

int tree_adopt(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

/* The text after "(comm) " of /proc/PID/stat; comm may hold anything, so from the last ')'. */
static const char *stat_fields(int proc, const char *pid, char *room, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "%.32s/stat", pid);
    CLEANUP_FD int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, room, size - 1);
    if (n <= 0)
        return NULL;
    room[n] = '\0';
    const char *end = strrchr(room, ')');
    return end && end[1] == ' ' ? end + 2 : NULL;
}

typedef void EachProcess(void *context, int proc, const char *pid);

static void each_process(EachProcess *each, void *context)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return;
    for (struct dirent *entry; (entry = readdir(proc));)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            each(context, dirfd(proc), entry->d_name);
    closedir(proc);
}

typedef struct Table {
    Process *process;
    size_t n;
} Table;

static void note_parent(void *context, int proc, const char *pid)
{
    Table *table = context;
    char room[512], state;
    int parent;
    const char *fields = stat_fields(proc, pid, room, sizeof(room));
    /* A zombie cannot be signalled, and still holds its place until it is reaped. */
    if (fields && sscanf(fields, "%c %d", &state, &parent) == 2)
        MEM_PUSH(table->process, table->n, (Process){.pid = (pid_t)atol(pid), .parent = parent});
}

static bool is_ours(const Table *table, pid_t parent)
{
    if (parent == getpid())
        return true;
    for (size_t i = 0; i < table->n; i++)
        if (table->process[i].pid == parent)
            return table->process[i].ours;
    return false;
}

size_t tree_signal(int signal_number)
{
    Table table = {NULL, 0};
    size_t found = 0;
    each_process(note_parent, &table);
    for (size_t before = SIZE_MAX; before != found;) {
        before = found;
        for (size_t i = 0; i < table.n; i++)
            if (!table.process[i].ours && is_ours(&table, table.process[i].parent)) {
                table.process[i].ours = true;
                found++;
            }
    }
    for (size_t i = 0; i < table.n; i++)
        if (table.process[i].ours)
            kill(table.process[i].pid, signal_number);
    mem_free(table.process);
    return found;
}

/* false: there is no child left. */
static bool reap(pid_t main_pid, bool *ret_main_reaped, int *ret_status)
{
    int status;
    for (;;) {
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == main_pid) {
            *ret_main_reaped = true;
            *ret_status = status;
        }
        if (pid == 0 || (pid < 0 && errno == EINTR))
            return true;
        if (pid < 0)
            return false;
    }
}

void tree_end(pid_t main_pid, bool own_uid, bool *ret_main_reaped, int *ret_status)
{
    int64_t began = clock_mono();
    while (reap(main_pid, ret_main_reaped, ret_status)) {
        /* Stopped first: a process that forks faster than /proc is read would otherwise always be one ahead.
         */
        tree_signal(SIGSTOP);
        tree_signal(SIGKILL);
        /* All at once, without a list. It would reach another runner of the same retriever too, so only when
         * needed. */
        if (own_uid && clock_mono() - began > LAST_RESORT_AFTER)
            kill(-1, SIGKILL);
        usleep(1000);
    }
}

typedef struct Count {
    uid_t user;
    size_t threads;
} Count;

static void count_threads(void *context, int proc, const char *pid)
{
    Count *count = context;
    char room[512], state;
    long threads;
    struct stat status;
    const char *fields;
    if (fstatat(proc, pid, &status, 0) < 0 || status.st_uid != count->user ||
        !(fields = stat_fields(proc, pid, room, sizeof(room))))
        return;
    if (sscanf(fields, "%c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld", &state,
               &threads) == 2)
        count->threads += (size_t)threads;
}

size_t tree_threads_of_user(void)
{
    Count count = {.user = geteuid()};
    each_process(count_threads, &count);
    return count.threads;
}
