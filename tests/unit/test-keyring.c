/* The keyring's file: what is altered does not open, and the old one is whole whenever the writer dies. */
#include "base/mem.h"
#include "store/keyring-format.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
// clang-format on
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[] = "/tmp/test-keyring-XXXXXX";
static char path[64];

static KeyringKey key_of(const char *bytes, size_t len, bool passphrase)
{
    int fd = memfd_create("key", MFD_CLOEXEC);
    assert_true(fd >= 0 && fchmod(fd, 0600) == 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return (KeyringKey){passphrase, fd};
}

static KeyringKey key_file(char byte)
{
    char bytes[KEYRING_KEY_BYTES];
    memset(bytes, byte, sizeof(bytes));
    return key_of(bytes, sizeof(bytes), false);
}

static int put(Keyring *keyring, void *context, Fault *fault)
{
    (void)fault;
    const char *const *pair = context;
    KeyringEntry entry = {.name = mem_strdup(pair[0]), .set = 1591366298000000};
    if (secret_seal(slice_of(pair[1]), &entry.token))
        return -E2BIG;
    MEM_PUSH(entry.host, entry.n_host, mem_strdup("api.github.com"));
    keyring_put(keyring, entry);
    return 0;
}

static int set(KeyringKey key, const char *name, const char *token, Fault *fault)
{
    const char *pair[] = {name, token};
    int r = keyring_update(path, &key, put, pair, fault);
    fd_close(&key.fd);
    return r;
}

static int get(KeyringKey key, const char *name, char out[static 64], Fault *fault)
{
    Keyring *keyring = NULL;
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = keyring_read(path, fd, &key, &keyring, fault);
    fd_close(&key.fd);
    if (r)
        return r;
    const KeyringEntry *entry = keyring_find(keyring, name);
    memset(out, 0, 64);
    r = entry ? secret_open(entry->token, out, 63) : STORE_E_ABSENT;
    keyring_free(keyring);
    return r;
}

static void begin(void)
{
    unlink(path);
    assert_int_equal(set(key_file('k'), "github", "open sesame", NULL), 0);
    assert_int_equal(set(key_file('k'), "buildkite", "second", NULL), 0);
}

static void test_what_was_set_is_read_back(void **state)
{
    (void)state;
    char token[64];
    struct stat status;
    begin();
    assert_int_equal(get(key_file('k'), "github", token, NULL), 0);
    assert_string_equal(token, "open sesame");
    assert_int_equal(get(key_file('k'), "buildkite", token, NULL), 0);
    assert_string_equal(token, "second");
    assert_int_equal(get(key_file('k'), "gitlab", token, NULL), STORE_E_ABSENT);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    bool passphrase = true;
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(keyring_peek(fd, &passphrase, NULL), 0);
    assert_false(passphrase);
}

static void test_wrong_keys_are_denied(void **state)
{
    (void)state;
    char token[64];
    Fault fault;
    begin();
    assert_int_equal(get(key_file('x'), "github", token, &fault), STORE_E_DENIED);
    assert_non_null(strstr(fault.text, path));
    assert_non_null(strstr(fault.text, "the key file is wrong"));
    assert_int_equal(get(key_of("short", 5, false), "github", token, &fault), STORE_E_DENIED);
    assert_int_equal(get(key_of("", 0, false), "github", token, &fault), STORE_E_DENIED);
    assert_int_equal(get(key_of("word", 4, true), "github", token, &fault), STORE_E_DENIED);
    assert_non_null(strstr(fault.text, "sealed with a key file"));
    assert_int_equal(set(key_file('x'), "github", "other", &fault), STORE_E_DENIED);
    assert_int_equal(get(key_file('k'), "github", token, NULL), 0);
    assert_string_equal(token, "open sesame");
}

static void test_passphrase(void **state)
{
    (void)state;
    char token[64];
    Fault fault;
    bool passphrase = false;
    unlink(path);
    assert_int_equal(set(key_of("correct horse\n", 14, true), "github", "open sesame", NULL), 0);
    assert_int_equal(get(key_of("correct horse", 13, true), "github", token, NULL), 0);
    assert_string_equal(token, "open sesame");
    assert_int_equal(get(key_of("correct house", 13, true), "github", token, &fault), STORE_E_DENIED);
    assert_non_null(strstr(fault.text, "the passphrase is wrong"));
    assert_int_equal(get(key_of("", 0, true), "github", token, &fault), STORE_E_DENIED);
    assert_int_equal(get(key_file('k'), "github", token, &fault), STORE_E_DENIED);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(keyring_peek(fd, &passphrase, NULL), 0);
    assert_true(passphrase);
}

static size_t load(char *out, size_t room)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, out, room);
    assert_true(n > 0);
    return (size_t)n;
}

static int open_bytes(const char *bytes, size_t len, bool rehash)
{
    char copy[4096];
    Keyring *keyring = NULL;
    KeyringLock lock;
    memcpy(copy, bytes, len);
    if (rehash && len > 32)
        crypto_generichash((unsigned char *)copy + len - 32, 32, (unsigned char *)copy, len - 32, NULL, 0);
    Slice file = {copy, len};
    int r = keyring_format_head("k", file, &lock, NULL);
    if (r || lock.passphrase)
        return r ? r : STORE_E_DENIED;
    char said[KEYRING_KEY_BYTES];
    memset(said, 'k', sizeof(said));
    assert_int_equal(keyring_lock_derive(&lock, (Slice){said, sizeof(said)}, NULL), 0);
    r = keyring_format_open("k", file, &lock, &keyring, NULL);
    keyring_lock_done(&lock);
    keyring_free(keyring);
    return r;
}

static void test_no_altered_bit_and_no_cut_is_accepted(void **state)
{
    (void)state;
    char bytes[4096];
    begin();
    size_t len = load(bytes, sizeof(bytes));
    assert_int_equal(open_bytes(bytes, len, false), 0);
    assert_int_equal(open_bytes(bytes, len, true), 0);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(open_bytes(bytes, len, false), STORE_E_DAMAGED);
        if (bit / 8 < len - 32) /* made anew, the hash covers up nothing */
            assert_true(open_bytes(bytes, len, true) > 0);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(open_bytes(bytes, cut, false), STORE_E_DAMAGED);
        assert_true(open_bytes(bytes, cut, true) > 0);
    }
}

static void test_swapped_entries_do_not_open(void **state)
{
    (void)state;
    char bytes[4096], swapped[4096];
    unlink(path);
    assert_int_equal(set(key_file('k'), "aa", "open sesame", NULL), 0);
    assert_int_equal(set(key_file('k'), "bb", "open simsim", NULL), 0);
    size_t len = load(bytes, sizeof(bytes)), at = 17 + 1 + 24 + 4 + 4 + 17;
    uint32_t sealed;
    memcpy(&sealed, bytes + at, sizeof(sealed));
    size_t step = 4 + sealed; /* both are the same length */
    assert_int_equal(at + 2 * step + 32, len);
    memcpy(swapped, bytes, len);
    memcpy(swapped + at, bytes + at + step, step);
    memcpy(swapped + at + step, bytes + at, step);
    assert_int_equal(open_bytes(swapped, len, true), STORE_E_DAMAGED);
}

static void test_a_cost_out_of_bounds_is_not_paid(void **state)
{
    (void)state;
    unsigned char file[17 + 1 + 8 + 8 + 16 + 24 + 32] = "purser-keyring-1\nP";
    static const uint64_t cost[][2] = {
        {1u << 30, 8192}, {3, 1ull << 40}, {0, 8192}, {3, 0}, {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < COUNT_OF(cost); i++) {
        KeyringLock lock;
        Fault fault;
        memcpy(file + 18, cost[i], 16);
        crypto_generichash(file + sizeof(file) - 32, 32, file, sizeof(file) - 32, NULL, 0);
        assert_int_equal(keyring_format_head("k", (Slice){(char *)file, sizeof(file)}, &lock, &fault),
                         STORE_E_DAMAGED);
        assert_non_null(strstr(fault.text, "cost"));
    }
}

static void test_what_others_can_read_or_own_is_refused(void **state)
{
    (void)state;
    char token[64];
    Fault fault;
    begin();
    static const mode_t modes[] = {0640, 0604, 0660, 0610, 0602};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(get(key_file('k'), "github", token, &fault), STORE_E_DENIED);
        assert_non_null(strstr(fault.text, "chmod 600"));
        assert_int_equal(set(key_file('k'), "github", "x", &fault), STORE_E_DENIED);
    }
    assert_int_equal(chmod(path, 0600), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 65534, (gid_t)-1), 0);
        assert_int_equal(get(key_file('k'), "github", token, &fault), STORE_E_DENIED);
        assert_non_null(strstr(fault.text, "another user"));
        assert_int_equal(chown(path, 0, (gid_t)-1), 0);
    }
    KeyringKey open_key = key_file('k');
    assert_int_equal(fchmod(open_key.fd, 0644), 0);
    assert_int_equal(get(open_key, "github", token, &fault), STORE_E_DENIED);
}

static int refuse(Keyring *keyring, void *context, Fault *fault)
{
    (void)context;
    keyring_remove(keyring, "github");
    return fault_set(fault, 77, "no");
}

static void test_a_change_that_is_refused_changes_nothing(void **state)
{
    (void)state;
    char before[4096], after[4096];
    begin();
    size_t len = load(before, sizeof(before));
    KeyringKey key = key_file('k');
    assert_int_equal(keyring_update(path, &key, refuse, NULL, NULL), 77);
    fd_close(&key.fd);
    assert_int_equal(load(after, sizeof(after)), len);
    assert_memory_equal(before, after, len);
}

/* A child that replaces the token, killed as it enters or leaves its n-th system call; whether it came to its
 * end. */
static bool set_killed_at(unsigned n)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* without our arena: one of its own */
        if (secret_init(64u << 10, NULL) || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(2);
        raise(SIGSTOP);
        _exit(set(key_file('k'), "github", "new sesame", NULL) ? 3 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status));
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSTOPPED(status)) {
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            return true;
        }
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return false;
}

static void test_killed_at_any_moment_the_file_is_the_old_or_the_new_one(void **state)
{
    (void)state;
    char token[64];
    unsigned n = 1, n_old = 0, n_new = 0;
    begin();
    for (bool ended = false; !ended; n++) {
        ended = set_killed_at(n);
        assert_int_equal(get(key_file('k'), "buildkite", token, NULL), 0);
        assert_int_equal(get(key_file('k'), "github", token, NULL), 0);
        bool is_old = strcmp(token, "open sesame") == 0;
        assert_true(is_old || strcmp(token, "new sesame") == 0);
        assert_true(is_old ? !ended : true);
        *(is_old ? &n_old : &n_new) += 1;
        if (!is_old) /* and the next writer is not in the way of what the dead one left */
            assert_int_equal(set(key_file('k'), "github", "open sesame", NULL), 0);
    }
    assert_true(n_old > 20 && n_new > 2);
}

static int start(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || secret_init(128u << 10, NULL))
        return -1;
    snprintf(path, sizeof(path), "%s/keyring", folder);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    static const char *const left[] = {"", ".lock", ".new"};
    for (size_t i = 0; i < COUNT_OF(left); i++) {
        CLEANUP_MEM char *name = mem_printf("%s%s", path, left[i]);
        unlink(name);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_set_is_read_back),
        cmocka_unit_test(test_wrong_keys_are_denied),
        cmocka_unit_test(test_passphrase),
        cmocka_unit_test(test_no_altered_bit_and_no_cut_is_accepted),
        cmocka_unit_test(test_swapped_entries_do_not_open),
        cmocka_unit_test(test_a_cost_out_of_bounds_is_not_paid),
        cmocka_unit_test(test_what_others_can_read_or_own_is_refused),
        cmocka_unit_test(test_a_change_that_is_refused_changes_nothing),
        cmocka_unit_test(test_killed_at_any_moment_the_file_is_the_old_or_the_new_one),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
