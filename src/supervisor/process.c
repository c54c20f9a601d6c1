/* What /proc says of processes. See process.h. */
#include "supervisor/process.h"

#include "base/io.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* "PID (NAME) STATE PARENT ...": the name may hold anything, so the last bracket counts. proc(5). */
static bool parse(const char *text, ProcessState *process)
{
    const char *after = strrchr(text, ')');
    int parent;
    if (!after || sscanf(after, ") %c %d", &process->state, &parent) != 2)
        return false;
    process->parent = parent;
    return true;
}

static bool look(int proc_fd, const char *name, uid_t uid, ProcessState *process)
{
    uint64_t pid;
    struct stat status;
    char path[32], text[512];
    if (text_parse_u64(slice_of(name), INT32_MAX, &pid) || fstatat(proc_fd, name, &status, 0) < 0)
        return false;
    if (uid != PROCESS_ANY_UID && status.st_uid != uid) /* before the kernel writes out its "stat" */
        return false;
    snprintf(path, sizeof(path), "%d/stat", (int)pid);
    CLEANUP_FD int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    process->pid = (pid_t)pid;
    process->uid = status.st_uid;
    return parse(text, process);
}

void process_each(uid_t uid, void (*each)(const ProcessState *process, void *context), void *context)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return;
    for (struct dirent *entry; (entry = readdir(proc));) {
        ProcessState process;
        if (look(dirfd(proc), entry->d_name, uid, &process))
            each(&process, context);
    }
    closedir(proc);
}

pid_t process_fork(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGCHLD};
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < COUNT_OF(handled); i++)
            signal(handled[i], SIG_DFL);
        sigemptyset(&before);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}
