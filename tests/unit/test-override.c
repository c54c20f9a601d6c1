/* Promise 9: a method override in a form's body counts as a method. */
#include "keeper/override.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool found(const char *type, const char *body, size_t step)
{
    static HttpHead head;
    head.header[0] = (HttpHeader){SLICE_LITERAL("content-type"), slice_of(type ? type : "")};
    head.n_header = type != NULL;
    OverrideScan scan;
    override_begin(&scan, &head);
    bool hit = false;
    for (size_t at = 0, len = strlen(body); at < len; at += step)
        hit |= override_found(&scan, (Slice){body + at, len - at < step ? len - at : step});
    return hit;
}

static void an_override_is_found_in_every_writing_and_at_every_split(void **state)
{
    (void)state;
    static const char *const body[] = {"_method=DELETE",
                                       "a=1&_method=PUT",
                                       "a=1&%5Fmethod=PUT",
                                       "a=1&_m%65thod=PUT",
                                       "a=1&%5f%6d%65%74%68%6f%64=PUT",
                                       "a=1&_METHOD=PUT",
                                       "a=1&.method=PUT",
                                       "a=1&+_method=PUT",
                                       "a=1&%20%5Fmethod=PUT",
                                       "x&&__method_&_method=1",
                                       "a=%&_method=PUT",
                                       "a=%4&_method=PUT",
                                       "a=%%%&_method=PUT",
                                       "a=%&%5Fmethod=PUT",
                                       "%zz&_m%65thod=PUT",
                                       "a=%%26_method=PUT"};
    for (size_t i = 0; i < COUNT_OF(body); i++)
        for (size_t step = 1; step < 20; step++)
            assert_true(found("application/x-www-form-urlencoded; charset=utf-8", body[i], step));
    assert_true(found("multipart/form-data; boundary=x",
                      "--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n", 3));
    assert_true(found("multipart/form-data; boundary=x",
                      "--x\r\nContent-Disposition: form-data; name=_method\r\n", 3));
    static const char *const part[] = {"Content-Disposition: form-data; name=\"\\_method\"",
                                       "Content-Disposition: form-data; name=\"_m\\e\\thod\"",
                                       "Content-Disposition: form-data; name=\\_method",
                                       "Content-ID:_method",
                                       "Content-ID:\t_method",
                                       "Content-ID: _method"};
    for (size_t i = 0; i < COUNT_OF(part); i++)
        for (size_t step = 1; step < 20; step++)
            assert_true(found("multipart/form-data; boundary=x", part[i], step));
}

static bool readable(const char *type)
{
    static HttpHead head;
    head.header[0] = (HttpHeader){SLICE_LITERAL("Content-Type"), slice_of(type ? type : "")};
    head.n_header = type != NULL;
    return override_is_readable(&head);
}

static void a_form_in_a_charset_in_which_names_look_otherwise_is_not_readable(void **state)
{
    (void)state;
    static const char *const yes[] = {NULL,
                                      "",
                                      "application/x-www-form-urlencoded",
                                      "application/x-www-form-urlencoded; charset=utf-8",
                                      "application/x-www-form-urlencoded;Charset=\"UTF-8\"",
                                      "multipart/form-data; boundary=charset; charset = us-ascii ; x=y",
                                      "application/x-www-form-urlencoded; charset=ISO-8859-1",
                                      "application/x-www-form-urlencoded; charset=windows-1252"};
    static const char *const no[] = {"application/x-www-form-urlencoded; charset=utf-16",
                                     "application/x-www-form-urlencoded; charset=UTF-16BE",
                                     "application/x-www-form-urlencoded;charset = \"ibm037\"",
                                     "application/x-www-form-urlencoded; charset='utf-32'",
                                     "multipart/form-data; boundary=x; charset=utf-7",
                                     "application/x-www-form-urlencoded; charset=utf-8; charset=cp500",
                                     "application/x-www-form-urlencoded; charset*=utf-8''ibm037"};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        assert_true(readable(yes[i]));
    for (size_t i = 0; i < COUNT_OF(no); i++)
        assert_false(readable(no[i]));
}

static void what_may_be_a_form_is_one(void **state)
{
    (void)state;
    static const char *const type[] = {NULL,
                                       "",
                                       "form",
                                       "text/plain, application/x-www-form-urlencoded",
                                       ";application/x-www-form-urlencoded",
                                       "MULTIPART/form-data; boundary=x"};
    for (size_t i = 0; i < COUNT_OF(type); i++)
        assert_true(found(type[i], "a=1&_method=DELETE", 5));
}

static void other_names_and_other_bodies_are_left_alone(void **state)
{
    (void)state;
    assert_false(found("application/x-www-form-urlencoded", "payment_method=card&method=x&pay.method=1", 4));
    assert_false(found("application/x-www-form-urlencoded", "a=%5&b_method=x&c=%&d_method=%", 4));
    assert_false(found("application/json", "{\"_method\": \"DELETE\"}", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_override_is_found_in_every_writing_and_at_every_split),
        cmocka_unit_test(a_form_in_a_charset_in_which_names_look_otherwise_is_not_readable),
        cmocka_unit_test(what_may_be_a_form_is_one),
        cmocka_unit_test(other_names_and_other_bodies_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
