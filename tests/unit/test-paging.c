/* A link to the next page leads back to where the client is, and nothing else is touched. */
#include "http/paging.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define OWN    "https://api.test/v3"
#define CLIENT "http://127.0.0.1:4711/api"

static Paging paging;

/* In pieces of `size` bytes. */
static size_t rewrite(const char *in, size_t len, size_t size, char *out)
{
    size_t n = 0;
    PagingUrl own;
    assert_int_equal(paging_url(&own, OWN, "https://api.test:443/v3"), 0);
    paging_begin(&paging, &own, CLIENT);
    for (size_t at = 0; at < len || len == 0; at += size) {
        size_t part = len - at < size ? len - at : size;
        char *copy = malloc(part ? part : 1); /* so that reading past it is seen */
        if (part)
            memcpy(copy, in + at, part);
        Slice made = paging_piece(&paging, (Slice){copy, part}, at + part == len, out + n);
        assert_true(made.len <= part + PAGING_GROWTH);
        if (made.ptr == copy)
            memcpy(out + n, copy, made.len);
        else
            assert_ptr_equal(made.ptr, out + n);
        n += made.len;
        free(copy);
        if (len == 0)
            break;
    }
    return n;
}

static void assert_becomes(const char *in, const char *want)
{
    static char out[65536 + PAGING_GROWTH];
    for (size_t size = 1; size <= strlen(in) + 1; size++) {
        size_t n = rewrite(in, strlen(in), size, out);
        if (n != strlen(want) || memcmp(out, want, n) != 0)
            fail_msg("%s in pieces of %zu becomes %.*s, not %s", in, size, (int)n, out, want);
    }
}

static void assert_stays(const char *in)
{
    assert_becomes(in, in);
}

static void only_a_whole_url_of_the_source_is_rewritten(void **state)
{
    (void)state;
    assert_becomes("{\"next\": \"HTTPS://API.test/v3/x\"}", "{\"next\": \"" CLIENT "/x\"}");
    assert_stays("{\"next\": \"https://api.test/V3/x\"}"); /* a path has letter case */
    assert_stays("{\"next\": \"https://api.test/v3x\"}");
    assert_stays("{\"next\": \"https://api.test.evil.test/v3/x\"}");
    assert_stays("{\"next\": \"https://api.test@evil.test/v3/x\"}");
    assert_stays("{\"next\": \"https://evil.test/?u=https://api.test/v3/x\"}");
}

static void the_documented_places_are_rewritten(void **state)
{
    (void)state;
    static const char *const top[] = {"next",          "previous",       "prev",          "first",
                                      "last",          "next_page_url",  "prev_page_url", "first_page_url",
                                      "last_page_url", "@odata.nextLink"};
    static const char *const inner[] = {"next", "previous", "prev", "first", "last"};
    char in[256], want[256];
    for (size_t i = 0; i < COUNT_OF(top); i++) {
        snprintf(in, sizeof(in), "{\"count\":3,\"%s\":\"%s/x?page=2\",\"results\":[]}", top[i], OWN);
        snprintf(want, sizeof(want), "{\"count\":3,\"%s\":\"%s/x?page=2\",\"results\":[]}", top[i], CLIENT);
        assert_becomes(in, want);
    }
    for (size_t i = 0; i < COUNT_OF(inner); i++) {
        snprintf(in, sizeof(in), " { \"links\" : { \"%s\" : \"%s?page=2\" } } ", inner[i], OWN);
        snprintf(want, sizeof(want), " { \"links\" : { \"%s\" : \"%s?page=2\" } } ", inner[i], CLIENT);
        assert_becomes(in, want);
        snprintf(in, sizeof(in), "{\"a\":{\"b\":[{}]},\"_links\":{\"%s\":{\"name\":\"n\",\"href\":\"%s\"}}}",
                 inner[i], OWN);
        snprintf(want, sizeof(want),
                 "{\"a\":{\"b\":[{}]},\"_links\":{\"%s\":{\"name\":\"n\",\"href\":\"%s\"}}}", inner[i],
                 CLIENT);
        assert_becomes(in, want);
    }
}

static void both_forms_of_the_url_and_its_escapes_are_understood(void **state)
{
    (void)state;
    assert_becomes("{\"next\":\"https://api.test:443/v3/x\"}", "{\"next\":\"" CLIENT "/x\"}");
    assert_becomes("{\"next\":\"HTTPS://API.test/v3/x\"}", "{\"next\":\"" CLIENT "/x\"}");
    assert_becomes("{\"next\":\"https:\\/\\/api.test\\/v3\\/x\"}", "{\"next\":\"" CLIENT "\\/x\"}");
    assert_becomes("{\"next\":\"https:\\u002F\\u002fapi.test/v3\\u003fpage=2\"}",
                   "{\"next\":\"" CLIENT "\\u003fpage=2\"}");
    assert_becomes("{\"next\":\"\\u0068ttps://api.test/v3#x\"}", "{\"next\":\"" CLIENT "#x\"}");
    assert_becomes("{\"next\":\"https://api.test/v3\",\"prev\":\"https://api.test/v3/y\"}",
                   "{\"next\":\"" CLIENT "\",\"prev\":\"" CLIENT "/y\"}");
}

static void other_urls_are_not_touched(void **state)
{
    (void)state;
    static const char *const url[] = {"https://api.test",
                                      "https://api.test/",
                                      "https://api.test/v33",
                                      "https://api.test/v3x/y",
                                      "https://api.test/v",
                                      "http://api.test/v3/x",
                                      "https://api.test:444/v3",
                                      "https://api.test.evil/v3/x",
                                      "https://evil/api.test/v3",
                                      " https://api.test/v3/x",
                                      "/v3/x",
                                      "",
                                      "https://u@api.test/v3/x",
                                      "https:\\n//api.test/v3/x",
                                      "\\u0168ttps://api.test/v3",
                                      "https://api.test/v3\\u0000/x",
                                      "https://api.test/v3\\\"/x",
                                      "https://api.test/v3\\\\x"};
    char in[256];
    for (size_t i = 0; i < COUNT_OF(url); i++) {
        snprintf(in, sizeof(in), "{\"next\":\"%s\",\"x\":\"\\\"\"}", url[i]);
        assert_stays(in);
    }
}

static void other_places_are_not_touched(void **state)
{
    (void)state;
    assert_stays("{\"url\":\"" OWN "/x\"}");
    assert_stays("{\"self\":\"" OWN "/x\",\"links\":{\"self\":\"" OWN "/x\"}}");
    assert_stays("{\"results\":[{\"next\":\"" OWN "/x\"}]}");
    assert_stays("{\"results\":{\"next\":\"" OWN "/x\"}}");
    assert_stays("[{\"next\":\"" OWN "/x\"}]");
    assert_stays("[\"next\",\"" OWN "/x\"]");
    assert_stays("{\"links\":[{\"next\":\"" OWN "/x\"}]}");
    assert_stays("{\"links\":{\"x\":{\"next\":\"" OWN "/x\"}}}");
    assert_stays("{\"links\":{\"next\":{\"next\":\"" OWN "/x\"}}}");
    assert_stays("{\"links\":{\"next\":{\"meta\":{\"href\":\"" OWN "/x\"}}}}");
    assert_stays("{\"next\":{\"href\":\"" OWN "/x\"}}");
    assert_stays("{\"next\":[\"" OWN "/x\"]}");
    assert_stays("{\"nextx\":\"" OWN "/x\",\"Next\":\"" OWN
                 "/x\",\"a_very_long_key_that_ends_in_next\":\"" OWN "\"}");
    assert_stays("{\"ne\\u0078t\":\"" OWN "/x\"}");
    assert_stays("\"" OWN "/x\"");
}

static void a_link_inside_another_string_is_text(void **state)
{
    (void)state;
    assert_stays("{\"log\":\"{\\\"next\\\":\\\"" OWN "/x\\\"}\"}");
    assert_stays("{\"log\":\"\\\\\",\"a\":\"\\\\\\\"next\\\":\\\"" OWN "/x\"}");
    assert_becomes("{\"log\":\"\\\\\",\"next\":\"" OWN "/x\"}",
                   "{\"log\":\"\\\\\",\"next\":\"" CLIENT "/x\"}");
    assert_stays("{\"log\":\"say \\\"next\\\": " OWN "/x\"}");
}

static void what_is_no_json_passes(void **state)
{
    (void)state;
    static const char *const odd[] = {"",
                                      "}",
                                      "]]]{\"next\":\"" OWN "/x\"}",
                                      "{\"next\":\"https://api.test/v",
                                      "{\"next\":\"https://api.test/v3",
                                      "{\"next\":\"https:\\",
                                      "{\"next\":\"https:\\u00",
                                      "{\"next\":\"https:\\u00zz//api.test/v3\"}",
                                      "{\"ne",
                                      "<html>\"next\":\"" OWN "/x\"</html>",
                                      "\xff\xfe{",
                                      "{\"next\":\"\xc3\xa9" OWN "\"}"};
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        assert_stays(odd[i]);
}

static void growth_has_an_end(void **state)
{
    (void)state;
    static char in[65536], out[65536 + 2 * PAGING_GROWTH];
    size_t len = 0;
    in[len++] = '{';
    for (int i = 0; i < 500; i++)
        len += (size_t)snprintf(in + len, sizeof(in) - len, "%s\"next\":\"%s\"", i ? "," : "", OWN);
    in[len++] = '}';
    size_t n = rewrite(in, len, len, out);
    assert_int_equal(n, len + PAGING_MAX_LINKS * (strlen(CLIENT) - strlen(OWN)));
}

static void depth_is_only_a_number(void **state)
{
    (void)state;
    static char in[200000], out[200000 + PAGING_GROWTH];
    size_t half = 50000, len = (size_t)snprintf(in, sizeof(in), "{\"a\":");
    memset(in + len, '[', half);
    memset(in + len + half, ']', half);
    len += 2 * half;
    len += (size_t)snprintf(in + len, sizeof(in) - len, ",\"next\":\"" OWN "/x\"}");
    size_t made = rewrite(in, len, 4096, out);
    assert_int_equal(made, len + strlen(CLIENT) - strlen(OWN));
}

static void a_url_that_is_too_long_is_not_begun(void **state)
{
    (void)state;
    char url[PAGING_MAX_URL + 1];
    memset(url, 'a', PAGING_MAX_URL);
    url[PAGING_MAX_URL] = '\0';
    PagingUrl own;
    assert_int_not_equal(paging_url(&own, url, ""), 0);
    assert_int_not_equal(paging_url(&own, OWN, url), 0);
    url[PAGING_MAX_URL - 1] = '\0';
    assert_int_equal(paging_url(&own, url, ""), 0);
    paging_begin(&paging, &own, url);
    /* The longest one, with every character escaped, and one more that makes it another. */
    static char in[8 * PAGING_MAX_URL], out[8 * PAGING_MAX_URL + PAGING_GROWTH];
    size_t len = (size_t)snprintf(in, sizeof(in), "{\"next\":\"");
    for (int i = 0; i < PAGING_MAX_URL; i++)
        len += (size_t)snprintf(in + len, sizeof(in) - len, "\\u0061");
    len += (size_t)snprintf(in + len, sizeof(in) - len, "\"}");
    Slice made = paging_piece(&paging, (Slice){in, len}, true, out);
    assert_int_equal(made.len, len);
    assert_memory_equal(in, made.ptr, len);
}

static void what_does_not_change_is_not_copied(void **state)
{
    (void)state;
    static const char *const same[] = {"{\"next\":\"https://other.test/\",\"jobs\":[{\"url\":\"" OWN
                                       "/1\"}]}",
                                       "[{\"next\":\"" OWN "/2\"}]", "no JSON", ""};
    PagingUrl own;
    char room[1000 + PAGING_GROWTH];
    assert_int_equal(paging_url(&own, OWN, ""), 0);
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        paging_begin(&paging, &own, CLIENT);
        Slice made = paging_piece(&paging, slice_of(same[i]), true, room);
        assert_ptr_equal(made.ptr, same[i]);
        assert_int_equal(made.len, strlen(same[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_change_is_not_copied),
        cmocka_unit_test(only_a_whole_url_of_the_source_is_rewritten),
        cmocka_unit_test(the_documented_places_are_rewritten),
        cmocka_unit_test(both_forms_of_the_url_and_its_escapes_are_understood),
        cmocka_unit_test(other_urls_are_not_touched),
        cmocka_unit_test(other_places_are_not_touched),
        cmocka_unit_test(a_link_inside_another_string_is_text),
        cmocka_unit_test(what_is_no_json_passes),
        cmocka_unit_test(growth_has_an_end),
        cmocka_unit_test(depth_is_only_a_number),
        cmocka_unit_test(a_url_that_is_too_long_is_not_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
