/* Clocks that differ: what is said of a certificate that time is against, and whose clock is meant. */
#include "base/clock.h"
#include "net/skew.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
// clang-format on
#include <openssl/evp.h>
#include <string.h>

#define NOW  1700000000000000 /* 2023-11-14T22:13:20Z */
#define HOUR (3600L * CLOCK_SECOND)
#define DAY  (24 * HOUR)

static int stop_clock(void **state)
{
    (void)state;
    clock_set_for_test(NOW, 0);
    return 0;
}

static void says(const Validity *validity, const Skew *skew, const char *text)
{
    char out[2 * SKEW_TEXT];
    assert_string_equal(validity_text(out, validity, skew), text);
}

static void test_a_minute_more_or_less_is_no_matter(void **state)
{
    (void)state;
    Skew skew = {0};
    assert_false(skew_matters(&skew));
    skew_note(&skew, "Vault", NOW + SKEW_MOST);
    assert_false(skew_matters(&skew));
    skew_note(&skew, "Vault", NOW - SKEW_MOST);
    assert_false(skew_matters(&skew));
    skew_note(&skew, "Vault", NOW + SKEW_MOST + CLOCK_SECOND);
    assert_true(skew_matters(&skew));
    skew_note(&skew, "Vault", 0); /* one that does not say its own changes nothing */
    assert_true(skew_matters(&skew));
    skew_note(&skew, "Vault", NOW - SKEW_MOST - CLOCK_SECOND);
    assert_true(skew_matters(&skew));
}

static void test_it_is_said_by_how_much_and_in_which_direction(void **state)
{
    (void)state;
    char out[SKEW_TEXT];
    Skew skew = {0};
    skew_note(&skew, "Vault at vault.test", NOW + DAY + 2 * HOUR);
    assert_string_equal(skew_text(out, &skew),
                        "this machine's clock is 1d 2h behind that of Vault at vault.test");
    skew_note(&skew, "api.test", NOW - 90 * CLOCK_SECOND);
    assert_string_equal(skew_text(out, &skew), "this machine's clock is 1m 30s ahead of that of api.test");
}

static void test_a_certificate_of_tomorrow_or_of_yesterday_is_set_beside_this_machines_clock(void **state)
{
    (void)state;
    Validity none = {0}, tomorrow = {NOW + DAY, NOW + 30 * DAY}, yesterday = {NOW - 30 * DAY, NOW - DAY};
    Skew unknown = {0}, right = {0}, behind = {0};
    skew_note(&right, "api.test", NOW + CLOCK_SECOND);
    skew_note(&behind, "api.test", NOW + DAY);
    says(&none, &behind, "");
    says(&tomorrow, &unknown,
         ": it is valid from 2023-11-15T22:13:20Z on, and this machine's clock says 2023-11-14T22:13:20Z; if "
         "that is "
         "wrong, set it right (NTP), else the certificate must be replaced");
    says(&tomorrow, &behind,
         ": it is valid from 2023-11-15T22:13:20Z on, and this machine's clock says 2023-11-14T22:13:20Z; "
         "this "
         "machine's clock is 1d 0h behind that of api.test: set it right (NTP)");
    says(&yesterday, &right,
         ": it was valid until 2023-11-13T22:13:20Z, and this machine's clock says 2023-11-14T22:13:20Z; "
         "that agrees "
         "with the clock of api.test, so it is the certificate that must be replaced");
}

/* One of its own making, verified by OpenSSL itself. */
static X509 *self_signed(EVP_PKEY *key, int64_t from, int64_t until)
{
    X509 *made = X509_new();
    assert_non_null(made);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
    X509_set_version(made, 2);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC, (const unsigned char *)"x",
                               -1, -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(made));
    ASN1_TIME_set(X509_getm_notBefore(made), from / CLOCK_SECOND);
    ASN1_TIME_set(X509_getm_notAfter(made), until / CLOCK_SECOND);
    X509_set_pubkey(made, key);
    assert_true(X509_sign(made, key, EVP_sha256()) > 0);
    return made;
}

static Validity verified;

static int on_verify(int sound, X509_STORE_CTX *verifying)
{
    if (!sound)
        validity_note(&verified, verifying);
    return sound;
}

static void verify(int64_t from, int64_t until, bool trusted)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = self_signed(key, from, until);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *verifying = X509_STORE_CTX_new();
    if (trusted)
        X509_STORE_add_cert(store, certificate);
    verified = (Validity){0};
    assert_int_equal(X509_STORE_CTX_init(verifying, store, certificate, NULL), 1);
    X509_STORE_CTX_set_verify_cb(verifying, on_verify);
    X509_STORE_CTX_set_time(verifying, 0, NOW / CLOCK_SECOND);
    (void)X509_verify_cert(verifying);
    X509_STORE_CTX_free(verifying);
    X509_STORE_free(store);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void test_the_certificates_own_times_are_noted_when_it_fails_by_them_alone(void **state)
{
    (void)state;
    verify(NOW + DAY, NOW + 2 * DAY, true);
    assert_int_equal(verified.from, NOW + DAY);
    assert_int_equal(verified.until, NOW + 2 * DAY);
    verify(NOW - 2 * DAY, NOW - DAY, true);
    assert_int_equal(verified.until, NOW - DAY);
    verify(NOW - DAY, NOW + DAY, true);
    assert_int_equal(verified.from, 0);
    verify(NOW - DAY, NOW + DAY, false);
    assert_int_equal(verified.from, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_minute_more_or_less_is_no_matter),
        cmocka_unit_test(test_it_is_said_by_how_much_and_in_which_direction),
        cmocka_unit_test(test_a_certificate_of_tomorrow_or_of_yesterday_is_set_beside_this_machines_clock),
        cmocka_unit_test(test_the_certificates_own_times_are_noted_when_it_fails_by_them_alone),
    };
    return cmocka_run_group_tests(tests, stop_clock, NULL);
}
