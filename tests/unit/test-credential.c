/* A database credential as stores hold it: a password alone, or a JSON object. */
#include "clerk/credential.h"

#include "clerk/ndjson.h"
#include "json/arena.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check(const char *bytes, const char *user, const char *password)
{
    Credential credential;
    Fault fault = {""};
    assert_int_equal(credential_parse(slice_of(bytes), &credential, &fault), 0);
    assert_string_equal(buf_text(&credential.user), user);
    assert_string_equal(buf_text(&credential.password), password);
    credential_wipe(&credential);
}

static void test_a_password_alone_or_with_its_user(void **state)
{
    (void)state;
    check("hunter2 hunter2", "", "hunter2 hunter2");
    check("{\"username\":\"u\",\"password\":\"p\",\"lease\":1}", "u", "p");
    check("{\"password\":\"{\"}", "", "{");
}

static void test_what_cannot_be_one_is_refused_without_showing_it(void **state)
{
    static const char *const bad[] = {"",
                                      "{secret",
                                      "{\"password\":7}",
                                      "{\"username\":\"secret\"}",
                                      "{\"password\":\"secret\",\"password\":\"b\"}",
                                      "{\"password\":\"\"}"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Credential credential;
        Fault fault = {""};
        assert_true(credential_parse(slice_of(bad[i]), &credential, &fault) > 0);
        assert_null(strstr(fault.text, "secret"));
    }
    Credential credential;
    Fault fault = {""};
    assert_true(credential_parse((Slice){"a\0b", 3}, &credential, &fault) > 0);
}

static int setup(void **state)
{
    (void)state;
    json_arena_install(NDJSON_ARENA);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_password_alone_or_with_its_user),
        cmocka_unit_test(test_what_cannot_be_one_is_refused_without_showing_it),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
