/* What a script prints, line by line: its name before it, control characters escaped, bounded. */
#pragma once

#include "base/slice.h"

#define OUTPUT_MAX_LINE 8192          /* raw bytes; the rest of a longer line is dropped */
#define OUTPUT_MAX_LOG  (16ull << 20) /* bytes in the log; afterwards only printed */

typedef struct OutputSink {
    const char *name;
    int print_fd, log_fd; /* -1: none */
    uint64_t logged;
    bool log_full;
} OutputSink;

/* One of the script's two streams. */
typedef struct OutputStream {
    int fd; /* -1: at its end */
    size_t len;
    bool cut, after_return;
    char line[OUTPUT_MAX_LINE];
} OutputStream;

/* Takes bytes; prints the lines that they end. A carriage return ends a line too (progress bars). */
void output_take(OutputSink *sink, OutputStream *stream, const char *bytes, size_t len);
void output_flush(OutputSink *sink, OutputStream *stream); /* a last line without an end */

/* Reads what is there; closes at the end. */
void output_read(OutputSink *sink, OutputStream *stream);

/* A line of the runner's own: "NAME | purser: ...". */
void output_say(OutputSink *sink, const char *fmt, ...) FORMAT(2, 3);
