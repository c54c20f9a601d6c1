/* What a script prints. See output.h. */
#include "runner/output.h"

#include "base/io.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void put(int fd, const char *bytes, size_t len)
{
    /* A full disk or a reader that is gone must not end the run. */
    if (fd >= 0 && io_write_all(fd, bytes, len))
        return;
}

static void put_log(OutputSink *sink, const char *bytes, size_t len)
{
    static const char full[] = "purser: the log has reached 16 MiB; what follows was printed only.\n";
    if (sink->log_fd < 0 || sink->log_full)
        return;
    sink->log_full = sink->logged + len > OUTPUT_MAX_LOG;
    sink->logged += len;
    if (sink->log_full)
        put(sink->log_fd, full, sizeof(full) - 1);
    else
        put(sink->log_fd, bytes, len);
}

static void print_line(OutputSink *sink, const char *raw, size_t len, bool cut)
{
    /* Every byte may become four. One write, so that lines of retrievers in parallel do not mix. */
    static char text[4 * OUTPUT_MAX_LINE + 256];
    int n = snprintf(text, 128, "%.64s | ", sink->name);
    size_t at = (size_t)n, size = sizeof(text) - at - 64;
    at += text_escape(text + at, size, raw, len);
    n = snprintf(text + at, sizeof(text) - at, "%s\n", cut ? " [cut]" : "");
    at += (size_t)n;
    put(sink->print_fd, text, at);
    put_log(sink, text, at);
}

void output_flush(OutputSink *sink, OutputStream *stream)
{
    if (stream->len || stream->cut)
        print_line(sink, stream->line, stream->len, stream->cut);
    stream->len = 0;
    stream->cut = false;
}

void output_take(OutputSink *sink, OutputStream *stream, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        bool second_half = c == '\n' && stream->after_return;
        stream->after_return = c == '\r';
        if (c == '\r')
            output_flush(sink, stream);
        else if (c == '\n' && !second_half) {
            print_line(sink, stream->line, stream->len, stream->cut);
            stream->len = 0;
            stream->cut = false;
        } else if (c == '\n')
            continue;
        else if (stream->len < OUTPUT_MAX_LINE)
            stream->line[stream->len++] = c == '\t' ? ' ' : c;
        else
            stream->cut = true;
    }
}

void output_read(OutputSink *sink, OutputStream *stream)
{
    char piece[16384];
    ssize_t n = read(stream->fd, piece, sizeof(piece));
    if (n > 0) {
        output_take(sink, stream, piece, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        output_flush(sink, stream);
        fd_close(&stream->fd);
    }
}

void output_say(OutputSink *sink, const char *fmt, ...)
{
    char text[1024] = "purser: ";
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text + 8, sizeof(text) - 8, fmt, args);
    va_end(args);
    if (n > 0)
        print_line(sink, text, strlen(text), false);
}
