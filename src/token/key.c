/* Finds, asks for, or makes the keyring's key. See key.h. */
#include "token/key.h"

#include "base/io.h"
#include "base/mem.h"
#include "store/keyring-format.h"
#include "token/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

/* Whole or not at all, and never over one that is there. */
static int make_key_file(const char *path)
{
    CLEANUP_MEM char *fresh = mem_printf("%s.%d", path, (int)getpid());
    CLEANUP_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    unsigned char *key = secret_alloc(KEYRING_KEY_BYTES);
    int r = key ? 0 : -ENOMEM;
    if (r == 0 && getrandom(key, KEYRING_KEY_BYTES, 0) != KEYRING_KEY_BYTES)
        r = -EIO;
    if (r == 0)
        r = io_write_all(fd, key, KEYRING_KEY_BYTES);
    secret_release(key, KEYRING_KEY_BYTES);
    if (r == 0 && (fsync(fd) < 0 || renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) < 0))
        r = errno == EEXIST ? 0 : -errno;
    unlink(fresh);
    return r;
}

static int open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static int open_key_file(const char *path, bool fresh, int *ret_fd, Fault *fault)
{
    int fd = open_file(path);
    if (fd == -ENOENT && !fresh)
        return fault_set(fault, fd,
                         "the keyring's key file %s is missing: without it the keyring does not open", path);
    if (fd == -ENOENT) {
        int r = make_key_file(path);
        if (r)
            return fault_set(fault, r, "the key file %s cannot be made: %s", path, strerror(-r));
        fprintf(stderr, "purser-token: made the key file %s: whoever has it and the keyring has the tokens\n",
                path);
        fd = open_file(path);
    }
    if (fd < 0)
        return fault_set(fault, fd, "the key file %s cannot be opened: %s", path, strerror(-fd));
    *ret_fd = fd;
    return 0;
}

/* The passphrase goes through a pipe, as it would from any other process that asked for it. */
static int open_passphrase(bool fresh, int *ret_fd, Fault *fault)
{
    int ends[2];
    size_t len = 0;
    char *said = secret_alloc(KEYRING_MAX_PASSPHRASE);
    if (!said)
        return fault_set(fault, -ENOMEM, "the locked memory is used up");
    int r = prompt_passphrase(fresh, said, KEYRING_MAX_PASSPHRASE, &len, fault);
    if (r == 0 && pipe2(ends, O_CLOEXEC) < 0)
        r = fault_set(fault, -errno, "no pipe: %s", strerror(errno));
    if (r == 0) {
        r = io_write_all(ends[1], said, len);
        close(ends[1]);
        *ret_fd = ends[0];
    }
    secret_release(said, KEYRING_MAX_PASSPHRASE);
    return r;
}

int token_key_open(const TokenOptions *options, bool fresh, KeyringKey *ret_key, Fault *fault)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    KeyringKey key = {.passphrase = options->passphrase, .fd = -1};
    int r = 0;
    if (options->passphrase) {
        r = open_passphrase(fresh, &key.fd, fault);
    } else {
        if (folder && folder[0] == '/') {
            CLEANUP_MEM char *path = mem_printf("%s/purser-keyring-key", folder);
            key.fd = open_file(path);
        }
        if (key.fd < 0 && !options->key_file)
            return fault_set(fault, -EINVAL,
                             "the keyring's key is not told: --key-file FILE, --passphrase, or "
                             "systemd's LoadCredential=purser-keyring-key");
        if (key.fd < 0 && !fresh)
            r = keyring_mend_key(options->path, options->key_file, fault);
        if (r == 0 && key.fd < 0)
            r = open_key_file(options->key_file, fresh, &key.fd, fault);
    }
    if (r == 0)
        *ret_key = key;
    return r;
}
