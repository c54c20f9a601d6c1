/* Which host belongs to which source: one list from the sources (promise 7). */
#include "gate/hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static RunSourceInfo source(const char *name, const char *host, uint16_t port, const char *base,
                            const char *lease)
{
    RunSourceInfo info = {.record.source = {.name = (char *)name,
                                            .graphql_url = (char *)"",
                                            .api = {true, (char *)host, port, (char *)base}}};
    strcpy(info.lease_id, lease);
    return info;
}

static void test_only_hosts_of_sources_are_found(void **state)
{
    (void)state;
    RunSourceInfo sources[] = {
        source("github", "api.github.com", 443, "", ""),
        source("enterprise", "ghe.example", 8443, "/api/v3", ""),
    };
    sources[1].record.source.graphql_url = (char *)"https://graph.example/graphql";
    HostList list;
    host_list_init(&list, sources, 2);
    assert_int_equal(list.n, 2);
    assert_non_null(host_list_find(&list, "api.github.com", 443));
    assert_null(host_list_find(&list, "api.github.com", 8443));
    assert_null(host_list_find(&list, "github.com", 443));
    assert_null(host_list_find(&list, "xapi.github.com", 443));
    assert_null(host_list_find(&list, "api.github.com.evil.example", 443));
    assert_null(host_list_find(&list, "graph.example", 443));
    assert_ptr_equal(host_list_graphql(&list, "graph.example"), &sources[1]);
    assert_null(host_list_graphql(&list, "graph.exampl"));
    assert_ptr_equal(host_list_named(&list, slice_of("enterprise")), &sources[1]);
    assert_null(host_list_named(&list, slice_of("enter")));
    host_list_done(&list);
}

static void test_a_host_of_two_sources_stands_once_and_goes_to_the_longest_base(void **state)
{
    (void)state;
    RunSourceInfo sources[] = {
        source("all", "ci.example", 443, "", ""),
        source("team", "ci.example", 443, "/team", ""),
    };
    HostList list;
    host_list_init(&list, sources, 2);
    assert_int_equal(list.n, 1);
    const Host *host = host_list_find(&list, "ci.example", 443);
    Slice none = {"", 0};
    assert_ptr_equal(host_list_source(&list, host, slice_of("/team/jobs"), none), &sources[1]);
    assert_ptr_equal(host_list_source(&list, host, slice_of("/team"), none), &sources[1]);
    assert_ptr_equal(host_list_source(&list, host, slice_of("/teammates"), none), &sources[0]);
    host_list_done(&list);
}

static void test_the_lease_presented_decides_between_sources_of_one_host(void **state)
{
    (void)state;
    RunSourceInfo sources[] = {
        source("a", "ci.example", 443, "", "psl_1AAAAAAAAAAAAAAAAAAAAA"),
        source("b", "ci.example", 443, "", "psl_1BBBBBBBBBBBBBBBBBBBBB"),
    };
    HostList list;
    host_list_init(&list, sources, 2);
    const Host *host = &list.host[0];
    Slice path = slice_of("/x");
    assert_ptr_equal(host_list_source(&list, host, path, slice_of("psl_1BBBBBBBBBBBBBBBBBBBBBnarrowed")),
                     &sources[1]);
    assert_ptr_equal(host_list_source(&list, host, path, slice_of("psl_1AAAAAAAAAAAAAAAAAAAAAtag")),
                     &sources[0]);
    assert_ptr_equal(host_list_source(&list, host, path, slice_of("something else")), &sources[0]);
    host_list_done(&list);
}

static void test_addresses_are_told_from_names(void **state)
{
    (void)state;
    RunSourceInfo sources[] = {
        source("v4", "127.0.0.1", 443, "", ""),
        source("v6", "::1", 443, "", ""),
        source("name", "1.2.3.4.example", 443, "", ""),
    };
    HostList list;
    host_list_init(&list, sources, 3);
    assert_true(list.host[0].address);
    assert_true(list.host[1].address);
    assert_false(list.host[2].address);
    host_list_done(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_hosts_of_sources_are_found),
        cmocka_unit_test(test_a_host_of_two_sources_stands_once_and_goes_to_the_longest_base),
        cmocka_unit_test(test_the_lease_presented_decides_between_sources_of_one_host),
        cmocka_unit_test(test_addresses_are_told_from_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
