/* A head is taken only if there is one way to read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/head.h"

#include <stdio.h>

static HttpHead head;
static size_t used;

static int request(const char *text, size_t len)
{
    return http_parse_request((Slice){text, len}, &head, &used);
}

static int response(const char *text, size_t len, uint32_t method)
{
    return http_parse_response((Slice){text, len}, method, &head, &used);
}

typedef struct Case {
    const char *text;
    size_t len;
    int result;
} Case;

#define CASE(literal, result)                                                                                \
    {                                                                                                        \
        (literal), sizeof(literal) - 1, (result)                                                             \
    }
#define LINE(line, result)   CASE(line "\r\nHost: a\r\n\r\n", result)
#define FIELD(field, result) CASE("POST / HTTP/1.1\r\nHost: a\r\n" field "\r\n\r\n", result)

static void check_requests(const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = request(cases[i].text, cases[i].len);
        if (r != cases[i].result)
            fail_msg("%d, not %d, for: %s", r, cases[i].result, cases[i].text);
    }
}

static void a_request_line_has_one_shape(void **state)
{
    (void)state;
    static const Case cases[] = {
        LINE("GET / HTTP/1.1", 0),
        LINE("GET /a?b HTTP/1.0", 0),
        LINE("get / HTTP/1.1", 0),             /* another method than GET */
        LINE("GET http://other/ HTTP/1.1", 0), /* whoever takes it decides; target_normalise refuses it */
        LINE("GET  / HTTP/1.1", HTTP_E_START_LINE),
        LINE("GET /  HTTP/1.1", HTTP_E_START_LINE),
        LINE("GET / HTTP/1.1 ", HTTP_E_START_LINE),
        LINE(" GET / HTTP/1.1", HTTP_E_START_LINE),
        LINE("GET\t/\tHTTP/1.1", HTTP_E_START_LINE),
        LINE("GET /\tHTTP/1.1 HTTP/1.1", HTTP_E_START_LINE),
        LINE("GET /", HTTP_E_START_LINE),
        LINE("GET", HTTP_E_START_LINE),
        LINE("", HTTP_E_START_LINE),
        LINE("GET / http/1.1", HTTP_E_START_LINE),
        LINE("GET / HTTP/1.1x", HTTP_E_START_LINE),
        LINE("GET / HTTP/1.01", HTTP_E_START_LINE),
        LINE("GET / HTTP/1.2", HTTP_E_VERSION),
        LINE("GET / HTTP/2.0", HTTP_E_VERSION),
        LINE("PRI * HTTP/2.0", HTTP_E_VERSION),
        LINE("GE(T / HTTP/1.1", HTTP_E_START_LINE),
        LINE("G\0T / HTTP/1.1", HTTP_E_START_LINE),
        LINE("GET /\0 HTTP/1.1", HTTP_E_START_LINE),
        LINE("GET /\x7f HTTP/1.1", HTTP_E_START_LINE),
        LINE("GET /\xc3\xa4 HTTP/1.1", HTTP_E_START_LINE),
        LINE("GET /a\rb HTTP/1.1", HTTP_E_LINE_END),
        LINE("GET / HTTP/1.1\r", HTTP_E_LINE_END),
        CASE("GET / HTTP/1.1\nHost: a\n\n", HTTP_E_LINE_END),
        CASE("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_E_START_LINE),
        CASE("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_E_LINE_END),
    };
    check_requests(cases, COUNT_OF(cases));
    assert_int_equal(http_method(SLICE_LITERAL("get")), HTTP_OTHER);
}

static void a_length_is_said_once_in_digits(void **state)
{
    (void)state;
    static const Case cases[] = {
        FIELD("Content-Length: 5", 0),
        FIELD("content-length:\t5 ", 0),
        FIELD("Content-Length: 0", 0),
        FIELD("Content-Length: 9223372036854775807", 0),
        FIELD("Content-Length: +5", HTTP_E_LENGTH),
        FIELD("Content-Length: -5", HTTP_E_LENGTH),
        FIELD("Content-Length: 05", HTTP_E_LENGTH),
        FIELD("Content-Length: 5, 5", HTTP_E_LENGTH),
        FIELD("Content-Length: 5 5", HTTP_E_LENGTH),
        FIELD("Content-Length: 5;", HTTP_E_LENGTH),
        FIELD("Content-Length: 0x5", HTTP_E_LENGTH),
        FIELD("Content-Length: 5_0", HTTP_E_LENGTH),
        FIELD("Content-Length: ", HTTP_E_LENGTH),
        FIELD("Content-Length: 99999999999999999999", HTTP_E_LENGTH),
        FIELD("Content-Length: 18446744073709551621", HTTP_E_LENGTH),
        FIELD("Content-Length: 5\r\nContent-Length: 5", HTTP_E_LENGTH),
        FIELD("Content-Length: 5\r\nCONTENT-LENGTH: 6", HTTP_E_LENGTH),
        FIELD("Content-Length: 5\x0b", HTTP_E_HEADER),
        FIELD("Content-Length: 5\0", HTTP_E_HEADER),
        FIELD("Content-Length : 5", HTTP_E_HEADER),
    };
    check_requests(cases, COUNT_OF(cases));
}

static void a_coding_is_exactly_chunked_and_alone(void **state)
{
    (void)state;
    static const Case cases[] = {
        FIELD("Transfer-Encoding: chunked", 0),
        FIELD("Transfer-Encoding: CHUNKED", 0),
        FIELD("Transfer-Encoding: chunked, identity", HTTP_E_CODING),
        FIELD("Transfer-Encoding: identity, chunked", HTTP_E_CODING),
        FIELD("Transfer-Encoding: gzip, chunked", HTTP_E_CODING),
        FIELD("Transfer-Encoding: chunked, chunked", HTTP_E_CODING),
        FIELD("Transfer-Encoding: xchunked", HTTP_E_CODING),
        FIELD("Transfer-Encoding: \"chunked\"", HTTP_E_CODING),
        FIELD("Transfer-Encoding: chunked;q=1", HTTP_E_CODING),
        FIELD("Transfer-Encoding: ,chunked", HTTP_E_CODING),
        FIELD("Transfer-Encoding: identity", HTTP_E_CODING),
        FIELD("Transfer-Encoding:", HTTP_E_CODING),
        FIELD("Transfer-Encoding: chunked\x0b", HTTP_E_HEADER),
        FIELD("Transfer-Encoding: \x0c"
              "chunked",
              HTTP_E_HEADER),
        FIELD("Transfer-Encoding : chunked", HTTP_E_HEADER),
        FIELD("Transfer-Encoding\t: chunked", HTTP_E_HEADER),
        FIELD("Transfer-Encoding:\r\n chunked", HTTP_E_CODING),
        FIELD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", HTTP_E_CODING),
        FIELD("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", HTTP_E_CODING),
        FIELD("Transfer-Encoding: chunked\r\nContent-Length: 5", HTTP_E_LENGTH),
        FIELD("Content-Length: 5\r\nTransfer-Encoding: chunked", HTTP_E_LENGTH),
        CASE("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_E_CODING),
    };
    check_requests(cases, COUNT_OF(cases));
}

static void a_header_is_one_line_of_sound_characters(void **state)
{
    (void)state;
    static const Case cases[] = {
        FIELD("X: \xe4\t y", 0),
        FIELD("X:", 0),
        FIELD("X: a\r\n folded: b", HTTP_E_FOLD),
        FIELD("X: a\r\n\tfolded", HTTP_E_FOLD),
        FIELD(" X: a", HTTP_E_FOLD),
        FIELD("X : a", HTTP_E_HEADER),
        FIELD("X", HTTP_E_HEADER),
        FIELD(": a", HTTP_E_HEADER),
        FIELD("X Y: a", HTTP_E_HEADER),
        FIELD("X\0Y: a", HTTP_E_HEADER),
        FIELD("X\xe4: a", HTTP_E_HEADER),
        FIELD("X: a\0b", HTTP_E_HEADER),
        FIELD("X: a\x7f", HTTP_E_HEADER),
        FIELD("X: a\rY: b", HTTP_E_LINE_END),
        FIELD("X: a\r\r\nY: b", HTTP_E_LINE_END),
        FIELD("X\r: a", HTTP_E_LINE_END),
        FIELD("X: a\nY: b", HTTP_E_LINE_END),
    };
    check_requests(cases, COUNT_OF(cases));
}

static void there_is_one_host_and_it_is_a_host(void **state)
{
    (void)state;
    static const Case cases[] = {
        CASE("GET / HTTP/1.1\r\nHost: a.example:80\r\n\r\n", 0),
        CASE("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0),
        CASE("GET / HTTP/1.0\r\n\r\n", 0),
        CASE("GET / HTTP/1.1\r\n\r\n", HTTP_E_HOST),
        CASE("GET / HTTP/1.1\r\nHost:\r\n\r\n", HTTP_E_HOST),
        CASE("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", HTTP_E_HOST),
        CASE("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", HTTP_E_HOST),
        CASE("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HTTP_E_HOST),
        CASE("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HTTP_E_HOST),
        CASE("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", HTTP_E_HOST),
        CASE("GET / HTTP/1.1\r\nHost: a%00\r\n\r\n", HTTP_E_HOST),
    };
    check_requests(cases, COUNT_OF(cases));
}

static void every_prefix_of_a_head_asks_for_more(void **state)
{
    (void)state;
    static const char ask[] = "POST /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-Long:  some value \r\n"
                              "Content-Length: 12\r\n\r\n";
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n";
    for (size_t n = 0; n < sizeof(ask) - 1; n++)
        assert_int_equal(request(ask, n), HTTP_E_MORE);
    assert_int_equal(request(ask, sizeof(ask) - 1), 0);
    assert_int_equal(used, sizeof(ask) - 1);
    for (size_t n = 0; n < sizeof(answer) - 1; n++)
        assert_int_equal(response(answer, n, HTTP_GET), HTTP_E_MORE);
    assert_int_equal(response(answer, sizeof(answer) - 1, HTTP_GET), 0);
    assert_int_equal(used, sizeof(answer) - 1);
}

static void what_follows_the_head_is_left_alone(void **state)
{
    (void)state;
    static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\nGET / broken";
    assert_int_equal(request(text, sizeof(text) - 1), 0);
    assert_string_equal(text + used, "abc\nGET / broken");
    assert_int_equal(head.framing, HTTP_LENGTH);
    assert_int_equal(head.content_length, 3);
}

static void a_head_that_is_too_large_is_refused_and_not_waited_for(void **state)
{
    (void)state;
    static char text[2 * HTTP_MAX_HEAD];
    memset(text, 'a', sizeof(text));
    memcpy(text, "GET /", 5);
    assert_int_equal(request(text, HTTP_MAX_TARGET + 200), HTTP_E_TARGET_TOO_LONG);
    memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
    assert_int_equal(request(text, HTTP_MAX_HEAD - 1), HTTP_E_MORE);
    assert_int_equal(request(text, HTTP_MAX_HEAD), HTTP_E_HEAD_TOO_LARGE);
    memcpy(text + HTTP_MAX_HEAD, "\r\n\r\n", 4);
    assert_int_equal(request(text, HTTP_MAX_HEAD + 4), HTTP_E_HEAD_TOO_LARGE);
    memcpy(text + HTTP_MAX_HEAD - 4, "\r\n\r\n", 4);
    assert_int_equal(request(text, HTTP_MAX_HEAD), 0);
}

static void there_are_at_most_a_hundred_headers(void **state)
{
    (void)state;
    char text[2048] = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 1; i < HTTP_MAX_HEADERS; i++)
        strcat(text, "X: y\r\n");
    size_t n = strlen(text);
    strcpy(text + n, "\r\n");
    assert_int_equal(request(text, n + 2), 0);
    assert_int_equal(head.n_header, HTTP_MAX_HEADERS);
    strcpy(text + n, "X: y\r\n\r\n");
    assert_int_equal(request(text, n + 8), HTTP_E_TOO_MANY_HEADERS);
    assert_int_equal(http_error_status(HTTP_E_TOO_MANY_HEADERS), 431);
}

typedef struct Answer {
    const char *text;
    uint32_t method;
    int result;
    HttpFraming framing;
    bool keep_alive;
} Answer;

static void an_answer_has_the_body_that_its_head_and_its_request_give_it(void **state)
{
    (void)state;
    static const Answer answers[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_GET, 0, HTTP_LENGTH, true},
        {"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, 0, HTTP_CHUNKED, true},
        {"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\n", HTTP_GET, 0, HTTP_LENGTH,
         false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_GET, 0, HTTP_LENGTH, false},
        {"HTTP/1.1 200 OK\r\n\r\n", HTTP_GET, 0, HTTP_UNTIL_CLOSE, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_HEAD, 0, HTTP_NO_BODY, true},
        {"HTTP/1.1 200 OK\r\n\r\n", HTTP_CONNECT, 0, HTTP_NO_BODY, true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", HTTP_GET, 0, HTTP_NO_BODY, true},
        {"HTTP/1.1 204 No Content\r\n\r\n", HTTP_GET, 0, HTTP_NO_BODY, true},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", HTTP_GET, 0, HTTP_NO_BODY, true},
        /* a body that cannot be one: not to be taken for the next answer */
        {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", HTTP_GET, 0, HTTP_NO_BODY, false},
        {"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, 0, HTTP_NO_BODY, false},
        {"HTTP/1.1 100 Continue\r\n\r\n", HTTP_POST, 0, HTTP_NO_BODY, true},
        {"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", HTTP_POST, HTTP_E_LENGTH, 0, false},
        {"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, HTTP_E_LENGTH, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", HTTP_GET, HTTP_E_LENGTH, 0,
         false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET,
         HTTP_E_LENGTH, 0, false},
        {"HTTP/1.1 099 X\r\n\r\n", HTTP_GET, HTTP_E_START_LINE, 0, false},
        {"HTTP/1.1 20 X\r\n\r\n", HTTP_GET, HTTP_E_START_LINE, 0, false},
        {"HTTP/1.1 2000 X\r\n\r\n", HTTP_GET, HTTP_E_START_LINE, 0, false},
        {"HTTP/1.1  200 OK\r\n\r\n", HTTP_GET, HTTP_E_START_LINE, 0, false},
        {"HTTP/1.1 200 a\rb\r\n\r\n", HTTP_GET, HTTP_E_LINE_END, 0, false},
        {"http/1.1 200 OK\r\n\r\n", HTTP_GET, HTTP_E_START_LINE, 0, false},
        {"HTTP/2.0 200 OK\r\n\r\n", HTTP_GET, HTTP_E_VERSION, 0, false},
        {"ICY 200 OK\r\n\r\n", HTTP_GET, HTTP_E_START_LINE, 0, false},
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        int r = response(answers[i].text, strlen(answers[i].text), answers[i].method);
        if (r != answers[i].result ||
            (r == 0 && (head.framing != answers[i].framing || head.keep_alive != answers[i].keep_alive)))
            fail_msg("%d, framing %d, keep-alive %d for: %s", r, head.framing, head.keep_alive,
                     answers[i].text);
    }
}

static void nothing_of_an_earlier_head_stays(void **state)
{
    (void)state;
    static const char one[] = "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nUpgrade: h2c\r\n"
                              "Content-Length: 7\r\n\r\n",
                      two[] = "GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n";
    assert_int_equal(request(one, sizeof(one) - 1), 0);
    assert_true(head.expect_continue && head.upgrade && head.keep_alive && head.content_length == 7);
    assert_int_equal(request(two, sizeof(two) - 1), 0);
    assert_true(!head.expect_continue && !head.upgrade && !head.keep_alive && head.content_length == 0);
    assert_true(head.host.len == 0 && head.n_header == 1 && head.framing == HTTP_NO_BODY);
}

static void connection_names_what_goes_and_never_keeps_a_credential(void **state)
{
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Authorization\r\n"
                               "connection:\tX-Mine ,,\r\nX-Mine: 1\r\nX-Other: 2\r\n\r\n";
    static const char *const hop[] = {"Connection", "Keep-Alive", "Proxy-Connection",  "TE",
                                      "Trailer",    "Upgrade",    "Transfer-Encoding", "authorization",
                                      "x-mine"};
    assert_int_equal(request(text, sizeof(text) - 1), 0);
    for (size_t i = 0; i < COUNT_OF(hop); i++)
        if (!http_is_hop_by_hop(&head, slice_of(hop[i])))
            fail_msg("%s would be forwarded", hop[i]);
    assert_false(http_is_hop_by_hop(&head, SLICE_LITERAL("X-Other")));
}

static void sessions_credentials_and_second_spellings_are_dropped(void **state)
{
    (void)state;
    static const char *const dropped[] = {"Cookie",
                                          "COOKIE2",
                                          "Alt-Svc",
                                          "Range",
                                          "If-Range",
                                          "Expect",
                                          "Host",
                                          "Authorization",
                                          "PRIVATE-TOKEN",
                                          "Accept-Encoding",
                                          "Private_Token",
                                          "Transfer_Encoding",
                                          "Content_Length",
                                          "X_HTTP_Method_Override",
                                          "X-Original-URL",
                                          "x-rewrite-url",
                                          "X-Forwarded-Host",
                                          "FORWARDED",
                                          "X-Host",
                                          "x-envoy-original-path"};
    for (size_t i = 0; i < COUNT_OF(dropped); i++)
        if (!http_is_dropped_request_header(slice_of(dropped[i])))
            fail_msg("%s would be forwarded", dropped[i]);
    assert_false(http_is_dropped_request_header(SLICE_LITERAL("Accept")));
    assert_true(http_is_dropped_response_header(SLICE_LITERAL("set-cookie")));
    assert_true(http_is_dropped_response_header(SLICE_LITERAL("X-Purser-Error")));
    assert_false(http_is_dropped_response_header(SLICE_LITERAL("Link")));
}

static void a_second_method_override_does_not_hide_behind_the_first(void **state)
{
    (void)state;
    uint32_t method = 0;
    static const char one[] = "POST / HTTP/1.1\r\nHost: a\r\nX-HTTP-Method: DELETE\r\n\r\n",
                      two[] = "POST / HTTP/1.1\r\nHost: a\r\nX-HTTP-Method: GET\r\n"
                              "X-Method-Override: DELETE\r\n\r\n",
                      none[] = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(request(one, sizeof(one) - 1), 0);
    assert_true(http_has_method_override(&head, &method));
    assert_int_equal(method, HTTP_DELETE);
    assert_int_equal(request(two, sizeof(two) - 1), 0);
    assert_true(http_has_method_override(&head, &method));
    assert_int_equal(method, HTTP_OTHER);
    assert_int_equal(request(none, sizeof(none) - 1), 0);
    assert_false(http_has_method_override(&head, &method));
}

static void only_a_body_as_it_is_counts_as_readable(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        bool readable;
    } cases[] = {
        {"", true},
        {"Content-Encoding:\r\n", true},
        {"Content-Encoding: Identity\r\n", true},
        {"Content-Encoding: gzip\r\n", false},
        {"content-encoding: identity, br\r\n", false},
        {"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", false},
        {"Content-Encoding: x-unheard-of\r\n", false},
    };
    char text[256];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n", cases[i].headers);
        assert_int_equal(response(text, (size_t)n, HTTP_GET), 0);
        if (http_content_encoding_is_identity(&head) != cases[i].readable)
            fail_msg("readable or not: %s", text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_line_has_one_shape),
        cmocka_unit_test(a_length_is_said_once_in_digits),
        cmocka_unit_test(a_coding_is_exactly_chunked_and_alone),
        cmocka_unit_test(a_header_is_one_line_of_sound_characters),
        cmocka_unit_test(there_is_one_host_and_it_is_a_host),
        cmocka_unit_test(every_prefix_of_a_head_asks_for_more),
        cmocka_unit_test(what_follows_the_head_is_left_alone),
        cmocka_unit_test(a_head_that_is_too_large_is_refused_and_not_waited_for),
        cmocka_unit_test(there_are_at_most_a_hundred_headers),
        cmocka_unit_test(an_answer_has_the_body_that_its_head_and_its_request_give_it),
        cmocka_unit_test(nothing_of_an_earlier_head_stays),
        cmocka_unit_test(connection_names_what_goes_and_never_keeps_a_credential),
        cmocka_unit_test(sessions_credentials_and_second_spellings_are_dropped),
        cmocka_unit_test(a_second_method_override_does_not_hide_behind_the_first),
        cmocka_unit_test(only_a_body_as_it_is_counts_as_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
