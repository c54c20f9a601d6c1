/* Times are read strictly and written so that they are read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <time.h>

static void rfc_3339_in_any_offset_is_one_moment(void **state)
{
    (void)state;
    static const char *const same[] = {"2020-06-05T14:11:38Z", "2020-06-05 14:11:38z",
                                       "2020-06-05T16:11:38+02:00", "2020-06-05T08:41:38-05:30",
                                       "2020-06-05T14:11:38.000000000Z"};
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        int64_t us = 0;
        assert_int_equal(clock_parse(slice_of(same[i]), &us), 0);
        assert_true(us == INT64_C(1591366298000000));
    }
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "2020-06-05",
                                      "2020-06-05T14:11Z",
                                      "2020-06-05T14:11:38",
                                      "2020-13-05T14:11:38Z",
                                      "2020-02-30T14:11:38Z",
                                      "2019-02-29T00:00:00Z",
                                      "2020-06-05T24:11:38Z",
                                      "2020-06-05T14:60:38Z",
                                      "2020-06-05T14:11:61Z",
                                      "2020-06-05T14:11:38.Z",
                                      "2020-06-05T14:11:38+2:00",
                                      "2020-06-05T14:11:38+24:00",
                                      "2020-06-05T14:11:38Z ",
                                      "1969-12-31T23:59:59Z",
                                      "1970-01-01T00:00:00+00:01",
                                      "9999-12-31T23:59:59-00:01",
                                      "9999-12-31T23:59:60Z",
                                      "+020-06-05T14:11:38Z",
                                      "2020-06-05T14:11:38.1234567890123456789Z"};
    int64_t us = 4711;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (clock_parse(slice_of(bad[i]), &us) != -EINVAL || us != 4711)
            fail_msg("%s is no time", bad[i]);
    assert_int_equal(clock_parse(slice_of("2020-02-29T00:00:00Z"), &us), 0);
    assert_int_equal(clock_parse(slice_of("9999-12-31T23:59:59.999999Z"), &us), 0);
}

/* 400 years and the days that are left of them: all that the calendar has. */
static void each_day_is_the_c_librarys(void **state)
{
    (void)state;
    for (time_t day = 0; day < 400 * 366; day++) {
        time_t seconds = day * 86400 + day * 7919 % 86400;
        struct tm utc;
        char text[CLOCK_TEXT];
        int64_t us = -1;
        assert_int_not_equal(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc)), 0);
        if (clock_parse(slice_of(text), &us) || us != seconds * CLOCK_SECOND)
            fail_msg("%s is second %lld", text, (long long)seconds);
    }
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 1, 1591366298000000, 1591366298123456, INT64_C(253402300799999999)};
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        char text[CLOCK_TEXT];
        int64_t back = -1;
        assert_int_equal(clock_parse(slice_of(clock_format(text, times[i])), &back), 0);
        assert_true(back == times[i]);
    }
    char text[CLOCK_TEXT];
    assert_string_equal(clock_format(text, INT64_MAX), "(out of range)");
}

static void a_test_can_set_the_clocks(void **state)
{
    (void)state;
    clock_set_for_test(7, 9);
    assert_true(clock_wall() == 7 && clock_mono() == 9);
    clock_set_for_test(-1, -1);
    assert_true(clock_wall() > INT64_C(1600000000000000) && clock_mono() > 9);
}

static void json_is_written_as_rfc_8259_has_it(void **state)
{
    (void)state;
    CLEANUP_BUF Buf buf = BUF_INIT(1000);
    JsonWriter json = JSON_WRITER(&buf);
    json_object_begin(&json, NULL);
    json_text(&json, "a\"b", "x\\\n\x1f\xc3\xa9\xff");
    json_text(&json, "a",
              "\xc2\x9b"
              "b\xe2\x80\xae\xef\xbf\xbe");
    json_text(&json, "none", NULL);
    json_array_begin(&json, "list");
    json_u64(&json, NULL, UINT64_MAX);
    json_i64(&json, NULL, -1);
    json_double(&json, NULL, 0.5);
    json_double(&json, NULL, NAN);
    json_bool(&json, NULL, true);
    json_time(&json, NULL, 0);
    json_time(&json, NULL, 1591366298000000);
    json_array_end(&json);
    json_object_begin(&json, "empty");
    json_object_end(&json);
    assert_int_equal(json_finish(&json), -EINVAL); /* something is open */
    json_object_end(&json);
    assert_int_equal(json_finish(&json), 0);
    assert_string_equal(buf_text(&buf), "{\"a\\\"b\":\"x\\\\\\u000a\\u001f\xc3\xa9\xef\xbf\xbd\","
                                        "\"a\":\"\\u009bb\\u202e\\ufffe\",\"none\":"
                                        "null,\"list\":[18446744073709551615,-1,"
                                        "0.5,null,true,null,\"2020-06-05T14:11:38Z\"],\"empty\":{}}");
}

static void json_has_no_character_that_yaml_refuses(void **state)
{
    (void)state;
    CLEANUP_BUF Buf buf = BUF_INIT(1000);
    JsonWriter json = JSON_WRITER(&buf);
    json_text(
        &json, NULL,
        "\x7f\xC2\x80\xC2\x85\xC2\x9F\xC2\xA0\xE2\x80\xA7\xE2\x80\xA8\xE2\x80\xA9\xEF\xBB\xBF\xEF\xBF\xBD"
        "\xEF\xBF\xBE\xEF\xBF\xBF\xF0\x9F\xBF\xBF");
    assert_int_equal(json_finish(&json), 0);
    assert_string_equal(buf_text(&buf),
                        "\"\\u007f\\u0080\\u0085\\u009f\xC2\xA0\xE2\x80\xA7\\u2028\\u2029\\ufeff"
                        "\xEF\xBF\xBD\\ufffe\\uffff\xF0\x9F\xBF\xBF\"");
}

static void json_that_does_not_fit_says_so(void **state)
{
    (void)state;
    CLEANUP_BUF Buf buf = BUF_INIT(10);
    JsonWriter json = JSON_WRITER(&buf);
    json_text(&json, NULL, "longer than ten bytes");
    json_text(&json, NULL, "x");
    assert_int_equal(json_finish(&json), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_3339_in_any_offset_is_one_moment),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(each_day_is_the_c_librarys),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_test_can_set_the_clocks),
        cmocka_unit_test(json_is_written_as_rfc_8259_has_it),
        cmocka_unit_test(json_has_no_character_that_yaml_refuses),
        cmocka_unit_test(json_that_does_not_fit_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
