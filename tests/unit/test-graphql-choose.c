/* Which operation is decided, what it asks for, what its variables are, and what is printed of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "graphql/print.h"

#include <errno.h>

static GraphqlArena arena;
static Fault fault;
static GraphqlChosen chosen;

static int set_up(void **state)
{
    (void)state;
    graphql_arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    graphql_arena_done(&arena);
    return 0;
}

static int choose_with(const char *query, const char *name, const char *variables)
{
    GraphqlValue object = {0};
    graphql_arena_reset(&arena);
    fault.text[0] = '\0';
    if (variables && graphql_parse_value(&arena, slice_of(variables), &object, &fault))
        fail_msg("%s", fault.text);
    GraphqlRequest request = {slice_of(query), slice_of(name), object.entry};
    return graphql_read(&arena, &request, &chosen, &fault);
}

static void choose(const char *query, const char *name, const char *variables)
{
    if (choose_with(query, name, variables))
        fail_msg("%s: %s", query, fault.text);
}

static void assert_refused(const char *query, const char *name, const char *says)
{
    if (choose_with(query, name, NULL) != -EINVAL)
        fail_msg("%s is accepted", query);
    if (!strstr(fault.text, says))
        fail_msg("%s: %s", query, fault.text);
}

static void assert_roots(const char *wanted)
{
    CLEANUP_BUF Buf roots = BUF_INIT(4096);
    for (size_t i = 0; i < chosen.n_root; i++)
        assert_int_equal(buf_printf(&roots, "%s%.*s/%u", i ? " " : "", (int)chosen.root[i].field->name.len,
                                    chosen.root[i].field->name.ptr, chosen.root[i].depth),
                         0);
    assert_string_equal(buf_text(&roots), wanted);
}

static void the_operation_is_the_one_that_is_named(void **state)
{
    (void)state;
    choose("{runs}", "", NULL);
    assert_int_equal(chosen.operation->type, GRAPHQL_QUERY);
    choose("query A {a} mutation B {b} subscription C {c}", "B", NULL);
    assert_int_equal(chosen.operation->type, GRAPHQL_MUTATION);
    assert_roots("b/1");
    choose("query A {a} mutation B {b} subscription C {c}", "C", NULL);
    assert_int_equal(chosen.operation->type, GRAPHQL_SUBSCRIPTION);
    choose("mutation B {b}", "", NULL);
    assert_int_equal(chosen.operation->type, GRAPHQL_MUTATION);
    assert_refused("query A {a} mutation B {b}", "", "has 2 operations and the request does not say which");
    assert_refused("query A {a} mutation B {b}", "a", "no operation of the name in operationName");
    assert_refused("query A {a}", "B", "no operation of the name in operationName");
    assert_refused("{a}", "A", "no operation of the name in operationName");
}

static void a_root_field_is_one_wherever_it_is_written(void **state)
{
    (void)state;
    choose("{a b{c} x:d{e{f}}}", "", NULL);
    assert_roots("a/1 b/2 d/3");
    choose("{viewer:rateLimit{cost}}", "", NULL);
    assert_roots("rateLimit/2");
    choose("{...F ...on Query{b ...{c}} ...F} fragment F on Query{a{x} ...G} fragment G on Query{g}", "",
           NULL);
    assert_roots("a/2 g/1 b/1 c/1 a/2 g/1");
    choose("{a @skip(if: true) b @include(if: false) ...F @include(if: false)} fragment F on T{c}", "", NULL);
    assert_roots("a/1 b/1 c/1");
    choose("{a{...F}} fragment F on T{b{...G}} fragment G on T{c{d}}", "", NULL);
    assert_roots("a/4");
    choose("query A{...F} query B{...G} fragment F on T{a} fragment G on T{secret}", "A", NULL);
    assert_roots("a/1");
    choose("{__typename __schema{types{name}} __type(name: \"T\"){name}}", "", NULL);
    assert_roots("__typename/1 __schema/3 __type/2");
    choose("# mutation {delete}\n{a(x: \"} mutation {delete}\" y: \"\"\"# } mutation\"\"\")}", "", NULL);
    assert_int_equal(chosen.operation->type, GRAPHQL_QUERY);
    assert_roots("a/1");
}

static void totals_are_of_what_is_expanded(void **state)
{
    (void)state;
    choose("{x:a{...F} y:b{...F}} fragment F on T{z:c w:d{e}}", "", NULL);
    assert_int_equal(chosen.operation->totals.aliases, 6);
    assert_int_equal(chosen.operation->totals.depth, 3);
    assert_int_equal(chosen.operation->totals.selections, 10);
}

static void too_many_root_fields_are_refused(void **state)
{
    (void)state;
    CLEANUP_BUF Buf text = BUF_INIT(65536);
    assert_int_equal(buf_append_text(&text, "{...F ...F} fragment F on T{"), 0);
    for (int i = 0; i < 51; i++)
        assert_int_equal(buf_append_text(&text, " a"), 0);
    assert_int_equal(buf_append_text(&text, "}"), 0);
    assert_refused(buf_text(&text), "", "too many root fields");
}

static Slice argument(const char *name)
{
    for (const GraphqlEntry *entry = chosen.root[0].field->argument; entry; entry = entry->next)
        if (slice_is(entry->name, name)) {
            const GraphqlValue *value = graphql_resolve(&chosen, &entry->value);
            return !value                        ? SLICE_LITERAL("(none)")
                   : value->kind == GRAPHQL_NULL ? SLICE_LITERAL("(null)")
                                                 : value->text;
        }
    return SLICE_LITERAL("(absent)");
}

static void variables_have_the_value_that_a_server_sees(void **state)
{
    (void)state;
    static const char query[] = "query($a:String=\"first\",$b:String,$c:String=\"third\",$d:Int!)"
                                "{r(a:$a,b:$b,c:$c,d:$d,e:\"$a\",f:E)}";
    choose(query, "", "{a: \"given\", c: null, d: 4, extra: 1}");
    assert_true(slice_is(argument("a"), "given"));
    assert_true(slice_is(argument("b"), "(none)"));
    assert_true(slice_is(argument("c"), "(null)"));
    assert_true(slice_is(argument("d"), "4"));
    assert_true(slice_is(argument("e"), "$a"));
    assert_true(slice_is(argument("f"), "E"));
    assert_true(slice_is(argument("g"), "(absent)"));
    choose(query, "", NULL);
    assert_true(slice_is(argument("a"), "first"));
    assert_true(slice_is(argument("c"), "third"));
}

static void a_variable_that_is_not_declared_is_refused(void **state)
{
    (void)state;
    assert_refused("{a(x:$v)}", "", "column 6: the operation does not declare the variable $v");
    assert_refused("query($v:Int){a(x:[{y:$w}])}", "", "$w");
    assert_refused("query($v:Int){a @skip(if:$w)}", "", "$w");
    assert_refused("query Q($v:Int){...F} query R($w:Int){...F} fragment F on T{a(x:$w)}", "Q", "$w");
    choose("query Q($v:Int){...F} query R($w:Int){...F} fragment F on T{a(x:$w)}", "R", NULL);
    choose("{a} fragment F on T{a(x:$w)}", "", NULL);
}

static void assert_printed(const char *query, const char *name, const char *variables, const char *document,
                           const char *request)
{
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20), json = BUF_INIT(1u << 20);
    choose(query, name, variables);
    assert_int_equal(graphql_print(&chosen, &text), 0);
    assert_string_equal(buf_text(&text), document);
    if (!request)
        return;
    assert_int_equal(graphql_print_request(&chosen, buf_slice(&text), &json), 0);
    assert_string_equal(buf_text(&json), request);
}

static void only_what_was_chosen_is_printed(void **state)
{
    (void)state;
    assert_printed("{a}", "", NULL, "query { a }", "{\"query\":\"query { a }\"}");
    assert_printed("query A{a} mutation B{delete}", "A", NULL, "query A { a }",
                   "{\"query\":\"query A { a }\",\"operationName\":\"A\"}");
    assert_printed("{...F} fragment G on T{secret} fragment F on T{a}", "", NULL,
                   "query { ...F }\nfragment F on T { a }", NULL);
    assert_printed(
        "query Q($a:[Int!]!=[1 2],$b:T={k:\"v\"}){x:f(a:$a b:$b c:E d:null) @skip(if:true){...on T{y}"
        "...@include(if:false){z}}}",
        "Q", "{b: {k: \"\\n\"}, other: 5}",
        "query Q($a: [Int!]! = [1, 2], $b: T = {k: \"v\"}) { x: f(a: $a, b: $b, c: E, d: null) "
        "@skip(if: true) { ... on T { y } ... @include(if: false) { z } } }",
        "{\"query\":\"query Q($a: [Int!]! = [1, 2], $b: T = {k: \\\"v\\\"}) { x: f(a: $a, b: $b, c: E, "
        "d: null) @skip(if: true) { ... on T { y } ... @include(if: false) { z } } }\","
        "\"operationName\":\"Q\",\"variables\":{\"b\":{\"k\":\"\\u000a\"}}}");
    assert_printed("{a(x:\"\"\"\n  one\n  \"two\" \\ # three\n\"\"\" y:\"\\u0007\\uD83D\\uDE00\")}", "", NULL,
                   "query { a(x: \"one\\n\\\"two\\\" \\\\ # three\", y: \"\\u0007\xF0\x9F\x98\x80\") }",
                   NULL);
    assert_printed(
        "query($v:J){a(x:$v)}", "", "{v: [1, -2.5e3, true, null, {}, [], \"s\"]}",
        "query($v: J) { a(x: $v) }",
        "{\"query\":\"query($v: J) { a(x: $v) }\",\"variables\":{\"v\":[1,-2.5e3,true,null,{},[],\"s\"]}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_operation_is_the_one_that_is_named),
        cmocka_unit_test(a_root_field_is_one_wherever_it_is_written),
        cmocka_unit_test(totals_are_of_what_is_expanded),
        cmocka_unit_test(too_many_root_fields_are_refused),
        cmocka_unit_test(variables_have_the_value_that_a_server_sees),
        cmocka_unit_test(a_variable_that_is_not_declared_is_refused),
        cmocka_unit_test(only_what_was_chosen_is_printed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
