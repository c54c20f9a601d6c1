/* `beneath` of a GraphQL rule: what it allows and refuses, how that is said, how it is read, bound and sent.
 */
#include "graphql-policy.h"

#include "base/buf.h"

#include <errno.h>

#define RULES                                                                                                \
    "allow:\n- graphql:\n    fields: [repository]\n"                                                         \
    "    subfields: [author, user, login, name, pulls, nodes, repositories, repository, id]\n"               \
    "    beneath: {author: [user, login, name], user: [login, id], repository: [id]}\n"

static void only_what_is_named_stands_beneath_a_field(void **state)
{
    (void)state;
    Policy *policy = policy_of(RULES);
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{repository{author{login}}}",
                   "{repository{pulls{nodes{author{name}}}}}", "{repository{author{__typename login}}}",
                   "{repository{repositories{nodes{id}}}}", "{repository{author{x:login}}}",
                   "{repository{login:author{login}}}", "{repository{author{login} pulls{id}}}",
                   "{repository{author{login} repositories{id}}}", "{repository{author:pulls{nodes{id}}}}",
                   "{repository{user{id}}}", "{repository{author{user{__typename}}}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{repository{author{id}}}",
                   "{repository{author{repositories{id}}}}", "{repository{author{login repositories{id}}}}",
                   "{repository{author{login:repositories{id}}}}",
                   "{repository{login:author{repositories{id}}}}", "{repository{pulls:author{nodes{id}}}}",
                   "{repository{author{login} author{nodes{id}}}}", "{repository{author{id @skip(if:true)}}}",
                   "{repository{author{Login}}}", "{repository{author{author{login}}}}",
                   "{a:repository{id} b:repository{pulls{nodes{author{id}}}}}");
    policy_free(policy);
}

/* Not only right beneath it: what the list names leads to nothing else either. */
static void the_list_holds_at_any_depth(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {fields: [a], beneath: {b: [c, d]}}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{a{x{y{z}}}}", "{a{b{c{d{c}}}}}", "{a{x{b{d}} y}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{a{b{c{d{c{x}}}}}}", "{a{x{b{c{y}}}}}", "{a{b{b{c}}}}");
    policy_free(policy);
}

/* A field within two of them: both lists must have it, in whatever order the two stand. */
static void within_several_all_lists_hold(void **state)
{
    (void)state;
    Policy *policy = policy_of(RULES);
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{repository{author{user{login}}}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{repository{author{user{id}}}}",
                   "{repository{author{user{name}}}}", "{repository{user{author{login}}}}",
                   "{repository{author{user{login user{id}}}}}");
    policy_free(policy);
    policy = policy_of("allow:\n- graphql: {fields: [r], beneath: {a: [b, x, y], b: [a, y, z]}}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{r{a{x b{y}}}}", "{r{b{z a{y}}}}", "{r{a{x} b{z}}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{r{a{b{x}}}}", "{r{a{b{z}}}}", "{r{b{a{z}}}}",
                   "{r{a{b{a{y}}}}}");
    policy_free(policy);
}

static void the_root_field_is_none_of_them(void **state)
{
    (void)state;
    Policy *policy = policy_of(RULES);
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{repository{name pulls{nodes{id}}}}",
                   "{repository{repository{id}}}", "{...F} fragment F on Query{repository{name}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{repository{repository{name}}}",
                   "{repository{pulls{nodes{repository{pulls{id}}}}}}");
    policy_free(policy);
}

static void fragments_lead_around_nothing(void **state)
{
    (void)state;
    Policy *policy = policy_of(RULES);
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{repository{author{...F}}} fragment F on User{login}",
                   "{repository{author{... on Actor{... on User{... {login}}}}}}",
                   "{repository{...F author{login}}} fragment F on R{repositories{id}}",
                   "{repository{...A}} fragment A on R{author{...B}} fragment B on Actor{...C} "
                   "fragment C on User{login}",
                   "{repository{author{login}}} fragment F on User{repositories{id}}");
    ASSERT_ANSWERS(
        policy, POLICY_NOT_NAMED, "{repository{author{...F}}} fragment F on User{repositories{id}}",
        "{repository{author{... on User{repositories{id}}}}}",
        "{repository{author{login ... {... on Actor{... on User{repositories{id}}}}}}}",
        "{repository{...A}} fragment A on R{author{...B}} fragment B on Actor{...C} "
        "fragment C on User{nodes{id}}",
        /* allowed where it is spread first, and not where it is spread then; the other way round */
        "{repository{...F author{...F}}} fragment F on X{repositories{id}}",
        "{repository{author{...F} ...F}} fragment F on X{repositories{id}}",
        "{repository{...F pulls{author{...G}}}} fragment F on X{...G} fragment G on X{id}",
        "{repository{pulls{...F} author{user{...F}}}} fragment F on X{login name}");
    policy_free(policy);
}

/* A fragment within a fragment, each spread twice: as often as fragments may be expanded at all. */
static void fragments_in_fragments_cost_what_is_bounded(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {fields: [a], subfields: [b, c], beneath: {b: [b, c]}}\n");
    CLEANUP_BUF Buf text = BUF_INIT(GRAPHQL_MAX_BYTES);
    for (unsigned n = 11; n <= 40; n += 29) {
        buf_reset(&text);
        assert_int_equal(buf_append_text(&text, "{a{b{...F0}}}"), 0);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(buf_printf(&text, " fragment F%u on T{...F%u ...F%u}", i, i + 1, i + 1), 0);
        assert_int_equal(buf_printf(&text, " fragment F%u on T{c}", n), 0);
        GraphqlRequest request = {.query = buf_slice(&text)};
        graphql_arena_reset(&arena);
        assert_int_equal(graphql_read(&arena, &request, &chosen, &fault), n == 11 ? 0 : -EINVAL);
        if (n == 11)
            assert_int_equal(policy_decide_graphql(policy, &chosen).answer, POLICY_ALLOW);
    }
    policy_free(policy);
}

/* The one that has no bit left. */
static void each_of_as_many_fields_as_may_be_is_found(void **state)
{
    (void)state;
    CLEANUP_BUF Buf text = BUF_INIT(POLICY_MAX_BYTES);
    assert_int_equal(buf_append_text(&text, "allow:\n- graphql: {fields: [a], beneath: {"), 0);
    for (unsigned i = 0; i < POLICY_MAX_BENEATH; i++)
        assert_int_equal(buf_printf(&text, "k%02u: [x%02u, y], ", i, i), 0);
    assert_int_equal(buf_append_text(&text, "}}\n"), 0);
    Policy *policy = policy_of(buf_text(&text));
    for (unsigned i = 0; i < POLICY_MAX_BENEATH; i++) {
        CLEANUP_MEM char *yes = mem_printf("{a{k%02u{x%02u y}}}", i, i);
        CLEANUP_MEM char *no = mem_printf("{a{k%02u{x%02u}}}", i, (i + 1) % POLICY_MAX_BENEATH);
        assert_int_equal(ask_with(policy, yes, NULL), POLICY_ALLOW);
        assert_int_equal(ask_with(policy, no, NULL), POLICY_NOT_NAMED);
    }
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{a{k{x01}}}", "{a{k000{z}}}", "{a{z}}");
    policy_free(policy);
}

static void a_refusal_says_what_stands_beneath_what(void **state)
{
    (void)state;
    Policy *policy = policy_of(RULES);
    assert_int_equal(
        ask_with(policy, "{repository{a:author{...F}}} fragment F on User{\n all: repositories{id}}", NULL),
        POLICY_NOT_NAMED);
    assert_string_equal(
        fault.text,
        "the GraphQL field 'repositories' (line 2, column 2) stands beneath 'author', where policy "
        "p, line 3, allows: login, name, user; if it is meant to be read there, add it to "
        "'beneath: {author: ...}' of that rule");
    ask_with(policy, "{repository{author{user{name}}}}", NULL);
    assert_non_null(strstr(fault.text, "'name' (line 1, column 25) stands beneath 'user', where"));
    ask_with(policy, "{repository{author{secret}}}", NULL); /* that of subfields comes first */
    assert_non_null(strstr(fault.text, "'secret' (line 1, column 20) is not among the subfields"));
    policy_free(policy);
}

/* Each root field by a rule of its own; the rule that comes nearest is named. */
static void another_rule_may_allow_it(void **state)
{
    (void)state;
    Policy *policy = policy_of("allow:\n- graphql: {fields: [a], arguments: {a: {x: 1}}, beneath: {b: [c]}}\n"
                               "- graphql: {fields: [a], arguments: {a: {x: 2}}}\n"
                               "deny:\n- graphql: {fields: [secret]}\n");
    ASSERT_ANSWERS(policy, POLICY_ALLOW, "{a(x:2){b{d}}}", "{i:a(x:1){b{c}} j:a(x:2){b{d}}}");
    ASSERT_ANSWERS(policy, POLICY_NOT_NAMED, "{a(x:1){b{d}}}", "{i:a(x:2){b{d}} j:a(x:1){b{d}}}");
    assert_int_equal(verdict.why, POLICY_GRAPHQL_BENEATH);
    assert_int_equal(verdict.rule, 0);
    ASSERT_ANSWERS(policy, POLICY_DENY, "{a(x:1){b{c{secret}}}}");
    policy_free(policy);
}

static void a_wrong_key_is_refused_with_its_place(void **state)
{
    (void)state;
#define ALLOW "allow:\n- graphql: {fields: [a], subfields: [b, c], "
    static const struct {
        const char *text, *says;
    } bad[] = {
        {ALLOW "beneath: [b]}\n", "p.yaml:3:54: 'beneath' must be a mapping (key: value)"},
        {ALLOW "beneath: {}}\n", "p.yaml:3:54: 'beneath' names no field; leave the key out"},
        {ALLOW "beneath: {b: c}}\n", "p.yaml:3:58: 'b' must be a list"},
        {ALLOW "beneath: {b: []}}\n", "p.yaml:3:58: nothing is named that may stand beneath 'b'; to allow no "
                                      "such field, leave it out of 'subfields'"},
        {ALLOW "beneath: {b: [c, {}]}}\n", "p.yaml:3:62: 'b' must be text"},
        {ALLOW "beneath: {b: [c, c]}}\n", "p.yaml:3:62: 'c' is named twice beneath 'b'"},
        {ALLOW "beneath: {b: [c], b: [b]}}\n", "p.yaml:3:63: the key 'b' is there twice"},
        {ALLOW "beneath: {b: [d]}}\n", "p.yaml:3:59: 'd' is named beneath 'b' and is none of the rule's "
                                       "'subfields', so it is refused there too"},
        {ALLOW "beneath: {d: [c]}}\n",
         "p.yaml:3:55: 'd' is none of the rule's 'subfields', so nothing stands "
         "beneath it: add it to them, or leave it out here"},
        {ALLOW "beneath: {a: [c]}}\n",
         "p.yaml:3:55: 'a' is none of the rule's 'subfields', so nothing "
         "stands beneath it: add it to them, or "
         "leave it out here; beneath a root field may stand what 'subfields' names"},
        {"allow:\n- graphql: {fields: [a], beneath: {b-c: [d]}}\n",
         "p.yaml:3:12: the graphql rule has a name under 'beneath' that no GraphQL field can have"},
        {"allow:\n- graphql: {fields: [a], beneath: {b: ['*']}}\n",
         "p.yaml:3:12: the graphql rule has a name"},
        {"allow: []\ndeny:\n- graphql: {fields: [a], beneath: {b: [c]}}\n",
         "p.yaml:4:35: a deny rule has no 'beneath': what it names is denied wherever it stands"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Policy *policy = NULL;
        CLEANUP_MEM char *text = mem_printf("policy: p\n%s", bad[i].text);
        assert_int_equal(policy_parse("p.yaml", slice_of(text), &policy, &fault), -EINVAL);
        if (strncmp(fault.text, bad[i].says, strlen(bad[i].says)) != 0)
            fail_msg("%s  says: %s", bad[i].text, fault.text);
    }
}

static void too_many_are_refused(void **state)
{
    (void)state;
    Policy *policy = NULL;
    CLEANUP_BUF Buf text = BUF_INIT(POLICY_MAX_BYTES);
    assert_int_equal(buf_append_text(&text, "policy: p\nallow:\n- graphql: {fields: [a], beneath: {"), 0);
    for (unsigned i = 0; i <= POLICY_MAX_BENEATH; i++)
        assert_int_equal(buf_printf(&text, "k%u: [x], ", i), 0);
    assert_int_equal(buf_append_text(&text, "}}\n"), 0);
    assert_int_equal(policy_parse("p.yaml", buf_slice(&text), &policy, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "more than 64 fields under 'beneath' of one rule"));
    buf_reset(&text);
    assert_int_equal(buf_append_text(&text, "policy: p\nallow:\n- graphql: {fields: [a], beneath: {b: ["), 0);
    for (unsigned i = 0; i <= POLICY_MAX_FIELDS; i++)
        assert_int_equal(buf_printf(&text, "x%u, ", i), 0);
    assert_int_equal(buf_append_text(&text, "]}}\n"), 0);
    assert_int_equal(policy_parse("p.yaml", buf_slice(&text), &policy, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "'b' has 513 items; there may be 512 at most"));
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

/* Bound as ever, and then sent: the keeper decides by it as was written. */
static void it_is_bound_and_survives_the_wire(void **state)
{
    (void)state;
    Policy *bound = NULL, *back = NULL;
    Policy *policy =
        policy_of("parameters: {o: {default: '*'}}\nallow:\n- graphql: {fields: [a], subfields: [d, c, b], "
                  "arguments: {a: {x: ['{o}']}}, beneath: {c: [d, b], b: [d]}}\n- graphql: {fields: [e]}\n");
    char name[] = "o", one[] = "one", two[] = "two", *names[] = {name, name}, *values[] = {one, two};
    const PolicyWith with = {names, values, 2};
    assert_int_equal(policy_bind(policy, &with, &bound, &fault), 0);
    policy_free(policy);
    assert_int_equal(over_the_wire(bound, &back), 0);
    policy_free(bound);
    assert_int_equal(back->n_rule, 3);
    for (size_t i = 0; i < 2; i++) {
        const PolicyGraphql *rule = back->rule[i].graphql;
        assert_int_equal(rule->n_beneath, 2);
        assert_string_equal(rule->beneath[0].field, "b");
        assert_string_equal(rule->beneath[1].field, "c");
        assert_int_equal(rule->beneath[1].n_name, 2);
        assert_string_equal(rule->beneath[1].name[0], "b");
    }
    assert_int_equal(back->rule[2].graphql->n_beneath, 0);
    ASSERT_ANSWERS(back, POLICY_ALLOW, "{a(x:\"two\"){c{d}}}", "{a(x:\"one\"){c{b{d}}}}", "{e{c{x}}}");
    ASSERT_ANSWERS(back, POLICY_NOT_NAMED, "{a(x:\"three\"){c{d}}}", "{a(x:\"two\"){c{c}}}",
                   "{a(x:\"two\"){c{b{b}}}}");
    policy_free(back);
}

/* So that not fewer values fit into the one record than without the key. */
static void what_many_rules_say_is_sent_once(void **state)
{
    (void)state;
    static unsigned char room[POLICY_MAX_PACKED], once[POLICY_MAX_PACKED];
    size_t len[2][2];
    for (int with = 0; with < 2; with++)
        for (int many = 0; many < 2; many++) {
            CLEANUP_MEM char *text =
                mem_printf("allow:\n%s%s%s%s", many ? "- graphql: {fields: [a], arguments: {a: {x: 1}}" : "",
                           many ? (with ? ", beneath: {b: [c, d], c: [d]}}\n" : "}\n") : "",
                           "- graphql: {fields: [a], arguments: {a: {x: 2}}",
                           with ? ", beneath: {b: [c, d], c: [d]}}\n" : "}\n");
            Policy *policy = policy_of(text);
            WireWriter writer = WIRE_WRITER(room);
            policy_put(policy, &writer);
            len[with][many] = writer.len;
            Policy *back = NULL;
            WireReader reader = WIRE_READER(room, writer.len);
            assert_int_equal(policy_get(&reader, &back), 0);
            WireWriter again = WIRE_WRITER(once);
            policy_put(back, &again);
            assert_int_equal(again.len, writer.len);
            assert_memory_equal(room, once, again.len);
            assert_int_equal(ask_with(back, "{a(x:2){b{c{d}}}}", NULL), POLICY_ALLOW);
            assert_int_equal(ask_with(back, "{a(x:2){b{c{c}}}}", NULL),
                             with ? POLICY_NOT_NAMED : POLICY_ALLOW);
            policy_free(back);
            policy_free(policy);
        }
    assert_int_equal(len[1][1] - len[1][0], len[0][1] - len[0][0]);
}

static void break_field(PolicyGraphql *rule)
{
    rule->beneath[0].field[0] = '-';
}
static void break_order(PolicyGraphql *rule)
{
    rule->beneath[0].field[0] = 'z';
}
static void break_twice(PolicyGraphql *rule)
{
    rule->beneath[0].field[0] = 'c';
}
static void break_name(PolicyGraphql *rule)
{
    rule->beneath[1].name[0][0] = ' ';
}
static void break_names(PolicyGraphql *rule)
{
    rule->beneath[1].name[0][0] = 'c';
}
static void break_all(PolicyGraphql *rule)
{
    mem_free_strings(rule->beneath[0].name, rule->beneath[0].n_name);
    rule->beneath[0].name = NULL;
    rule->beneath[0].n_name = 0;
}

static void a_wrong_one_is_refused_from_the_wire(void **state)
{
    (void)state;
    void (*const break_it[])(PolicyGraphql *) = {break_field, break_order, break_twice,
                                                 break_name,  break_names, break_all};
    for (size_t i = 0; i < COUNT_OF(break_it); i++) {
        Policy *back = NULL;
        Policy *policy = policy_of("allow:\n- graphql: {fields: [a], beneath: {b: [d], c: [b, c]}}\n");
        break_it[i](policy->rule[0].graphql);
        if (over_the_wire(policy, &back) != -EBADMSG)
            fail_msg("number %zu is taken", i);
        policy_free(policy);
    }
}

/* Each byte changed and each end cut off: refused, or a policy that says again what came. */
static void hostile_bytes_are_bounded(void **state)
{
    (void)state;
    static unsigned char room[POLICY_MAX_PACKED], again[POLICY_MAX_PACKED];
    Policy *policy = policy_of("allow:\n- graphql: {fields: [a], subfields: [b, c], beneath: {b: [c]}}\n"
                               "- graphql: {fields: [d], beneath: {b: [c]}}\n"
                               "- graphql: {fields: [e], beneath: {b: [d]}}\n- {method: GET, path: /x}\n");
    WireWriter writer = WIRE_WRITER(room);
    policy_put(policy, &writer);
    policy_free(policy);
    for (size_t at = 0; at < writer.len; at++)
        for (unsigned with = 0; with < 256; with++) {
            Policy *back = NULL;
            unsigned char was = room[at];
            room[at] = (unsigned char)with;
            WireReader reader = WIRE_READER(room, writer.len);
            if (policy_get(&reader, &back) == 0) {
                WireWriter other = WIRE_WRITER(again);
                policy_put(back, &other);
                assert_int_equal(other.len, reader.at);
                assert_memory_equal(room, again, other.len);
            }
            policy_free(back);
            room[at] = was;
        }
    for (size_t len = 0; len < writer.len; len++) {
        Policy *back = NULL;
        WireReader reader = WIRE_READER(room, len);
        assert_int_equal(policy_get(&reader, &back), -EBADMSG);
    }
}

static void tests_beside_the_rules_go_by_it(void **state)
{
    (void)state;
    Policy *policy = policy_of(RULES "tests:\n- {graphql: '{repository{author{login}}}', expect: allow}\n"
                                     "- {graphql: '{repository{author{id}}}', expect: deny}\n"
                                     "- {graphql: '{repository{user{name}}}', expect: allow}\n");
    assert_int_equal(policy_run_tests(policy, &fault), -EINVAL);
    assert_non_null(strstr(fault.text,
                           "p.yaml:10: the test 'graphql: {repository{user{name}}}, expect: allow' fails: "
                           "the GraphQL field 'name' (line 1, column 18) stands beneath 'user'"));
    policy_free(policy);
}

int main(void)
{
#define TEST(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        TEST(only_what_is_named_stands_beneath_a_field),
        TEST(the_list_holds_at_any_depth),
        TEST(within_several_all_lists_hold),
        TEST(the_root_field_is_none_of_them),
        TEST(fragments_lead_around_nothing),
        TEST(fragments_in_fragments_cost_what_is_bounded),
        TEST(each_of_as_many_fields_as_may_be_is_found),
        TEST(a_refusal_says_what_stands_beneath_what),
        TEST(another_rule_may_allow_it),
        TEST(a_wrong_key_is_refused_with_its_place),
        TEST(too_many_are_refused),
        TEST(it_is_bound_and_survives_the_wire),
        TEST(what_many_rules_say_is_sent_once),
        TEST(a_wrong_one_is_refused_from_the_wire),
        TEST(hostile_bytes_are_bounded),
        TEST(tests_beside_the_rules_go_by_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
