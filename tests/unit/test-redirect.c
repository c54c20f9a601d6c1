/* Where an API redirects to: what of a Location is an address, and that an address is this one alone. */
#include "keeper/redirect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void an_absolute_https_address_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *location, *host, *target;
    } good[] = {
        {"https://a.example/x?sig=1", "a.example", "/x?sig=1"},
        {"HTTPS://A.Example:443/x", "a.example", "/x"},
        {"https://a.example", "a.example", "/"},
        {"https://a.example/x?a=%2Fb&c=d#part", "a.example", "/x?a=%2Fb&c=d"},
        {"https://a.example/%7Ex", "a.example", "/~x"},
        {"https://a.example/x?token=1&b&api_key=%7E", "a.example", "/x?token=1&b&api_key=~"},
    };
    static Target target;
    char host[254];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(redirect_parse(slice_of(good[i].location), host, &target));
        assert_string_equal(host, good[i].host);
        assert_string_equal(target.text, good[i].target);
    }
}

static void what_could_mean_another_place_is_no_address(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "/x",
        "//a.example/x",
        "http://a.example/x",
        "https://",
        "https://user@a.example/x",
        "https://a.example:8443/x",
        "https://a.example\\@b.example/x",
        "https://a.example/../x",
        "https://a.example/a//b",
        "https://a b/x",
        "ftp://a.example/x",
        "https:/a.example/x",
        "https://a.example/%zz",
    };
    static Target target;
    char host[254];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (redirect_parse(slice_of(bad[i]), host, &target))
            fail_msg("%s is taken for %s%s", bad[i], host, target.text);
}

static void the_oldest_are_forgotten_first(void **state)
{
    (void)state;
    static Redirects redirects;
    static const Narrowing none;
    char target[32];
    for (unsigned i = 0; i < REDIRECT_MAX + 1; i++) {
        snprintf(target, sizeof(target), "/%u", i);
        redirect_note(&redirects, "a.example", slice_of(target), i % 3, &none, 1000);
    }
    assert_null(redirect_find(&redirects, "a.example", slice_of("/0"), 2000));
    assert_int_equal(redirect_find(&redirects, "a.example", slice_of("/1"), 2000)->grant, 1);
    assert_null(redirect_find(&redirects, "b.example", slice_of("/1"), 2000));
    /* host and target are two things: no byte may move from one to the other */
    redirect_note(&redirects, "a.exampl", slice_of("e/1"), 2, &none, 1000);
    assert_int_equal(redirect_find(&redirects, "a.example", slice_of("/2"), 2000)->grant, 2);
    assert_null(redirect_find(&redirects, "a.example", slice_of("/64"), 1000 + REDIRECT_US));
}

static void whose_narrowed_lease_it_was_is_kept_for_as_long(void **state)
{
    (void)state;
    static Redirects redirects;
    static const Narrowing none, narrowed = {.n = 3, .expires = 77};
    redirect_note(&redirects, "a.example", slice_of("/1"), 0, &narrowed, 1000);
    redirect_note(&redirects, "a.example", slice_of("/2"), 0, &none, 1000);
    assert_int_equal(redirect_find(&redirects, "a.example", slice_of("/1"), 2000)->narrowing->expires, 77);
    assert_null(redirect_find(&redirects, "a.example", slice_of("/2"), 2000)->narrowing);
    for (int i = 0; i < REDIRECT_MAX; i++) /* in its place another one's */
        redirect_note(&redirects, "a.example", slice_of("/3"), 0, &none, 1000);
    assert_null(redirect_find(&redirects, "a.example", slice_of("/3"), 2000)->narrowing);
    redirect_note(&redirects, "a.example", slice_of("/3"), 0, &narrowed,
                  1000); /* the same one, for another */
    assert_int_equal(redirect_find(&redirects, "a.example", slice_of("/3"), 2000)->narrowing->expires, 77);
    redirect_note(&redirects, "a.example", slice_of("/3"), 1, &none, 1000);
    assert_int_equal(redirect_find(&redirects, "a.example", slice_of("/3"), 2000)->grant, 1);
    redirect_note(&redirects, "a.example", slice_of("/4"), 0, &narrowed, 1000);
    redirects_done(&redirects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absolute_https_address_is_read),
        cmocka_unit_test(what_could_mean_another_place_is_no_address),
        cmocka_unit_test(the_oldest_are_forgotten_first),
        cmocka_unit_test(whose_narrowed_lease_it_was_is_kept_for_as_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
