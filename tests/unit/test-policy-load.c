/* Policy files: what is refused and how it is said; and purser's own policies, whose tests must hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "policy/policy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

static void a_wrong_file_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"allow: []\n", "p.yaml:1:1: a policy needs the key 'policy'"},
        {"policy: p\n", "p.yaml:1:1: a policy needs the key 'allow'"},
        {"policy: p\nalow: []\n", "p.yaml:2:1: a policy has no key 'alow'; did you mean 'allow'?"},
        {"policy: p\nallow: {}\n", "p.yaml:2:8: 'allow' must be a list, but is a mapping"},
        {"policy: p\nallow:\n- {path: /a}\n", "p.yaml:3:3: an allow rule needs the key 'method'"},
        {"policy: p\nallow:\n- {method: GET}\n", "p.yaml:3:3: a rule needs the key 'path'"},
        {"policy: p\nallow:\n- {method: GTE, path: /a}\n",
         "p.yaml:3:12: 'GTE' is not a method that a policy can name; did you mean GET?"},
        {"policy: p\nallow:\n- {method: get, path: /a}\n", "p.yaml:3:12: 'get' is not a method"},
        {"policy: p\nallow:\n- {method: TRACE, path: /a}\n", "p.yaml:3:12: 'TRACE' is not a method"},
        {"policy: p\nallow:\n- {method: [], path: /a}\n", "p.yaml:3:12: 'method' names none"},
        {"policy: p\nallow:\n- {method: GET, path: a}\n", "p.yaml:3:23: the path 'a' must begin with '/'"},
        {"policy: p\nallow:\n- {method: GET, path: /a/**/b}\n",
         "p.yaml:3:23: the path '/a/**/b' has '**' before its end"},
        {"policy: p\nallow:\n- {method: GET, path: /a*}\n",
         "p.yaml:3:23: the path '/a*' has a '*' inside a segment"},
        {"policy: p\nallow:\n- {method: GET, path: /a//b}\n",
         "p.yaml:3:23: the path '/a//b' has an empty segment"},
        {"policy: p\nallow:\n- {method: GET, path: /a/../b}\n",
         "p.yaml:3:23: the path '/a/../b' has a dot segment"},
        {"policy: p\nallow: []\ndeny:\n- {path: '/secrets%3Aread'}\n",
         "p.yaml:4:10: the path '/secrets%3Aread' is not in the form that requests have"},
        {"policy: p\nallow: []\ndeny:\n- {path: '/a%2fb'}\n",
         "p.yaml:4:10: the path '/a%2fb' is not in the form that requests have"},
        {"policy: p\nallow:\n- {method: GET, path: /a?x=1}\n", "p.yaml:3:23: the path '/a?x=1' has a query"},
        {"policy: p\nallow:\n- {method: GET, path: /a, host: 'https://x'}\n",
         "p.yaml:3:33: 'https://x' is not a host name"},
        {"policy: p\nallow:\n- {path: /g, graphql: {fields: [a]}}\n",
         "p.yaml:3:3: a graphql rule stands alone"},
        {"policy: p\nallow:\n- {method: GET, path: /a, query: page}\n",
         "p.yaml:3:34: 'query' must be a list, but is a single word"},
        {"policy: p\nallow:\n- {method: GET, path: /a, query: [a, a]}\n",
         "p.yaml:3:3: the rule names a parameter or a media type twice"},
        {"policy: p\nallow:\n- {method: GET, path: /a, accept: [json]}\n",
         "p.yaml:3:3: the rule has a media type that is none"},
        {"policy: p\nallow:\n- {method: GET, path: /a, accept: []}\n",
         "p.yaml:3:35: 'accept' would refuse every request; leave the key out"},
        {"policy: p\nallow:\n- {method: GET, path: /a, responseBytes: 0}\n",
         "p.yaml:3:42: 'responseBytes' would refuse every request; leave the key out"},
        {"policy: p\nallow:\n- {graphql: {fields: [a]}, responseBytes: 1}\n",
         "p.yaml:3:43: a graphql rule has no 'responseBytes'"},
        {"policy: p\nallow: []\ndeny:\n- {path: /a, query: [x]}\n",
         "p.yaml:4:21: a deny rule, which denies whatever else a request has, has no 'query'"},
        {"policy: p\nallow: []\nlease: {requests: 0}\n",
         "p.yaml:3:19: 'requests: 0' would refuse every request"},
        {"policy: p\nallow: []\nlease: {rate: fast}\n", "p.yaml:3:15: 'rate: fast' is not a rate like"},
        {"policy: p\nallow: []\nreveal: yes\n", "p.yaml:3:9: 'reveal: yes' must be true or false"},
        {"policy: p\nallow: []\ntests:\n- {request: /a, expect: allow}\n",
         "p.yaml:4:13: 'request' is a method and a path"},
        {"policy: p\nallow: []\ntests:\n- {request: GET /a?x=%zz, expect: allow}\n",
         "p.yaml:4:13: the request's target cannot be sent: The query has a '%'"},
        {"policy: p\nallow: []\ntests:\n- {request: GET /a, expect: alow}\n",
         "p.yaml:4:29: 'expect' is allow or deny"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Policy *policy = NULL;
        Fault fault = {""};
        assert_int_equal(policy_parse("p.yaml", slice_of(bad[i].text), &policy, &fault), -EINVAL);
        assert_null(policy);
        if (strncmp(fault.text, bad[i].says, strlen(bad[i].says)) != 0)
            fail_msg("%s  says: %s", bad[i].text, fault.text);
    }
}

static void too_much_is_refused(void **state)
{
    (void)state;
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    Policy *policy = NULL;
    Fault fault = {""};
    assert_int_equal(buf_append_text(&text, "policy: p\nallow:\n"), 0);
    for (unsigned i = 0; i <= POLICY_MAX_RULES; i++)
        assert_int_equal(buf_printf(&text, "- {method: GET, path: /%u}\n", i), 0);
    assert_int_equal(policy_parse("p.yaml", buf_slice(&text), &policy, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "1024"));
    while (text.len <= POLICY_MAX_BYTES)
        assert_int_equal(buf_append_text(&text, "# and more of it\n"), 0);
    assert_int_equal(policy_parse("p.yaml", buf_slice(&text), &policy, &fault), -EINVAL);
    assert_string_equal(fault.text, "p.yaml: the file is larger than 64 KiB, which no such file needs to be");
}

static void a_failing_test_is_named_with_its_line(void **state)
{
    (void)state;
    Policy *policy = NULL;
    Fault fault = {""};
    const char *text =
        "policy: p\nallow:\n- {method: GET, path: /a}\ntests:\n- {request: GET /a, expect: allow}\n"
        "- {request: GET /b, expect: allow}\n";
    assert_int_equal(policy_parse("p.yaml", slice_of(text), &policy, &fault), 0);
    assert_int_equal(policy_run_tests(policy, &fault), -EINVAL);
    assert_string_equal(fault.text,
                        "p.yaml:6: the test 'request: GET /b, expect: allow' fails: GET /b is not named by "
                        "policy p; if it is meant to be allowed, add to its allow list: - {method: GET, "
                        "path: /b}");
    policy_free(policy);
}

static void every_policy_of_ours_passes_its_own_tests(void **state)
{
    (void)state;
    unsigned seen = 0;
    DIR *folder = opendir(SOURCE_ROOT "/policy");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        CLEANUP_BUF Buf bytes = BUF_INIT(POLICY_MAX_BYTES);
        Policy *policy = NULL;
        Fault fault = {""};
        if (entry->d_type != DT_REG || !slice_ends(slice_of(entry->d_name), ".yaml"))
            continue;
        assert_int_equal(io_read_file(dirfd(folder), entry->d_name, &bytes), 0);
        if (policy_parse(entry->d_name, buf_slice(&bytes), &policy, &fault) ||
            policy_run_tests(policy, &fault))
            fail_msg("%s", fault.text);
        assert_true(policy->n_test >= 20);
        assert_int_equal(strncmp(policy->documentation, "https://", 8), 0);
        assert_false(policy->reveal);
        policy_free(policy);
        seen++;
    }
    closedir(folder);
    assert_int_equal(seen, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_file_is_refused_with_its_place),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(a_failing_test_is_named_with_its_line),
        cmocka_unit_test(every_policy_of_ours_passes_its_own_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
