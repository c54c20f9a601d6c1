/* Tokens at rest: sealed, in memory that is locked, not dumped, not inherited, and guarded. */
#include "base/mem.h"
#include "secret/arena.h"
#include "secret/secret.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
// clang-format on
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define ARENA (128u << 10)

static void test_sealed_bytes_open_to_what_they_were(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 15, 40, 4096, SECRET_MAX_TOKEN};
    char *plain = mem_new(SECRET_MAX_TOKEN + 1, 1), *out = mem_new(SECRET_MAX_TOKEN, 1);
    memset(plain, 'k', SECRET_MAX_TOKEN + 1);
    Sealed *sealed;
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        assert_int_equal(secret_seal((Slice){plain, lens[i]}, &sealed), 0);
        assert_int_equal(secret_len(sealed), lens[i]);
        assert_int_equal(secret_open(sealed, out, lens[i]), 0);
        assert_memory_equal(out, plain, lens[i]);
        if (lens[i])
            assert_int_equal(secret_open(sealed, out, lens[i] - 1), -ENOBUFS);
        assert_null(secret_free(sealed));
    }
    assert_int_equal(secret_seal((Slice){plain, SECRET_MAX_TOKEN + 1}, &sealed), -E2BIG);
    assert_null(secret_free(NULL));
    mem_free(plain);
    mem_free(out);
}

static void test_an_altered_box_does_not_open(void **state)
{
    (void)state;
    char out[32];
    for (size_t at = 4; at < 4 + 24 + 32 + 16; at++) { /* nonce and box, behind the length */
        Sealed *sealed;
        assert_int_equal(secret_seal(SLICE_LITERAL("0123456789abcdef0123456789abcdef"), &sealed), 0);
        ((char *)sealed)[at] ^= 0x10;
        assert_int_equal(secret_open(sealed, out, sizeof(out)), -EBADMSG);
        secret_free(sealed);
    }
}

static void test_a_sealed_token_is_not_readable(void **state)
{
    (void)state;
    Sealed *sealed;
    assert_int_equal(secret_seal(SLICE_LITERAL("0123456789abcdef0123456789abcdef"), &sealed), 0);
    assert_null(memmem(sealed, 4 + 24 + 32 + 16, "0123", 4));
    secret_free(sealed);
}

static void test_arena_pieces_are_zero_apart_and_wiped(void **state)
{
    (void)state;
    static const char zero[300];
    char *piece[8];
    for (size_t i = 0; i < COUNT_OF(piece); i++) {
        piece[i] = secret_alloc(300);
        assert_non_null(piece[i]);
        assert_int_equal((uintptr_t)piece[i] % 64, 0);
        assert_memory_equal(piece[i], zero, 300);
        memset(piece[i], (int)i + 1, 300);
    }
    for (size_t i = 0; i < COUNT_OF(piece); i++)
        assert_true(piece[i][0] == (char)(i + 1) && piece[i][299] == (char)(i + 1));
    for (size_t i = 0; i < COUNT_OF(piece); i++) {
        secret_release(piece[i], 300);
        assert_memory_equal(piece[i], zero, 300);
    }
    secret_release(NULL, 300);
}

static void test_an_arena_that_is_used_up_says_so(void **state)
{
    (void)state;
    assert_null(secret_alloc(ARENA));
    assert_null(secret_alloc(SIZE_MAX));
    char *most = secret_alloc(ARENA - 64);
    assert_non_null(most);
    assert_null(secret_alloc(1));
    secret_release(most, ARENA - 64);
    char *again = secret_alloc(1);
    assert_non_null(again);
    secret_release(again, 1);
}

static void test_memory_is_locked_and_not_dumped_of_either_kind(void **state)
{
    (void)state;
    SecretProtection of = secret_protection();
    assert_true(of.locked);
    assert_true(of.not_dumped);
    Arena arena;
    Fault fault;
    assert_int_equal(arena_map(10000, true, &arena, &fault), 0);
    assert_int_equal(arena.len % (size_t)sysconf(_SC_PAGESIZE), 0);
    assert_false(arena.protection.memfd_secret);
    assert_true(arena.protection.locked);
    assert_true(arena.protection.not_dumped);
    arena_unmap(&arena);
    assert_null(arena.data);
    arena_unmap(&arena);
}

/* What becomes of a child that does it: its signal, or minus its exit status. */
static int fate(void (*act)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* cmocka has one of its own */
        struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        act();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static char *inherited;

static void read_inherited(void)
{
    _exit(*(volatile char *)inherited);
}

static void overrun(void)
{
    Arena arena;
    if (arena_map(8192, false, &arena, NULL))
        _exit(1);
    ((volatile char *)arena.data)[arena.len] = 1;
}

static void underrun(void)
{
    Arena arena;
    if (arena_map(8192, true, &arena, NULL))
        _exit(1);
    ((volatile char *)arena.data)[-1] = 1;
}

static void lock_too_much(void)
{
    struct rlimit limit = {16384, 16384};
    Fault fault = {""};
    Arena arena;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
        _exit(1);
    int r = arena_map(1u << 20, false, &arena, &fault);
    _exit(r == -ENOMEM && strstr(fault.text, "1024 KiB") && strstr(fault.text, "ulimit -l") ? 42 : 2);
}

static void test_a_child_does_not_inherit_the_arena(void **state)
{
    (void)state;
    inherited = secret_alloc(64);
    assert_int_equal(fate(read_inherited), SIGSEGV);
    secret_release(inherited, 64);
}

static void test_guard_pages_fault(void **state)
{
    (void)state;
    assert_int_equal(fate(overrun), SIGSEGV);
    assert_int_equal(fate(underrun), SIGSEGV);
}

static void test_memory_that_cannot_be_locked_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(fate(lock_too_much), -42);
}

static void test_equality(void **state)
{
    (void)state;
    assert_true(secret_equal(SLICE_LITERAL("abc"), SLICE_LITERAL("abc")));
    assert_false(secret_equal(SLICE_LITERAL("abc"), SLICE_LITERAL("abd")));
    assert_false(secret_equal(SLICE_LITERAL("abc"), SLICE_LITERAL("ab")));
    assert_true(secret_equal(SLICE_LITERAL(""), SLICE_LITERAL("")));
}

static int start(void **state)
{
    (void)state;
    return secret_init(ARENA, NULL);
}

static int stop(void **state)
{
    (void)state;
    secret_done();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed_bytes_open_to_what_they_were),
        cmocka_unit_test(test_an_altered_box_does_not_open),
        cmocka_unit_test(test_a_sealed_token_is_not_readable),
        cmocka_unit_test(test_arena_pieces_are_zero_apart_and_wiped),
        cmocka_unit_test(test_an_arena_that_is_used_up_says_so),
        cmocka_unit_test(test_memory_is_locked_and_not_dumped_of_either_kind),
        cmocka_unit_test(test_a_child_does_not_inherit_the_arena),
        cmocka_unit_test(test_guard_pages_fault),
        cmocka_unit_test(test_memory_that_cannot_be_locked_is_an_error),
        cmocka_unit_test(test_equality),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
