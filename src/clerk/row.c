/* Checks fields into a row. See row.h. */
#include "clerk/row.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define LAST_SECOND 253402300799 /* 9999-12-31T23:59:59Z */

void row_init(Row *row, const RowContext *context)
{
    *row = (Row){.context = context, .room = BUF_INIT(4 * TABLE_MAX_TEXT)};
}

void row_done(Row *row)
{
    buf_done(&row->room);
}

void row_begin(Row *row, const Table *table)
{
    row->table = table;
    for (size_t i = 0; i < table->n_column; i++)
        row->cell[i].set = false;
    row->room.len = 0;
}

int row_column_of(const Row *row, Slice field, size_t hint)
{
    const Table *table = row->table;
    /* Lines of one file name their fields in one order: the guess is nearly always right. */
    for (size_t n = 0, i = hint < table->n_column ? hint : 0; n < table->n_column; n++) {
        if (table->column[i].field && slice_is(field, table->column[i].field))
            return (int)i;
        if (++i == table->n_column)
            i = 0;
    }
    return -1;
}

int row_parse_int(Slice text, int64_t *ret_value)
{
    bool negative = text.len && text.ptr[0] == '-';
    Slice digits = negative ? (Slice){text.ptr + 1, text.len - 1} : text;
    uint64_t value;
    int r = text_parse_u64(digits, (uint64_t)INT64_MAX + negative, &value);
    if (r)
        return r;
    *ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 0;
}

static size_t skip_digits(const char *text, size_t at)
{
    while (text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

int row_parse_real(Slice text, double *ret_value)
{
    char copy[512];
    if (text.len == 0 || text.len >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    /* strtod() also takes hexadecimal, "nan" and "inf": only what a person calls a number gets there. */
    size_t start = copy[0] == '-' || copy[0] == '+';
    size_t whole = skip_digits(copy, start), at = whole, fraction = 0;
    if (copy[at] == '.') {
        at = skip_digits(copy, at + 1);
        fraction = at - whole - 1;
    }
    if (whole == start && fraction == 0)
        return -EINVAL;
    size_t mantissa = at;
    if (copy[at] == 'e' || copy[at] == 'E') {
        size_t exponent = at + 1 + (copy[at + 1] == '-' || copy[at + 1] == '+');
        at = skip_digits(copy, exponent);
        if (at == exponent)
            return -EINVAL;
    }
    if (at != text.len)
        return -EINVAL;
    double value = strtod(copy, NULL);
    if (!isfinite(value))
        return -ERANGE;
    copy[mantissa] = '\0';
    if (value == 0 && strpbrk(copy, "123456789")) /* too small is not "nothing" */
        return -ERANGE;
    *ret_value = value;
    return 0;
}

static int set_text(Row *row, int i, const Input *input, Fault *fault)
{
    const Column *column = &row->table->column[i];
    Slice text = input->text;
    if (input->kind == INPUT_INT) {
        int n = snprintf(row->number[i], sizeof(row->number[i]), "%lld", (long long)input->integer);
        text = (Slice){row->number[i], (size_t)n};
    } else if (input->kind != INPUT_TEXT && input->kind != INPUT_CELL) {
        return fault_set(fault, -EINVAL, "`%s` must be text", column->field);
    }
    if (text.len > column->max)
        return fault_set(fault, -EINVAL, "`%s` is %zu bytes long; at most %u are taken", column->field,
                         text.len, column->max);
    if (text.len == 0 && column->required)
        return fault_set(fault, -EINVAL, "`%s` is empty", column->field);
    row->cell[i] = (Cell){.set = true, .text = text};
    return 0;
}

static int set_int(Row *row, int i, const Input *input, Fault *fault)
{
    const char *field = row->table->column[i].field;
    int64_t value = input->integer;
    int r = input->kind == INPUT_INT ? 0 : -EINVAL;
    if (input->kind == INPUT_TEXT || input->kind == INPUT_CELL)
        r = row_parse_int(input->text, &value);
    if (r == -ERANGE)
        return fault_set(fault, -EINVAL, "`%s` does not fit into 64 bits", field);
    if (r)
        return fault_set(fault, -EINVAL, "`%s` must be a whole number", field);
    row->cell[i] = (Cell){.set = true, .integer = value};
    return 0;
}

static int set_real(Row *row, int i, const Input *input, Fault *fault)
{
    const char *field = row->table->column[i].field;
    double value = input->kind == INPUT_INT ? (double)input->integer : input->real;
    int r = input->kind == INPUT_INT || input->kind == INPUT_REAL ? 0 : -EINVAL;
    if (input->kind == INPUT_CELL)
        r = row_parse_real(input->text, &value);
    if (r == -ERANGE)
        return fault_set(fault, -EINVAL, "`%s` is outside what a number can hold", field);
    if (r || !isfinite(value))
        return fault_set(fault, -EINVAL, "`%s` must be a number", field);
    row->cell[i] = (Cell){.set = true, .real = value};
    return 0;
}

static int set_time(Row *row, int i, const Input *input, Fault *fault)
{
    const char *field = row->table->column[i].field;
    int64_t us = 0;
    double seconds = -1;
    int r = -EINVAL;
    if (input->kind == INPUT_INT)
        seconds = (double)input->integer;
    else if (input->kind == INPUT_REAL)
        seconds = input->real;
    else if (input->kind == INPUT_TEXT || input->kind == INPUT_CELL)
        r = clock_parse(input->text, &us);
    if (r && input->kind == INPUT_CELL && row_parse_real(input->text, &seconds))
        seconds = -1;
    if (r && seconds >= 0 && seconds <= LAST_SECOND) {
        us = input->kind == INPUT_INT ? input->integer * CLOCK_SECOND
                                      : (int64_t)llround(seconds * CLOCK_SECOND);
        r = 0;
    }
    if (r)
        return fault_set(fault, -EINVAL,
                         "`%s` must be a time with its offset (2020-06-05T14:11:38Z) or seconds since 1970",
                         field);
    row->cell[i] = (Cell){.set = true, .integer = us};
    return 0;
}

/* Text where JSON is wanted is a list with commas: a,b becomes ["a","b"]. */
static int set_json(Row *row, int i, const Input *input, Fault *fault)
{
    const Column *column = &row->table->column[i];
    Slice text = input->text;
    if (input->kind == INPUT_TEXT || input->kind == INPUT_CELL) {
        static const char hex[] = "0123456789abcdef";
        row->room.len = 0;
        int r = buf_append_text(&row->room, "[\"");
        for (size_t at = 0; at < text.len && !r; at++) {
            unsigned char c = (unsigned char)text.ptr[at];
            if (c == ',')
                r = buf_append_text(&row->room, "\",\"");
            else if (c < 0x20 || c == '"' || c == '\\')
                r = buf_append(&row->room, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
            else
                r = buf_append(&row->room, &text.ptr[at], 1);
        }
        if (r || buf_append_text(&row->room, "\"]"))
            return fault_set(fault, -EINVAL, "`%s` is too long", column->field);
        text = buf_slice(&row->room);
    } else if (input->kind != INPUT_JSON) {
        return fault_set(fault, -EINVAL, "`%s` must be a list or an object", column->field);
    }
    if (text.len > column->max)
        return fault_set(fault, -EINVAL, "`%s` is %zu bytes long; at most %u are taken", column->field,
                         text.len, column->max);
    row->cell[i] = (Cell){.set = true, .text = text};
    return 0;
}

int row_set(Row *row, int column, const Input *input, Fault *fault)
{
    switch (row->table->column[column].kind) {
    case CELL_TEXT:
        return set_text(row, column, input, fault);
    case CELL_INT:
        return set_int(row, column, input, fault);
    case CELL_REAL:
        return set_real(row, column, input, fault);
    case CELL_TIME:
        return set_time(row, column, input, fault);
    case CELL_JSON:
        return set_json(row, column, input, fault);
    }
    return fault_set(fault, -EINVAL, "a column of an unknown kind");
}

const char *row_status(Slice original)
{
    /* GitHub, GitLab, Buildkite, CircleCI, Jenkins, Drone, JUnit; what means the same has one word. */
    static const char *const words[][2] = {
        {"success", "success"},
        {"failure", "failure"},
        {"skipped", "skipped"},
        {"cancelled", "cancelled"},
        {"passed", "success"},
        {"failed", "failure"},
        {"canceled", "cancelled"},
        {"in_progress", "running"},
        {"queued", "queued"},
        {"running", "running"},
        {"neutral", "neutral"},
        {"timed_out", "timed_out"},
        {"pass", "success"},
        {"ok", "success"},
        {"successful", "success"},
        {"fail", "failure"},
        {"error", "failure"},
        {"errored", "failure"},
        {"broken", "failure"},
        {"startup_failure", "failure"},
        {"infrastructure_fail", "failure"},
        {"unstable", "failure"},
        {"unauthorized", "failure"},
        {"expired", "timed_out"},
        {"timedout", "timed_out"},
        {"timeout", "timed_out"},
        {"aborted", "cancelled"},
        {"killed", "cancelled"},
        {"canceling", "running"},
        {"timing_out", "running"},
        {"failing", "running"},
        {"started", "running"},
        {"preparing", "running"},
        {"pending", "queued"},
        {"scheduled", "queued"},
        {"waiting", "queued"},
        {"requested", "queued"},
        {"created", "queued"},
        {"assigned", "queued"},
        {"accepted", "queued"},
        {"limited", "queued"},
        {"limiting", "queued"},
        {"waiting_for_resource", "queued"},
        {"blocked", "queued"},
        {"on_hold", "queued"},
        {"waiting_on_dependencies", "queued"},
        {"manual", "neutral"},
        {"stale", "neutral"},
        {"action_required", "neutral"},
        {"inactive", "neutral"},
        {"skip", "skipped"},
        {"not_run", "skipped"},
        {"not_built", "skipped"},
        {"ignored", "skipped"},
        {"disabled", "skipped"},
        {"unblocked", "success"},
        {"declined", "cancelled"},
    };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (slice_is_nocase(original, words[i][0]))
            return words[i][1];
    return "unknown";
}

static int finish_source(const Row *row, Cell *cell, Fault *fault)
{
    const RowContext *context = row->context;
    if (!cell->set) {
        if (context->n_source != 1)
            return fault_set(fault, -EINVAL, "`source` is missing, and this retriever has %s",
                             context->n_source ? "more than one" : "none");
        *cell = (Cell){.set = true, .text = context->source[0]};
        return 0;
    }
    for (size_t i = 0; i < context->n_source; i++)
        if (slice_equal(context->source[i], cell->text))
            return 0;
    return fault_set(fault, -EINVAL, "`source` %.*s is not granted to retriever %.*s", (int)cell->text.len,
                     cell->text.ptr, (int)context->retriever.len, context->retriever.ptr);
}

static Slice hash_of(Row *row, const char *prefix, const Slice *part, size_t n_part)
{
    unsigned char digest[16];
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof(digest));
    for (size_t i = 0; i < n_part; i++) {
        crypto_generichash_update(&state, (const unsigned char *)&part[i].len, sizeof(part[i].len));
        crypto_generichash_update(&state, (const unsigned char *)part[i].ptr, part[i].len);
    }
    crypto_generichash_final(&state, digest, sizeof(digest));
    size_t n = strlen(prefix);
    memcpy(row->hash, prefix, n);
    text_hex(row->hash + n, digest, sizeof(digest));
    return (Slice){row->hash, n + 2 * sizeof(digest)};
}

/* The columns of a test after its id are job_id, suite and name (table.c). */
static int finish_test_id(Row *row, size_t i, Fault *fault)
{
    if (row->cell[i].set)
        return 0;
    Slice part[3];
    for (size_t p = 0; p < 3; p++)
        part[p] = row->cell[i + 1 + p].set ? row->cell[i + 1 + p].text : (Slice){"", 0};
    if (!part[0].len || !part[2].len)
        return fault_set(fault, -EINVAL, "a test needs an `id`, or `job_id` and `name`");
    row->cell[i] = (Cell){.set = true, .text = hash_of(row, "test:", part, 3)};
    return 0;
}

/* The two columns after a status are what it is made of: status and, where there is one, conclusion
 * (table.c). */
static void finish_status(Row *row, size_t i)
{
    const Column *column = row->table->column;
    Slice original = {"", 0};
    for (size_t at = i + 1; at <= i + 2 && at < row->table->n_column; at++)
        if ((column[at].role == COLUMN_STATUS_ORIGINAL || column[at].role == COLUMN_CONCLUSION_ORIGINAL) &&
            row->cell[at].set && row->cell[at].text.len)
            original = row->cell[at].text;
    row->cell[i] = (Cell){.set = true, .text = slice_of(row_status(original))};
}

static int finish_labels(Row *row, size_t i, Fault *fault)
{
    Cell *cell = &row->cell[i];
    if (!cell->set)
        *cell = (Cell){.set = true, .text = SLICE_LITERAL("{}")};
    return cell->text.ptr[0] == '{' ? 0 : fault_set(fault, -EINVAL, "`labels` of a metric must be an object");
}

/* The column after next holds the labels (table.c). */
static void finish_labels_hash(Row *row, size_t i)
{
    const Cell *labels = &row->cell[i + 2];
    bool any = labels->set && !slice_is(labels->text, "{}");
    row->cell[i] = (Cell){.set = true, .text = any ? hash_of(row, "", &labels->text, 1) : (Slice){"", 0}};
}

int row_finish(Row *row, Slice extra, Fault *fault)
{
    int r = 0;
    const RowContext *context = row->context;
    for (size_t i = 0; i < row->table->n_column && !r; i++) {
        const Column *column = &row->table->column[i];
        Cell *cell = &row->cell[i];
        switch (column->role) {
        case COLUMN_SOURCE:
            r = finish_source(row, cell, fault);
            break;
        case COLUMN_ATTEMPT:
            if (!cell->set)
                *cell = (Cell){.set = true, .integer = 1};
            break;
        case COLUMN_TEST_ID:
            r = finish_test_id(row, i, fault);
            break;
        case COLUMN_STATUS:
            finish_status(row, i);
            break;
        case COLUMN_LABELS_HASH:
            finish_labels_hash(row, i);
            break;
        case COLUMN_LABELS:
            r = finish_labels(row, i, fault);
            break;
        case COLUMN_WINDOW_END:
            if (!cell->set)
                *cell = (Cell){.set = true, .integer = context->until};
            break;
        case COLUMN_EXTRA:
            *cell = (Cell){.set = extra.len > 0, .text = extra};
            break;
        case COLUMN_RETRIEVER:
            *cell = (Cell){.set = true, .text = context->retriever};
            break;
        case COLUMN_RUN:
            *cell = (Cell){.set = true, .text = context->run};
            break;
        case COLUMN_OBSERVED:
            *cell = (Cell){.set = true, .integer = context->observed};
            break;
        case COLUMN_PLAIN:
        case COLUMN_STATUS_ORIGINAL:
        case COLUMN_CONCLUSION_ORIGINAL:
            break;
        }
        if (!r && column->required && !cell->set)
            r = fault_set(fault, -EINVAL, "`%s` is missing", column->field);
    }
    return r;
}

void row_set_dead(Row *row, Slice file, uint64_t line, const char *reason, Slice content)
{
    char escaped[4 * ROW_MAX_DEAD_CONTENT + 1];
    size_t cut = content.len < ROW_MAX_DEAD_CONTENT ? content.len : ROW_MAX_DEAD_CONTENT;
    size_t n = text_escape(escaped, sizeof(escaped), content.ptr, cut);
    row_begin(row, &table_list[TABLE_DEAD]);
    if (buf_append(&row->room, escaped, n))
        n = 0; /* cannot happen: the room is larger than any cut line */
    const Cell cells[] = {
        {.set = true, .text = row->context->run},
        {.set = true, .text = file},
        {.set = true, .integer = (int64_t)line},
        {.set = true, .text = row->context->retriever},
        {.set = true, .text = slice_of(reason)},
        {.set = true, .text = {buf_slice(&row->room).ptr, n}},
        {.set = true, .integer = row->context->observed},
    };
    memcpy(row->cell, cells, sizeof(cells));
}
