/* Where the new token comes from. See get.h. */
#include "rotate/get.h"

#include "base/mem.h"
#include "token/take.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

/* The child that becomes the command. */
static struct {
    pid_t pid;
    int go, out; /* told to begin; what it prints */
} command = {.go = -1, .out = -1};

/* It is told for which source: a command may serve several. */
static NORETURN void become_command(const RotateSetup *setup, int go, int out)
{
    char **argv = MEM_NEW_ARRAY(char *, setup->n_argv + 1), begin;
    ssize_t n;
    while ((n = read(go, &begin, 1)) < 0 && errno == EINTR)
        ;
    if (n != 1)
        _exit(0);
    memcpy(argv, setup->argv, setup->n_argv * sizeof(char *));
    if (dup2(out, STDOUT_FILENO) < 0 || setenv("PURSER_SOURCE", setup->source.source.name, 1) < 0)
        _exit(126);
    signal(SIGPIPE, SIG_DFL);
    if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0) /* a login's parts, in memory */
        _exit(126);
    execvp(argv[0], argv);
    _exit(127);
}

int get_prepare(const RotateSetup *setup, Fault *fault)
{
    int go[2] = {-1, -1}, out[2] = {-1, -1};
    if (!setup->n_argv || setup->act != ROTATE_START)
        return 0;
    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return fault_set(fault, -errno, "no pipe: %s", strerror(errno));
    command.pid = fork();
    if (command.pid == 0) {
        close(go[1]);
        become_command(setup, go[0], out[1]);
    }
    int error = errno;
    close(go[0]);
    close(out[1]);
    command.go = go[1];
    command.out = out[0];
    return command.pid < 0 ? fault_set(fault, -error, "the command cannot be started: %s", strerror(error))
                           : 0;
}

/* Its standard output is the token; standard input and error stay the person's. */
static int take_from_command(const RotateSetup *setup, Sealed **ret_token, Fault *fault)
{
    int status = -1;
    Sealed *token = NULL;
    if (write(command.go, "", 1) != 1)
        return fault_set(fault, -errno, "the command cannot be started: %s", strerror(errno));
    fd_close(&command.go);
    int r = token_take_pipe(setup->source.source.name, command.out, &token, fault);
    fd_close(&command.out);
    while (waitpid(command.pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status != 0)
        r = fault_set(fault, -EIO, "the command failed (%s %d), so what it printed is not taken for a token",
                      WIFSIGNALED(status) ? "signal" : "status",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (r) {
        secret_free(token);
        return r;
    }
    *ret_token = token;
    return 0;
}

int get_token(const RotateSetup *setup, Sealed **ret_token, Fault *fault)
{
    const char *name = setup->source.source.name;
    CLEANUP_MEM char *question = mem_printf("New token of \"%s\" (not shown): ", name);
    if (setup->n_argv)
        return take_from_command(setup, ret_token, fault);
    if (setup->unattended)
        return fault_set(
            fault, -ENOTTY,
            "nobody is there to type a new token, and no command of `rotate:` or --command prints one");
    if (setup->app && !setup->from_stdin)
        return fault_set(
            fault, -ENOTTY,
            "a private key has lines, so it is not typed: `purser rotate %s --from-stdin < KEY.pem`, or "
            "--command",
            name);
    if (setup->from_stdin || isatty(STDIN_FILENO))
        return token_take(name, question, ret_token, fault);
    return token_take_terminal(name, question, ret_token, fault);
}
