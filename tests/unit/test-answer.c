/* What stores' answers mean, and a JWT's audience. The answers are what real servers have sent, shortened. */
#include "base/mem.h"
#include "store/answer.h"
#include "store/jwt.h"
#include "store/mark.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
// clang-format on
#include <errno.h>
#include <stdio.h>

static TokenRef ref_of(const char *name, const char *key)
{
    TokenRef ref = token_ref_new();
    mem_free(ref.name);
    mem_free(ref.key);
    ref.name = mem_strdup(name);
    ref.key = mem_strdup(key);
    return ref;
}

static int read_secret(const char *key, const char *body, StoredToken *token, Fault *fault)
{
    TokenRef ref = ref_of("secret/data/ci", key);
    int r = answer_vault_secret(&ref, slice_of(body), token, fault);
    token_ref_done(&ref);
    return r;
}

static void assert_token(const StoredToken *token, const char *text)
{
    char open[256] = "";
    assert_int_equal(secret_open(token->token, open, sizeof(open) - 1), 0);
    assert_string_equal(open, text);
}

static void test_kv_2_has_its_version(void **state)
{
    (void)state;
    StoredToken token;
    assert_int_equal(
        read_secret("token",
                    "{\"lease_id\":\"\",\"lease_duration\":0,\"renewable\":false,\"data\":{\"data\":"
                    "{\"token\":\"t0k\",\"hosts\":\"a.test b.test\"},\"metadata\":{\"created_time\":"
                    "\"2026-01-02T03:04:05.678Z\",\"destroyed\":false,\"version\":7}}}",
                    &token, NULL),
        0);
    assert_token(&token, "t0k");
    assert_string_equal(token.version, "7");
    assert_int_equal(token.n_host, 2);
    assert_string_equal(token.host[1], "b.test");
    assert_int_equal(token.life, 0);
    assert_true(token.set > 0);
    stored_token_done(&token);
}

static void test_kv_1_has_no_lease_whatever_it_says(void **state)
{
    (void)state;
    StoredToken token;
    assert_int_equal(read_secret("token",
                                 "{\"lease_id\":\"\",\"lease_duration\":2764800,\"data\":{\"token\":\"x\"}}",
                                 &token, NULL),
                     0);
    assert_int_equal(token.life, 0);
    assert_false(token.leased);
    assert_null(token.version);
    stored_token_done(&token);
}

static void test_user_and_password_come_together_with_their_lease(void **state)
{
    (void)state;
    StoredToken token;
    assert_int_equal(
        read_secret("",
                    "{\"lease_id\":\"database/creds/purser/abc\",\"lease_duration\":60,\"renewable\":true,"
                    "\"data\":{\"password\":\"p\\\"w\",\"username\":\"u\"}}",
                    &token, NULL),
        0);
    assert_token(&token, "{\"username\":\"u\",\"password\":\"p\\\"w\"}");
    assert_true(token.leased && token.renewable);
    assert_int_equal(token.life, 60000000);
    assert_string_equal(token.lease, "database/creds/purser/abc");
    stored_token_done(&token);
}

static void test_what_is_not_there_is_named_and_values_are_not(void **state)
{
    (void)state;
    StoredToken token;
    Fault fault;
    assert_int_equal(read_secret("token", "{\"data\":{\"password\":\"sesame\"}}", &token, &fault),
                     STORE_E_ABSENT);
    assert_non_null(strstr(fault.text, "it has: password"));
    assert_int_equal(read_secret("", "{\"data\":{\"a\":\"sesame\",\"b\":\"sesame\"}}", &token, &fault),
                     STORE_E_ABSENT);
    assert_non_null(strstr(fault.text, "a, b"));
    assert_int_equal(
        read_secret("t", "{\"data\":{\"data\":null,\"metadata\":{\"version\":2,\"deletion_time\":\"x\"}}}",
                    &token, &fault),
        STORE_E_ABSENT);
    assert_int_equal(read_secret("t", "{\"data\":{\"t\":7}}", &token, &fault), STORE_E_BAD_TOKEN);
    assert_int_equal(read_secret("t", "{\"data\":{\"t\":\"sesame\\n!\"}}", &token, &fault),
                     STORE_E_BAD_TOKEN);
    assert_null(strstr(fault.text, "sesame"));
    assert_int_equal(read_secret("t", "{\"data\":{\"t\":\"x\",\"hosts\":7}}", &token, &fault),
                     STORE_E_BAD_TOKEN);
}

static void test_what_is_no_answer_is_damaged(void **state)
{
    (void)state;
    static const char *const body[] = {"",
                                       "<html>",
                                       "[]",
                                       "{",
                                       "{\"data\":{\"t\":\"x\"}} {}",
                                       "{\"data\":\"x\"}",
                                       "{\"data\":{\"t\":\"x\"},\"data\":{\"t\":\"y\"}}",
                                       "{}"};
    StoredToken token;
    for (size_t i = 0; i < COUNT_OF(body); i++)
        assert_int_equal(read_secret("t", body[i], &token, NULL), STORE_E_DAMAGED);
    char *deep = mem_new(1u << 20, 1);
    memset(deep, '[', (1u << 20) - 1);
    assert_int_equal(read_secret("t", deep, &token, NULL), STORE_E_DAMAGED);
    mem_free(deep);
}

/* A mark of `revoked`, beside `current` (NULL: there is none), asked for by key or without one. */
static int read_marked(const char *revoked, const char *current, const char *key, Fault *fault)
{
    char mark[MARK_TEXT];
    Sealed *token = NULL;
    StoredToken found = {0};
    assert_int_equal(secret_seal(slice_of(revoked), &token), 0);
    assert_int_equal(mark_make(token, 1750000000000000, mark), 0);
    secret_free(token);
    CLEANUP_MEM char *beside = current ? mem_printf("\"token\":\"%s\",", current) : mem_strdup("");
    CLEANUP_MEM char *body =
        mem_printf("{\"data\":{\"data\":{%s\"hosts\":\"api.test\",\"token.purser-revoked\":\"%s\"},"
                   "\"metadata\":{\"version\":3}}}",
                   beside, mark);
    int r = read_secret(key, body, &found, fault);
    if (r == 0)
        assert_token(&found, current);
    stored_token_done(&found);
    return r;
}

static void test_a_mark_means_the_token_that_was_revoked_alone(void **state)
{
    (void)state;
    Fault fault = {""};
    for (unsigned i = 0; i < 2; i++) {
        const char *key = i ? "token" : "";
        assert_int_equal(read_marked("ghp_leaked", NULL, key, &fault), STORE_E_REVOKED);
        assert_non_null(strstr(fault.text, "was revoked at 2025-06-15T15:06:40Z"));
        assert_int_equal(read_marked("ghp_leaked", "ghp_leaked", key, &fault), STORE_E_REVOKED);
        assert_int_equal(read_marked("ghp_leaked", "ghp_another", key, &fault), 0);
    }
    Mark mark;
    static const char *const none[] = {
        "", "2025-06-15T15:06:40Z", "2025-06-15T15:06:40Z 00 00",
        "x 00112233445566778899aabbccddeeff 00112233445566778899aabbccddeeff",
        "2025-06-15T15:06:40Z 00112233445566778899aabbccddeeff 00112233445566778899aabbccddeef"};
    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_int_equal(mark_parse(slice_of(none[i]), &mark), -EBADMSG);
}

static void test_a_kubernetes_secrets_texts_are_base64(void **state)
{
    (void)state;
    StoredToken token;
    Fault fault;
    TokenRef ref = ref_of("github", "token");
    CLEANUP_JSON json_t *data = answer_json(slice_of("{\"token\":\"Z2hwX3g=\",\"hosts\":\"YXBpLnRlc3Q=\"}"));
    assert_int_equal(answer_take_token(&ref, data, true, &token, NULL), 0);
    assert_token(&token, "ghp_x");
    assert_string_equal(token.host[0], "api.test");
    stored_token_done(&token);
    CLEANUP_JSON json_t *bad = answer_json(slice_of("{\"token\":\"Z2!\"}"));
    assert_int_equal(answer_take_token(&ref, bad, true, &token, &fault), STORE_E_DAMAGED);
    token_ref_done(&ref);
}

static void test_an_errors_first_line_is_quoted_printably(void **state)
{
    (void)state;
    char said[256];
    answer_error(400, slice_of("{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}"), said);
    assert_string_equal(said, "1 error occurred:");
    answer_error(400, slice_of("{\"message\":\"Bad \\u001b[31mcredentials\"}"), said);
    assert_string_equal(said, "Bad \\x1b[31mcredentials");
    answer_error(400, slice_of("<html>"), said);
    assert_string_equal(said, "");
}

/* The client looks for credentials in errors: what a success says where none was expected is not quoted. */
static void test_a_success_is_not_quoted_as_an_error(void **state)
{
    (void)state;
    char said[256] = "x";
    static const int status[] = {0, 200, 202, 299};
    for (size_t i = 0; i < COUNT_OF(status); i++) {
        answer_error(status[i], slice_of("{\"errors\":[\"no hvs.the-token-that-was-sent\"]}"), said);
        assert_string_equal(said, "");
    }
    answer_error(300, slice_of("{\"errors\":[\"no\"]}"), said);
    assert_string_equal(said, "no");
}

/* {"iss":"https://k","aud":...} between two parts that nobody looks at */
static int audience(const char *claims_base64, Fault *fault)
{
    CLEANUP_MEM char *jwt = mem_printf("e30.%s.c2ln", claims_base64);
    return jwt_check_audience(slice_of(jwt), "vault", fault);
}

static void test_a_jwt_is_for_one_audience_alone(void **state)
{
    (void)state;
    Fault fault;
    assert_int_equal(audience("eyJhdWQiOiJ2YXVsdCJ9", NULL), 0);                        /* "vault" */
    assert_int_equal(audience("eyJhdWQiOlsidmF1bHQiXX0", NULL), 0);                     /* ["vault"] */
    assert_int_equal(audience("eyJhdWQiOlsidmF1bHQiLCJrIl19", &fault), STORE_E_DENIED); /* two */
    assert_int_equal(audience("e30", &fault), STORE_E_DENIED);                          /* none */
    assert_int_equal(audience("eyJpc3MiOiJ2YXVsdCIsImF1ZCI6InZhdWx0In0", &fault),
                     STORE_E_DENIED); /* the issuer's own */
    assert_int_equal(audience("", &fault), STORE_E_DENIED);
    assert_int_equal(audience("!", &fault), STORE_E_DENIED);
    assert_int_equal(jwt_check_audience(slice_of("a.b"), "vault", &fault), STORE_E_DENIED);
    assert_int_equal(jwt_check_audience(slice_of("a.eyJhdWQiOiJ2YXVsdCJ9.c.d"), "vault", &fault),
                     STORE_E_DENIED);
}

static int start(void **state)
{
    (void)state;
    return secret_init(256u << 10, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kv_2_has_its_version),
        cmocka_unit_test(test_kv_1_has_no_lease_whatever_it_says),
        cmocka_unit_test(test_user_and_password_come_together_with_their_lease),
        cmocka_unit_test(test_what_is_not_there_is_named_and_values_are_not),
        cmocka_unit_test(test_what_is_no_answer_is_damaged),
        cmocka_unit_test(test_a_mark_means_the_token_that_was_revoked_alone),
        cmocka_unit_test(test_a_kubernetes_secrets_texts_are_base64),
        cmocka_unit_test(test_an_errors_first_line_is_quoted_printably),
        cmocka_unit_test(test_a_success_is_not_quoted_as_an_error),
        cmocka_unit_test(test_a_jwt_is_for_one_audience_alone),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
