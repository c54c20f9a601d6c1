/* The run's CA: its leaves are good for exactly the run's hosts, and it can sign nothing else that anybody
 * accepts. */
#include "gate/run-ca.h"

#include "base/mem.h"

#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HOUR ((int64_t)3600 * 1000000)

typedef struct Made {
    RunSourceInfo source[3];
    HostList hosts;
    RunCa ca;
    EVP_PKEY *key;
} Made;

static void make(Made *made, const char *const *host, size_t n)
{
    memset(made, 0, sizeof(*made));
    for (size_t i = 0; i < n; i++)
        made->source[i].record =
            (GateSource){.hosts = 1, .source.api = {true, (char *)host[i], 443, (char *)""}};
    host_list_init(&made->hosts, made->source, n);
    Fault fault = {""};
    assert_int_equal(run_ca_make(&made->hosts, "run-1", HOUR, &made->ca, &made->key, &fault), 0);
}

static void unmake(Made *made)
{
    run_ca_done(&made->ca);
    EVP_PKEY_free(made->key);
    host_list_done(&made->hosts);
}

/* What a strict client does: chain, purpose, name. Returns OpenSSL's error, X509_V_OK when the leaf is good.
 */
static int verify(const Made *made, X509 *leaf, const char *name, bool address)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, made->ca.certificate), 1);
    assert_int_equal(X509_STORE_CTX_init(context, store, leaf, NULL), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    if (address)
        X509_VERIFY_PARAM_set1_ip_asc(param, name);
    else
        X509_VERIFY_PARAM_set1_host(param, name, 0);
    int result = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    return result;
}

static int verify_forged(const Made *made, const char *name, bool address)
{
    X509 *leaf = run_ca_leaf(made->ca.certificate, made->key, made->ca.leaf_key, name, address);
    assert_non_null(leaf);
    int result = verify(made, leaf, name, address);
    X509_free(leaf);
    return result;
}

static void test_a_leaf_is_good_for_its_host_alone(void **state)
{
    (void)state;
    Made made;
    make(&made, (const char *const[]){"api.github.com", "api.buildkite.com"}, 2);
    assert_int_equal(verify(&made, made.ca.leaf[0], "api.github.com", false), X509_V_OK);
    assert_int_equal(verify(&made, made.ca.leaf[1], "api.buildkite.com", false), X509_V_OK);
    assert_int_equal(verify(&made, made.ca.leaf[0], "api.buildkite.com", false),
                     X509_V_ERR_HOSTNAME_MISMATCH);
    unmake(&made);
}

static void test_with_names_it_cannot_sign_another_name_or_any_address(void **state)
{
    (void)state;
    Made made;
    make(&made, (const char *const[]){"api.github.com"}, 1);
    assert_int_equal(verify_forged(&made, "api.github.com", false), X509_V_OK);
    assert_int_equal(verify_forged(&made, "github.com", false), X509_V_ERR_PERMITTED_VIOLATION);
    assert_int_equal(verify_forged(&made, "evilapi.github.com", false), X509_V_ERR_PERMITTED_VIOLATION);
    assert_int_equal(verify_forged(&made, "pypi.org", false), X509_V_ERR_PERMITTED_VIOLATION);
    assert_int_equal(verify_forged(&made, "10.1.2.3", true), X509_V_ERR_EXCLUDED_VIOLATION);
    assert_int_equal(verify_forged(&made, "2001:db8::1", true), X509_V_ERR_EXCLUDED_VIOLATION);
    unmake(&made);
}

static void test_with_addresses_it_cannot_sign_another_address_or_any_name(void **state)
{
    (void)state;
    Made made;
    make(&made, (const char *const[]){"127.0.0.1"}, 1);
    assert_int_equal(verify(&made, made.ca.leaf[0], "127.0.0.1", true), X509_V_OK);
    assert_int_equal(verify_forged(&made, "127.0.0.2", true), X509_V_ERR_PERMITTED_VIOLATION);
    assert_int_not_equal(verify_forged(&made, "::1", true), X509_V_OK);
    assert_int_equal(verify_forged(&made, "localhost", false), X509_V_ERR_EXCLUDED_VIOLATION);
    unmake(&made);
    make(&made, (const char *const[]){"::1", "api.github.com"}, 2);
    assert_int_equal(verify(&made, made.ca.leaf[0], "::1", true), X509_V_OK);
    assert_int_equal(verify(&made, made.ca.leaf[1], "api.github.com", false), X509_V_OK);
    assert_int_not_equal(verify_forged(&made, "127.0.0.1", true), X509_V_OK);
    assert_int_not_equal(verify_forged(&made, "::2", true), X509_V_OK);
    assert_int_not_equal(verify_forged(&made, "localhost", false), X509_V_OK);
    unmake(&made);
}

static void test_without_sources_it_can_sign_nothing(void **state)
{
    (void)state;
    Made made;
    make(&made, NULL, 0);
    assert_int_equal(verify_forged(&made, "localhost", false), X509_V_ERR_EXCLUDED_VIOLATION);
    assert_int_equal(verify_forged(&made, "127.0.0.1", true), X509_V_ERR_EXCLUDED_VIOLATION);
    assert_int_equal(verify_forged(&made, "::1", true), X509_V_ERR_EXCLUDED_VIOLATION);
    unmake(&made);
}

static void test_it_signs_no_further_authority(void **state)
{
    (void)state;
    Made made;
    make(&made, (const char *const[]){"api.github.com"}, 1);
    X509 *ca = made.ca.certificate;
    int critical = 0;
    assert_int_equal(X509_get_pathlen(ca), 0);
    assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN);
    NAME_CONSTRAINTS *constraints = X509_get_ext_d2i(ca, NID_name_constraints, &critical, NULL);
    assert_non_null(constraints);
    assert_int_equal(critical, 1);
    NAME_CONSTRAINTS_free(constraints);
    BASIC_CONSTRAINTS *basic = X509_get_ext_d2i(ca, NID_basic_constraints, &critical, NULL);
    assert_non_null(basic);
    assert_int_equal(critical, 1);
    BASIC_CONSTRAINTS_free(basic);
    assert_int_equal(X509_check_ca(made.ca.leaf[0]), 0);
    unmake(&made);
}

static void test_leaves_have_no_common_name_and_end_with_the_ca(void **state)
{
    (void)state;
    Made made;
    make(&made, (const char *const[]){"api.github.com"}, 1);
    X509 *leaf = made.ca.leaf[0];
    assert_int_equal(X509_NAME_get_index_by_NID(X509_get_subject_name(leaf), NID_commonName, -1), -1);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(leaf), X509_get0_notAfter(made.ca.certificate)), 0);
    time_t now = time(NULL);
    assert_int_equal(X509_cmp_time(X509_get0_notBefore(leaf), &now), -1);
    time_t later = now + 3600 + 60;
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(leaf), &later), -1);
    unmake(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_leaf_is_good_for_its_host_alone),
        cmocka_unit_test(test_with_names_it_cannot_sign_another_name_or_any_address),
        cmocka_unit_test(test_with_addresses_it_cannot_sign_another_address_or_any_name),
        cmocka_unit_test(test_without_sources_it_can_sign_nothing),
        cmocka_unit_test(test_it_signs_no_further_authority),
        cmocka_unit_test(test_leaves_have_no_common_name_and_end_with_the_ca),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
