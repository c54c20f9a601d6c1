/* `purser rotate --all`. See rotate-link.h. */
#include "supervisor/rotate-link.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

typedef struct Row {
    const char *source;
    RotateResult result;
} Row;

static void set_row(Row *row, const char *word, const char *sentence)
{
    snprintf(row->result.word, sizeof(row->result.word), "%s", word);
    snprintf(row->result.sentence, sizeof(row->result.sentence), "%s", sentence);
}

/* A token that several sources name is one token. */
static const char *sharer(const Config *config, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (token_ref_equal(rotate_kept(&config->source[i]), rotate_kept(&config->source[at])))
            return config->source[i].name;
    return NULL;
}

static bool is_kept(const Source *source)
{
    return !rotate_kept(source)->mint;
}

/* Why it is not its turn: nothing of that is a failure. */
static bool is_skipped(const Session *session, size_t at, const RotateSetup *said, Row *row)
{
    const Source *source = &session->config->source[at];
    const char *other = sharer(session->config, at);
    char text[300];
    if (!is_kept(source)) {
        set_row(row, "skipped", "its tokens are minted, and live for an hour or less");
    } else if (other) {
        snprintf(text, sizeof(text), "its token is that of %s", other);
        set_row(row, "skipped", text);
    } else if (said->act == ROTATE_START && !rotate_has_origin(source, said) && !isatty(STDIN_FILENO)) {
        set_row(row, "skipped",
                "nobody is there to type its new token: say `rotate: {command: [...]}` of the source, or "
                "--command");
    } else {
        return false;
    }
    return true;
}

static void rotate_one(const Session *session, size_t at, const RotateSetup *said, Row *row)
{
    const Source *source = &session->config->source[at];
    RotateChild child;
    Fault fault;
    int status;
    if (!said->json) {
        printf("%s:\n", source->name);
        fflush(stdout);
    }
    if (rotate_start(session, source, said, &child, &fault)) {
        set_row(row, "failed", fault.text);
        return;
    }
    while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR)
        ;
    rotate_result(&child, &row->result);
}

static bool has(const Row *row, const char *word)
{
    return strcmp(row->result.word, word) == 0;
}

static void print_table(const Row *row, size_t n)
{
    printf("\n%-24s %-9s %s\n", "SOURCE", "RESULT", "");
    for (size_t i = 0; i < n; i++)
        printf("%-24s %-9s %s\n", row[i].source, row[i].result.word, row[i].result.sentence);
}

static int print_summary(const Row *row, size_t n)
{
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    JsonWriter json = JSON_WRITER(&text);
    json_object_begin(&json, NULL);
    json_array_begin(&json, "sources");
    for (size_t i = 0; i < n; i++) {
        json_object_begin(&json, NULL);
        json_text(&json, "source", row[i].source);
        json_text(&json, "result", row[i].result.word);
        json_text(&json, "message", row[i].result.sentence);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    return print_json(&json);
}

int rotate_all(const char *file, const KubernetesLogin *login, const RotateSetup *said)
{
    Session session;
    size_t failed = 0;
    int status = session_open_as(file, login, &session);
    if (status >= 0)
        return status;
    size_t n = session.config->n_source;
    CLEANUP_MEM Row *row = MEM_NEW_ARRAY(Row, n ? n : 1);
    for (size_t i = 0; i < n; i++) {
        row[i].source = session.config->source[i].name;
        if (!is_skipped(&session, i, said, &row[i]))
            rotate_one(&session, i, said, &row[i]);
        failed += has(&row[i], "failed");
    }
    status = EXIT_OK;
    if (said->json)
        status = print_summary(row, n);
    else
        print_table(row, n);
    if (failed)
        log_error("%zu of %zu sources failed; the others are not held up by that.", failed, n);
    session_close(&session);
    return failed ? EXIT_FAILED : status;
}
