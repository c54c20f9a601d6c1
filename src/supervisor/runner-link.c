/* Starting purser-exec. See runner-link.h. */
#include "supervisor/runner-link.h"

#include "base/log.h"
#include "base/mem.h"
#include "runner/prepare.h"
#include "sandbox/mount-ns.h"
#include "supervisor/process.h"
#include "supervisor/reveal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define OUTPUT_FD 10
#define LOG_FD    11
#define EXE_FD    12

/* An argv that owns its strings. */
typedef struct Words {
    char **word;
    size_t n;
} Words;

static void words_add(Words *words, const char *text)
{
    MEM_PUSH(words->word, words->n, mem_strdup(text));
}

static void words_done(Words *words)
{
    mem_free_strings(words->word, words->n);
}
#define CLEANUP_WORDS CLEANUP(words_done)

static const char *const passed_to_prepare[] = {PREPARE_PASSED};

typedef struct Launch {
    const UserId *user;
    const char *directory;
    int exe, output, log, ns;
    bool pass_environment;
    uint64_t uncovered;   /* of the places in mount-ns.h; with a network namespace alone */
    atomic_flag *is_said; /* for all runs: what could not be covered */
} Launch;

/* The network is gone by now; what is left are the sockets of other programs that have a path. */
static void leave_sockets_behind(const Launch *launch)
{
    const char *what;
    int r = mount_ns_enter(launch->uncovered, &what);
    /* Without it the sockets' own modes are what is left; doctor says so. */
    if (r && !(launch->is_said && atomic_flag_test_and_set(launch->is_said)))
        log_warning("Cannot cover other programs' sockets (%s: %s). Runs reach those whose mode lets them.",
                    what, strerror(-r));
}

static NORETURN void become_runner(const Launch *launch, char **argv)
{
    char *environment[COUNT_OF(passed_to_prepare) + 1] = {NULL};
    size_t n = 0;
    for (size_t i = 0; launch->pass_environment && i < COUNT_OF(passed_to_prepare); i++) {
        const char *value = getenv(passed_to_prepare[i]);
        if (value)
            environment[n++] = mem_printf("%s=%s", passed_to_prepare[i], value);
    }
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int high[4] = {fcntl(launch->output, F_DUPFD_CLOEXEC, 64), fcntl(launch->log, F_DUPFD_CLOEXEC, 64),
                   fcntl(launch->exe, F_DUPFD_CLOEXEC, 64), fcntl(launch->ns, F_DUPFD_CLOEXEC, 64)};
    /* Standard output is where a person's table or a script's JSON goes: what retrievers print goes to
     * standard error. */
    if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0 ||
        (launch->output >= 0 && dup2(high[0], OUTPUT_FD) < 0) || dup2(high[1], LOG_FD) < 0 ||
        dup2(high[2], EXE_FD) < 0)
        _exit(126);
    fcntl(EXE_FD, F_SETFD, FD_CLOEXEC);
    setsid();
    if (launch->ns >= 0 && setns(high[3], CLONE_NEWNET) < 0)
        _exit(126);
    if (launch->ns >= 0)
        leave_sockets_behind(launch);
    /* Those, too, that purser was started with. */
    if (syscall(SYS_close_range, 3, launch->output >= 0 ? OUTPUT_FD - 1 : OUTPUT_FD, 0) < 0 ||
        syscall(SYS_close_range, EXE_FD + 1, ~0U, 0) < 0)
        _exit(126);
    if (user_become(launch->user) || chdir(launch->directory) < 0)
        _exit(125);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execveat(EXE_FD, "", argv, environment, AT_EMPTY_PATH);
    _exit(127);
}

/* A word as it stands and where its links lead; of --config=/a/path the path. */
static void add_paths(Words *paths, const char *word)
{
    char real[PATH_MAX];
    const char *value = word[0] == '-' ? strstr(word, "=/") : NULL;
    const char *path = value ? value + 1 : word;
    if (path[0] != '/')
        return;
    words_add(paths, path);
    if (realpath(path, real))
        words_add(paths, real);
}

/* Whatever the runner and its script are told of must stay where it is: a state folder, a command. */
static void leave_uncovered(const Words *words, Launch *how)
{
    static uint64_t told;
    static void *page = MAP_FAILED;
    CLEANUP_WORDS Words paths = {0};
    for (size_t i = 0; i < words->n; i++)
        add_paths(&paths, words->word[i]);
    how->uncovered = mount_ns_needed((const char *const *)paths.word, paths.n);
    for (uint64_t left = how->uncovered & ~told; left; left &= left - 1)
        log_warning("This run is given paths in %s, so other programs' sockets there are not covered.",
                    mount_ns_place(left));
    told |= how->uncovered;
    /* Whichever child is the first to fail says so; it can tell the others by shared memory alone. */
    if (page == MAP_FAILED)
        page = mmap(NULL, sizeof(atomic_flag), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    how->is_said = page == MAP_FAILED ? NULL : page;
}

static int launch(const Run *run, Launch *how, Words *words, pid_t *ret_pid, Fault *fault)
{
    char path[1200];
    snprintf(path, sizeof(path), "%s/purser-exec", run->supervisor->paths->libexec);
    CLEANUP_FD int exe = open(path, O_PATH | O_CLOEXEC);
    if (exe < 0)
        return fault_set(fault, -errno, "Cannot start %s: %s; purser is not installed whole.", path,
                         strerror(errno));
    how->exe = exe;
    how->log = run->folder.log_fd;
    if (how->ns >= 0)
        leave_uncovered(words, how);
    MEM_PUSH(words->word, words->n, NULL);
    fflush(NULL);
    pid_t pid = process_fork();
    if (pid == 0)
        become_runner(how, words->word);
    if (pid < 0)
        return fault_set(fault, -errno, "Cannot start purser-exec: %s.", strerror(errno));
    *ret_pid = pid;
    return 0;
}

static void add_option(Words *words, const char *name, const char *value)
{
    words_add(words, name);
    words_add(words, value);
}

static void add_number(Words *words, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    add_option(words, name, text);
}

int runner_prepare(Run *run, pid_t *ret_pid, Fault *fault)
{
    CLEANUP_WORDS Words words = {0};
    char python[PATH_MAX], requirements[1400];
    const Site *site = &run->supervisor->config->site;
    UserId user;
    int r = environment_python(python, sizeof(python), fault);
    if (!r)
        r = user_of_retriever(run->supervisor->state->fd, run->retriever->name, true, &user, fault);
    if (!r)
        r = environment_begin(run->supervisor->state, &run->environment, &user, fault);
    if (r)
        return r;
    snprintf(requirements, sizeof(requirements), "%s/script/requirements.txt", run->folder.path);
    words_add(&words, "purser-exec");
    words_add(&words, "--prepare");
    add_option(&words, "--name", run->retriever->name);
    add_option(&words, "--requirements", requirements);
    add_option(&words, "--env-dir", run->environment.path);
    add_option(&words, "--python", python);
    add_number(&words, "--log-fd", LOG_FD);
    if (user.own)
        words_add(&words, "--own-uid");
    if (*site->package_index)
        add_option(&words, "--package-index", site->package_index);
    if (*site->proxy)
        add_option(&words, "--proxy", site->proxy);
    if (*site->ca_file)
        add_option(&words, "--ca-file", site->ca_file);
    for (size_t i = 0; i < COUNT_OF(passed_to_prepare); i++)
        if (getenv(passed_to_prepare[i]))
            add_option(&words, "--pass", passed_to_prepare[i]);
    Launch how = {
        .user = &user, .directory = run->environment.path, .output = -1, .ns = -1, .pass_environment = true};
    return launch(run, &how, &words, ret_pid, fault);
}

static int add_command(const Run *run, Words *words, Fault *fault)
{
    const Retriever *retriever = run->retriever;
    char program[PATH_MAX];
    words_add(words, "--");
    for (size_t i = 0; i < retriever->n_command; i++)
        words_add(words, retriever->command[i]);
    if (retriever->n_command)
        return 0;
    if (*retriever->requirements) {
        snprintf(program, sizeof(program), "%s/bin/python", run->environment.path);
    } else {
        int r = environment_python(program, sizeof(program), fault);
        if (r)
            return r;
    }
    words_add(words, program);
    snprintf(program, sizeof(program), "%s/script/%s", run->folder.path, retriever->script);
    words_add(words, program);
    return 0;
}

static void add_revealed(const Run *run, Words *words)
{
    char path[256];
    for (size_t i = 0; i < run->retriever->n_grant; i++)
        if (reveal_is_granted(run, &run->retriever->grant[i])) {
            reveal_path(run, run->retriever->grant[i].source, path);
            add_option(words, "--read", path);
        }
}

int runner_start(Run *run, pid_t *ret_pid, Fault *fault)
{
    CLEANUP_WORDS Words words = {0};
    char text[1400], directory[1400];
    words_add(&words, "purser-exec");
    if (run->collect)
        words_add(&words, "--collect");
    snprintf(text, sizeof(text), "%s/run", run->folder.sockets);
    add_option(&words, "--socket", text);
    add_option(&words, "--name", run->retriever->name);
    add_number(&words, "--output-fd", OUTPUT_FD);
    add_number(&words, "--log-fd", LOG_FD);
    if (run->user.own)
        words_add(&words, "--own-uid");
    snprintf(directory, sizeof(directory), "%s%s", run->folder.path, run->collect ? "" : "/work");
    if (!run->collect) {
        add_option(&words, "--scratch", directory);
        snprintf(text, sizeof(text), "%s/out", run->folder.path);
        add_option(&words, "--output-dir", text);
        snprintf(text, sizeof(text), "%s/script", run->folder.path);
        if (!run->retriever->n_command)
            add_option(&words, "--read", text);
        add_option(&words, "--purser", run->supervisor->paths->program);
        add_revealed(run, &words);
        if (*run->retriever->requirements)
            add_option(&words, "--env-dir", run->environment.path);
        if (run->retriever->memory)
            add_number(&words, "--memory", run->retriever->memory);
        add_number(&words, "--processes", run->retriever->processes);
        if (run->ns_fd >= 0)
            words_add(&words, "--no-connect-limit");
        if (run->supervisor->config->sandbox_optional)
            words_add(&words, "--sandbox-optional");
        int r = add_command(run, &words, fault);
        if (r)
            return r;
    }
    Launch how = {.user = &run->user, .directory = directory, .output = run->folder.out_fd, .ns = run->ns_fd};
    return launch(run, &how, &words, ret_pid, fault);
}
