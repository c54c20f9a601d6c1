/* One line per decision on standard error. See log.h. */
#include "base/log.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const char *program_name = "purser";
static LogLevel most_level = LOG_INFO;
static int first_error_fd = -1;

void log_open(const char *program, LogLevel most)
{
    program_name = program;
    most_level = most;
}

void log_first_error_to(int fd)
{
    first_error_fd = fd;
}

static void tell_first_error(const char *sentence, size_t len)
{
    ssize_t ignored = write(first_error_fd, sentence, len);
    (void)ignored;
    fd_close(&first_error_fd);
}

void log_line(LogLevel level, const char *fmt, ...)
{
    static const char *const word[] = {"error: ", "warning: ", "", "debug: "};
    if (level > most_level)
        return;
    int saved = errno;
    char raw[1024], line[1400];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(raw, sizeof(raw), fmt, args);
    va_end(args);
    if (len >= 0) {
        size_t n = (size_t)snprintf(line, sizeof(line), "%s: %s", program_name, word[level]);
        size_t most = sizeof(line) - n - 1,
               raw_len = (size_t)len < sizeof(raw) ? (size_t)len : sizeof(raw) - 1;
        size_t m = text_escape(line + n, most, raw, raw_len);
        m = m < most ? m : strlen(line + n);
        if (level == LOG_ERROR && first_error_fd >= 0)
            tell_first_error(line + n, m);
        n += m;
        line[n++] = '\n';
        ssize_t ignored = write(STDERR_FILENO, line, n);
        (void)ignored;
    }
    errno = saved;
}
