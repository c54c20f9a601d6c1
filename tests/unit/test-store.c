/* What a token may be, and the drivers that fetch one from a file and from a keyring. */
#include "base/mem.h"
#include "store/file.h"
#include "store/keyring-store.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
// clang-format on
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

static int check(const char *bytes, size_t len, size_t *ret_len, Fault *fault)
{
    return store_check_token("github", (Slice){bytes, len}, ret_len, fault);
}

static void test_one_newline_is_taken_off(void **state)
{
    (void)state;
    static const char *const token[] = {"abc", "abc\n", "abc\r\n"};
    for (size_t i = 0; i < COUNT_OF(token); i++) {
        size_t len = 0;
        assert_int_equal(check(token[i], strlen(token[i]), &len, NULL), 0);
        assert_int_equal(len, 3);
    }
}

static void test_bad_tokens_are_named_and_never_shown(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *says;
    } bad[] = {
        {"", 0, "is empty"},
        {"\n", 1, "is empty"},
        {"\r\n", 2, "is empty"},
        {"sesame\0x", 8, "a NUL at byte 7"},
        {"sesame\nx", 8, "a newline at byte 7"},
        {"sesame\n\n", 8, "a newline at byte 7"},
        {"sesame\rx", 8, "a newline at byte 7"},
        {"sesame\tx", 8, "a control character at byte 7"},
        {"sesame\x7fx", 8, "a control character at byte 7"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        size_t len = 99;
        Fault fault;
        assert_int_equal(check(bad[i].bytes, bad[i].len, &len, &fault), STORE_E_BAD_TOKEN);
        assert_int_equal(len, 99);
        assert_non_null(strstr(fault.text, "\"github\""));
        assert_non_null(strstr(fault.text, bad[i].says));
        assert_null(strstr(fault.text, "sesame"));
    }
}

static void test_length_has_its_bound(void **state)
{
    (void)state;
    char *token = mem_new(SECRET_MAX_TOKEN + 2, 1);
    size_t len;
    Fault fault;
    memset(token, 'a', SECRET_MAX_TOKEN + 2);
    assert_int_equal(check(token, SECRET_MAX_TOKEN, &len, NULL), 0);
    assert_int_equal(check(token, SECRET_MAX_TOKEN + 1, &len, &fault), STORE_E_BAD_TOKEN);
    assert_non_null(strstr(fault.text, "16384 bytes"));
    token[SECRET_MAX_TOKEN] = '\n';
    assert_int_equal(check(token, SECRET_MAX_TOKEN + 1, &len, NULL), 0);
    assert_int_equal(len, SECRET_MAX_TOKEN);
    mem_free(token);
}

typedef struct Got {
    int result;
    size_t n_host;
    char text[64], says[768];
    int64_t set;
} Got;

static void take(void *context, StoreResult *result)
{
    Got *got = context;
    *got = (Got){.result = result->result};
    snprintf(got->says, sizeof(got->says), "%s", result->fault.text);
    const StoredToken *token = &result->token;
    assert_int_equal(result->result == 0, token->token != NULL);
    if (!token->token)
        return;
    assert_true(secret_len(token->token) < sizeof(got->text));
    assert_int_equal(secret_open(token->token, got->text, sizeof(got->text)), 0);
    assert_true(token->fetched > 0);
    got->n_host = token->n_host;
    got->set = token->set;
}

static Got fetch(Store *store, const char *name)
{
    Got got = {.result = 12345};
    TokenRef ref = token_ref_new();
    mem_free(ref.name);
    ref.name = mem_strdup(name);
    store->driver->fetch(store, &ref, take, &got);
    token_ref_done(&ref);
    return got;
}

static int file_with(const char *bytes, size_t len)
{
    int fd = memfd_create("token", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    return fd;
}

typedef struct Asked {
    unsigned n;
    uint32_t index;
} Asked;

static void note_asked(void *context, uint32_t index)
{
    Asked *asked = context;
    asked->n++;
    asked->index = index;
}

typedef struct World {
    struct event_base *base;
    StoreFiles *files;
    Store *store;
    Asked asked;
} World;

static World *world_new(void)
{
    World *world = MEM_NEW(World);
    world->base = event_base_new();
    world->files = store_files_new(world->base, note_asked, &world->asked);
    world->store = store_file_new(world->files);
    return world;
}

static void world_free(World *world)
{
    assert_null(world->store->driver->free(world->store));
    store_files_free(world->files);
    event_base_free(world->base);
    mem_free(world);
}

static void fetch_later(World *world, const char *name, Got *got)
{
    TokenRef ref = token_ref_new();
    mem_free(ref.name);
    ref.name = mem_strdup(name);
    world->store->driver->fetch(world->store, &ref, take, got);
    token_ref_done(&ref);
}

static void test_a_file_is_asked_for_anew_once_it_was_read(void **state)
{
    (void)state;
    World *world = world_new();
    assert_int_equal(store_files_give(world->files, 0, "/run/token", file_with("first\n", 6), 0), 0);
    Got got = fetch(world->store, "/run/token");
    assert_int_equal(got.result, 0);
    assert_string_equal(got.text, "first");
    assert_int_equal(got.n_host, 0);
    assert_true(got.set > 0);
    assert_int_equal(world->asked.n, 0);
    Got one = {.result = 12345}, two = {.result = 12345};
    fetch_later(world, "/run/token", &one);
    fetch_later(world, "/run/token", &two);
    assert_int_equal(world->asked.n, 1); /* for both */
    assert_int_equal(one.result, 12345);
    assert_int_equal(store_files_give(world->files, 0, "/run/token", file_with("second", 6), 0), 0);
    assert_string_equal(one.text, "second");
    assert_string_equal(two.text, "second");
    fetch_later(world, "/run/token", &one);
    assert_int_equal(store_files_give(world->files, 0, "/run/token", -1, ENOENT), 0);
    assert_int_equal(one.result, STORE_E_ABSENT);
    assert_non_null(strstr(one.says, "/run/token"));
    assert_int_equal(fetch(world->store, "/run/other").result, STORE_E_ABSENT);
    world_free(world);
}

static void test_a_file_that_is_never_given_is_an_absent_one(void **state)
{
    (void)state;
    World *world = world_new();
    Got got = {.result = 12345};
    assert_int_equal(store_files_give(world->files, 0, "x", file_with("a", 1), 0), 0);
    assert_string_equal(fetch(world->store, "x").text, "a");
    fetch_later(world, "x", &got);
    event_base_dispatch(world->base); /* returns when nothing is waited for: after STORE_FILES_PATIENCE_S */
    assert_int_equal(got.result, STORE_E_ABSENT);
    world_free(world);
}

static void test_files_come_in_order_with_a_descriptor_or_an_error(void **state)
{
    (void)state;
    World *world = world_new();
    assert_int_equal(store_files_give(world->files, 1, "x", file_with("a", 1), 0), -EPROTO);
    assert_int_equal(store_files_give(world->files, 0, "x", -1, 0), -EPROTO);
    assert_int_equal(store_files_give(world->files, 0, "x", file_with("a", 1), ENOENT), -EPROTO);
    assert_int_equal(store_files_give(world->files, 0, "x", -1, ENOENT), 0);
    assert_int_equal(fetch(world->store, "x").result, STORE_E_ABSENT);
    world_free(world);
}

static void test_one_bad_file_holds_up_no_other(void **state)
{
    (void)state;
    World *world = world_new();
    char *huge = mem_new(1u << 20, 1);
    memset(huge, 'x', 1u << 20);
    assert_int_equal(store_files_give(world->files, 0, "huge", file_with(huge, 1u << 20), 0), 0);
    assert_int_equal(store_files_give(world->files, 1, "good", file_with("good", 4), 0), 0);
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(store_files_give(world->files, 2, "pipe", pipe_ends[0], 0), 0);
    assert_int_equal(fetch(world->store, "huge").result, STORE_E_BAD_TOKEN);
    assert_string_equal(fetch(world->store, "good").text, "good");
    assert_int_equal(fetch(world->store, "pipe").result, STORE_E_DAMAGED);
    assert_int_equal(fcntl(pipe_ends[0], F_GETFD), -1);
    close(pipe_ends[1]);
    world_free(world);
    mem_free(huge);
}

static void put(Keyring *keyring, const char *name, const char *token, const char *host)
{
    KeyringEntry entry = {.name = mem_strdup(name), .set = 42};
    assert_int_equal(secret_seal(slice_of(token), &entry.token), 0);
    if (host)
        MEM_PUSH(entry.host, entry.n_host, mem_strdup(host));
    keyring_put(keyring, entry);
}

static void test_keyring_is_sorted_and_holds_a_name_once(void **state)
{
    (void)state;
    Keyring *keyring = MEM_NEW(Keyring);
    put(keyring, "b", "1", NULL);
    put(keyring, "a", "2", NULL);
    put(keyring, "c", "3", "h.example");
    put(keyring, "b", "four", NULL);
    assert_int_equal(keyring->n_entry, 3);
    assert_string_equal(keyring->entry[0].name, "a");
    assert_string_equal(keyring->entry[2].name, "c");
    assert_int_equal(secret_len(keyring_find(keyring, "b")->token), 4);
    assert_true(keyring_remove(keyring, "a"));
    assert_false(keyring_remove(keyring, "a"));
    assert_null(keyring_find(keyring, "a"));
    assert_string_equal(keyring->entry[0].name, "b");
    keyring_free(keyring);
    assert_null(keyring_free(NULL));
}

static void test_keyring_store_hands_out_copies_with_their_hosts(void **state)
{
    (void)state;
    Keyring *keyring = MEM_NEW(Keyring);
    put(keyring, "github", "open sesame", "api.github.com");
    Store *store = store_keyring_new(keyring, (KeyringLock){0}, NULL, "", "");
    for (int i = 0; i < 2; i++) {
        Got got = fetch(store, "github");
        assert_int_equal(got.result, 0);
        assert_string_equal(got.text, "open sesame");
        assert_int_equal(got.n_host, 1);
        assert_int_equal(got.set, 42);
    }
    Got got = fetch(store, "gitlab");
    assert_int_equal(got.result, STORE_E_ABSENT);
    assert_non_null(strstr(got.says, "purser token set gitlab"));
    store->driver->free(store);
}

static int start(void **state)
{
    (void)state;
    return secret_init(64u << 10, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_newline_is_taken_off),
        cmocka_unit_test(test_bad_tokens_are_named_and_never_shown),
        cmocka_unit_test(test_length_has_its_bound),
        cmocka_unit_test(test_a_file_is_asked_for_anew_once_it_was_read),
        cmocka_unit_test(test_a_file_that_is_never_given_is_an_absent_one),
        cmocka_unit_test(test_files_come_in_order_with_a_descriptor_or_an_error),
        cmocka_unit_test(test_one_bad_file_holds_up_no_other),
        cmocka_unit_test(test_keyring_is_sorted_and_holds_a_name_once),
        cmocka_unit_test(test_keyring_store_hands_out_copies_with_their_hosts),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
