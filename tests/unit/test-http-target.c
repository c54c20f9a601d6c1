/* A target has one form, or it is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/target.h"

#include <errno.h>

static Target target, again;

static void check(const char *raw, const char *wanted)
{
    Fault fault = {""};
    int r = target_normalise(slice_of(raw), &target, &fault);
    if (!wanted) {
        if (r != -EINVAL || !fault.text[0])
            fail_msg("%s was taken: %d %s", raw, r, target.text);
        return;
    }
    if (r || strcmp(target.text, wanted) != 0)
        fail_msg("%s became %s (%s), not %s", raw, r ? "-" : target.text, fault.text, wanted);
    assert_int_equal(target.len, strlen(target.text));
    assert_int_equal(target_normalise((Slice){target.text, target.len}, &again, &fault), 0);
    assert_string_equal(again.text, target.text); /* its own form is left as it is */
    assert_int_equal(again.path_len, target.path_len);
}

static void a_path_has_one_spelling(void **state)
{
    (void)state;
    check("/", "/");
    check("/a/b/", "/a/b/");
    check("/%61%2Db", "/a-b");
    check("/%7eme/%5f", "/~me/_");
    check("/a%2fb", NULL);
    check("/caf%c3%a9", "/caf%C3%A9");
    check("/a%20b", "/a%20b");
    check("/a%3fb%23", "/a%3Fb%23");
    check("/job/feature%252Fx", "/job/feature%252Fx"); /* Jenkins: an escape of an escape is one name */
    check("/secrets%3Aread%40x%2C%21%24%26%27%28%29%2A%3D", "/secrets:read@x,!$&'()*=");
    check("/secrets:read@x", "/secrets:read@x");
    check("/a+b%2Bc", "/a+b%2Bc"); /* two things to some servers */
    check("/{a}|\"<>^`[]", "/%7Ba%7D%7C%22%3C%3E%5E%60%5B%5D");
    check("/%7Ba%7D", "/%7Ba%7D");
    check("/.a/..b/c./d..", "/.a/..b/c./d..");
}

static void tricks_with_paths_are_refused(void **state)
{
    (void)state;
    static const char *const trick[] = {
        "",
        "a",
        "*",
        "http://other/a",
        "//other/a",
        "/a//b",
        "//",
        "/a//",
        "/.",
        "/..",
        "/a/./b",
        "/a/../b",
        "/a/..",
        "/a/.",
        "/%2e/a",
        "/%2e%2e/a",
        "/.%2E/a",
        "/a/%2e.",
        "/.../a",
        "/a/....",
        "/a%2Fb",
        "/a%5Cb",
        "/a\\b",
        "/a%00",
        "/a%0d%0a",
        "/a%7F",
        "/a;x",
        "/a%3Bx",
        "/a;/../b",
        "/a#b",
        "/a b",
        "/%",
        "/%4",
        "/%4g",
        "/%g4",
        "/%%41",
        "/a%c0%ae",
        "/%c0%af",
        "/%e0%80%af",
        "/%ff",
        "/%c3",
        "/%ed%a0%80",
        "/%f8%80%80%80%af",
        "/caf\xc3\xa9",
        "/a\x01",
        "/a\x7f",
        "/..?a",
        "/a/..;/b",
    };
    for (size_t i = 0; i < COUNT_OF(trick); i++)
        check(trick[i], NULL);
    Fault fault;
    assert_int_equal(target_normalise((Slice){"/a\0b", 4}, &target, &fault), -EINVAL);
}

static void a_query_has_one_form_and_no_credential(void **state)
{
    (void)state;
    check("/a?", "/a");
    check("/a?b=c&d", "/a?b=c&d");
    check("/a?&&b=c&", "/a?b=c");
    check("/a?x=%7e%2f%c3", "/a?x=~%2F%C3");
    check("/a??b", "/a??b");
    check("/a?access_token=x", "/a");
    check("/a?b=1&access_token=x&c=2", "/a?b=1&c=2");
    check("/a?access%5Ftoken=x&b=1", "/a?b=1");
    check("/a?%61ccess_%74oken=x", "/a");
    check("/a?ACCESS_TOKEN=x", "/a");
    check("/a?access_token", "/a");
    check("/a?access.token=x&access-token=y&+private_token=z&%20private_token=z", "/a");
    check("/a?circle-token=x&private_token=y", "/a");
    check("/a?access_tokens=x&page_token=y", "/a?access_tokens=x&page_token=y");
    check("/a?b=1;access_token=x", "/a?b=1%3Baccess_token=x"); /* no server may end a parameter there */
    check("/a?b=%00", NULL);
    check("/a?b=%", NULL);
    check("/a?b=%2", NULL);
    check("/a?b=%zz", NULL);
    check("/a?b#c", NULL);
    check("/a?b\xff", NULL);
}

static void a_query_of_a_file_keeps_what_is_called_like_a_credential(void **state)
{
    (void)state;
    Fault fault;
    assert_int_equal(
        target_normalise_whole(slice_of("/%61?b=1;&access%5Ftoken=x&&token=%2b&c"), &target, &fault), 0);
    assert_string_equal(target.text, "/a?b=1%3B&access_token=x&token=%2B&c");
    assert_int_equal(target_normalise_whole(slice_of("/a%2Fb?token=x"), &target, &fault), -EINVAL);
}

static void a_target_is_bounded_also_when_it_grows(void **state)
{
    (void)state;
    static char raw[HTTP_MAX_TARGET + 2];
    Fault fault;
    memset(raw, 'a', sizeof(raw));
    raw[0] = '/';
    assert_int_equal(target_normalise((Slice){raw, HTTP_MAX_TARGET}, &target, &fault), 0);
    assert_int_equal(target.len, HTTP_MAX_TARGET);
    assert_int_equal(target_normalise((Slice){raw, HTTP_MAX_TARGET + 1}, &target, &fault), -EINVAL);
    memset(raw + 1, '{', HTTP_MAX_TARGET - 1);
    assert_int_equal(target_normalise((Slice){raw, HTTP_MAX_TARGET}, &target, &fault), -EINVAL);
    raw[1] = '?';
    memset(raw + 2, ';', HTTP_MAX_TARGET - 2);
    assert_int_equal(target_normalise((Slice){raw, HTTP_MAX_TARGET}, &target, &fault), -EINVAL);
}

static void check_authority(const char *raw, uint16_t default_port, const char *wanted, uint16_t wanted_port)
{
    char host[254] = "untouched";
    uint16_t port = 7;
    Fault fault = {""};
    int r = target_parse_authority(slice_of(raw), default_port, host, &port, &fault);
    if ((r == 0) != (wanted != NULL) || (wanted && (strcmp(host, wanted) != 0 || port != wanted_port)))
        fail_msg("%s became %d %s:%d", raw, r, host, port);
    if (!wanted && (!fault.text[0] || strcmp(host, "untouched") != 0 || port != 7))
        fail_msg("%s was refused without a sentence, or left something", raw);
}

static void an_authority_is_a_host_and_a_port(void **state)
{
    (void)state;
    check_authority("api.github.com:443", 0, "api.github.com", 443);
    check_authority("API.GitHub.com.", 443, "api.github.com", 443);
    check_authority("[::1]:8080", 0, "::1", 8080);
    check_authority("[::1]", 443, "::1", 443);
    check_authority("127.0.0.1:1", 0, "127.0.0.1", 1);
    static const char *const bad[] = {
        "",         ":443",    "a",        "a:",           "a:0",    "a:65536",  "a:+1",    "a:01",
        "a:1:2",    "a..:1",   ".:1",      "-a:1",         "u@a:1",  "a/b:1",    "a b:1",   "::1:443",
        "[::1]x:1", "[a]:1",   "[::1:443", "[]:1",         "[::1]:", "[::1.]:1", "a%2eb:1", "[::1%25lo]:1",
        "a\n:1",    "1.2.3:1", "0x7f.1:1", "2130706433:1",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        check_authority(bad[i], 0, NULL, 0);
}

static void an_encoded_slash_stays_where_it_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *want;
    } pair[] = {
        {"/projects/a%2fb/jobs", "/projects/a%2Fb/jobs"},
        {"/projects/a%2Fb%2Fc?x=%2f", "/projects/a%2Fb%2Fc?x=%2F"},
        {"/a%2F..b/%2e%2e%2e%2fx/", NULL},
        {"/a%2Fb.%2Fc", "/a%2Fb.%2Fc"},
        {"/a/b", "/a/b"},
        {"/a%2F", NULL},
        {"/%2Fa", NULL},
        {"/a%2F%2Fb", NULL},
        {"/a%2F..", NULL},
        {"/a%2F%2e%2e%2Fb", NULL},
        {"/..%2Fa", NULL},
        {"/a%2F./b", NULL},
        {"/a%2Fb//c", NULL},
        {"/a%2Fb/..", NULL},
        {"/%2F", NULL},
        {"/a%5Cb", NULL},
        {"/a%252Fb", "/a%252Fb"},
    };
    for (size_t i = 0; i < COUNT_OF(pair); i++) {
        Fault fault = {""};
        int r = target_normalise_slashes(slice_of(pair[i].raw), &target, &fault);
        if (r ? pair[i].want != NULL : !pair[i].want || strcmp(target.text, pair[i].want) != 0)
            fail_msg("%s: %s", pair[i].raw, r ? fault.text : target.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encoded_slash_stays_where_it_is_taken),
        cmocka_unit_test(a_path_has_one_spelling),
        cmocka_unit_test(tricks_with_paths_are_refused),
        cmocka_unit_test(a_query_has_one_form_and_no_credential),
        cmocka_unit_test(a_query_of_a_file_keeps_what_is_called_like_a_credential),
        cmocka_unit_test(a_target_is_bounded_also_when_it_grows),
        cmocka_unit_test(an_authority_is_a_host_and_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
