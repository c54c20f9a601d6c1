/* Parameters: what a value may be, what a policy becomes with it, that it is never wider for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/graphql-rule.h"

#include <errno.h>

static const char text[] =
    "policy: p\n"
    "parameters:\n"
    "  owner: {default: '*', class: name}\n"
    "  repo: {default: '*'}\n"
    "  id: {default: '*', class: number, unless: [owner, repo]}\n"
    "  project: {default: '*', class: path}\n"
    "allow:\n"
    "- {method: GET, path: '/repos/{owner}/{repo}/runs'}\n"
    "- {method: GET, path: '/ids/{id}/runs'}\n"
    "- {method: GET, path: /events, unless: [owner]}\n"
    "- {method: GET, path: '/projects/{project}/jobs'}\n"
    "- graphql: {fields: [repository], arguments: {repository: {owner: ['{owner}'], name: ['{repo}']}}}\n"
    "- graphql: {fields: [pipeline], arguments: {pipeline: {slug: ['{owner}/{repo}']}}}\n"
    "- {graphql: {fields: [viewer]}, unless: [owner]}\n"
    "deny:\n"
    "- {path: '/repos/{owner}/secret/runs'}\n";

static Policy *form;

static int set_up(void **state)
{
    (void)state;
    Fault fault = {""};
    int r = policy_parse("p.yaml", slice_of(text), &form, &fault);
    if (r)
        print_error("%s\n", fault.text);
    return r;
}

static int tear_down(void **state)
{
    (void)state;
    form = policy_free(form);
    return 0;
}

/* "owner=acme repo=web" */
static Policy *bind(const char *given)
{
    PolicyWith with = {0};
    Policy *bound = NULL;
    Fault fault = {""};
    for (Slice one, rest = slice_of(given); rest.len;) {
        Slice name, value;
        slice_cut(rest, ' ', &one, &rest);
        assert_true(slice_cut(one, '=', &name, &value));
        MEM_PUSH(with.name, with.n, mem_dup(name.ptr, name.len));
        with.value = mem_grow(with.value, with.n, sizeof(*with.value));
        with.value[with.n - 1] = mem_dup(value.ptr, value.len);
    }
    if (policy_bind(form, &with, &bound, &fault))
        fail_msg("%s", fault.text);
    assert_true(policy_bound_as(bound, form, &with));
    policy_with_done(&with);
    return bound;
}

static bool allows(const Policy *policy, const char *path)
{
    PolicyRequest request = {.method = HTTP_GET, .path = slice_of(path)};
    return policy_decide(policy, &request).answer == POLICY_ALLOW;
}

static bool allows_graphql(const Policy *policy, const char *document)
{
    GraphqlArena arena;
    GraphqlChosen chosen;
    Fault why = {""};
    GraphqlRequest request = {.query = slice_of(document)};
    graphql_arena_init(&arena);
    if (graphql_read(&arena, &request, &chosen, &why))
        fail_msg("%s", why.text);
    PolicyAnswer answer = policy_decide_graphql(policy, &chosen).answer;
    graphql_arena_done(&arena);
    return answer == POLICY_ALLOW;
}

static void without_values_a_parameter_is_any_segment(void **state)
{
    (void)state;
    Policy *bound = bind("");
    static const char *const yes[] = {"/repos/a/b/runs", "/repos/%C3%A4/b/runs", "/ids/7/runs", "/events",
                                      "/projects/7/jobs"};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        assert_true(allows(bound, yes[i]));
    assert_false(allows(bound, "/repos/a/b/c/runs"));
    assert_false(allows(bound, "/repos/a/secret/runs"));
    assert_true(allows_graphql(bound, "{repository(owner: \"x\", name: \"y\") {id}}"));
    assert_true(allows_graphql(bound, "{repository {id}}"));
    assert_true(allows_graphql(bound, "{pipeline(slug: \"x/y\") {id}}"));
    assert_true(allows_graphql(bound, "{viewer {id}}"));
    policy_free(bound);
}

static void a_value_is_one_segment_and_no_other(void **state)
{
    (void)state;
    Policy *bound = bind("owner=acme");
    assert_true(allows(bound, "/repos/acme/b/runs"));
    static const char *const no[] = {"/repos/acm/b/runs",
                                     "/repos/Acme/b/runs",
                                     "/repos/acme/b/c/runs",
                                     "/repos/acmee/b/runs",
                                     "/repos/*/b/runs",
                                     "/ids/7/runs",
                                     "/events",
                                     "/repos/acme/secret/runs"};
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (allows(bound, no[i]))
            fail_msg("%s", no[i]);
    assert_true(allows_graphql(bound, "{repository(owner: \"acme\", name: \"y\") {id}}"));
    assert_false(allows_graphql(bound, "{repository(owner: \"other\", name: \"y\") {id}}"));
    assert_false(allows_graphql(bound, "{repository {id}}"));
    /* half a condition is none, so the rule is gone */
    assert_false(allows_graphql(bound, "{pipeline(slug: \"acme/y\") {id}}"));
    assert_false(allows_graphql(bound, "{viewer {id}}"));
    assert_string_equal(bound->rule[bound->n_rule - 1].path, "/repos/*/secret/runs");
    bound = policy_free(bound);
    bound = bind("owner=acme repo=web id=12");
    assert_true(allows(bound, "/repos/acme/web/runs"));
    assert_false(allows(bound, "/repos/acme/b/runs"));
    assert_true(allows(bound, "/ids/12/runs")); /* it was given itself */
    assert_false(allows(bound, "/ids/13/runs"));
    assert_true(allows_graphql(bound, "{pipeline(slug: \"acme/web\") {id}}"));
    assert_false(allows_graphql(bound, "{pipeline(slug: \"acme/w\") {id}}"));
    policy_free(bound);
    bound = bind("repo=a@b:c,d owner=x.y project=group/sub-group/tool");
    assert_true(allows(bound, "/repos/x.y/a@b:c,d/runs"));
    assert_true(allows(bound, "/projects/group%2Fsub-group%2Ftool/jobs"));
    assert_false(allows(bound, "/projects/group/sub-group/tool/jobs"));
    policy_free(bound);
    bound = bind("repo=\xC3\xA4\"");
    assert_true(allows(bound, "/repos/o/%C3%A4%22/runs"));
    policy_free(bound);
}

static void no_value_can_widen_a_policy(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
    } bad[] = {
        {"repo", "*"},         {"repo", "**"},      {"repo", ""},         {"repo", "a/b"},
        {"repo", ".."},        {"repo", "."},       {"repo", "..."},      {"repo", "a%2Fb"},
        {"repo", "%2e"},       {"repo", "a;b"},     {"repo", "a?b"},      {"repo", "a#b"},
        {"repo", "a\\b"},      {"repo", "a\nb"},    {"repo", "a*"},       {"repo", "{owner}"},
        {"repo", "\xFF"},      {"owner", "a b"},    {"owner", "a@b"},     {"id", "1a"},
        {"id", "-1"},          {"project", "a//b"}, {"project", "/a"},    {"project", "a/"},
        {"project", "a/../b"}, {"project", "a/*"},  {"project", "a%2Fb"}, {"project", ".."},
        {"nothing", "x"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char *name = mem_strdup(bad[i].name), *value = mem_strdup(bad[i].value);
        PolicyWith with = {&name, &value, 1};
        Policy *bound = NULL;
        Fault fault = {""};
        if (policy_bind(form, &with, &bound, &fault) != -EINVAL || bound)
            fail_msg("%s=%s", bad[i].name, bad[i].value);
        assert_true(fault.text[0]);
        mem_free(name);
        mem_free(value);
    }
}

static void several_values_are_each_with_each(void **state)
{
    (void)state;
    Policy *bound = bind("owner=acme repo=web repo=api id=1 id=2"), *one = bind("owner=acme");
    static const char *const yes[] = {"/repos/acme/web/runs", "/repos/acme/api/runs", "/ids/1/runs",
                                      "/ids/2/runs"};
    static const char *const no[] = {"/repos/acme/other/runs", "/repos/web/api/runs", "/ids/3/runs",
                                     "/events"};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        assert_true(allows(bound, yes[i]));
    for (size_t i = 0; i < COUNT_OF(no); i++)
        assert_false(allows(bound, no[i]));
    assert_true(allows_graphql(bound, "{repository(owner: \"acme\", name: \"api\") {id}}"));
    assert_true(allows_graphql(bound, "{pipeline(slug: \"acme/web\") {id}}"));
    assert_false(allows_graphql(bound, "{pipeline(slug: \"acme/x\") {id}}"));
    /* what has no parameter is there once */
    assert_int_equal(bound->n_rule, 2 + 2 + 0 + 1 + 2 + 2 + 0 + 1);
    assert_int_equal(bound->rule[0].line, bound->rule[1].line);
    assert_false(policy_bound_as(one, form, &bound->with));
    assert_true(policy_bound_as(bound, form, &bound->with));
    policy_free(one);
    policy_free(bound);
    PolicyWith many = {0};
    Fault fault = {""};
    bound = NULL;
    for (unsigned i = 0; i < 17 * 2; i++) {
        MEM_PUSH(many.name, many.n, mem_strdup(i % 2 ? "owner" : "repo"));
        many.value = mem_grow(many.value, many.n, sizeof(*many.value));
        many.value[many.n - 1] = mem_printf("n%u", i);
    }
    assert_int_equal(policy_bind(form, &many, &bound, &fault), -EINVAL);
    assert_string_equal(fault.text, "the values for policy p make more than 256 combinations");
    policy_with_done(&many);
}

static void a_value_without_default_must_be_given(void **state)
{
    (void)state;
    Policy *policy = NULL, *bound = NULL;
    Fault fault = {""};
    const char *needs = "policy: p\nparameters: {org: {}}\nallow:\n- {method: GET, path: '/{org}'}\ntests:\n"
                        "- {request: 'GET /{org}', with: {org: a}, expect: allow}\n"
                        "- {request: GET /b, with: {org: a}, expect: deny}\n";
    const PolicyWith none = {0};
    assert_int_equal(policy_parse("p.yaml", slice_of(needs), &policy, &fault), 0);
    assert_int_equal(policy_run_tests(policy, &fault), 0);
    assert_string_equal(policy_missing(policy, &none), "org");
    assert_int_equal(policy_bind(policy, &none, &bound, &fault), -EINVAL);
    assert_string_equal(fault.text,
                        "policy p needs a value of its parameter 'org', as in 'with: {org: ...}'");
    policy_free(policy);
    needs = "policy: p\nparameters: {org: {}}\nallow: []\ntests:\n- {request: GET /b, expect: deny}\n";
    assert_int_equal(policy_parse("p.yaml", slice_of(needs), &policy, &fault), 0);
    assert_int_equal(policy_run_tests(policy, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "p.yaml:5: the test cannot be run: policy p needs a value"));
    policy_free(policy);
}

static void tests_have_the_values_of_their_own(void **state)
{
    (void)state;
    static const char tests[] = "policy: p\nparameters: {a: {default: '*'}, b: {default: x}}\nallow:\n"
                                "- {method: GET, path: '/{a}/{b}'}\n- graphql: {fields: [f], arguments: {f: "
                                "{s: ['{a}-{b}', '{b}']}}}\n"
                                "tests:\n"
                                "- {request: 'GET /{a}/{b}', expect: allow}\n"
                                "- {request: GET /a/x, expect: allow}\n"
                                "- {request: GET /a/y, expect: deny}\n"
                                "- {request: 'GET /{a}/{b}', with: {a: 'q r', b: z}, expect: allow}\n"
                                "- {request: 'GET /q%20r/z', with: {a: 'q r', b: z}, expect: allow}\n"
                                "- {request: GET /s/z, with: {a: 'q r', b: z}, expect: deny}\n"
                                "- {graphql: '{f(s: \"{a}-{b}\"){a}}', with: {a: q}, expect: allow}\n"
                                "- {graphql: 'query ($s: String!) {f(s: $s)}', variables: {s: '{a}-{b}'}, "
                                "with: {a: q}, expect: allow}\n"
                                "- {graphql: '{f(s: \"q-y\"){a}}', with: {a: q}, expect: deny}\n"
                                "- {graphql: '{f(s: \"x\"){a}}', with: {a: q}, expect: allow}\n";
    Policy *policy = NULL;
    Fault fault = {""};
    if (policy_parse("p.yaml", slice_of(tests), &policy, &fault) || policy_run_tests(policy, &fault))
        fail_msg("%s", fault.text);
    policy_free(policy);
}

static void a_wrong_declaration_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"parameters: {a-b: {}}\nallow: []\n", "p.yaml:2:14: a parameter's name is letters and digits"},
        {"parameters: {a: {default: a/b}}\nallow: []\n", "p.yaml:2:27: the default of 'a' is one segment"},
        {"parameters: {a: {class: x}}\nallow: []\n", "p.yaml:2:25: 'class' is segment, name, number or path"},
        {"parameters: {a: {default: x, unless: [b]}}\nallow: []\n",
         "p.yaml:2:17: 'b' is not one of these parameters"},
        {"parameters: {a: {unless: [a]}}\nallow: []\n", "p.yaml:2:17: 'unless' is about the default of 'a'"},
        {"parameters: {a: {pattern: x}}\nallow: []\n", "p.yaml:2:18: a parameter has no key 'pattern'"},
        {"allow:\n- {method: GET, path: '/{a}'}\n", "p.yaml:3:23: the path '/{a}' names a parameter that"},
        {"parameters: {a: {}}\nallow:\n- {method: GET, path: '/x{a}'}\n",
         "p.yaml:4:23: the path '/x{a}' has braces that are not a whole segment"},
        {"parameters: {a: {}}\nallow:\n- {method: GET, path: '/{a'}\n",
         "p.yaml:4:23: the path '/{a' has braces"},
        {"parameters: {a: {}}\nallow:\n- {method: GET, path: /a, unless: [b]}\n",
         "p.yaml:4:36: 'b' is not declared"},
        {"parameters: {a: {}}\nallow: []\ndeny:\n- {path: /a, unless: [a]}\n",
         "p.yaml:5:22: a deny rule holds always"},
        {"allow:\n- graphql: {fields: [f], arguments: {f: {x: ['{y}']}}}\n",
         "p.yaml:3:3: the argument 'x' names {y}, which is not declared"},
        {"allow: []\ntests:\n- {request: GET /a, with: {b: c}, expect: deny}\n",
         "p.yaml:4:28: policy p has no parameter 'b' (it has: none)"},
        {"parameters: {b: {}}\nallow: []\ntests:\n- {request: GET /a, with: {b: '*'}, expect: deny}\n",
         "p.yaml:5:31: 'b: *': a value of this parameter of policy p is one segment"},
        {"parameters: {b: {}}\nallow: []\ntests:\n- {request: GET /a, with: {b: [[x]]}, expect: deny}\n",
         "p.yaml:5:32: the value of 'b' must be a word or a number, or a list of them, but is a list"},
        {"parameters: {b: {}}\nallow: []\ntests:\n- {request: GET /a, with: {b: []}, expect: deny}\n",
         "p.yaml:5:31: 'b' has no value; leave it out for its default"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Policy *policy = NULL;
        Fault fault = {""};
        CLEANUP_MEM char *whole = mem_printf("policy: p\n%s", bad[i].text);
        assert_int_equal(policy_parse("p.yaml", slice_of(whole), &policy, &fault), -EINVAL);
        if (strncmp(fault.text, bad[i].says, strlen(bad[i].says)) != 0)
            fail_msg("%s  says: %s", bad[i].text, fault.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_values_a_parameter_is_any_segment),
        cmocka_unit_test(a_value_is_one_segment_and_no_other),
        cmocka_unit_test(no_value_can_widen_a_policy),
        cmocka_unit_test(several_values_are_each_with_each),
        cmocka_unit_test(a_value_without_default_must_be_given),
        cmocka_unit_test(tests_have_the_values_of_their_own),
        cmocka_unit_test(a_wrong_declaration_is_refused_with_its_place),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
