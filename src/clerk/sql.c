/* One text in SQL for both databases. See sql.h. */
#include "clerk/sql.h"

#include <errno.h>

#define MOST_ARGUMENTS 3
#define MOST_BYTES     (64u << 10)

/* $1 to $3 are the arguments. What each number means to a reader is docs/metrics.md. */
typedef struct Word {
    const char *word, *sqlite, *postgres;
} Word;

static const Word words[] = {
    {"$key", "TEXT", "text COLLATE \"C\""},
    {"$text", "TEXT", "text"},
    {"$int", "INTEGER", "bigint"},
    {"$real", "REAL", "double precision"},
    {"$time", "TEXT", "timestamptz"},
    {"$json", "TEXT", "jsonb"},
    {"$either", "$2", "$1"},
    {"$index", "", "CREATE INDEX $1 ON $2;\n"},
    {"$now", "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", "now()"},
    {"$day", "substr($1, 1, 10)", "($1 AT TIME ZONE 'UTC')::date"},
    /* Seconds; NULL when a time is not known, or when the provider's clocks disagree. */
    {"$span", "CASE WHEN $2 >= $1 THEN round((julianday($2) - julianday($1)) * 86400.0, 3) END",
     "CASE WHEN $2 >= $1 THEN extract(epoch FROM $2 - $1)::double precision END"},
    /* 1 or 0; NULL is neither, and counts nowhere. */
    {"$passed", "CASE $1 WHEN 'success' THEN 1 WHEN 'failure' THEN 0 WHEN 'timed_out' THEN 0 END",
     "CASE $1 WHEN 'success' THEN 1 WHEN 'failure' THEN 0 WHEN 'timed_out' THEN 0 END"},
    /* The lower bound of Wilson's interval (95 %) for a part of a whole. */
    {"$wilson",
     "CASE WHEN $1 > 0 THEN ($1 + 1.9208 - 1.96 * sqrt(1.0 * $1 * ($2 - $1) / $2 + 0.9604))"
     " / ($2 + 3.8416) WHEN $2 > 0 THEN 0.0 END",
     "CASE WHEN $1 > 0 THEN ($1 + 1.9208 - 1.96 * sqrt(1.0::double precision * $1 * ($2 - $1)"
     " / $2 + 0.9604)) / ($2 + 3.8416) WHEN $2 > 0 THEN 0.0 END"},
    /* Between the two nearest values, over rows that $ranked has numbered. */
    {"$quantile", "sum($2 * max(0.0, 1.0 - abs(nth - 1 - $1 * (n - 1))))",
     "percentile_cont($1) WITHIN GROUP (ORDER BY $2)"},
    /* A table; the columns that its rows are grouped by; the value. */
    {"$ranked",
     "(SELECT *, row_number() OVER (PARTITION BY $2 ORDER BY $3 IS NULL, $3) AS nth,"
     " count($3) OVER (PARTITION BY $2) AS n FROM $1)",
     "$1"},
    /* A member of a JSON object, as text or as a number. */
    {"$member", "json_extract($1, '$.$2')", "($1 ->> '$2')"},
    {"$number", "json_extract($1, '$.$2')", "($1 ->> '$2')::bigint"},
};

static const Word *find_word(Slice word)
{
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (slice_is(word, words[i].word))
            return &words[i];
    return NULL;
}

static Slice skip(Slice text, size_t n)
{
    return (Slice){text.ptr + n, text.len - n};
}

/* "$word" at the beginning. */
static Slice word_of(Slice text)
{
    size_t n = 1;
    while (n < text.len && text.ptr[n] >= 'a' && text.ptr[n] <= 'z')
        n++;
    return (Slice){text.ptr, n};
}

/* Splits "(a; b)..." at its own semicolons, parentheses in pairs. */
static int split_arguments(Slice *text, Slice argument[MOST_ARGUMENTS], size_t *ret_n)
{
    size_t depth = 0, begin = 1, n = 0;
    for (size_t i = 0; i < text->len; i++) {
        char c = text->ptr[i];
        depth += c == '(';
        depth -= c == ')';
        if (depth == 0 || (depth == 1 && c == ';')) {
            if (n == MOST_ARGUMENTS)
                return -EINVAL;
            argument[n++] = slice_trim((Slice){text->ptr + begin, i - begin});
            begin = i + 1;
        }
        if (depth == 0) {
            *text = skip(*text, i + 1);
            *ret_n = n;
            return 0;
        }
    }
    return -EINVAL;
}

/* A function's own text: its arguments are put in as they are, they were expanded before. */
static int put_body(Slice body, const Buf *argument, Buf *sql)
{
    CLEANUP_BUF Buf filled = BUF_INIT(MOST_BYTES);
    int r = 0;
    for (; body.len && !r; body = skip(body, 1)) {
        size_t index = body.len > 1 && body.ptr[0] == '$' ? (size_t)(body.ptr[1] - '1') : MOST_ARGUMENTS;
        r = index < MOST_ARGUMENTS ? buf_append_slice(&filled, buf_slice(&argument[index]))
                                   : buf_append(&filled, body.ptr, 1);
        if (index < MOST_ARGUMENTS)
            body = skip(body, 1);
    }
    return r ? r : buf_append_slice(sql, buf_slice(&filled));
}

static int put_word(Slice *text, const Word *word, SqlDialect dialect, Buf *sql)
{
    Buf expanded[MOST_ARGUMENTS] = {BUF_INIT(MOST_BYTES), BUF_INIT(MOST_BYTES), BUF_INIT(MOST_BYTES)};
    Slice argument[MOST_ARGUMENTS];
    size_t n = 0;
    bool is_call = strstr(word->postgres, "$1") && text->len && text->ptr[0] == '(';
    int r = is_call ? split_arguments(text, argument, &n) : 0;
    for (size_t i = 0; i < n && !r; i++)
        r = sql_expand(argument[i], dialect, &expanded[i]);
    if (!r)
        r = put_body(slice_of(dialect == SQL_SQLITE ? word->sqlite : word->postgres), expanded, sql);
    for (size_t i = 0; i < MOST_ARGUMENTS; i++)
        buf_done(&expanded[i]);
    return r;
}

int sql_expand(Slice text, SqlDialect dialect, Buf *sql)
{
    int r = 0;
    while (text.len && !r) {
        const char *dollar = memchr(text.ptr, '$', text.len);
        size_t plain = dollar ? (size_t)(dollar - text.ptr) : text.len;
        r = buf_append(sql, text.ptr, plain);
        text = skip(text, plain);
        if (r || !text.len)
            break;
        Slice name = word_of(text);
        const Word *word = find_word(name);
        text = skip(text, name.len);
        r = word ? put_word(&text, word, dialect, sql) : buf_append_slice(sql, name);
    }
    return r;
}

bool sql_next_view(Slice *at, Slice *ret_name)
{
    static const char create[] = "CREATE VIEW ";
    const char *found = memmem(at->ptr, at->len, create, sizeof(create) - 1);
    if (!found)
        return false;
    Slice rest = skip(*at, (size_t)(found - at->ptr) + sizeof(create) - 1);
    slice_cut(rest, ' ', ret_name, at);
    return true;
}
