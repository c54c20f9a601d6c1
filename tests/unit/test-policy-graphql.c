/* GraphQL rules: what they allow, what they deny, how it is said, how they are read and sent. */
#include "graphql-policy.h"

#include <errno.h>

static void only_root_fields_that_are_named_are_allowed(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {fields: [repository, rateLimit]}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{repository{name}}", "{rateLimit{cost} repository{x}}",
                   "query Q{...F} fragment F on Query{rateLimit{cost}}", "{x:rateLimit{cost}}",
                   "{__typename}", "{repository{__typename a{b{c{d}}}}}", "{repository{viewer}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{viewer{login}}", "{repository{name} viewer{login}}",
                   "{rateLimit:viewer{login}}",
                   "{...F} fragment F on Query{repository{x} ...G} fragment G on Q{viewer}",
                   "{... @include(if: false){viewer}}", "{viewer @skip(if: true)}", "{Repository{name}}",
                   "mutation{repository{x}}", "{__schema{types{name}}}", "{__type(name:\"x\"){name}}",
                   "mutation{__typename}");
    policy_free(policy);
    policy = policy_of("allow:\n- {method: GET, path: /**}\n");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{repository}", "{__typename}");
    policy_free(policy);
}

static void a_star_is_every_root_field_but_introspection(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {fields: ['*'], operations: [query]}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{a}", "{a b{c}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{__schema{types{name}}}", "{a __type(name:\"x\"){name}}",
                   "mutation{a}");
    policy_free(policy);
    policy = policy_of("allow:\n- graphql: {fields: ['*', __schema], operations: [query, mutation]}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{__schema{types{name}}}", "mutation{a}");
    ASSERT_ANSWERS(policy, POLICY_DENY, "subscription{a}", "subscription S{__typename}");
    policy_free(policy);
}

static void denied_fields_are_denied_wherever_they_stand(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {operations: [query, mutation], fields: ['*']}\n"
                               "deny:\n- {path: /x}\n- graphql: {fields: [log, apiToken, __type]}\n");
    ASSERT_ANSWERS(policy, POLICY_DENY, "{log}", "{a{log}}", "{a{b{x:log}}}", "{a{LOG}}", "{a{apitoken}}",
                   "{a{APITOKEN}}",
                   "{...F} fragment F on T{a{...G}} fragment G on T{... on Job{log{content}}}",
                   "{a{log @skip(if:true)}}", "mutation{a{b{log}}}", "{__type(name:\"x\"){name}}");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{a{logs}}", "{log:a}", "{a(log:1)}", "{a{b(x:\"log\")}}",
                   "{a{...on log{b}}}", "{a} fragment F on T{log}");
    policy_free(policy);
}

static void only_subfields_that_are_named_are_allowed(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {fields: [repository], subfields: [runs, nodes, id]}\n"
                               "- graphql: {fields: [rateLimit], subfields: []}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{repository{id}}", "{repository{runs{nodes{id __typename}}}}",
                   "{repository{...F}} fragment F on R{x:id}", "{rateLimit}", "{rateLimit{__typename}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{repository{id name}}", "{repository{runs{repository{id}}}}",
                   "{repository{id:name}}", "{repository{...F}} fragment F on R{... on R{runs{name}}}",
                   "{rateLimit{cost}}", "{rateLimit{id}}", "{repository{__schema}}");
    policy_free(policy);
}

static void arguments_must_be_there_and_be_allowed(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {fields: [repository, other], "
                               "arguments: {repository: {owner: [acme, '7'], name: web}}}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{repository(owner:\"acme\",name:\"web\"){x}}",
                   "{repository(name:\"web\" extra:1 owner:7){x}}",
                   "{repository(owner:acme,name:\"\"\"web\"\"\"){x}}",
                   "{repository(owner:\"\\u0061cme\",name:\"web\"){x}}", "{other}",
                   "{repository(owner:[\"acme\",7],name:\"web\"){x}}",
                   "query($o:String=\"acme\"){repository(owner:$o,name:\"web\"){x}}");
    ASSERT_ANSWERS(
        policy, POLICY_NOT_NAMED, "{repository{x}}", "{repository(owner:\"acme\"){x}}",
        "{repository(owner:\"evil\",name:\"web\"){x}}", "{repository(owner:\"acme\",name:\"WEB\"){x}}",
        "{repository(owner:null,name:\"web\"){x}}", "{repository(owner:[],name:\"web\"){x}}",
        "{repository(owner:[\"acme\",\"evil\"],name:\"web\"){x}}",
        "{repository(owner:[[\"acme\"]],name:\"web\"){x}}",
        "{repository(owner:{a:\"acme\"},name:\"web\"){x}}", "{repository(owner:7.0,name:\"web\"){x}}",
        "{repository(owner:\"acme \",name:\"web\"){x}}",
        "{repository(owner:\"acme\\u0020\",name:\"web\"){x}}",
        "query($o:String){repository(owner:$o,name:\"web\"){x}}",
        "{a:repository(owner:\"acme\",name:\"web\"){x} b:repository(owner:\"evil\",name:\"web\"){x}}");
    static const char variable[] = "query($o:String=\"acme\",$n:[String]){repository(owner:$o,name:$n){x}}";
    assert_int_equal(ask_with(policy, variable, "{n: \"web\"}"), POLICY_ALLOW);
    assert_int_equal(ask_with(policy, variable, "{o: \"7\", n: [\"web\"]}"), POLICY_ALLOW);
    assert_int_equal(ask_with(policy, variable, "{o: \"evil\", n: \"web\"}"), POLICY_NOT_NAMED);
    assert_int_equal(ask_with(policy, variable, "{o: null, n: \"web\"}"), POLICY_NOT_NAMED);
    assert_int_equal(ask_with(policy, variable, "{O: \"evil\", n: \"web\", N: \"evil\"}"), POLICY_ALLOW);
    assert_int_equal(ask_with(policy, variable, "{n: {x: \"web\"}}"), POLICY_NOT_NAMED);
    policy_free(policy);
}

static void bounds_are_the_rules(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {fields: [a], maxDepth: 3, maxAliases: 1}\n"
                               "- graphql: {fields: [b]}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{a}", "{a{b{c}}}", "{x:a}", "{a{...{...{b{c}}}}}", "{b{c{d{e}}}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{a{b{c{d}}}}", "{a{...F}} fragment F on T{b{c{d}}}",
                   "{x:a y:a}", "{a{x:b y:b}}", "{a b{x:c y:c}}",
                   "{b{c{c{c{c{c{c{c{c{c{c{c{c{c{c{c{c{c{c{c{c}}}}}}}}}}}}}}}}}}}}}");
    policy_free(policy);
    policy = policy_of("allow:\n- graphql: {fields: [a], maxAliases: 0}\n");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{x:a}");
    policy_free(policy);
}

/* One rule for each root field is enough; which one says what is beneath. */
static void rules_are_added_up(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {fields: [a], arguments: {a: {x: 1}}, subfields: [p]}\n"
                               "- graphql: {fields: [a], arguments: {a: {x: 2}}, subfields: [q]}\n"
                               "- graphql: {operations: [mutation], fields: [m]}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{i:a(x:1){p} j:a(x:2){q}}", "mutation{m}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{a(x:1){q}}", "{a(x:2){p}}", "{a(x:1){p q}}", "{m}",
                   "mutation{a(x:1){p}}", "mutation{m a(x:1){p}}");
    policy_free(policy);
}

static void a_refusal_says_what_to_add(void **state)
{
    (void)state;
    static const struct {
        const char *query, *says;
    } refusals[] = {
        {"{viewer{x}}",
         "the GraphQL query of 'viewer' is not named by policy p; if it is meant to be allowed, add to its "
         "allow list: - graphql: {operations: [query], fields: [viewer]}"},
        {"mutation{a}",
         "the GraphQL mutation of 'a' is not named by policy p; if it is meant to be allowed, add to its "
         "allow list: - graphql: {operations: [mutation], fields: [a]}"},
        {"mutation{__typename}", "policy p has no rule that allows a GraphQL mutation"},
        {"{\n  a(x: 1) { id\n name }}",
         "the GraphQL field 'name' (line 3, column 2) is not among the subfields of policy p, "
         "line 3; if it is meant to be read, add it there"},
        {"{a(x:1){id{id{id}}}}",
         "the GraphQL field 'a' (line 1, column 2) goes 4 fields deep; policy p, line 3, has "
         "maxDepth: 3"},
        {"{b:a(x:1){id} c:a(x:1){id} d:a(x:1){id}}",
         "the GraphQL query has 3 aliases; policy p, line 3, has maxAliases: 2"},
        {"{a(x:\"hidden\"){id}}",
         "the argument 'x' of the GraphQL field 'a' (line 1, column 2) must be there and be one of: "
         "1, two; that is what policy p, line 3, allows"},
        {"{a(x:1){id{Token}}}",
         "the GraphQL field 'Token' (line 1, column 12) is denied by policy p, line 5: deny {graphql: "
         "{fields: [Token]}}; no allow rule is stronger than that"},
        {"subscription{a}", "no policy can allow a GraphQL subscription: ask by a query, again and again"},
        {"{a(x:1){id}}", "the GraphQL query of 'a' is allowed by policy p, line 3"},
    };
    Policy *policy =
        policy_of("allow:\n- graphql: {fields: [a], arguments: {a: {x: [1, two]}}, subfields: [id], "
                  "maxDepth: 3, maxAliases: 2}\ndeny:\n- graphql: {fields: [token]}\n");
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        ask_with(policy, refusals[i].query, NULL);
        assert_string_equal(fault.text, refusals[i].says);
    }
    policy_free(policy);
}

static void a_wrong_rule_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"allow:\n- graphql: {}\n", "p.yaml:3:12: graphql needs the key 'fields'"},
        {"allow:\n- graphql: {fields: []}\n", "p.yaml:3:12: the graphql rule names no fields"},
        {"allow:\n- graphql: {fields: [a-b]}\n",
         "p.yaml:3:12: the graphql rule has a name that no GraphQL field can have"},
        {"allow:\n- graphql: {fields: [1a]}\n", "p.yaml:3:12: the graphql rule has a name"},
        {"allow:\n- graphql: {fields: [a, b, a]}\n", "p.yaml:3:12: the graphql rule names something twice"},
        {"allow:\n- graphql: {fields: [a], operations: [quary]}\n",
         "p.yaml:3:38: a GraphQL operation that a policy can allow is 'query' or 'mutation', not 'quary'"},
        {"allow:\n- graphql: {fields: [a], operations: [subscription]}\n",
         "p.yaml:3:38: a GraphQL operation"},
        {"allow:\n- graphql: {fields: [a], operations: []}\n", "p.yaml:3:38: 'operations' names none"},
        {"allow:\n- graphql: {fields: [a], maxDepth: 0}\n", "p.yaml:3:12: the graphql rule has a bound"},
        {"allow:\n- graphql: {fields: [a], maxDepth: 51}\n", "p.yaml:3:36: 'maxDepth: 51' is too large"},
        {"allow:\n- graphql: {fields: [a], subfields: ['*']}\n", "p.yaml:3:12: the graphql rule has a name"},
        {"allow:\n- graphql: {fields: [a], denyFields: [b]}\n",
         "p.yaml:3:26: graphql has no key 'denyFields'"},
        {"allow:\n- graphql: {fields: [a], arguments: {b: {x: 1}}}\n",
         "p.yaml:3:12: the graphql rule has arguments of a field"},
        {"allow:\n- graphql: {fields: [a], arguments: {a: {x: []}}}\n",
         "p.yaml:3:12: the graphql rule has an argument without"},
        {"allow:\n- graphql: {fields: ['*'], arguments: {'*': {x: 1}}}\n",
         "p.yaml:3:12: the graphql rule has an argument whose name, or whose field's, none can have"},
        {"allow:\n- graphql: {fields: [a], arguments: {a: x}}\n", "p.yaml:3:41: 'a' must be a mapping"},
        {"allow:\n- graphql: {fields: [a], arguments: {a: {x: [[1]]}}}\n", "p.yaml:3:46: 'x' must be text"},
        {"allow:\n- graphql: {fields: [a], arguments: [a]}\n", "p.yaml:3:37: 'arguments' must be a mapping"},
        {"allow:\n- {graphql: {fields: [a]}, method: POST}\n",
         "p.yaml:3:3: a graphql rule stands alone: it has no method"},
        {"allow: []\ndeny:\n- graphql: {}\n", "p.yaml:4:12: graphql under deny needs the key 'fields'"},
        {"allow: []\ndeny:\n- graphql: {fields: [a], maxDepth: 3}\n",
         "p.yaml:4:26: graphql under deny has no key 'maxDepth'"},
        {"allow: []\ndeny:\n- graphql: {fields: ['*']}\n", "p.yaml:4:12: the graphql rule has a name"},
        {"allow: []\ndeny:\n- graphql: {fields: [a, A]}\n",
         "p.yaml:4:12: the graphql rule names something twice"},
        {"allow: []\ntests:\n- {expect: deny}\n", "p.yaml:4:3: a test has either a 'request', maybe with "
                                                  "'accept' and 'contentType', or a 'graphql' document"},
        {"allow: []\ntests:\n- {request: GET /, graphql: '{a}', expect: deny}\n",
         "p.yaml:4:3: a test has either"},
        {"allow: []\ntests:\n- {request: GET /, variables: {}, expect: deny}\n",
         "p.yaml:4:3: a test has either"},
        {"allow: []\ntests:\n- {graphql: '{a}', variables: [], expect: deny}\n",
         "p.yaml:4:31: 'variables' must be a mapping"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Policy *policy = NULL;
        CLEANUP_MEM char *text = mem_printf("policy: p\n%s", bad[i].text);
        assert_int_equal(policy_parse("p.yaml", slice_of(text), &policy, &fault), -EINVAL);
        if (strncmp(fault.text, bad[i].says, strlen(bad[i].says)) != 0)
            fail_msg("%s  says: %s", bad[i].text, fault.text);
    }
}

static void tests_stand_beside_the_rules(void **state)
{
    (void)state;
    static const char rules[] =
        "allow:\n- graphql: {fields: [a], arguments: {a: {x: [1, 'true', e]}}}\ntests:\n";
    static const struct {
        const char *test, *says; /* NULL: it passes */
    } tests[] = {
        {"- {graphql: '{a(x: 1)}', expect: allow}\n", NULL},
        {"- {graphql: '{b}', expect: deny}\n", NULL},
        {"- graphql: |\n    query ($v: T) {\n      a(x: $v) # why\n    }\n  variables: {v: 1}\n  expect: "
         "allow\n",
         NULL},
        {"- {graphql: 'query($v:T){a(x:$v)}', variables: {v: true}, expect: allow}\n", NULL},
        {"- {graphql: 'query($v:T){a(x:$v)}', variables: {v: 'e'}, expect: allow}\n", NULL},
        {"- {graphql: 'query($v:T){a(x:$v)}', variables: {v: [e, 1, 'true']}, expect: allow}\n", NULL},
        {"- {graphql: 'query($v:T){a(x:$v)}', variables: {v: {k: [1, {l: \"x\\ny\"}]}}, expect: deny}\n",
         NULL},
        {"- {graphql: 'query($v:T){a(x:$v)}', variables: {v: null}, expect: deny}\n", NULL},
        {"- {graphql: 'query A{a(x:1)} mutation B{b}', operationName: A, expect: allow}\n", NULL},
        {"- {graphql: 'query A{a(x:1)} mutation B{b}', operationName: B, expect: deny}\n", NULL},
        {"- {graphql: '{a(x: 2)}', expect: allow}\n",
         "p.yaml:5: the test 'graphql: {a(x: 2)}, expect: allow' fails: the argument 'x' of the GraphQL "
         "field 'a'"},
        {"- {graphql: '{a(x: 1)}', expect: deny}\n",
         "p.yaml:5: the test 'graphql: {a(x: 1)}, expect: deny' fails: the GraphQL query of 'a' is allowed "
         "by policy p, line 3"},
        {"- {graphql: '{a', expect: deny}\n", "p.yaml:5: the test 'graphql: {a, expect: deny' fails: the "
                                              "GraphQL document, line 1, column 3: the document ends"},
        {"- {graphql: 'query A{a} query B{b}', expect: deny}\n",
         "p.yaml:5: the test 'graphql: query A{a} query B{b}, expect: deny' fails: the GraphQL document has "
         "2 operations"},
        {"- {graphql: '{b}', variables: {'a b': 1}, expect: deny}\n",
         "p.yaml:5: the test 'graphql: {b}, expect: deny' fails"},
    };
    for (size_t i = 0; i < COUNT_OF(tests); i++) {
        CLEANUP_MEM char *text = mem_printf("%s%s", rules, tests[i].test);
        Policy *policy = policy_of(text);
        fault.text[0] = '\0';
        int r = policy_run_tests(policy, &fault);
        if ((r == 0) != (tests[i].says == NULL) ||
            (tests[i].says && strncmp(fault.text, tests[i].says, strlen(tests[i].says)) != 0))
            fail_msg("%s: %s", tests[i].test, fault.text);
        policy_free(policy);
    }
}

static int over_the_wire(const Policy *policy, Policy **back)
{
    static unsigned char room[POLICY_MAX_PACKED];
    WireWriter writer = WIRE_WRITER(room);
    policy_put(policy, &writer);
    WireReader reader = WIRE_READER(room, writer.len);
    int r = policy_get(&reader, back);
    return r ? r : wire_finish(&reader);
}

static void a_rule_survives_the_wire(void **state)
{
    (void)state;
    Policy *back = NULL;
    Policy *policy =
        policy_of("allow:\n- graphql: {operations: [query, mutation], fields: [b, a], subfields: [d, c], "
                  "maxDepth: 7, maxAliases: 3, arguments: {a: {x: [z, y]}, b: {w: 1}}}\n"
                  "deny:\n- graphql: {fields: [Token, log]}\n");
    assert_int_equal(over_the_wire(policy, &back), 0);
    const PolicyGraphql *rule = back->rule[0].graphql;
    assert_int_equal(rule->operations, GRAPHQL_QUERY | GRAPHQL_MUTATION);
    assert_string_equal(rule->field[0], "a");
    assert_string_equal(rule->subfield[1], "d");
    assert_int_equal(rule->max_depth, 7);
    assert_int_equal(rule->max_aliases, 3);
    assert_int_equal(rule->n_argument, 2);
    assert_string_equal(rule->argument[0].value[1], "z");
    assert_string_equal(back->rule[1].graphql->field[1], "token");
    assert_true(back->rule[1].deny);
    assert_int_equal(ask_with(back, "{a(x:\"y\"){c} b(w:1){d}}", NULL), POLICY_ALLOW);
    assert_int_equal(ask_with(back, "{a(x:\"y\"){c} b(w:1){log}}", NULL), POLICY_DENY);
    policy_free(back);
    policy_free(policy);
}

static void break_operations(PolicyGraphql *rule)
{
    rule->operations = GRAPHQL_SUBSCRIPTION | GRAPHQL_QUERY;
}
static void break_none(PolicyGraphql *rule)
{
    rule->operations = 0;
}
static void break_order(PolicyGraphql *rule)
{
    char *first = rule->field[0];
    rule->field[0] = rule->field[1];
    rule->field[1] = first;
}
static void break_name(PolicyGraphql *rule)
{
    rule->field[1][0] = ' ';
}
static void break_depth(PolicyGraphql *rule)
{
    rule->max_depth = GRAPHQL_MAX_DEPTH + 1;
}
static void break_aliases(PolicyGraphql *rule)
{
    rule->max_aliases = GRAPHQL_MAX_ALIASES + 1;
}
static void break_both(PolicyGraphql *rule)
{
    rule->any_subfield = true;
}
static void break_argument(PolicyGraphql *rule)
{
    rule->argument[0].field[0] = 'q';
}
static void break_value(PolicyGraphql *rule)
{
    rule->argument[0].value[0][0] = '\xFF';
}

static void a_wrong_rule_is_refused_from_the_wire(void **state)
{
    (void)state;
    void (*const break_it[])(PolicyGraphql *) = {break_operations, break_none,     break_order,
                                                 break_name,       break_depth,    break_aliases,
                                                 break_both,       break_argument, break_value};
    for (size_t i = 0; i < COUNT_OF(break_it); i++) {
        Policy *back = NULL;
        Policy *policy =
            policy_of("allow:\n- graphql: {fields: [a, b], subfields: [c], arguments: {a: {x: [y]}}}\n");
        break_it[i](policy->rule[0].graphql);
        if (over_the_wire(policy, &back) != -EBADMSG)
            fail_msg("number %zu is taken", i);
        policy_free(policy);
    }
    Policy *back = NULL, *policy = policy_of("allow: []\ndeny:\n- graphql: {fields: [a]}\n");
    policy->rule[0].graphql->field[0][0] = 'A';
    assert_int_equal(over_the_wire(policy, &back), -EBADMSG);
    policy->rule[0].graphql->field[0][0] = 'a';
    policy->rule[0].graphql->operations = GRAPHQL_QUERY;
    assert_int_equal(over_the_wire(policy, &back), -EBADMSG);
    policy->rule[0].graphql->operations = 0;
    policy->rule[0].methods = 1;
    assert_int_equal(over_the_wire(policy, &back), -EBADMSG);
    policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_root_fields_that_are_named_are_allowed),
        cmocka_unit_test(a_star_is_every_root_field_but_introspection),
        cmocka_unit_test(denied_fields_are_denied_wherever_they_stand),
        cmocka_unit_test(only_subfields_that_are_named_are_allowed),
        cmocka_unit_test(arguments_must_be_there_and_be_allowed),
        cmocka_unit_test(bounds_are_the_rules),
        cmocka_unit_test(rules_are_added_up),
        cmocka_unit_test(a_refusal_says_what_to_add),
        cmocka_unit_test(a_wrong_rule_is_refused_with_its_place),
        cmocka_unit_test(tests_stand_beside_the_rules),
        cmocka_unit_test(a_rule_survives_the_wire),
        cmocka_unit_test(a_wrong_rule_is_refused_from_the_wire),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
