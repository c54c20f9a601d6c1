/* A terminal without echo, put back as it was whatever happens. See prompt.h. */
#include "token/prompt.h"

#include "base/io.h"
#include "secret/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
static volatile sig_atomic_t caught;

static void catch (int number)
{
    caught = number;
}

static void say(int fd, const char *text)
{
    int ignored = io_write_all(fd, text, strlen(text));
    (void)ignored;
}

/* The line is put together here and not by the terminal, whose own lines end at 4,095 bytes. */
static int read_line(int fd, const struct termios *was, char *out, size_t room, size_t *ret_len)
{
    size_t len = 0;
    for (;;) {
        char c;
        ssize_t n = caught ? -1 : read(fd, &c, 1);
        if (caught)
            return -EINTR;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0 || c == '\n' || c == '\r' || (unsigned char)c == was->c_cc[VEOF])
            break;
        if ((unsigned char)c == was->c_cc[VERASE] || c == '\b')
            len -= len > 0;
        else if ((unsigned char)c == was->c_cc[VKILL])
            len = 0;
        else if (len == room)
            return -E2BIG;
        else
            out[len++] = c;
    }
    *ret_len = len;
    return 0;
}

static int read_hidden(int fd, const char *question, char *out, size_t room, size_t *ret_len)
{
    struct termios was, hidden;
    struct sigaction old[COUNT_OF(watched)], action = {.sa_handler = catch}; /* without SA_RESTART */
    if (tcgetattr(fd, &was) < 0)
        return -errno;
    caught = 0;
    for (size_t i = 0; i < COUNT_OF(watched); i++)
        sigaction(watched[i], &action, &old[i]);
    hidden = was;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON);
    hidden.c_cc[VMIN] = 1;
    hidden.c_cc[VTIME] = 0;
    int r = tcsetattr(fd, TCSAFLUSH, &hidden) < 0 ? -errno : 0;
    if (r == 0) {
        say(fd, question);
        r = read_line(fd, &was, out, room, ret_len);
        /* Flushed: what is left of a paste must not become the shell's next command. */
        tcsetattr(fd, TCSAFLUSH, &was);
        say(fd, "\n");
    }
    for (size_t i = 0; i < COUNT_OF(watched); i++)
        sigaction(watched[i], &old[i], NULL);
    return r;
}

int prompt_terminal(int fd, const char *question, char *out, size_t room, size_t *ret_len, Fault *fault)
{
    int r;
    while ((r = read_hidden(fd, question, out, room, ret_len)) == -EINTR && caught) {
        explicit_bzero(out, room);
        kill(getpid(), caught); /* now as it would have been without us */
        if (caught != SIGTSTP)
            return fault_set(fault, r, "interrupted"); /* ignored by our parent's wish: stop all the same */
    }
    if (r == -E2BIG)
        return fault_set(fault, r, "what was typed is longer than %zu bytes", room);
    return r ? fault_set(fault, r, "the terminal cannot be read: %s", strerror(-r)) : 0;
}

int prompt_pipe(int fd, char *out, size_t room, size_t *ret_len, Fault *fault)
{
    size_t len = 0;
    for (;;) {
        if (len == room)
            return fault_set(fault, -E2BIG, "what comes from standard input is longer than %zu bytes", room);
        ssize_t n = read(fd, out + len, room - len);
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            return fault_set(fault, -errno, "standard input cannot be read: %s", strerror(errno));
    }
    *ret_len = len;
    return 0;
}

static int confirm_passphrase(int fd, Slice first, size_t room, Fault *fault)
{
    char *again = secret_alloc(room);
    size_t len = 0;
    if (!again)
        return fault_set(fault, -ENOMEM, "the locked memory is used up");
    int r = prompt_terminal(fd, "The same again: ", again, room, &len, fault);
    if (r == 0 && !secret_equal(first, (Slice){again, len}))
        r = fault_set(fault, -EINVAL, "the two passphrases differ; nothing was changed");
    secret_release(again, room);
    return r;
}

int prompt_passphrase(bool confirm, char *out, size_t room, size_t *ret_len, Fault *fault)
{
    size_t len = 0;
    CLEANUP_FD int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return fault_set(fault, -errno,
                         "there is no terminal to ask for the passphrase on: use a key file where "
                         "nobody sits");
    const char *question =
        confirm ? "Passphrase for the new keyring (not shown): " : "Passphrase of the keyring: ";
    int r = prompt_terminal(fd, question, out, room, &len, fault);
    if (r == 0 && len == 0)
        r = fault_set(fault, -EINVAL, "the passphrase is empty; nothing was changed");
    if (r == 0 && confirm)
        r = confirm_passphrase(fd, (Slice){out, len}, room, fault);
    if (r == 0)
        *ret_len = len;
    return r;
}
