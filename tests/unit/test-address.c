/* Promise 14: which addresses may be dialled. */
#include "net/address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void parse(const char *text, uint8_t out[16])
{
    memset(out, 0, 16);
    out[10] = out[11] = 255;
    if (inet_pton(AF_INET, text, out + 12) == 1)
        return;
    memset(out, 0, 16);
    assert_int_equal(inet_pton(AF_INET6, text, out), 1);
}

static void assert_kind(const char *text, AddressKind kind)
{
    uint8_t address[16];
    parse(text, address);
    if (address_kind(address) != kind)
        fail_msg("%s is of kind %d, not %d", text, address_kind(address), kind);
}

static void public_addresses_are_dialled(void **state)
{
    (void)state;
    static const char *const text[] = {"140.82.121.4",        "1.1.1.1",        "172.15.0.1",
                                       "172.32.0.1",          "100.63.255.255", "100.128.0.1",
                                       "2606:50c0:8000::153", "2a00:1450::1",   "2001:4860::8888"};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        assert_kind(text[i], ADDRESS_PUBLIC);
}

static void private_addresses_need_allowance(void **state)
{
    (void)state;
    static const char *const text[] = {
        "10.0.0.1",         "127.0.0.1",         "127.255.255.254",   "172.16.0.1",       "172.31.255.255",
        "192.168.1.1",      "100.64.0.1",        "198.18.0.1",        "240.0.0.1",        "::1",
        "fc00::1",          "fd12:3456::1",      "fec0::1",           "2001:db8::1",      "::ffff:10.0.0.1",
        "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1", "2002:0a00:0001::1", "2002:0808:0808::1"};
    uint8_t address[16];
    for (size_t i = 0; i < COUNT_OF(text); i++) {
        assert_kind(text[i], ADDRESS_PRIVATE);
        parse(text[i], address);
        assert_false(address_allowed(address, NULL, 0));
        Cidr all = {{0}, 0};
        assert_true(address_allowed(address, &all, 1));
    }
}

static void metadata_and_link_local_are_never_dialled(void **state)
{
    (void)state;
    static const char *const text[] = {"169.254.169.254",
                                       "169.254.0.1",
                                       "0.0.0.0",
                                       "0.1.2.3",
                                       "224.0.0.1",
                                       "255.255.255.255",
                                       "100.100.100.200",
                                       "168.63.129.16",
                                       "::",
                                       "fe80::1",
                                       "ff02::1",
                                       "fd00:ec2::254",
                                       "fd20:ce::254",
                                       "::ffff:169.254.169.254",
                                       "64:ff9b::169.254.169.254",
                                       "2002:a9fe:a9fe::1",
                                       "::169.254.169.254",
                                       "2001:0:0:0:0:0:5601:5601"};
    Cidr all = {{0}, 0};
    uint8_t address[16];
    for (size_t i = 0; i < COUNT_OF(text); i++) {
        assert_kind(text[i], ADDRESS_NEVER);
        parse(text[i], address);
        assert_false(address_allowed(address, &all, 1));
    }
}

static void an_allowance_reaches_no_further_than_its_network(void **state)
{
    (void)state;
    Cidr network = {{[10] = 255, [11] = 255, 10, 1, 0, 0}, 112};
    uint8_t address[16];
    parse("10.1.255.255", address);
    assert_true(address_allowed(address, &network, 1));
    parse("10.2.0.0", address);
    assert_false(address_allowed(address, &network, 1));
    parse("192.168.0.1", address);
    assert_false(address_allowed(address, &network, 1));
}

static void no_proxy_names_hosts_suffixes_and_networks(void **state)
{
    (void)state;
    static char entry[][32] = {"jenkins.corp", ".internal.example", "10.0.0.0/8", "fd00::/8", "*"};
    char *list[] = {entry[0], entry[1], entry[2], entry[3]};
    assert_true(address_bypasses_proxy("jenkins.corp", list, 4));
    assert_true(address_bypasses_proxy("a.internal.example", list, 4));
    assert_true(address_bypasses_proxy("internal.example", list, 4));
    assert_true(address_bypasses_proxy("10.20.30.40", list, 4));
    assert_true(address_bypasses_proxy("fd00::7", list, 4));
    assert_false(address_bypasses_proxy("notinternal.example", list, 4));
    assert_false(address_bypasses_proxy("api.github.com", list, 4));
    assert_false(address_bypasses_proxy("11.0.0.1", list, 4));
    char *all[] = {entry[4]};
    assert_true(address_bypasses_proxy("api.github.com", all, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_addresses_are_dialled),
        cmocka_unit_test(private_addresses_need_allowance),
        cmocka_unit_test(metadata_and_link_local_are_never_dialled),
        cmocka_unit_test(an_allowance_reaches_no_further_than_its_network),
        cmocka_unit_test(no_proxy_names_hosts_suffixes_and_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
