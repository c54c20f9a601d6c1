/* GraphQL documents: the grammar of the October 2021 specification, what strings mean, the bounds, and how
 * what is wrong is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "graphql/print.h"

#include <errno.h>
#include <time.h>

static GraphqlArena arena;
static Fault fault;

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

static int parse(Slice text, GraphqlDocument *document)
{
    graphql_arena_reset(&arena);
    fault.text[0] = '\0';
    return graphql_parse(&arena, text, document, &fault);
}

static void assert_accepted(const char *text)
{
    GraphqlDocument document;
    if (parse(slice_of(text), &document))
        fail_msg("%s: %s", text, fault.text);
}

static void assert_refused(const char *text, const char *says)
{
    GraphqlDocument document;
    if (parse(slice_of(text), &document) != -EINVAL)
        fail_msg("%s is accepted", text);
    if (!strstr(fault.text, says))
        fail_msg("%s: %s, not %s", text, fault.text, says);
}

/* A production of the specification's grammar each, in the order of its sections. */
static void what_the_grammar_has_is_accepted(void **state)
{
    (void)state;
    static const char *const right[] = {
        /* 2.1: ignored tokens, names, comments */
        "\xEF\xBB\xBF{runs}",
        "{\xEF\xBB\xBFruns}",
        "{ runs,,, jobs,\t}\r\n",
        "# first\n{ # of all\r runs # a \"string\" { that is none\r\n}#",
        "{_ __x A9z}",
        /* 2.3, 2.4: operations, selection sets, words that mean something elsewhere as names */
        "query { runs }",
        "query Latest { runs }",
        "mutation { cancel(id: 4) { run { id } } }",
        "subscription { runs }",
        "query A {a} query B {b} mutation C {c}",
        "{ query mutation subscription fragment on true false null type schema }",
        "query query { query: query }",
        /* 2.5, 2.6, 2.7: fields, arguments, aliases */
        "{ runs { jobs { steps { name } } } }",
        "{ runs(first: 10 after: \"x\", reverse: true) { id } }",
        "{ first: runs second: runs(page: 2) { id } }",
        /* 2.8: fragments */
        "{ ...F } fragment F on Query { runs ...G } fragment G on Query { jobs }",
        "fragment F on Query { runs } query { ...F }",
        "{ ... on Run { id } ... { name } ... @include(if: true) { x } ... on A @skip(if: false) { y } }",
        "{ ...F @skip(if: true) } fragment F on on { on }",
        /* 2.9: values */
        "{ a(x: 0, y: -0, z: 12345678901234567890) }",
        "{ a(x: 1.5, y: -0.0e+7, z: 6E23, w: 1e-9) }",
        "{ a(x: true, y: false, z: null, e: MOBILE_WEB) }",
        "query Q($v: Int) { a(x: [], y: [1 [2 3]], z: [$v]) }",
        "{ a(x: {}, y: {lat: 1, long: {deg: -2}}) }",
        "{ a(x: \"\", y: \"\\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u00E9\", z: \"\\uD83D\\uDE00\") }",
        "{ a(x: \"\"\"\"\"\", y: \"\"\"a \"quoted\" \\\"\"\" and\n  lines\"\"\") }",
        /* 2.10, 2.11: variables and types */
        "query ($a: Int, $b: [String!]! = [\"x\"], $c: T = {k: null}) { a(x: $a, y: [$b], z: {c: $c}) }",
        "query ($a: [[Int!]]!) { a(x: $a) }",
        /* 2.12: directives */
        "query ($v: Boolean!) { a @include(if: $v) @skip(if: true) { b } }",
        "{ a @skip(if: {}) }",
    };
    for (size_t i = 0; i < COUNT_OF(right); i++)
        assert_accepted(right[i]);
}

static void what_the_grammar_has_not_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "line 1, column 1: the document ends where an operation or a fragment must stand"},
        {"# nothing", "the document ends"},
        {"{", "line 1, column 2: the document ends where a field's name must stand"},
        {"{}", "line 1, column 2: there is '}' where a field's name must stand"},
        {"{a{}}", "line 1, column 4"},
        {"{a}}", "line 1, column 4: there is '}' where an operation or a fragment must stand"},
        {"{\n  a(\n    x: 1\n", "line 4, column 1: the document ends"},
        {"{\r\n\r  a(\xC3\xA9)}", "line 3, column 5: a character stands where none can"},
        {"{a()}", "parentheses without an argument"},
        {"{a(x)}", "there is ')' where ':' must stand"},
        {"{a(x: )}", "there is ')' where a value must stand"},
        {"{a: }", "where the name of the field that the alias is for must stand"},
        {"{a: b: c}", "there is ':'"},
        {"{a(x: 01)}", "line 1, column 7: a number begins with a zero"},
        {"{a(x: -)}", "no digit"},
        {"{a(x: 1.)}", "no digit"},
        {"{a(x: .5)}", "a character stands where none can"},
        {"{a(x: 1e)}", "no digit"},
        {"{a(x: 0xF)}", "followed by a letter or a dot"},
        {"{a(x: 1.2.3)}", "followed by a letter or a dot"},
        {"{a(x: 12abc)}", "followed by a letter or a dot"},
        {"{a(x: \"a\nb\")}", "no end on its line"},
        {"{a(x: \"a)}", "no end on its line"},
        {"{a(x: \"\\\")}", "no end on its line"},
        {"{a(x: \"\\q\")}", "an escape that is none"},
        {"{a(x: \"\\u12\")}", "an escape that is none"},
        {"{a(x: \"\\u12G4\")}", "an escape that is none"},
        {"{a(x: \"\\u{41}\")}", "an escape that is none"},
        {"{a(x: \"\\uD83D\")}", "surrogate"},
        {"{a(x: \"\\uDE00\\uD83D\")}", "surrogate"},
        {"{a(x: \"\\uD83D\\u0041\")}", "surrogate"},
        {"{a(x: \"\\u0000\")}", "U+0000"},
        {"{a(x: \"\"\"a)}", "a block string has no end"},
        {"{a(x: 'a')}", "a character stands where none can"},
        {"{a(x: $)}", "where a variable's name must stand"},
        {"{a(x: [1)}", "there is ')' where a value must stand"},
        {"{a(x: {k 1})}", "there is a number where ':' must stand"},
        {"{a(x: {k: \"secret\" \"word\"})}", "there is a string where an input field's name must stand"},
        {"{a|b}", "there is '|'"},
        {"{a&b}", "there is '&'"},
        {"{a!}", "there is '!'"},
        {"{. . .F}", "a character stands where none can"},
        {"{...}", "there is '}' where '{' must stand"},
        {"{...on}", "where a type must stand"},
        {"{...1}", "there is a number"},
        {"fragment on on T {a} {b}", "there is 'on' where a fragment's name must stand"},
        {"fragment F {a} {b}", "where 'on' must stand"},
        {"fragment F on T {b}", "there is no operation in it"},
        {"query Q() {a}", "there is ')'"},
        {"query ($a) {a}", "there is ')' where ':' must stand"},
        {"query ($a: Int = $b) {a}", "a value without variables"},
        {"query ($a: Int = [$b]) {a}", "a value without variables"},
        {"query ($a: Int!!) {a}", "there is '!'"},
        {"query ($a: [Int) {a}", "there is ')' where ']' must stand"},
        {"query ($a: [[Int]) {a}", "there is ')' where ']' must stand"},
        {"quary {a}", "there is 'quary' where an operation or a fragment must stand"},
        {"{a @}", "where a directive's name must stand"},
        {"{a(x: 1", "the document ends"},
        {"{a}\x01", "line 1, column 4: there is a control character"},
        {"{a(x: \"\x07\")}", "there is a control character"},
        {"#\x1B[0m\n{a}", "there is a control character"},
        /* what only describes types */
        {"type Query {a: Int}", "a definition of types"},
        {"schema {query: Q}", "a definition of types"},
        {"extend type Q {b: Int}", "a definition of types"},
        {"\"what it is\" type Q {a: Int}", "a definition of types or a description"},
        {"{a} directive @x on FIELD", "a definition of types"},
        {"\"\"\"doc\"\"\" query {a}", "a description"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_refused(wrong[i].text, wrong[i].says);
}

/* What the grammar would allow, and servers would make different things of. */
static void what_servers_differ_in_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"{a} {b}", "an operation without a name stands beside another one"},
        {"query A {a} {b}", "an operation without a name"},
        {"query A {a} query A {b}", "two operations named 'A'"},
        {"query A {a} mutation A {b}", "two operations named 'A'"},
        {"{...F} fragment F on T {a} fragment F on T {b}", "two fragments named 'F'"},
        {"{...F}", "line 1, column 2: there is no fragment 'F'"},
        {"{a} fragment G on T {...F}", "there is no fragment 'F'"},
        {"{...F} fragment F on T {...F}", "the fragment 'F' contains itself"},
        {"{...F} fragment F on T {a {...G}} fragment G on T {...on T {b {...F}}}", "contains itself"},
        {"{a} fragment F on T {b {...F}}", "the fragment 'F' contains itself"},
        {"{a(x: 1, x: 2)}", "the argument 'x' comes twice"},
        {"{a(x: {k: 1, k: 2})}", "'k' comes twice"},
        {"query ($a: Int, $a: Int) {a}", "the variable $a is declared twice"},
        {"{a @defer}", "the directive @defer is neither @skip nor @include"},
        {"{a @include(if: true) @include(if: false)}", "the directive @include comes twice"},
        {"{...F @stream} fragment F on T {a}", "@stream"},
        {"query @skip(if: true) {a}", "the directive @skip stands where it has no meaning"},
        {"query ($a: Int @include(if: true)) {a}", "stands where it has no meaning"},
        {"{...F} fragment F on T @skip(if: true) {a}", "stands where it has no meaning"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_refused(wrong[i].text, wrong[i].says);
}

static void utf8_and_nul(void **state)
{
    (void)state;
    GraphqlDocument document;
    assert_int_equal(parse(SLICE_LITERAL("{a(x: \"\xC0\xAF\")}"), &document), -EINVAL);
    assert_non_null(strstr(fault.text, "not UTF-8"));
    assert_int_equal(parse(SLICE_LITERAL("{a}\0{b}"), &document), -EINVAL);
    assert_int_equal(parse(SLICE_LITERAL("\xFF\xFE{\0a\0}\0"), &document), -EINVAL);
    assert_int_equal(parse(SLICE_LITERAL("{a} #\xF0\x9F\x98\x80"), &document), 0);
}

static void strings_mean_what_the_specification_says(void **state)
{
    (void)state;
    static const struct {
        const char *text, *means;
    } string[] = {
        {"\"\"", ""},
        {"\"a # { b\"", "a # { b"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\\uFFFD\"", "A\xC3\xA9\xE2\x82\xAC\xEF\xBF\xBD"},
        {"\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80"},
        {"\"\"\"\"\"\"", ""},
        {"\"\"\"a\"\"\"", "a"},
        {"\"\"\"  a\"\"\"", "  a"},
        {"\"\"\"\n    Hello,\n      World!\n\n    Yours,\n      GraphQL.\n  \"\"\"",
         "Hello,\n  World!\n\nYours,\n  GraphQL."},
        {"\"\"\"first\n    second\n      third\"\"\"", "first\nsecond\n  third"},
        {"\"\"\"\n\n\"\"\"", ""},
        {"\"\"\" \t \"\"\"", ""},
        {"\"\"\"\n\ta\n\t\tb\n \n\"\"\"", "a\n\tb"},
        {"\"\"\"a\r\nb\rc\"\"\"", "a\nb\nc"},
        {"\"\"\"a\\nb \\u0041 \\\"\"\" c\"\"\"", "a\\nb \\u0041 \"\"\" c"},
        {"\"\"\"\n  a\n \n  b\n\"\"\"", "a\n\nb"},
        {"\"\"\"\n  a\n     \n  b\n\"\"\"", "a\n   \nb"},
    };
    for (size_t i = 0; i < COUNT_OF(string); i++) {
        GraphqlValue value;
        graphql_arena_reset(&arena);
        if (graphql_parse_value(&arena, slice_of(string[i].text), &value, &fault))
            fail_msg("%s: %s", string[i].text, fault.text);
        assert_int_equal(value.kind, GRAPHQL_STRING);
        if (!slice_is(value.text, string[i].means))
            fail_msg("%s means %.*s", string[i].text, (int)value.text.len, value.text.ptr);
        CLEANUP_BUF Buf printed = BUF_INIT(4096);
        GraphqlValue again;
        assert_int_equal(graphql_print_value(&value, &printed), 0);
        assert_int_equal(graphql_parse_value(&arena, buf_slice(&printed), &again, &fault), 0);
        assert_true(slice_is(again.text, string[i].means));
    }
}

static void one_value_is_one_value(void **state)
{
    (void)state;
    GraphqlValue value;
    static const char *const wrong[] = {"", "1 2", "$a", "[$a]", "{a: 1", "a b", "{a: 1, a: 2}"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(graphql_parse_value(&arena, slice_of(wrong[i]), &value, &fault), -EINVAL);
    assert_int_equal(graphql_parse_value(&arena, SLICE_LITERAL(" {a: [1, null]} # x"), &value, &fault), 0);
    assert_int_equal(value.kind, GRAPHQL_OBJECT);
    assert_int_equal(value.entry->value.kind, GRAPHQL_LIST);
    assert_int_equal(value.entry->value.entry->next->value.kind, GRAPHQL_NULL);
}

static void repeat(Buf *buf, const char *text, unsigned n)
{
    while (n--)
        assert_int_equal(buf_append_text(buf, text), 0);
}

/* head, n times each, tail. */
static void assert_bound(const char *head, const char *each, unsigned n, const char *then, unsigned m,
                         const char *tail, const char *says)
{
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    GraphqlDocument document;
    repeat(&text, head, 1);
    repeat(&text, each, n);
    repeat(&text, then, m);
    repeat(&text, tail, 1);
    int r = parse(buf_slice(&text), &document);
    if (r == 0 && says)
        fail_msg("%u times %s is accepted", n, each);
    if (r && (!says || !strstr(fault.text, says)))
        fail_msg("%u times %s: %s", n, each, fault.text);
}

static void every_bound_holds(void **state)
{
    (void)state;
    assert_bound("{a(x:", "[", 62, "]", 62, ")}", NULL);
    assert_bound("{a(x:", "[", 64, "]", 64, ")}", "brackets are open");
    assert_bound("{a(x:", "[", 100000, "]", 1, ")}", "brackets are open");
    assert_bound("{", "a{", 49, "b}", 1, "}", "where a field's name must stand");
    assert_bound("", "{a", 50, "}", 50, "", NULL);
    assert_bound("", "{a", 51, "}", 51, "", "more than 50 fields are nested");
    assert_bound("", "{a", 100000, "}", 1, "", "brackets are open");
    assert_bound("{", "...{", 62, "a}", 1, "}", "where a field's name");
    assert_bound("{", "...{", 50000, "", 0, "", "brackets are open");
    assert_bound("query($a:", "[", 63, "", 0, "T) {a}", "must stand");
    assert_bound("query($a:", "[", 65, "", 0, "T) {a}", "brackets are open");
    assert_bound("{", "a ", 9997, "", 0, "}", NULL);
    assert_bound("{", "a ", 9999, "", 0, "}", "more than 10000 tokens");
    assert_bound("{", "a:b ", 500, "", 0, "}", NULL);
    assert_bound("{", "a:b ", 501, "", 0, "}", "more than 500 aliases");
    assert_bound("{", "a ", 1, "#", 300000, "\n}", "larger than 256 KiB");
    assert_bound("{", "a", 128, "", 0, "}", NULL);
    assert_bound("{", "a", 129, "", 0, "}", "a name is longer than 128 bytes");
    CLEANUP_BUF Buf many = BUF_INIT(1u << 20);
    GraphqlDocument document;
    for (int i = 0; i <= GRAPHQL_MAX_ENTRIES; i++)
        assert_int_equal(buf_printf(&many, "%s%d:1", i ? " a" : "{a(a", i), 0);
    repeat(&many, ")}", 1);
    assert_int_equal(parse(buf_slice(&many), &document), -EINVAL);
    buf_reset(&many);
    for (int i = 0; i <= GRAPHQL_MAX_OPERATIONS; i++)
        assert_int_equal(buf_printf(&many, "query Q%d {a}", i), 0);
    assert_int_equal(parse(buf_slice(&many), &document), -EINVAL);
    buf_reset(&many);
    for (int i = 0; i <= GRAPHQL_MAX_FRAGMENTS; i++)
        assert_int_equal(buf_printf(&many, "fragment F%d on T {a}", i), 0);
    repeat(&many, "{b}", 1);
    assert_int_equal(parse(buf_slice(&many), &document), -EINVAL);
    buf_reset(&many);
    for (int i = 0; i <= GRAPHQL_MAX_VARIABLES; i++)
        assert_int_equal(buf_printf(&many, "%s$v%d:T", i ? "" : "query(", i), 0);
    repeat(&many, "){b}", 1);
    assert_int_equal(parse(buf_slice(&many), &document), -EINVAL);
}

/* Each fragment spreads the next one twice: 2^100 fields, counted without being expanded. */
static void a_fragment_bomb_costs_nothing(void **state)
{
    (void)state;
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    GraphqlDocument document;
    repeat(&text, "{...F0}", 1);
    for (int i = 0; i < 40; i++)
        assert_int_equal(buf_printf(&text, "fragment F%d on T {...F%d ...F%d}", i, i + 1, i + 1), 0);
    repeat(&text, "fragment F40 on T {a}", 1);
    clock_t began = clock();
    assert_int_equal(parse(buf_slice(&text), &document), -EINVAL);
    assert_true(clock() - began < CLOCKS_PER_SEC / 4);
    assert_non_null(strstr(fault.text, "selects more than 10000 fields"));
    /* Also where the operation does not use it, and in depth. */
    buf_reset(&text);
    repeat(&text, "{a} ", 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_printf(&text, "fragment F%d on T {x{...F%d}}", i, i + 1), 0);
    repeat(&text, "fragment F100 on T {a}", 1);
    assert_int_equal(parse(buf_slice(&text), &document), -EINVAL);
    assert_non_null(strstr(fault.text, "are nested"));
}

/* A bound must hold whichever definition is measured first. */
static void nesting_is_counted_through_fragments_in_any_order(void **state)
{
    (void)state;
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    GraphqlDocument document;
    for (int forward = 0; forward < 2; forward++) {
        buf_reset(&text);
        for (int i = 0; i < 70; i++) {
            int n = forward ? i : 69 - i;
            assert_int_equal(buf_printf(&text, "fragment F%d on T {...F%d}", n, n + 1), 0);
        }
        repeat(&text, "fragment F70 on T {a} {...F0}", 1);
        assert_int_equal(parse(buf_slice(&text), &document), -EINVAL);
        assert_non_null(strstr(fault.text, "selections are nested"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_grammar_has_is_accepted),
        cmocka_unit_test(what_the_grammar_has_not_is_refused_with_its_place),
        cmocka_unit_test(what_servers_differ_in_is_refused),
        cmocka_unit_test(utf8_and_nul),
        cmocka_unit_test(strings_mean_what_the_specification_says),
        cmocka_unit_test(one_value_is_one_value),
        cmocka_unit_test(every_bound_holds),
        cmocka_unit_test(a_fragment_bomb_costs_nothing),
        cmocka_unit_test(nesting_is_counted_through_fragments_in_any_order),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
