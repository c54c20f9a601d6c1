/* Which host belongs to which source: one list from the sources (promise 7). */
#include "gate/hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static RunSourceInfo source(const char *name, const char *host, uint16_t port, const char *base,
                            const char *lease)
{
    RunSourceInfo info = {.record = {.hosts = UINT32_MAX,
                                     .source = {.name = (char *)name,
                                                .graphql_path = (char *)"",
                                                .api = {true, (char *)host, port, (char *)base}}}};
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
    HostList list;
    host_list_init(&list, sources, 2);
    assert_int_equal(list.n, 2);
    assert_non_null(host_list_find(&list, "api.github.com", 443));
    assert_null(host_list_find(&list, "api.github.com", 8443));
    assert_null(host_list_find(&list, "github.com", 443));
    assert_null(host_list_find(&list, "xapi.github.com", 443));
    assert_null(host_list_find(&list, "api.github.com.evil.example", 443));
    assert_null(host_list_find(&list, "graph.example", 443));
    assert_ptr_equal(host_list_named(&list, slice_of("enterprise")).source, &sources[1]);
    assert_null(host_list_named(&list, slice_of("enter")).source);
    assert_null(host_list_named(&list, slice_of("enterprise~graphql")).source);
    assert_null(host_list_named(&list, slice_of("enterprise~evil.example")).source);
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
    assert_ptr_equal(host_list_place(&list, host, slice_of("/team/jobs"), none).source, &sources[1]);
    assert_ptr_equal(host_list_place(&list, host, slice_of("/team"), none).source, &sources[1]);
    assert_ptr_equal(host_list_place(&list, host, slice_of("/teammates"), none).source, &sources[0]);
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
    assert_ptr_equal(
        host_list_place(&list, host, path, slice_of("psl_1BBBBBBBBBBBBBBBBBBBBBnarrowed")).source,
        &sources[1]);
    assert_ptr_equal(host_list_place(&list, host, path, slice_of("psl_1AAAAAAAAAAAAAAAAAAAAAtag")).source,
                     &sources[0]);
    assert_ptr_equal(host_list_place(&list, host, path, slice_of("something else")).source, &sources[0]);
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

static SourceHost other[] = {
    {HOST_GRAPHQL, {true, (char *)"graph.example", 443, (char *)""}},
    {HOST_RULE, {true, (char *)"uploads.example", 443, (char *)""}},
    {HOST_ARTIFACT, {true, (char *)"*.blob.example", 443, (char *)""}},
};

static RunSourceInfo source_of_many_hosts(void)
{
    RunSourceInfo info = source("ci", "api.example", 443, "/v2", "psl_1AAAAAAAAAAAAAAAAAAAAA");
    info.record.source.other = other;
    info.record.source.n_other = COUNT_OF(other);
    info.record.source.graphql_path = (char *)"/v1";
    info.record.source.graphql_host = 1;
    return info;
}

static void test_the_other_hosts_of_a_source_are_policed_with_it(void **state)
{
    (void)state;
    RunSourceInfo sources[] = {source_of_many_hosts()};
    HostList list;
    host_list_init(&list, sources, 1);
    assert_int_equal(list.n, 4);
    for (uint32_t i = 0; i < 3; i++) {
        const Host *host = host_list_find(&list, source_origin(&sources[0].record.source, i)->host, 443);
        assert_non_null(host);
        assert_int_equal(host_list_place(&list, host, slice_of("/x"), (Slice){"", 0}).host, i);
    }
    assert_int_equal(host_list_named(&list, slice_of("ci")).host, 0);
    assert_false(host_list_named(&list, slice_of("ci")).graphql);
    assert_int_equal(host_list_named(&list, slice_of("ci~graphql")).host, 1);
    assert_true(host_list_named(&list, slice_of("ci~graphql")).graphql);
    assert_int_equal(host_list_named(&list, slice_of("ci~uploads.example")).host, 2);
    assert_null(host_list_named(&list, slice_of("ci~*.blob.example")).source); /* files have no base URL */
    assert_null(host_list_named(&list, slice_of("ci~a1.blob.example")).source);
    host_list_done(&list);
}

static void test_a_pattern_means_one_label(void **state)
{
    (void)state;
    RunSourceInfo sources[] = {source_of_many_hosts()};
    HostList list;
    host_list_init(&list, sources, 1);
    assert_non_null(host_list_find(&list, "a1.blob.example", 443));
    assert_null(host_list_find(&list, "a1.blob.example", 8443));
    assert_null(host_list_find(&list, "blob.example", 443));
    assert_null(host_list_find(&list, ".blob.example", 443));
    assert_null(host_list_find(&list, "a.b.blob.example", 443));
    assert_null(host_list_find(&list, "a1.blob.example.evil", 443));
    assert_null(host_list_find(&list, "a1xblob.example", 443));
    host_list_done(&list);
}

static void test_a_host_that_only_another_retrievers_policy_names_is_no_host_of_this_run(void **state)
{
    (void)state;
    RunSourceInfo sources[] = {source_of_many_hosts()};
    sources[0].record.hosts = 1u << 0 | 1u << 1;
    HostList list;
    host_list_init(&list, sources, 1);
    assert_non_null(host_list_find(&list, "graph.example", 443));
    assert_null(host_list_find(&list, "uploads.example", 443));
    assert_null(host_list_find(&list, "a1.blob.example", 443));
    assert_null(host_list_named(&list, slice_of("ci~uploads.example")).source);
    host_list_done(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_hosts_of_sources_are_found),
        cmocka_unit_test(test_the_other_hosts_of_a_source_are_policed_with_it),
        cmocka_unit_test(test_a_pattern_means_one_label),
        cmocka_unit_test(test_a_host_that_only_another_retrievers_policy_names_is_no_host_of_this_run),
        cmocka_unit_test(test_a_host_of_two_sources_stands_once_and_goes_to_the_longest_base),
        cmocka_unit_test(test_the_lease_presented_decides_between_sources_of_one_host),
        cmocka_unit_test(test_addresses_are_told_from_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
