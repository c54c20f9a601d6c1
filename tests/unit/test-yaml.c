/* The strict reader: what is refused, and that the message has the place and the cause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "yaml/field.h"

#include <errno.h>
#include <stdio.h>

static void check_refused(const char *text, const char *says)
{
    YamlDoc *doc = NULL;
    Fault fault = {""};
    assert_int_equal(yaml_doc_read("f.yaml", slice_of(text), 4096, &doc, &fault), -EINVAL);
    assert_null(doc);
    if (strncmp(fault.text, says, strlen(says)) != 0)
        fail_msg("%s\n  says: %s", text, fault.text);
}

static YamlDoc *read_good(const char *text)
{
    YamlDoc *doc = NULL;
    Fault fault = {""};
    if (yaml_doc_read("f.yaml", slice_of(text), 4096, &doc, &fault))
        fail_msg("%s", fault.text);
    return doc;
}

static void a_tree_has_lines_and_columns(void **state)
{
    (void)state;
    CLEANUP_YAML YamlDoc *doc = read_good("a: 1\nlist:\n- x\n- \"2\"\nnone: ~\n");
    const YamlNode *list = yaml_get(doc->root, "list");
    assert_int_equal(list->kind, YAML_LIST);
    assert_int_equal(list->child[1]->line, 4);
    assert_int_equal(list->child[1]->column, 3);
    assert_false(list->child[1]->plain);
    assert_true(yaml_get(doc->root, "a")->plain);
    assert_int_equal(yaml_get(doc->root, "none")->kind, YAML_NULL);
    assert_null(yaml_get(doc->root, "b"));
}

static void what_is_ambiguous_is_refused(void **state)
{
    (void)state;
    check_refused("", "f.yaml:1:1: the file is empty");
    check_refused("# nothing\n", "f.yaml:1:1: the file is empty");
    check_refused("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' is there twice; the first is in line 1");
    check_refused("a:\n\tb: 1\n", "f.yaml:2:1: a tab is used as indentation here");
    check_refused("l:\n- a: 1\n\t b: 2\n", "f.yaml:3:1: a tab is used");
    check_refused("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document begins here");
    check_refused("a: !!str 1\n", "f.yaml:1:4: tags (");
    check_refused("a: !mine {b: 1}\n", "f.yaml:1:4: tags (!mine)");
    check_refused("b: &x {c: 1}\na:\n  <<: *x\n", "f.yaml:3:3: merge keys");
    check_refused("? [a, b]\n: 1\n", "f.yaml:1:3: a key must be a word, but is a list");
    check_refused("a: b: c\n", "f.yaml:1:5: a ':' stands where none can be");
    check_refused("a: \"b\n", "f.yaml:2:1: the file ends inside quotes");
    check_refused("a: [1, 2\n", "f.yaml:2:1: a ',' or the closing ']' is missing");
    check_refused("a: 'x\\0'\nb: \"\\0\"\n", "f.yaml:2:4: this text holds a NUL byte");
    check_refused("a: 1\nb: \xFF\n", "f.yaml:2:4: a byte here is not UTF-8");
    check_refused("\xC3\xA4: \xC3\n", "f.yaml:1:4: a byte here is not UTF-8");
    check_refused("a: 1\nb: \x01\n", "f.yaml:2:4: a control character stands here");
}

static void aliases_are_bounded(void **state)
{
    (void)state;
    CLEANUP_YAML YamlDoc *doc = read_good("a: &x [1, 2]\nb: *x\nc: *x\n");
    assert_int_equal(yaml_get(doc->root, "c")->n_child, 2);
    check_refused("a: &x [1, *x]\n", "f.yaml:1:11: the alias '*x' stands inside its own anchor (line 1)");
    check_refused("a: &x {b: {c: *x}}\n", "f.yaml:1:15: the alias '*x' stands inside its own anchor");
    check_refused("a: *x\n", "f.yaml:1:4: the alias '*x' has no anchor '&x' before it");
    check_refused("a: &x 1\nb: &x 2\n", "f.yaml:2:4: the anchor '&x' is there twice");
    check_refused("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                  "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                  "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
                  "f.yaml:5:17: this file has more than 50000 values");
}

static void size_and_depth_are_bounded(void **state)
{
    (void)state;
    char deep[200];
    YamlDoc *doc = NULL;
    Fault fault = {""};
    memset(deep, '[', 100);
    memset(deep + 100, ']', 99);
    deep[199] = '\0';
    check_refused(deep, "f.yaml:1:33: nested deeper than 32 levels");
    assert_int_equal(yaml_doc_read("f.yaml", slice_of("a: 1"), 3, &doc, &fault), -EFBIG);
}

typedef struct Thing {
    char *name, *text;
    char **list;
    size_t n_list;
    bool flag;
    uint32_t small;
    uint64_t size, time, rate;
} Thing;

static int read_thing(const char *text, Thing *thing, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(Thing, "name", YAML_AS_NAME, name, .required = true),
        YAML_FIELD(Thing, "text", YAML_AS_TEXT, text, .most = 8),
        YAML_FIELD(Thing, "list", YAML_AS_TEXTS, list, .count = offsetof(Thing, n_list), .most = 2),
        YAML_FIELD(Thing, "flag", YAML_AS_BOOL, flag),
        YAML_FIELD(Thing, "small", YAML_AS_U32, small, .most = 9),
        YAML_FIELD(Thing, "size", YAML_AS_SIZE, size),
        YAML_FIELD(Thing, "time", YAML_AS_DURATION, time),
        YAML_FIELD(Thing, "rate", YAML_AS_RATE, rate),
    };
    CLEANUP_YAML YamlDoc *doc = read_good(text);
    return YAML_READ_MAP(doc, doc->root, "a thing", field, thing, fault);
}

static void thing_done(Thing *thing)
{
    mem_free(thing->name);
    mem_free(thing->text);
    mem_free_strings(thing->list, thing->n_list);
}

static void fields_are_read_by_their_type(void **state)
{
    (void)state;
    Thing thing = {0};
    Fault fault = {""};
    assert_int_equal(
        read_thing("{name: a-b, text: 123, list: [x, \"\\u00e4\"], flag: true, small: 9, size: 2KiB, "
                   "time: '90s', rate: 20/s}",
                   &thing, &fault),
        0);
    assert_string_equal(thing.text, "123");
    assert_string_equal(thing.list[1], "\xC3\xA4");
    assert_true(thing.flag && thing.small == 9 && thing.size == 2048 && thing.time == 90000000 &&
                thing.rate == 20000);
    thing_done(&thing);
}

static void wrong_fields_are_refused_with_what_was_meant(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{nam: x}", "f.yaml:1:2: a thing has no key 'nam'; did you mean 'name'?"},
        {"{Name: x}", "f.yaml:1:2: a thing has no key 'Name'; did you mean 'name'?"},
        {"{name: x, tiem: 3s}", "f.yaml:1:11: a thing has no key 'tiem'; did you mean 'time'?"},
        {"{zzzzzz: x}", "f.yaml:1:2: a thing has no key 'zzzzzz'; it has: name, text, list"},
        {"{text: x}", "f.yaml:1:1: a thing needs the key 'name'"},
        {"{name: }", "f.yaml:1:8: 'name' must be text, but is empty"},
        {"{name: ~}", "f.yaml:1:8: 'name' must be text, but is empty"},
        {"{name: ''}", "f.yaml:1:8: 'name' is empty"},
        {"{name: [x]}", "f.yaml:1:8: 'name' must be text, but is a list"},
        {"{name: A b}", "f.yaml:1:8: 'name: A b' is not a name"},
        {"{name: x, text: 123456789}", "f.yaml:1:17: 'text' is longer than 8 bytes"},
        {"{name: x, text: \"a\\nb\"}", "f.yaml:1:17: 'text' holds a control character"},
        {"{name: x, list: y}", "f.yaml:1:17: 'list' must be a list, but is a single word"},
        {"{name: x, list: [1, 2, 3]}", "f.yaml:1:17: 'list' has 3 items; there may be 2 at most"},
        {"{name: x, list: [[1]]}", "f.yaml:1:18: 'list' must be text, but is a list"},
        {"{name: x, flag: yes}", "f.yaml:1:17: 'flag: yes' must be true or false"},
        {"{name: x, flag: \"true\"}", "f.yaml:1:17: 'flag' must be true or false, but is quoted text"},
        {"{name: x, small: \"3\"}", "f.yaml:1:18: 'small' must be a number, but is quoted"},
        {"{name: x, small: 10}", "f.yaml:1:18: 'small: 10' is too large"},
        {"{name: x, small: -1}", "f.yaml:1:18: 'small: -1' is not a whole number"},
        {"{name: x, small: 0x1}", "f.yaml:1:18: 'small: 0x1' is not a whole number"},
        {"{name: x, size: 5 MB}", "f.yaml:1:17: 'size: 5 MB' is not a size like"},
        {"{name: x, time: 10}", "f.yaml:1:17: 'time: 10' is not a duration like"},
        {"{name: x, rate: 20}", "f.yaml:1:17: 'rate: 20' is not a rate like"},
        {"[x]", "f.yaml:1:1: a thing must be a mapping (key: value), but is a list"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Thing thing = {0};
        Fault fault = {""};
        assert_int_equal(read_thing(bad[i].text, &thing, &fault), -EINVAL);
        if (strncmp(fault.text, bad[i].says, strlen(bad[i].says)) != 0)
            fail_msg("%s\n  says: %s", bad[i].text, fault.text);
        thing_done(&thing);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_has_lines_and_columns),
        cmocka_unit_test(what_is_ambiguous_is_refused),
        cmocka_unit_test(aliases_are_bounded),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(fields_are_read_by_their_type),
        cmocka_unit_test(wrong_fields_are_refused_with_what_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
