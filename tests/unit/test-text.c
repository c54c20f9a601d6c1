/* The small things that people write are read strictly, and strangers' bytes are made printable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/text.h"

#include <errno.h>

typedef int Parse(Slice text, uint64_t *ret_value);

typedef struct Case {
    const char *text;
    int result;
    uint64_t value;
} Case;

static void check(Parse *parse, const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 4711;
        int r = parse(slice_of(cases[i].text), &value);
        if (r != cases[i].result || value != (r ? 4711 : cases[i].value))
            fail_msg("%s: result %d, value %llu", cases[i].text, r, (unsigned long long)value);
    }
}

static int parse_number(Slice text, uint64_t *ret_value)
{
    return text_parse_u64(text, UINT64_MAX, ret_value);
}

static void a_number_is_digits_and_nothing_else(void **state)
{
    (void)state;
    static const Case cases[] = {{"0", 0, 0},
                                 {"18446744073709551615", 0, UINT64_MAX},
                                 {"18446744073709551616", -ERANGE, 0},
                                 {"", -EINVAL, 0},
                                 {"01", -EINVAL, 0},
                                 {"+1", -EINVAL, 0},
                                 {"-1", -EINVAL, 0},
                                 {" 1", -EINVAL, 0},
                                 {"1 ", -EINVAL, 0},
                                 {"0x1", -EINVAL, 0},
                                 {"1e3", -EINVAL, 0},
                                 {"123456789012345678901", -EINVAL, 0}};
    uint64_t value;
    check(parse_number, cases, COUNT_OF(cases));
    assert_int_equal(text_parse_u64(slice_of("8"), 7, &value), -ERANGE);
}

static void durations_have_units_that_fall(void **state)
{
    (void)state;
    static const Case cases[] = {{"250ms", 0, 250000},       {"90s", 0, 90000000},  {"1h30m", 0, 5400000000},
                                 {"2d", 0, 172800000000},    {"0", 0, 0},           {"10", -EINVAL, 0},
                                 {"m", -EINVAL, 0},          {"30m1h", -EINVAL, 0}, {"1h1h", -EINVAL, 0},
                                 {"1 h", -EINVAL, 0},        {"1.5h", -EINVAL, 0},  {"", -EINVAL, 0},
                                 {"213503983d", -ERANGE, 0}, {"-1s", -EINVAL, 0}};
    check(text_parse_duration, cases, COUNT_OF(cases));
}

static void sizes_know_both_kinds_of_units(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"512", 0, 512},           {"64kB", 0, 64000},       {"64KiB", 0, 65536},
        {"500MiB", 0, 500u << 20}, {"2Gi", 0, 2ull << 30},   {"1K", -EINVAL, 0},
        {"1MiB2", -EINVAL, 0},     {"1MiB2KiB", -EINVAL, 0}, {"17179869184GiB", -ERANGE, 0}};
    check(text_parse_size, cases, COUNT_OF(cases));
}

static void rates_are_whole_however_small(void **state)
{
    (void)state;
    static const Case cases[] = {{"20/s", 0, 20000},   {"600/m", 0, 10000}, {"5000/h", 0, 1388},
                                 {"1/h", -ERANGE, 0},  {"0/s", -ERANGE, 0}, {"20", -EINVAL, 0},
                                 {"20/d", -EINVAL, 0}, {"/s", -EINVAL, 0}};
    check(text_parse_rate, cases, COUNT_OF(cases));
}

static void only_well_formed_utf8_is_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xc3", "\xe2\x82", "\xff",         "a\xc3"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(text_is_utf8(slice_of(good[i])));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(text_is_utf8(slice_of(bad[i])));
}

static void names_and_hosts_are_what_they_say(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "github-actions", "a.b_c", "0"};
    static const char *const no_names[] = {"", "A", "-a", "a-", "a b", "a/b", "..", "\xc3\xa9"};
    static const char *const hosts[] = {"a", "api.github.com", "1.2.3.4", "::1", "x_y.test", "1.com"};
    static const char *const no_hosts[] = {"",    "a.",    ".a",        "a..b",  "-a",  "a-",  "A.com",
                                           "a b", "1.2.3", "1.2.3.4.5", "[::1]", "a/b", "a:1", "a@b"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_true(text_is_name(slice_of(names[i])));
    for (size_t i = 0; i < COUNT_OF(no_names); i++)
        assert_false(text_is_name(slice_of(no_names[i])));
    for (size_t i = 0; i < COUNT_OF(hosts); i++)
        if (!text_is_host(slice_of(hosts[i])))
            fail_msg("%s is a host", hosts[i]);
    for (size_t i = 0; i < COUNT_OF(no_hosts); i++)
        if (text_is_host(slice_of(no_hosts[i])))
            fail_msg("%s is no host", no_hosts[i]);
}

static void what_is_printed_cannot_steer_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *safe;
    } cases[] = {{"plain", "plain"},
                 {"a\x1b[31mb", "a\\x1b[31mb"},
                 {"a\nb", "a\\nb"},
                 {"\x7f", "\\x7f"},
                 {"\xc2\x9b", "\\x9b"},
                 {"\xff", "\\xff"},
                 {"\xc3\xa9", "\xc3\xa9"},
                 {"a\\b", "a\\b"},
                 {"a\xe2\x80\xae"
                  "b",
                  "a\\u202e"
                  "b"},
                 {"\xe2\x81\xa6x\xe2\x81\xa9", "\\u2066x\\u2069"},
                 {"\xe2\x80\xa8", "\\u2028"},
                 {"\xef\xbf\xbf", "\\uffff"},
                 {"\xe2\x80\xa7", "\xe2\x80\xa7"},
                 {"\xf0\x9f\x91\x8d", "\xf0\x9f\x91\x8d"}};
    char out[64];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(text_escape(out, sizeof(out), cases[i].raw, strlen(cases[i].raw)),
                         strlen(cases[i].safe));
        assert_string_equal(out, cases[i].safe);
    }
    /* cut between pieces, never inside one */
    assert_int_equal(text_escape(out, 6, "abc\x1bxyz", 7), 10);
    assert_string_equal(out, "abc");
}

static void a_fault_is_one_safe_line_and_says_when_it_is_cut(void **state)
{
    (void)state;
    Fault fault = {0};
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(fault_set(&fault, -EINVAL, "a%sb", "\x1b\n"), -EINVAL);
    assert_string_equal(fault.text, "a\\x1b\\nb");
    fault_set(&fault, 1, "no such thing");
    fault_prefix(&fault, 1, "file %d", 7);
    assert_string_equal(fault.text, "file 7: no such thing");
    fault_set(&fault, 1, "%s", text);
    assert_int_equal(strlen(fault.text), sizeof(fault.text) - 1);
    assert_true(slice_ends(slice_of(fault.text), "x..."));
    assert_int_equal(fault_set(NULL, 5, "nobody listens"), 5);
}

static void a_fault_is_cut_between_two_characters(void **state)
{
    (void)state;
    static const char *const character[] = {"\xC3\xA9", "\xE4\xB8\x80", "\xF0\x9F\x98\x80", "\x01"};
    for (size_t c = 0; c < COUNT_OF(character); c++)
        for (size_t before = 0; before < 8; before++) {
            Fault fault = {0};
            char text[2000];
            memset(text, 'x', before);
            size_t n = before, step = strlen(character[c]);
            for (; n + step < sizeof(text); n += step)
                memcpy(text + n, character[c], step);
            for (size_t len = 700; len < n; len++) {
                fault_set(&fault, 1, "%.*s", (int)(len - (len - before) % step), text);
                assert_true(text_is_utf8(slice_of(fault.text)));
                fault_prefix(&fault, 1, "a file");
                assert_true(text_is_utf8(slice_of(fault.text)));
                if (len >= sizeof(fault.text) + step)
                    assert_true(slice_ends(slice_of(fault.text), "..."));
            }
        }
}

static void numbers_for_people(void **state)
{
    (void)state;
    char size[24], count[32], duration[24];
    assert_string_equal(text_human_size(size, 1536), "1.5 KiB");
    assert_string_equal(text_human_size(size, 12), "12 B");
    assert_string_equal(text_human_count(count, 1234567), "1,234,567");
    assert_string_equal(text_human_count(count, 123), "123");
    assert_string_equal(text_human_duration(duration, 125000000), "2m 5s");
    assert_string_equal(text_human_duration(duration, 9500000), "9.5s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_digits_and_nothing_else),
        cmocka_unit_test(durations_have_units_that_fall),
        cmocka_unit_test(sizes_know_both_kinds_of_units),
        cmocka_unit_test(rates_are_whole_however_small),
        cmocka_unit_test(only_well_formed_utf8_is_utf8),
        cmocka_unit_test(names_and_hosts_are_what_they_say),
        cmocka_unit_test(what_is_printed_cannot_steer_a_terminal),
        cmocka_unit_test(a_fault_is_one_safe_line_and_says_when_it_is_cut),
        cmocka_unit_test(a_fault_is_cut_between_two_characters),
        cmocka_unit_test(numbers_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
