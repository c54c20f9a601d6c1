/* The small parts of a configuration: origins, networks, connection strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse.h"

#include <errno.h>

static void an_origin_is_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *base;
        uint16_t port;
        bool tls;
    } good[] = {
        {"https://api.github.com", "api.github.com", "", 443, true},
        {"https://api.github.com/", "api.github.com", "", 443, true},
        {"https://GHE.Example:8443/api/v3/", "ghe.example", "/api/v3", 8443, true},
        {"https://[2001:db8::1]:8443/x", "2001:db8::1", "/x", 8443, true},
        {"http://127.0.0.1:8080", "127.0.0.1", "", 8080, false},
        {"http://[::1]:8080/a", "::1", "/a", 8080, false},
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        Origin origin;
        Fault fault = {""};
        if (origin_parse(slice_of(good[i].url), &origin, &fault))
            fail_msg("%s: %s", good[i].url, fault.text);
        assert_string_equal(origin.host, good[i].host);
        assert_string_equal(origin.base, good[i].base);
        assert_int_equal(origin.port, good[i].port);
        assert_int_equal(origin.tls, good[i].tls);
        origin_done(&origin);
    }
}

static void what_is_no_origin_is_refused_and_no_password_repeated(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "api.github.com",
                                      "ftp://x",
                                      "https://",
                                      "https:///x",
                                      "http://api.github.com",
                                      "http://10.0.0.1",
                                      "https://user:S3CRET@host",
                                      "https://S3CRET@host/x",
                                      "https://host?token=S3CRET",
                                      "https://host/#S3CRET",
                                      "https://host:0",
                                      "https://host:99999",
                                      "https://host:",
                                      "https://ho st",
                                      "https://host/a//b",
                                      "https://host/a/../b",
                                      "https://host/a/./b",
                                      "https://host/a;b",
                                      "https://host/a b",
                                      "https://[::1",
                                      "https://[::1]x",
                                      "https://1.2.3.999",
                                      "https://-x"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Origin origin = {0};
        Fault fault = {""};
        if (origin_parse(slice_of(bad[i]), &origin, &fault) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_true(fault.text[0]);
        assert_null(origin.host);
        assert_null(strstr(fault.text, "S3CRET"));
    }
}

static void check_cidr(const char *network, const char *address, bool inside)
{
    Cidr cidr, one;
    assert_int_equal(cidr_parse(slice_of(network), &cidr), 0);
    assert_int_equal(cidr_parse(slice_of(address), &one), 0);
    assert_int_equal(one.bits, 128);
    assert_int_equal(cidr_contains(&cidr, one.address), inside);
}

static void a_network_holds_its_addresses(void **state)
{
    (void)state;
    check_cidr("192.0.2.0/24", "192.0.2.255", true);
    check_cidr("192.0.2.77/24", "192.0.2.1", true);
    check_cidr("192.0.2.0/24", "192.0.3.0", false);
    check_cidr("10.0.0.0/9", "10.127.1.1", true);
    check_cidr("10.0.0.0/9", "10.128.0.0", false);
    check_cidr("0.0.0.0/0", "1.2.3.4", true);
    check_cidr("0.0.0.0/0", "2001:db8::1", false);
    check_cidr("::1", "::1", true);
    check_cidr("::1/128", "::2", false);
    check_cidr("::/0", "127.0.0.1", true);
    check_cidr("::ffff:127.0.0.1", "127.0.0.1", true);
    static const char *const bad[] = {"",         "/",        "x",          "10.0.0.0/33", "::/129",
                                      "10.0.0/8", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/08"};
    Cidr cidr;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(cidr_parse(slice_of(bad[i]), &cidr), -EINVAL);
}

static void a_password_in_a_dsn_is_found_in_every_form(void **state)
{
    (void)state;
    static const char *const with[] = {"host=db password=x",
                                       "password = 'x y'",
                                       "host='a b' PASSWORD=x",
                                       "user=u sslpassword=x",
                                       "postgresql://u:p@db/ci",
                                       "postgres://u:p@db1,db2/ci",
                                       "postgresql://db/ci?password=x",
                                       "postgresql://db/ci?a=b&sslpassword=x",
                                       "postgresql://db/ci?%70assword=x",
                                       "host='it\\'s' password=x",
                                       "postgresql://u:@db/ci",
                                       "postgresql://u%3Ap:x@db"};
    static const char *const without[] = {"",
                                          "host=db user=ci dbname=ci",
                                          "host='password=x' user=u",
                                          "application_name=password",
                                          "service=ci",
                                          "postgresql://u@db:5432/ci",
                                          "postgresql:///ci?host=/run/postgresql",
                                          "postgresql://db1:1,db2:2/ci?sslmode=verify-full",
                                          "host=/run/postgresql passfile=/etc/pgpass"};
    for (size_t i = 0; i < COUNT_OF(with); i++)
        if (!dsn_has_password(with[i]))
            fail_msg("not found: %s", with[i]);
    for (size_t i = 0; i < COUNT_OF(without); i++)
        if (dsn_has_password(without[i]))
            fail_msg("none there: %s", without[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_origin_is_taken_apart),
        cmocka_unit_test(what_is_no_origin_is_refused_and_no_password_repeated),
        cmocka_unit_test(a_network_holds_its_addresses),
        cmocka_unit_test(a_password_in_a_dsn_is_found_in_every_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
