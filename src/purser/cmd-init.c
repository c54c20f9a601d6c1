/* purser init: a pod's first container. All that can be known before anything runs, or the one sentence that
 * says what is wrong and what to do; and purser-exec, where the retrievers find it.
 */
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/check.h"
#include "purser/command.h"
#include "purser/doctor.h"
#include "purser/pod.h"
#include "supervisor/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#define BIN     "/purser/bin"
#define PROGRAM "purser-exec"

#define MOST_WAIT (3600ull * CLOCK_SECOND)

static int copy(int from, int to)
{
    struct stat status;
    int r = fstat(from, &status) < 0 ? -errno : 0;
    for (off_t at = 0; !r && at < status.st_size;) {
        ssize_t n = sendfile(to, from, &at, (size_t)(status.st_size - at));
        if (n <= 0 && errno != EINTR)
            r = n < 0 ? -errno : -EIO;
    }
    return r;
}

/* A whole program under its name, or none. */
static int install_runner(const Paths *paths, const char *bin)
{
    CLEANUP_MEM char *source = mem_printf("%s/" PROGRAM, paths->libexec);
    CLEANUP_FD int from = open(source, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        log_error("Cannot read %s: %s; the image is not whole.", source, strerror(errno));
        return EXIT_FAILED;
    }
    CLEANUP_FD int folder = open(bin, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0)
        unlinkat(folder, "." PROGRAM ".new", 0); /* of one that was killed: its mode lets nobody write it */
    CLEANUP_FD int to = folder < 0 ? -1
                                   : openat(folder, "." PROGRAM ".new",
                                            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0555);
    int r = to < 0 ? -errno : copy(from, to);
    if (!r && (fchmod(to, 0555) < 0 || renameat(folder, "." PROGRAM ".new", folder, PROGRAM) < 0))
        r = -errno;
    if (r)
        log_error("Cannot put " PROGRAM
                  " into %s: %s; give the pod a volume (emptyDir) there, with room for 2 "
                  "MB.",
                  bin, strerror(-r));
    return r ? EXIT_FAILED : EXIT_OK;
}

static int check_node(const Session *session)
{
    static Doctor doctor;
    doctor = (Doctor){.config = session->config, .paths = session->paths};
    if (doctor_look(&doctor, false)) {
        log_error("The protections of this node cannot be tried.");
        return EXIT_FAILED;
    }
    const SandboxFinding *missing = doctor_missing(&doctor);
    if (missing)
        log_error("%s: %s", missing->name, missing->sentence);
    return missing ? EXIT_FAILED : EXIT_OK;
}

/* Where they are mounted here too: a retriever's socket needs its folder. */
static int check_folders(const Session *session)
{
    const Config *config = session->config;
    for (size_t i = 0; i < config->n_retriever && access(POD_FOLDER, F_OK) == 0; i++) {
        CLEANUP_MEM char *folder = mem_printf(POD_FOLDER "/%s", config->retriever[i].name);
        if (access(folder, W_OK | X_OK) == 0)
            continue;
        log_error(
            "%s cannot be written (%s): it is the volume that the container of this retriever shares with "
            "the agent's, for its socket.",
            folder, strerror(errno));
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

static int check_rest(Session *session, const Selection *all)
{
    Check check = {.session = session,
                   .selection = all,
                   .migrates = true,
                   .until_fault = true,
                   .until = clock_mono() + (int64_t)session->config->patience};
    check_all(&check);
    for (size_t i = 0; i < check.n; i++) {
        const CheckFinding *finding = &check.finding[i];
        if (!finding->sound && finding->name[0])
            log_error("%s %s: %s", finding->what, finding->name, finding->sentence);
        else if (!finding->sound)
            log_error("%s", finding->sentence);
        else if (finding->warning && check.status == EXIT_OK)
            log_warning("%s: %s", finding->name, finding->sentence);
        if (!finding->sound)
            break; /* one sentence: the rest is told once this is mended */
    }
    check_done(&check);
    if (check.status == EXIT_OK && !session->config->audit_key_file[0])
        log_warning(
            "audit: {keyFile: ...} is not said: the audit's key ends with this pod, and its lines cannot be "
            "verified after that.");
    return check.status;
}

static int check_everything(Session *session, const Selection *all)
{
    int status = pod_check_sink(session) ? EXIT_OK : EXIT_CONFIG;
    if (status == EXIT_OK)
        status = check_node(session);
    if (status == EXIT_OK)
        status = check_folders(session);
    return status == EXIT_OK ? check_rest(session, all) : status;
}

/* A container's first process does not hear of its end but where it listens. */
static int hear_of_end(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int fd = signalfd(-1, &ends, SFD_CLOEXEC);
    role_mind(fd);
    return fd;
}

static int take_wait(const Invocation *invocation, uint64_t *ret_wait)
{
    const char *wait = command_option(&command_init, invocation, "wait");
    if (!wait || (text_parse_duration(slice_of(wait), ret_wait) == 0 && *ret_wait <= MOST_WAIT))
        return -1;
    log_error("--wait %s is no duration of at most an hour; say 30s or 2m.", wait);
    return EXIT_USAGE;
}

static int run(const Invocation *invocation)
{
    Session session;
    Selection all;
    uint64_t wait = PATIENCE;
    const char *bin = command_option(&command_init, invocation, "bin");
    pod_tell_end();
    int status = take_wait(invocation, &wait);
    CLEANUP_FD int ends = hear_of_end();
    if (status >= 0 || (status = session_open_form(command_option(&command_init, invocation, "file"),
                                                   CONFIG_POD, &session)) >= 0)
        return status;
    session.config->patience = wait;
    session.state.audit_fd = pod_take_stdout();
    if ((status = select_retrievers(session.config, invocation, &all)) < 0) {
        status = check_everything(&session, &all);
        if (status == EXIT_OK)
            status = install_runner(&session.paths, bin ? bin : BIN);
        if (status == EXIT_OK)
            log_info("ready: %zu sources, %zu retrievers.", session.config->n_source,
                     session.config->n_retriever);
        select_done(&all);
    }
    session_close(&session);
    return status;
}

const Command command_init = {
    .name = "init",
    .arguments = "",
    .summary = "Check all that a pod needs, as its first container",
    .help =
        "What `purser check` and `purser doctor` look at, for a pod: configuration, policies and their "
        "tests, "
        "each\n"
        "store's login and each token, the database (its schema is brought up to date), folders, the node's\n"
        "protections. Puts purser-exec into /purser/bin. Says nothing but one sentence about what is wrong, "
        "which is\n"
        "also the container's termination message ($PURSER_TERMINATION_LOG, /dev/termination-log).\n\n"
        "Examples:\n"
        "  purser init                           as an init container\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"bin", 0, "DIR", "where purser-exec goes (default: /purser/bin)"},
               {"wait", 0, "TIME", "for a store or database that is away for a moment (default: 30s)"}},
    .run = run,
};
