/* Takes one token. See take.h. */
#include "token/take.h"

#include "token/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define ROOM (SECRET_MAX_TOKEN + 3) /* a newline, and a byte by which too long is seen */

static int take(const char *name, const char *question, int fd, bool terminal, Sealed **ret_token,
                Fault *fault)
{
    size_t len = 0;
    char *room = secret_alloc(ROOM);
    if (!room)
        return fault_set(fault, -ENOMEM, "the locked memory is used up");
    int r = terminal ? prompt_terminal(fd, question, room, ROOM, &len, fault)
                     : prompt_pipe(fd, room, ROOM, &len, fault);
    if (r == -E2BIG) /* the check has the sentence for it */
        r = store_check_token(name, (Slice){room, ROOM}, &len, fault);
    bool lines = !terminal && r == 0 && store_has_lines((Slice){room, len});
    if (r == 0)
        r = store_seal(name, (Slice){room, len}, lines, ret_token, fault);
    Slice seen = r == 0 ? slice_trim((Slice){room, secret_len(*ret_token)}) : (Slice){"", 0};
    if (r == 0 && (r = store_check_searchable(name, seen.len, fault)) != 0)
        *ret_token = secret_free(*ret_token);
    secret_release(room, ROOM);
    return r;
}

int token_take(const char *name, const char *question, Sealed **ret_token, Fault *fault)
{
    return take(name, question, STDIN_FILENO, isatty(STDIN_FILENO), ret_token, fault);
}

int token_take_terminal(const char *name, const char *question, Sealed **ret_token, Fault *fault)
{
    CLEANUP_FD int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return fault_set(
            fault, -errno,
            "there is no terminal to ask for the token on: give it with --from-stdin or --command");
    return take(name, question, fd, true, ret_token, fault);
}

int token_take_pipe(const char *name, int fd, Sealed **ret_token, Fault *fault)
{
    return take(name, "", fd, false, ret_token, fault);
}
