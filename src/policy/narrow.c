/* REST: requests that were seen, as rules. See narrow.h. */
#include "policy/narrow.h"

#include "base/mem.h"
#include "base/text.h"
#include "policy/form.h"
#include "policy/list.h"

#include <errno.h>

typedef struct Shape {
    const PolicySeen *seen; /* the first of its kind */
    Slice segment[POLICY_MAX_SEGMENTS];
    bool is_id[POLICY_MAX_SEGMENTS], varies[POLICY_MAX_SEGMENTS];
    size_t n_segment;
    char **query; /* sorted */
    size_t n_query;
    bool any_query; /* a name comes twice, or cannot be decoded: no list would take it */
    bool gone;      /* became part of another */
} Shape;

typedef struct Shapes {
    Shape *shape;
    size_t n;
} Shapes;

/* The length of the character at `at` when YAML reads it otherwise than it stands there, or not at all. 0: it
 * is none of these. */
static size_t odd_character(Slice text, size_t at, unsigned *ret_point)
{
    unsigned char c = (unsigned char)text.ptr[at];
    size_t len = c < 0x80 ? 1 : (c & 0xE0) == 0xC0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : 0;
    *ret_point = c;
    if (len < 2)
        return c < ' ' || c == 0x7F ? 1 : 0;
    *ret_point = at + len <= text.len ? text_steers((Slice){text.ptr + at, len}) : 0;
    return *ret_point ? len : 0;
}

int policy_narrow_escaped(Buf *out, Slice text, const char *escape, bool quote)
{
    unsigned point;
    int r = 0;
    for (size_t i = 0; i < text.len && r == 0;) {
        char c = text.ptr[i];
        size_t len = odd_character(text, i, &point);
        if (quote && (c == '\n' || c == '\t' || c == '"' || c == '\\'))
            r = buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : c);
        else
            r = len ? buf_printf(out, "%su%04X", escape, point) : buf_append(out, &c, 1);
        i += len ? len : 1;
    }
    return r;
}

static bool has_odd(Slice text)
{
    unsigned point;
    for (size_t i = 0; i < text.len; i++)
        if (odd_character(text, i, &point))
            return true;
    return false;
}

static int put_double_quoted(Buf *out, Slice word)
{
    int r = buf_append(out, "\"", 1);
    r = r ? r : policy_narrow_escaped(out, word, "\\", true);
    return r ? r : buf_append(out, "\"", 1);
}

int policy_narrow_word(Buf *out, Slice word)
{
    if (has_odd(word))
        return put_double_quoted(out, word);
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./";
    bool quote =
        word.len == 0 || !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz/", word.ptr[0]);
    for (size_t i = 0; i < word.len; i++)
        quote |= !word.ptr[i] || !strchr(plain, word.ptr[i]);
    static const char *const special[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
    for (size_t i = 0; i < COUNT_OF(special); i++)
        quote |= slice_is_nocase(word, special[i]);
    if (!quote)
        return buf_append_slice(out, word);
    int r = buf_append(out, "'", 1);
    for (size_t i = 0; i < word.len && r == 0; i++)
        r = word.ptr[i] == '\'' ? buf_append(out, "''", 2) : buf_append(out, word.ptr + i, 1);
    return r ? r : buf_append(out, "'", 1);
}

/* What a value that was given looks like in a path. */
static bool is_given(const PolicyWith *with, Slice segment)
{
    for (size_t i = 0; with && i < with->n; i++) {
        CLEANUP_MEM char *value = policy_value_segment(with->value[i]);
        if (slice_is(segment, value))
            return true;
    }
    return false;
}

static bool looks_like_id(const PolicyWith *with, Slice segment)
{
    for (size_t i = 0; i < segment.len; i++)
        if (segment.ptr[i] >= '0' && segment.ptr[i] <= '9')
            return !is_given(with, segment);
    return false;
}

/* False: no rule can say this path ('*' in a segment, too many of them). */
static bool split(const PolicyNarrow *narrow, const PolicySeen *seen, Shape *shape)
{
    *shape = (Shape){.seen = seen};
    if (policy_path_problem(slice_of(seen->path)) || strchr(seen->path, '*'))
        return false;
    for (Slice one, rest = {seen->path + 1, strlen(seen->path) - 1};
         shape->n_segment < POLICY_MAX_SEGMENTS;) {
        bool more = slice_cut(rest, '/', &one, &rest);
        shape->is_id[shape->n_segment] = looks_like_id(narrow->with, one);
        shape->segment[shape->n_segment++] = one;
        if (!more)
            break;
    }
    return true;
}

/* Whether they are one but for ids, and for the segment `but` (-1: none). */
static bool alike(const Shape *a, const Shape *b, size_t but)
{
    if (a->n_segment != b->n_segment || strcmp(a->seen->method, b->seen->method) != 0 ||
        strcmp(a->seen->host, b->seen->host) != 0)
        return false;
    for (size_t i = 0; i < a->n_segment; i++)
        if (i != but && !(a->is_id[i] && b->is_id[i]) && !(a->varies[i] && b->varies[i]) &&
            !slice_equal(a->segment[i], b->segment[i]))
            return false;
    return true;
}

static void add_names(Shape *shape, const char *names)
{
    for (Slice raw, rest = slice_of(names); rest.len;) {
        char name[POLICY_MAX_QUERY_NAME + 1];
        size_t len = 0;
        slice_cut(rest, '&', &raw, &rest);
        if (!policy_query_name(raw, name, &len) || len == 0) {
            shape->any_query = true;
            continue;
        }
        name[len] = '\0';
        if (policy_list_find(shape->query, shape->n_query, (Slice){name, len}, false) < 0) {
            MEM_PUSH(shape->query, shape->n_query, mem_strdup(name));
            policy_list_sort(shape->query, shape->n_query);
        }
        bool list = slice_ends((Slice){name, len}, "[]");
        for (Slice other, more = rest; more.len && !list;) {
            slice_cut(more, '&', &other, &more);
            shape->any_query |= slice_equal(raw, other);
        }
    }
    shape->any_query |= shape->n_query > POLICY_MAX_QUERY;
}

static void join(Shape *into, const Shape *from)
{
    for (size_t i = 0; i < into->n_segment; i++)
        into->varies[i] |= !slice_equal(into->segment[i], from->segment[i]);
}

static void take(const PolicyNarrow *narrow, const PolicySeen *seen, Shapes *shapes)
{
    Shape shape;
    if (!split(narrow, seen, &shape))
        return;
    for (size_t i = 0; i < shapes->n; i++)
        if (alike(&shapes->shape[i], &shape, SIZE_MAX)) {
            join(&shapes->shape[i], &shape);
            add_names(&shapes->shape[i], seen->query);
            return;
        }
    add_names(&shape, seen->query);
    MEM_PUSH(shapes->shape, shapes->n, shape);
}

/* So many values in one place are a kind of their own. */
static void join_at(Shapes *shapes, size_t first, size_t place)
{
    Shape *into = &shapes->shape[first];
    size_t n = 1;
    for (size_t i = first + 1; i < shapes->n; i++)
        n += !shapes->shape[i].gone && alike(into, &shapes->shape[i], place);
    if (n <= POLICY_NARROW_VALUES)
        return;
    for (size_t i = first + 1; i < shapes->n; i++) {
        Shape *from = &shapes->shape[i];
        if (from->gone || !alike(into, from, place))
            continue;
        join(into, from);
        for (size_t k = 0; k < from->n_segment; k++)
            into->varies[k] |= from->varies[k];
        for (size_t k = 0; k < from->n_query; k++)
            if (policy_list_find(into->query, into->n_query, slice_of(from->query[k]), false) < 0) {
                MEM_PUSH(into->query, into->n_query, mem_strdup(from->query[k]));
                policy_list_sort(into->query, into->n_query);
            }
        into->any_query |= from->any_query;
        from->gone = true;
    }
}

static void join_many(const PolicyNarrow *narrow, Shapes *shapes)
{
    for (size_t i = 0; i < shapes->n; i++)
        for (size_t place = 0; !shapes->shape[i].gone && place < shapes->shape[i].n_segment; place++)
            if (!is_given(narrow->with, shapes->shape[i].segment[place]))
                join_at(shapes, i, place);
}

static int put_path(const Shape *shape, bool literal, Buf *out)
{
    CLEANUP_BUF Buf path = BUF_INIT(2 * POLICY_MAX_PATH);
    int r = 0;
    for (size_t i = 0; i < shape->n_segment && r == 0; i++) {
        r = buf_append(&path, "/", 1);
        if (r == 0)
            r = !literal && shape->varies[i] ? buf_append(&path, "*", 1)
                                             : buf_append_slice(&path, shape->segment[i]);
    }
    return r         ? r
           : literal ? buf_append_slice(out, buf_slice(&path))
                     : policy_narrow_word(out, buf_slice(&path));
}

static int put_query(const Shape *shape, Buf *out)
{
    int r = shape->any_query ? 0 : buf_append_text(out, ", query: [");
    for (size_t i = 0; i < shape->n_query && r == 0 && !shape->any_query; i++) {
        r = i ? buf_append(out, ", ", 2) : 0;
        r = r ? r : policy_narrow_word(out, slice_of(shape->query[i]));
    }
    return r || shape->any_query ? r : buf_append(out, "]", 1);
}

/* A single id may be another tomorrow. */
static int put_hint(const Shape *shape, Buf *out)
{
    for (size_t i = 0; i < shape->n_segment; i++)
        if (shape->is_id[i] && !shape->varies[i])
            return buf_printf(out, " # only %.*s was seen there; '*' is any", (int)shape->segment[i].len,
                              shape->segment[i].ptr);
    return shape->any_query ? buf_append_text(out, " # a parameter came twice, so none is named") : 0;
}

static int put_rule(const Shape *shape, Buf *out)
{
    int r =
        buf_printf(out, "- {method: %s, %s%s%spath: ", shape->seen->method,
                   shape->seen->host[0] ? "host: " : "", shape->seen->host, shape->seen->host[0] ? ", " : "");
    r = r ? r : put_path(shape, false, out);
    r = r ? r : put_query(shape, out);
    r = r ? r : buf_append(out, "}", 1);
    r = r ? r : put_hint(shape, out);
    return r ? r : buf_append(out, "\n", 1);
}

static int put_test(const Shape *shape, const char *method, const char *query, bool allow, Buf *out)
{
    CLEANUP_BUF Buf request = BUF_INIT(8 * POLICY_MAX_PATH);
    int r = buf_printf(&request, "%s ", method);
    r = r ? r : put_path(shape, true, &request);
    bool first = true;
    for (Slice name, rest = slice_of(query); rest.len && r == 0; first = false) {
        slice_cut(rest, '&', &name, &rest);
        r = buf_printf(&request, "%c%.*s=1", first ? '?' : '&', (int)name.len, name.ptr);
    }
    r = r ? r : buf_append_text(out, "- {request: ");
    r = r ? r : policy_narrow_word(out, buf_slice(&request));
    return r ? r : buf_printf(out, ", expect: %s}\n", allow ? "allow" : "deny");
}

int policy_narrow_add_test(Buf *out, const Buf *test)
{
    static const size_t rest = 200; /* what stands behind them */
    bool fits = test->len <= POLICY_MAX_BYTES - rest && out->len <= POLICY_MAX_BYTES - rest - test->len;
    return fits ? buf_append_slice(out, buf_slice(test)) : 0;
}

/* What was seen is allowed; another method and another parameter are not. */
static int put_tests(const Shape *shape, Buf *out)
{
    CLEANUP_BUF Buf test = BUF_INIT(POLICY_MAX_BYTES);
    if (shape->seen->host[0]) /* a test is of the source's own host */
        return 0;
    bool get = strcmp(shape->seen->method, "GET") == 0;
    int r = put_test(shape, shape->seen->method, shape->seen->query, true, &test);
    if (r == 0 && get)
        r = put_test(shape, "DELETE", "", false, &test);
    if (r == 0 && !shape->any_query)
        r = put_test(shape, shape->seen->method, "another-parameter", false, &test);
    return r ? r : policy_narrow_add_test(out, &test);
}

static void shapes_done(Shapes *shapes)
{
    for (size_t i = 0; i < shapes->n; i++)
        mem_free_strings(shapes->shape[i].query, shapes->shape[i].n_query);
    mem_free(shapes->shape);
}

static int put_lease(const PolicyNarrow *narrow, Buf *out)
{
    uint64_t requests = narrow->requests < 25 ? 100 : 4 * narrow->requests;
    uint64_t mib = (4 * narrow->response_bytes >> 20) + 1;
    return buf_printf(out, "lease: {requests: %llu, responseBytes: %lluMiB}\n", (unsigned long long)requests,
                      (unsigned long long)mib);
}

static int put_all(const PolicyNarrow *narrow, const Shapes *shapes, Buf *out, Fault *fault)
{
    int r = buf_printf(out, "# %s\npolicy: %s\n", narrow->about, narrow->name);
    r = r ? r : put_lease(narrow, out);
    CLEANUP_BUF Buf rules = BUF_INIT(POLICY_MAX_BYTES);
    for (size_t i = 0; i < shapes->n && r == 0; i++)
        r = shapes->shape[i].gone ? 0 : put_rule(&shapes->shape[i], &rules);
    r = r ? r : policy_narrow_graphql_rules(narrow, &rules, fault);
    r = r ? r : buf_printf(out, "allow:%s\n", rules.len ? "" : " []");
    r = r ? r : buf_append_slice(out, buf_slice(&rules));
    r = r ? r : buf_append_text(out, "tests:\n");
    for (size_t i = 0; i < shapes->n && r == 0; i++)
        r = shapes->shape[i].gone || i >= POLICY_MAX_TESTS / 4 ? 0 : put_tests(&shapes->shape[i], out);
    r = r ? r : policy_narrow_graphql_tests(narrow, out);
    return r ? r : buf_append_text(out, "- {request: TRACE /, expect: deny}\n");
}

int policy_narrow(const PolicyNarrow *narrow, Buf *out, Fault *fault)
{
    Shapes shapes = {0};
    for (size_t i = 0; i < narrow->n_seen; i++)
        if (!narrow->seen[i].document[0])
            take(narrow, &narrow->seen[i], &shapes);
    join_many(narrow, &shapes);
    int r = put_all(narrow, &shapes, out, fault);
    shapes_done(&shapes);
    return r;
}
