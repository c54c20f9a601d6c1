/* A credential is found wherever a client puts it, once, and decoded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/credential.h"

#include <stdio.h>

#define LEASE "psl_1abc-_9"

static HttpHead head;
static char found[HTTP_MAX_CREDENTIAL];
static size_t len;

static int find(const char *headers, const char *extra, const char *query)
{
    static char text[16384];
    size_t used;
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", headers);
    assert_int_equal(http_parse_request(slice_of(text), &head, &used), 0);
    return http_find_credential(&head, slice_of(extra), slice_of(query), found, &len);
}

static char *basic(const char *plain)
{
    static char line[1024];
    size_t n = (size_t)snprintf(line, sizeof(line), "Authorization: Basic ");
    n += http_base64(line + n, plain, strlen(plain));
    snprintf(line + n, sizeof(line) - n, "\r\n");
    return line;
}

static void check_found(const char *headers, const char *extra, const char *query)
{
    int r = find(headers, extra, query);
    if (r || !slice_is((Slice){found, len}, LEASE))
        fail_msg("%d for %s ? %s", r, headers, query);
}

static void it_is_found_wherever_a_client_puts_it(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "Authorization: Bearer " LEASE "\r\n",
        "authorization: bearer   " LEASE " \r\n",
        "Authorization: token " LEASE "\r\n",
        "Authorization: Token token=\"" LEASE "\"\r\n",
        "Authorization: token token=" LEASE "\r\n",
        "Authorization: " LEASE "\r\n",
        "PRIVATE-TOKEN: " LEASE "\r\n",
        "job-token: " LEASE "\r\n",
        "Circle-Token: " LEASE "\r\n",
        "X-API-Key: " LEASE "\r\n",
        "Authorization: Bearer " LEASE "\r\nPRIVATE-TOKEN: " LEASE "\r\n", /* the same one twice */
        "Proxy-Authorization: Basic cnVuOmtleQ==\r\nPRIVATE-TOKEN: " LEASE "\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(headers); i++)
        check_found(headers[i], "", "");
    check_found("X-Own: " LEASE "\r\n", "X-Own", "");
    assert_int_equal(find("X-Own: " LEASE "\r\n", "", ""), HTTP_CREDENTIAL_NONE);
}

static void basic_has_it_as_password_or_as_user(void **state)
{
    (void)state;
    check_found(basic("anybody:" LEASE), "", "");
    check_found(basic(":" LEASE), "", "");
    check_found(basic(LEASE ":"), "", "");
    check_found(basic(LEASE ":x-oauth-basic"), "", "");
    check_found("Authorization: basic eDpwc2xfMWFiYy1fOQ\r\n", "", ""); /* without padding */
    assert_int_equal(find(basic("user:a:b"), "", ""), 0);
    assert_true(slice_is((Slice){found, len}, "a:b"));
    assert_int_equal(find(basic(":"), "", ""), HTTP_CREDENTIAL_NONE);
}

static void it_is_found_in_the_query_in_every_spelling(void **state)
{
    (void)state;
    static const char *const query[] = {
        "access_token=" LEASE,
        "a=b&private_token=" LEASE "&c",
        "circle-token=" LEASE,
        "access%5Ftoken=" LEASE,
        "%61ccess_token=" LEASE,
        "ACCESS_TOKEN=" LEASE,
        "access_token=psl%5F1abc%2D%5f9",
        "access_token=" LEASE "&access_token=" LEASE,
        "access_token=&private_token=" LEASE,
    };
    for (size_t i = 0; i < COUNT_OF(query); i++)
        check_found("", "", query[i]);
    check_found("PRIVATE-TOKEN: " LEASE "\r\n", "", "private_token=" LEASE);
}

static void two_different_ones_are_refused(void **state)
{
    (void)state;
    assert_int_equal(find("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", "", ""),
                     HTTP_CREDENTIAL_MANY);
    assert_int_equal(find("Authorization: Bearer a\r\nPRIVATE-TOKEN: b\r\n", "", ""), HTTP_CREDENTIAL_MANY);
    assert_int_equal(find("Authorization: Bearer a\r\nPRIVATE-TOKEN: b\r\nJob-Token: a\r\n", "", ""),
                     HTTP_CREDENTIAL_MANY);
    assert_int_equal(find("Authorization: Bearer a\r\n", "", "access_token=b"), HTTP_CREDENTIAL_MANY);
    assert_int_equal(find("Authorization: Bearer ab\r\n", "", "access_token=a"), HTTP_CREDENTIAL_MANY);
    assert_int_equal(find("", "", "access_token=a&access%5Ftoken=b"), HTTP_CREDENTIAL_MANY);
    assert_int_equal(find("X-Own: a\r\nPRIVATE-TOKEN: b\r\n", "x-own", ""), HTTP_CREDENTIAL_MANY);
}

static void what_cannot_be_decoded_is_refused(void **state)
{
    (void)state;
    static char text[4096] = "PRIVATE-TOKEN: ";
    static const char *const headers[] = {
        "Authorization: Basic !!!!\r\n",
        "Authorization: Basic YTpi*\r\n",
        "Authorization: Basic YTpiYg=\r\n",
        "Authorization: Basic bm9jb2xvbg==\r\n",
        "Authorization: Basic \xff\r\n",
        "Authorization: Digest username=a\r\n",
        "Authorization: Negotiate abc\r\n",
        "Authorization: Basic !!!!\r\nPRIVATE-TOKEN: a\r\n",
        "PRIVATE-TOKEN: a\r\nAuthorization: Basic !!!!\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(headers); i++)
        if (find(headers[i], "", "") != HTTP_CREDENTIAL_BAD)
            fail_msg("taken: %s", headers[i]);
    assert_int_equal(find("", "", "access_token=%"), HTTP_CREDENTIAL_BAD);
    assert_int_equal(find("", "", "access_token=%4"), HTTP_CREDENTIAL_BAD);
    assert_int_equal(find("", "", "access_token=%zz"), HTTP_CREDENTIAL_BAD);
    size_t n = strlen(text);
    memset(text + n, 'a', HTTP_MAX_CREDENTIAL);
    strcpy(text + n + HTTP_MAX_CREDENTIAL, "\r\n");
    assert_int_equal(find(text, "", ""), 0);
    assert_int_equal(len, HTTP_MAX_CREDENTIAL);
    strcpy(text + n + HTTP_MAX_CREDENTIAL, "a\r\n");
    assert_int_equal(find(text, "", ""), HTTP_CREDENTIAL_BAD);
}

static void a_request_without_one_has_none(void **state)
{
    (void)state;
    assert_int_equal(find("Accept: */*\r\n", "", "page=2"), HTTP_CREDENTIAL_NONE);
    assert_int_equal(find("Authorization:\r\n", "", "access_token="), HTTP_CREDENTIAL_NONE);
    assert_int_equal(find("Proxy-Authorization: Basic cnVuOmtleQ==\r\n", "", ""), HTTP_CREDENTIAL_NONE);
    assert_int_equal(find("", "", "access_token"), HTTP_CREDENTIAL_NONE);
    assert_false(http_is_credential_parameter(SLICE_LITERAL("")));
    assert_false(http_is_credential_parameter(SLICE_LITERAL("page_token")));
    assert_false(http_is_credential_parameter(SLICE_LITERAL("access_token%00")));
    static const char *const method[] = {"_method", "%5Fmethod", "_METHOD",
                                         ".method", "+_method",  "%20_m%65thod"};
    for (size_t i = 0; i < COUNT_OF(method); i++)
        assert_true(http_is_method_parameter(slice_of(method[i])));
    char spaces[200];
    snprintf(spaces, sizeof(spaces), "%0150d%%20+ %%5fmethod", 0);
    memset(spaces, '+', 150); /* however many there are */
    assert_true(http_is_method_parameter(slice_of(spaces)));
    assert_false(http_is_method_parameter(SLICE_LITERAL("method")));
    assert_false(http_is_method_parameter(SLICE_LITERAL("++")));
    assert_false(http_is_method_parameter(SLICE_LITERAL("payment_method")));
    assert_false(http_is_method_parameter(SLICE_LITERAL("")));
}

static int find_proxy(const char *headers)
{
    find(headers, "", "");
    return http_find_proxy_password(&head, found, &len);
}

static void the_proxy_password_is_the_one_in_basic(void **state)
{
    (void)state;
    assert_int_equal(find_proxy("Proxy-Authorization: Basic cnVuOmtleQ==\r\n"), 0);
    assert_true(slice_is((Slice){found, len}, "key"));
    assert_int_equal(find_proxy(""), HTTP_CREDENTIAL_NONE);
    assert_int_equal(find_proxy("Proxy-Authorization: Bearer key\r\n"), HTTP_CREDENTIAL_BAD);
    assert_int_equal(find_proxy("Proxy-Authorization: Basic\r\n"), HTTP_CREDENTIAL_BAD);
    assert_int_equal(find_proxy("Proxy-Authorization: Basic cnVuOmtleQ==\r\n"
                                "Proxy-Authorization: Basic cnVuOmtleQ==\r\n"),
                     HTTP_CREDENTIAL_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_found_wherever_a_client_puts_it),
        cmocka_unit_test(basic_has_it_as_password_or_as_user),
        cmocka_unit_test(it_is_found_in_the_query_in_every_spelling),
        cmocka_unit_test(two_different_ones_are_refused),
        cmocka_unit_test(what_cannot_be_decoded_is_refused),
        cmocka_unit_test(a_request_without_one_has_none),
        cmocka_unit_test(the_proxy_password_is_the_one_in_basic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
