/* The forms in which a GraphQL request comes, what is refused of them, and what is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "keeper/graphql-request.h"
#include "json/arena.h"

static HttpHead head;
static GraphqlChosen chosen;
static Refused refused;

static int set_up(void **state)
{
    (void)state;
    json_arena_install(GRAPHQL_JSON_ARENA);
    return 0;
}

typedef struct Came {
    const char *method, *target, *type, *other, *value; /* other: one more header */
    bool body;
} Came;

static bool way(Came came, GraphqlWay *ret_way)
{
    const char *query = strchr(came.target, '?');
    head.n_header = 0;
    if (came.type)
        head.header[head.n_header++] = (HttpHeader){SLICE_LITERAL("content-type"), slice_of(came.type)};
    if (came.other)
        head.header[head.n_header++] = (HttpHeader){slice_of(came.other), slice_of(came.value)};
    StreamRequest request = {.method = http_method(slice_of(came.method)),
                             .target = slice_of(came.target),
                             .path_len =
                                 (uint32_t)(query ? (size_t)(query - came.target) : strlen(came.target)),
                             .has_body = came.body};
    refused = (Refused){0};
    return graphql_way(&request, &head, ret_way, &refused);
}

static void three_forms_are_taken(void **state)
{
    (void)state;
    static const struct {
        Came came;
        GraphqlWay is;
    } right[] = {
        {{"POST", "/graphql", "application/json", NULL, NULL, true}, GRAPHQL_BY_JSON},
        {{"POST", "/graphql", "Application/JSON ; charset=UTF-8", NULL, NULL, true}, GRAPHQL_BY_JSON},
        {{"POST", "/graphql", "application/json;charset=\"utf-8\"", NULL, NULL, true}, GRAPHQL_BY_JSON},
        {{"POST", "/graphql", "application/json", "Content-Encoding", "identity", true}, GRAPHQL_BY_JSON},
        {{"POST", "/graphql", "application/graphql", NULL, NULL, true}, GRAPHQL_BY_DOCUMENT},
        {{"GET", "/graphql?query=x", NULL, NULL, NULL, false}, GRAPHQL_BY_QUERY},
        {{"GET", "/graphql", "application/json", NULL, NULL, false}, GRAPHQL_BY_QUERY},
    };
    for (size_t i = 0; i < COUNT_OF(right); i++) {
        GraphqlWay is;
        if (!way(right[i].came, &is))
            fail_msg("number %zu: %s", i, refused.fault.text);
        assert_int_equal(is, right[i].is);
    }
}

static void other_forms_are_refused(void **state)
{
    (void)state;
    static const struct {
        Came came;
        Refusal refusal;
    } wrong[] = {
        {{"POST", "/graphql", NULL, NULL, NULL, true}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json", NULL, NULL, false}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json", "Content-Type", "application/graphql", true},
         REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "text/plain", NULL, NULL, true}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json, text/plain", NULL, NULL, true}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/graphql+json", NULL, NULL, true}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/x-www-form-urlencoded", NULL, NULL, true},
         REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "multipart/form-data; boundary=x", NULL, NULL, true},
         REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json; charset=utf-16", NULL, NULL, true},
         REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json; charset=utf-7", NULL, NULL, true},
         REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json; charset=utf-8; charset=utf-16", NULL, NULL, true},
         REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json; boundary=x", NULL, NULL, true}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json; charset", NULL, NULL, true}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json", "Content-Encoding", "gzip", true},
         REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql?query=x", "application/json", NULL, NULL, true}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql?a=b", "application/json", NULL, NULL, true}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"POST", "/graphql", "application/json", "X-HTTP-Method-Override", "GET", true}, REFUSAL_METHOD},
        {{"GET", "/graphql?query=x", NULL, "X-Http-Method", "POST", false}, REFUSAL_METHOD},
        {{"GET", "/graphql?query=x", "application/json", NULL, NULL, true}, REFUSAL_GRAPHQL_UNDECIDABLE},
        {{"PUT", "/graphql", "application/json", NULL, NULL, true}, REFUSAL_METHOD},
        {{"HEAD", "/graphql?query=x", NULL, NULL, NULL, false}, REFUSAL_METHOD},
        {{"DELETE", "/graphql", NULL, NULL, NULL, false}, REFUSAL_METHOD},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        GraphqlWay is;
        if (way(wrong[i].came, &is) || refused.refusal != wrong[i].refusal)
            fail_msg("number %zu: %s %s", i, refusal_kind(refused.refusal)->code, refused.fault.text);
    }
}

static void assert_sent(GraphqlWay how, const char *came, const char *sent)
{
    CLEANUP_BUF Buf out = BUF_INIT(GRAPHQL_MAX_BODY);
    if (!graphql_take(how, slice_of(came), &chosen, &refused))
        fail_msg("%s: %s", came, refused.fault.text);
    assert_true(graphql_send(how, &chosen, &out, &refused));
    assert_string_equal(buf_text(&out), sent);
    graphql_forget();
}

static void what_is_sent_is_what_was_decided_and_nothing_else(void **state)
{
    (void)state;
    assert_sent(GRAPHQL_BY_JSON, "{\"query\":\"{a}\"}", "{\"query\":\"query { a }\"}");
    assert_sent(GRAPHQL_BY_JSON,
                " {\"variables\":null,\"operationName\":\"\",\"extensions\":{\"persistedQuery\":{"
                "\"sha256Hash\":\"0\"}},"
                "\"query\":\"{\\u0061 #\\n}\"}\n",
                "{\"query\":\"query { a }\"}");
    assert_sent(GRAPHQL_BY_JSON,
                "{\"query\":\"query A($v:[T]){a(x:$v)} mutation B{b}\",\"operationName\":\"A\",\"variables\":"
                "{\"v\":[1,2.50,-0.0,1e30,9223372036854775807,true,null,\"\\u00e9\\n\",{\"k\":{}}],\"w\":1}}",
                "{\"query\":\"query A($v: [T]) { a(x: $v) "
                "}\",\"operationName\":\"A\",\"variables\":{\"v\":[1,2.5,-0.0,"
                "1e+30,9223372036854775807,true,null,\"\xC3\xA9\\u000a\",{\"k\":{}}]}}");
    assert_sent(GRAPHQL_BY_DOCUMENT, "mutation{a(x:\"\\\"\")}",
                "{\"query\":\"mutation { a(x: \\\"\\\\\\\"\\\") }\"}");
    assert_sent(GRAPHQL_BY_QUERY, "query=%7Ba+b%7D", "query=query%20%7B%20a%20b%20%7D");
    assert_sent(GRAPHQL_BY_QUERY,
                "variables=%7B%22v%22%3A%22x%26y%22%7D&operationName=Q&extensions=%7B%7D&query=query+Q($v%"
                "3AT)%7Ba(x:$v)%7D",
                "query=query%20Q%28%24v%3A%20T%29%20%7B%20a%28x%3A%20%24v%29%20%7D&operationName=Q&variables="
                "%7B%22v%22%3A%22x%26y%22%7D");
}

static void what_cannot_be_decided_is_refused(void **state)
{
    (void)state;
    static const struct {
        GraphqlWay way;
        const char *came, *says;
    } wrong[] = {
        {GRAPHQL_BY_JSON, "", "cannot be read (line 1, column 0): it ends too early"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\"", "it ends too early"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\"} {}", "something follows its end"},
        {GRAPHQL_BY_JSON, "{'query':'{a}'}", "it is not JSON"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",}", "it is not JSON"},
        {GRAPHQL_BY_JSON, "/**/{\"query\":\"{a}\"}", "it is not JSON"},
        {GRAPHQL_BY_JSON, "\xEF\xBB\xBF{\"query\":\"{a}\"}", "it is not JSON"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\xC0\xAF\"}", "it is not UTF-8"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\\u0000\"}", "it has a NUL"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\\uD800\"}", "cannot be read"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"variables\":{\"v\":123456789012345678901}}",
         "a number is too large"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"query\":\"mutation{b}\"}", "a key comes twice"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"qu\\u0065ry\":\"mutation{b}\"}", "a key comes twice"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"variables\":{\"v\":1,\"v\":2}}", "a key comes twice"},
        {GRAPHQL_BY_JSON, "[{\"query\":\"{a}\"}]", "is a batch"},
        {GRAPHQL_BY_JSON, "[]", "is a batch"},
        {GRAPHQL_BY_JSON, "\"{a}\"", "must be a JSON object"},
        {GRAPHQL_BY_JSON, "null", "must be a JSON object"},
        {GRAPHQL_BY_JSON, "{}", "has no document"},
        {GRAPHQL_BY_JSON, "{\"query\":null}", "has no document"},
        {GRAPHQL_BY_JSON, "{\"query\":\"\"}", "has no document"},
        {GRAPHQL_BY_JSON, "{\"query\":[\"{a}\"]}", "the 'query' of the GraphQL request must be text"},
        {GRAPHQL_BY_JSON, "{\"query\":{\"a\":1}}", "must be text"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"operationName\":1}", "must be text"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"variables\":\"{}\"}", "must be an object"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"variables\":[]}", "must be an object"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"extensions\":1}", "must be an object"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"Query\":\"mutation{b}\"}", "has a member 'Query'"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"id\":\"x\"}", "has a member 'id'"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a}\",\"query \":\"mutation{b}\"}", "has a member 'query '"},
        {GRAPHQL_BY_JSON, "{\"extensions\":{\"persistedQuery\":{\"version\":1,\"sha256Hash\":\"ab\"}}}",
         "has no document"},
        {GRAPHQL_BY_JSON, "{\"query\":\"query A{a} query B{b}\"}", "set operationName"},
        {GRAPHQL_BY_JSON, "{\"query\":\"{a\"}", "the GraphQL document, line 1, column 3"},
        {GRAPHQL_BY_DOCUMENT, "{\"query\":\"{a}\"}", "there is a string where a field's name must stand"},
        {GRAPHQL_BY_DOCUMENT, "", "has no document"},
        {GRAPHQL_BY_QUERY, "", "has no document"},
        {GRAPHQL_BY_QUERY, "query=", "has no document"},
        {GRAPHQL_BY_QUERY, "query=%7Ba%7D&query=%7Bb%7D", "or one of these twice"},
        {GRAPHQL_BY_QUERY, "query=%7Ba%7D&qu%65ry=%7Bb%7D", "or one of these twice"},
        {GRAPHQL_BY_QUERY, "query=%7Ba%7D&_method=POST", "a parameter other than"},
        {GRAPHQL_BY_QUERY, "query[]=%7Ba%7D", "a parameter other than"},
        {GRAPHQL_BY_QUERY, "Query=%7Ba%7D", "a parameter other than"},
        {GRAPHQL_BY_QUERY, "query=%7Ba%7D%00", "is not UTF-8, or has a NUL"},
        {GRAPHQL_BY_QUERY, "query=%7Ba%7D%C0%AF", "is not UTF-8, or has a NUL"},
        {GRAPHQL_BY_QUERY, "query=%7Ba%7D&variables=%5B%5D", "must be an object"},
        {GRAPHQL_BY_QUERY, "query=%7Ba%7D&variables=%7B%22a%22:1,%22a%22:2%7D", "a key comes twice"},
        {GRAPHQL_BY_QUERY, "query=%7Ba%7D&extensions=1", "must be an object"},
        {GRAPHQL_BY_QUERY, "extensions=%7B%22persistedQuery%22:%7B%7D%7D", "has no document"},
        {GRAPHQL_BY_QUERY, "query=mutation%7Ba%7D", "may only be a query"},
        {GRAPHQL_BY_QUERY, "query=subscription%7Ba%7D", "may only be a query"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        refused = (Refused){0};
        if (graphql_take(wrong[i].way, slice_of(wrong[i].came), &chosen, &refused))
            fail_msg("%s is taken", wrong[i].came);
        assert_int_equal(refused.refusal, REFUSAL_GRAPHQL_UNDECIDABLE);
        if (!strstr(refused.fault.text, wrong[i].says))
            fail_msg("%s: %s", wrong[i].came, refused.fault.text);
    }
    assert_false(graphql_take(GRAPHQL_BY_JSON, SLICE_LITERAL("{\"query\":\"{a}\0\"}"), &chosen, &refused));
    assert_false(graphql_take(GRAPHQL_BY_JSON, SLICE_LITERAL("\xFF\xFE{\0}\0"), &chosen, &refused));
}

/* head, n times each, tail. */
static bool takes(const char *start, const char *each, size_t n, const char *end)
{
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    assert_int_equal(buf_append_text(&text, start), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_append_text(&text, each), 0);
    assert_int_equal(buf_append_text(&text, end), 0);
    bool yes = graphql_take(GRAPHQL_BY_JSON, buf_slice(&text), &chosen, &refused);
    graphql_forget();
    return yes;
}

static void what_is_too_much_is_refused(void **state)
{
    (void)state;
    static const char variables[] = "{\"query\":\"query($v:T){a(x:$v)}\",\"variables\":{\"v\":";
    assert_true(takes("{\"query\":\"{a}", " ", 200000, "\"}"));
    assert_false(takes("{\"query\":\"{a}", " ", 300000, "\"}"));
    assert_int_equal(refused.refusal, REFUSAL_BODY_TOO_LARGE);
    assert_true(takes(variables, "[", 60, "1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}"));
    assert_false(takes(variables, "[", 100000, ""));
    assert_false(takes(variables, "[],[],[],[],[],[],[],[],", 10000, "1]}}"));
    CLEANUP_MEM char *deep =
        mem_printf("%s%.*s1%.*s}}", variables, 70,
                   "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 70,
                   "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    assert_false(graphql_take(GRAPHQL_BY_JSON, slice_of(deep), &chosen, &refused));
    assert_non_null(strstr(refused.fault.text, "nested more than 64 deep"));
    CLEANUP_MEM char *start = mem_printf("%s[", variables);
    assert_true(takes(start, "0,", 20000, "0]}}"));
    assert_false(takes(start, "{},", 80000, "0]}}"));
    if (!strstr(refused.fault.text, "than purser takes"))
        fail_msg("%s", refused.fault.text);
    assert_int_equal(refused.refusal, REFUSAL_GRAPHQL_UNDECIDABLE);
}

static void a_query_that_no_address_can_hold_is_refused(void **state)
{
    (void)state;
    CLEANUP_BUF Buf out = BUF_INIT(HTTP_MAX_TARGET), query = BUF_INIT(65536);
    assert_int_equal(buf_append_text(&query, "query=%7Bx%7B"), 0);
    for (int i = 0; i < 1500; i++)
        assert_int_equal(buf_append_text(&query, "a+bc+"), 0);
    assert_int_equal(buf_append_text(&query, "%7D%7D"), 0);
    assert_true(graphql_take(GRAPHQL_BY_QUERY, buf_slice(&query), &chosen, &refused));
    assert_false(graphql_send(GRAPHQL_BY_QUERY, &chosen, &out, &refused));
    assert_int_equal(refused.refusal, REFUSAL_BODY_TOO_LARGE);
    graphql_forget();
}

/* What is counted is what is sent, not what it could come to. */
static void an_address_may_be_as_long_as_one_is(void **state)
{
    (void)state;
    static const char front[] = "query=query%20%7B%20a%28x%3A%20%22", end[] = "%22%29%20%7D";
    for (size_t over = 0; over < 2; over++) {
        CLEANUP_BUF Buf query = BUF_INIT(HTTP_MAX_TARGET + 8), out = BUF_INIT(HTTP_MAX_TARGET);
        size_t n = HTTP_MAX_TARGET + over - (sizeof(front) - 1) - (sizeof(end) - 1);
        assert_int_equal(buf_append_text(&query, front), 0);
        while (n--)
            assert_int_equal(buf_append_text(&query, "s"), 0);
        assert_int_equal(buf_append_text(&query, end), 0);
        assert_true(graphql_take(GRAPHQL_BY_QUERY, buf_slice(&query), &chosen, &refused));
        assert_int_equal(graphql_send(GRAPHQL_BY_QUERY, &chosen, &out, &refused), !over);
        if (!over)
            assert_true(slice_equal(buf_slice(&out), buf_slice(&query)));
        graphql_forget();
    }
}

static void a_summary_has_no_arguments(void **state)
{
    (void)state;
    char text[64];
    static const char came[] = "query Q($v:T){x:a(k:\"hidden\") ...F} fragment F on T{b(v:$v){c}}";
    assert_true(graphql_take(GRAPHQL_BY_DOCUMENT, slice_of(came), &chosen, &refused));
    graphql_summary(&chosen, text, sizeof(text));
    assert_string_equal(text, "query Q: a, b");
    graphql_summary(&chosen, text, 8);
    assert_string_equal(text, "query Q");
    graphql_forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_forms_are_taken),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(what_is_sent_is_what_was_decided_and_nothing_else),
        cmocka_unit_test(what_cannot_be_decided_is_refused),
        cmocka_unit_test(what_is_too_much_is_refused),
        cmocka_unit_test(a_query_that_no_address_can_hold_is_refused),
        cmocka_unit_test(an_address_may_be_as_long_as_one_is),
        cmocka_unit_test(a_summary_has_no_arguments),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
