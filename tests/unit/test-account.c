/* What providers tell of a token, as their documentation has it. */
#include "rotate/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static Rotation rotation(const char *identity, const char *scopes, const char *expires)
{
    return (Rotation){(char *)"/a", (char *)identity, (char *)scopes,
                      (char *)"",   (char *)expires,  (char *)""};
}

static void buildkite_and_gitlab_tell(void **state)
{
    (void)state;
    Account account;
    Rotation buildkite = rotation("user.email", "scopes", "");
    account_read(
        &buildkite,
        slice_of(
            "{\"scopes\":[\"read_builds\",\"read_agents\",\"read_builds\"],\"user\":{\"email\":\"a@b\"}}"),
        NULL, &account);
    assert_string_equal(account.identity, "a@b");
    assert_int_equal(account.n_scope, 2);
    assert_string_equal(account.scope[0], "read_agents");
    assert_true(account.tells_scopes);
    assert_int_equal(account.expires, 0);
    account_done(&account);
    Rotation gitlab = rotation("user_id", "scopes", "expires_at");
    account_read(&gitlab, slice_of("{\"user_id\":7,\"scopes\":[],\"expires_at\":\"2023-10-28\"}"), NULL,
                 &account);
    assert_string_equal(account.identity, "7");
    assert_true(account.tells_scopes && account.n_scope == 0);
    assert_true(account.expires == 1698451200000000);
    account_done(&account);
}

static void a_header_tells_scopes(void **state)
{
    (void)state;
    Account old, fresh;
    char wider[256];
    Rotation github = rotation("login", "", "");
    account_read(&github, slice_of("{\"login\":\"octocat\"}"), "repo, read:org", &old);
    account_read(&github, slice_of("{\"login\":\"other\"}"), "read:org,admin:org, repo", &fresh);
    assert_true(account_differs(&old, &fresh));
    assert_true(account_wider(&old, &fresh, wider));
    assert_string_equal(wider, "admin:org");
    assert_false(account_wider(&fresh, &old, wider));
    account_done(&old);
    account_done(&fresh);
}

static void what_is_not_told_is_not_compared(void **state)
{
    (void)state;
    static const char *const nothing[] = {"", "[]", "{}", "not json", "{\"login\":{}}", "{\"login\":null}"};
    Account account, told;
    char wider[256];
    Rotation of = rotation("login", "scopes", "expires");
    account_read(&of, slice_of("{\"login\":\"a\",\"scopes\":\"x y\"}"), NULL, &told);
    assert_int_equal(told.n_scope, 2);
    for (size_t i = 0; i < COUNT_OF(nothing); i++) {
        account_read(&of, slice_of(nothing[i]), NULL, &account);
        assert_string_equal(account.identity, "");
        assert_false(account.tells_scopes);
        assert_false(account_differs(&account, &told) || account_wider(&account, &told, wider));
        account_done(&account);
    }
    account_done(&told);
}

static void control_characters_are_escaped(void **state)
{
    (void)state;
    Account account;
    Rotation of = rotation("login", "scopes", "");
    account_read(&of, slice_of("{\"login\":\"a\\u001b[2J\",\"scopes\":[\"\\u0007\"]}"), NULL, &account);
    assert_string_equal(account.identity, "a\\x1b[2J");
    assert_string_equal(account.scope[0], "\\x07");
    account_done(&account);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buildkite_and_gitlab_tell),
        cmocka_unit_test(a_header_tells_scopes),
        cmocka_unit_test(what_is_not_told_is_not_compared),
        cmocka_unit_test(control_characters_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
