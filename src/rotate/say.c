/* What a person or a script is told. See say.h. */
#include "rotate/say.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "ipc/rotate.h"

#include <stdarg.h>
#include <stdio.h>

static void write_json(const Say *say, const char *key, const char *word, const char *text)
{
    CLEANUP_BUF Buf out = BUF_INIT(16u << 10);
    JsonWriter json = JSON_WRITER(&out);
    json_object_begin(&json, NULL);
    json_time(&json, "time", clock_wall());
    json_text(&json, "source", say->source);
    json_text(&json, key, word);
    json_text(&json, "message", text);
    json_object_end(&json);
    if (json_finish(&json) == 0)
        puts(buf_text(&out));
    fflush(stdout);
}

void say_step(const Say *say, const char *step, const char *fmt, ...)
{
    char text[768];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (say->json) {
        write_json(say, "step", step, text);
        return;
    }
    printf("%-8s %s\n", step, text);
    fflush(stdout);
}

void say_left(const Say *say, uint64_t left_us)
{
    char left[24];
    if (say->json || !isatty(STDOUT_FILENO))
        return;
    if (left_us)
        printf("\r         %s left  ", text_human_duration(left, left_us - left_us % CLOCK_SECOND));
    else
        printf("\r                              \r");
    fflush(stdout);
}

/* To whom has started several: a word and a sentence; who does not listen any more has nothing to be told. */
static void tell(const Say *say, const char *result, const char *text)
{
    if (say->tells && dprintf(ROTATE_RESULT_FD, "%s %s\n", result, text) < 0)
        log_warning("the result could not be told");
}

void say_result(const Say *say, const char *result, const char *fmt, ...)
{
    char text[768];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (say->json)
        write_json(say, "result", result, text);
    else
        puts(text);
    fflush(stdout);
    tell(say, result, text);
}

void say_failed(const Say *say, const char *sentence)
{
    log_error("%s", sentence);
    if (say->json)
        write_json(say, "result", "failed", sentence);
    tell(say, "failed", sentence);
}
