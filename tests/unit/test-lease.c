/* A lease can be narrowed by anybody and widened by nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lease/lease.h"

#include <errno.h>
#include <sodium.h>

static const unsigned char key[LEASE_KEY] = "a key of thirty-two bytes, said.",
                           other_key[LEASE_KEY] = "a key of thirty-two bytes, said!";
static const unsigned char id[LEASE_ID] = "sixteen bytes id";
static LeaseClaims claims;

static int verify(const char *text)
{
    return lease_verify(key, slice_of(text), &claims);
}

static void a_lease_verifies_under_its_own_key_only(void **state)
{
    (void)state;
    char text[LEASE_MAX_TEXT], fresh[LEASE_MAX_TEXT];
    unsigned char made[2][LEASE_KEY];
    lease_issue(key, id, text);
    assert_int_equal(verify(text), 0);
    assert_memory_equal(claims.id, id, LEASE_ID);
    assert_int_equal(claims.n_caveat, 0);
    assert_int_equal(lease_verify(other_key, slice_of(text), &claims), LEASE_E_TAG);
    lease_key_make(made[0]);
    lease_key_make(made[1]);
    assert_true(memcmp(made[0], made[1], LEASE_KEY) != 0);
    lease_issue(made[0], id, fresh);
    assert_int_equal(lease_verify(made[1], slice_of(fresh), &claims), LEASE_E_TAG);
}

static void a_narrowed_lease_carries_each_caveat_in_order(void **state)
{
    (void)state;
    char text[LEASE_MAX_TEXT], more[LEASE_MAX_TEXT];
    lease_issue(key, id, text);
    assert_int_equal(lease_narrow(slice_of(text), "method=GET", more), 0);
    assert_int_equal(lease_narrow(slice_of(more), "path=/a", text), 0);
    assert_int_equal(verify(text), 0);
    assert_int_equal(claims.n_caveat, 2);
    assert_string_equal(claims.caveat[0], "method=GET");
    assert_string_equal(claims.caveat[1], "path=/a");
    assert_int_equal(lease_verify(other_key, slice_of(text), &claims), LEASE_E_TAG);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    char text[LEASE_MAX_TEXT], narrowed[LEASE_MAX_TEXT];
    lease_issue(key, id, text);
    assert_int_equal(lease_narrow(slice_of(text), "method=GET", narrowed), 0);
    size_t len = strlen(narrowed);
    for (size_t i = 0; i < 8 * len; i++) {
        narrowed[i / 8] ^= (char)(1 << i % 8);
        if (lease_verify(key, (Slice){narrowed, len}, &claims) == 0)
            fail_msg("bit %zu of byte %zu makes no difference", i % 8, i / 8);
        narrowed[i / 8] ^= (char)(1 << i % 8);
    }
    assert_int_equal(verify(narrowed), 0);
}

static void every_cut_and_every_tail_is_refused(void **state)
{
    (void)state;
    char text[LEASE_MAX_TEXT + 2];
    static const char *const tail[] = {"=", "A", "AA", "AAAA", " ", "\n", "%", "psl_1"};
    lease_issue(key, id, text);
    size_t len = strlen(text);
    for (size_t n = 0; n < len; n++)
        assert_int_not_equal(lease_verify(key, (Slice){text, n}, &claims), 0);
    assert_int_not_equal(lease_verify(key, (Slice){text, len + 1}, &claims), 0); /* with its NUL */
    for (size_t i = 0; i < COUNT_OF(tail); i++) {
        strcpy(text + len, tail[i]);
        assert_int_not_equal(verify(text), 0);
    }
}

/* The bytes of a lease, as an attacker writes them. */
static void write_raw(const unsigned char *raw, size_t len, char text[LEASE_MAX_TEXT])
{
    strcpy(text, LEASE_PREFIX);
    sodium_bin2base64(text + strlen(text), LEASE_MAX_TEXT - strlen(text), raw, len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static size_t read_raw(const char *text, unsigned char *raw, size_t room)
{
    size_t len;
    assert_int_equal(sodium_base642bin(raw, room, text + strlen(LEASE_PREFIX),
                                       strlen(text) - strlen(LEASE_PREFIX), NULL, &len, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    return len;
}

static void no_caveat_can_be_taken_off_swapped_or_joined(void **state)
{
    (void)state;
    char text[LEASE_MAX_TEXT], more[LEASE_MAX_TEXT], forged[LEASE_MAX_TEXT];
    unsigned char raw[1024], cut[1024];
    lease_issue(key, id, text);
    assert_int_equal(lease_narrow(slice_of(text), "a=1", more), 0);
    assert_int_equal(lease_narrow(slice_of(more), "b=2", text), 0);
    size_t len = read_raw(text, raw, sizeof(raw)), tag = len - LEASE_TAG;
    assert_int_equal(tag, LEASE_ID + 10);
    for (size_t gone = 1; gone <= 2; gone++) { /* the last, or both */
        memcpy(cut, raw, tag - 5 * gone);
        memcpy(cut + tag - 5 * gone, raw + tag, LEASE_TAG);
        write_raw(cut, len - 5 * gone, forged);
        assert_int_equal(verify(forged), LEASE_E_TAG);
    }
    memcpy(cut, raw, len); /* swapped */
    memcpy(cut + LEASE_ID, raw + LEASE_ID + 5, 5);
    memcpy(cut + LEASE_ID + 5, raw + LEASE_ID, 5);
    write_raw(cut, len, forged);
    assert_int_equal(verify(forged), LEASE_E_TAG);
    memcpy(cut, raw, len); /* one caveat made of both */
    cut[LEASE_ID + 1] = 8;
    write_raw(cut, len, forged);
    assert_int_not_equal(verify(forged), 0);
}

static void a_caveat_that_overruns_is_not_a_lease(void **state)
{
    (void)state;
    static const unsigned char length[][2] = {{0, 0}, {0, 200}, {1, 1}, {255, 255}};
    char text[LEASE_MAX_TEXT];
    unsigned char raw[LEASE_ID + 4 + LEASE_TAG] = {0};
    for (size_t i = 0; i < COUNT_OF(length); i++) {
        memcpy(raw + LEASE_ID, length[i], 2);
        write_raw(raw, sizeof(raw), text);
        assert_int_equal(verify(text), LEASE_E_FORMAT);
        assert_int_equal(lease_narrow(slice_of(text), "a=1", text), LEASE_E_FORMAT);
    }
    write_raw(raw, LEASE_ID + 1 + LEASE_TAG, text); /* half a length */
    assert_int_equal(verify(text), LEASE_E_FORMAT);
    memcpy(raw + LEASE_ID, "\0\2a\0", 4); /* a NUL in a caveat */
    write_raw(raw, sizeof(raw), text);
    assert_int_equal(verify(text), LEASE_E_FORMAT);
}

static void narrowing_never_makes_what_cannot_be_used(void **state)
{
    (void)state;
    char text[LEASE_MAX_TEXT], next[LEASE_MAX_TEXT], caveat[LEASE_MAX_CAVEAT + 2] = "";
    lease_issue(key, id, text);
    assert_int_equal(lease_narrow(slice_of(text), "", next), -ENOBUFS);
    memset(caveat, 'a', LEASE_MAX_CAVEAT + 1);
    assert_int_equal(lease_narrow(slice_of(text), caveat, next), -ENOBUFS);
    caveat[LEASE_MAX_CAVEAT] = '\0';
    assert_int_equal(lease_narrow(slice_of(text), caveat, next), 0);
    assert_int_equal(verify(next), 0);
    for (int i = 0; i < LEASE_MAX_CAVEATS; i++) {
        assert_int_equal(lease_narrow(slice_of(text), "a=1", next), 0);
        assert_int_equal(verify(next), 0);
        strcpy(text, next);
    }
    assert_int_equal(lease_narrow(slice_of(text), "a=1", next), -ENOBUFS);
    lease_issue(key, id, text); /* room for bytes ends before the number of caveats does */
    int r = 0;
    for (int i = 0; i < 5 && r == 0; i++, strcpy(text, next))
        if ((r = lease_narrow(slice_of(text), caveat, next)) == 0)
            assert_int_equal(verify(next), 0);
    assert_int_equal(r, -ENOBUFS);
}

static void only_the_prefix_makes_it_look_like_one(void **state)
{
    (void)state;
    assert_true(lease_is_lease(SLICE_LITERAL("psl_1x")));
    assert_false(lease_is_lease(SLICE_LITERAL("psl_2x")));
    assert_false(lease_is_lease(SLICE_LITERAL("PSL_1x")));
    assert_false(lease_is_lease(SLICE_LITERAL("ghp_abc")));
    assert_false(lease_is_lease(SLICE_LITERAL("psl_")));
    assert_false(lease_is_lease(SLICE_LITERAL("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_verifies_under_its_own_key_only),
        cmocka_unit_test(a_narrowed_lease_carries_each_caveat_in_order),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(every_cut_and_every_tail_is_refused),
        cmocka_unit_test(no_caveat_can_be_taken_off_swapped_or_joined),
        cmocka_unit_test(a_caveat_that_overruns_is_not_a_lease),
        cmocka_unit_test(narrowing_never_makes_what_cannot_be_used),
        cmocka_unit_test(only_the_prefix_makes_it_look_like_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
