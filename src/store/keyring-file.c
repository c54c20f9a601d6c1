/* The keyring's file: who may read it, one writer at a time, and whole at every moment. See keyring.h. */
#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/keyring-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOCK_PATIENCE                                                                                        \
    (2 * CLOCK_SECOND) /* another writer needs milliseconds, or a second for its passphrase */
#define LOCK_POLL 50000

/* Owned by us or by root, and nobody else's to read. */
static int check_private(const char *path, int fd, Fault *fault)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return fault_set(fault, -errno, "the keyring %s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return fault_set(fault, STORE_E_DENIED, "the keyring %s is not a regular file", path);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return fault_set(fault, STORE_E_DENIED, "the keyring %s belongs to another user (id %u)", path,
                         (unsigned)status.st_uid);
    if (status.st_mode & 077)
        return fault_set(fault, STORE_E_DENIED,
                         "the keyring %s can be read by others (mode %04o): chmod 600 it, and "
                         "think of its tokens as known",
                         path, (unsigned)status.st_mode & 07777);
    return 0;
}

/* A key file that others can read is no key. systemd gives a service's own credentials 0440 and an access
 * list. */
static int check_key_private(int fd, Fault *fault)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return fault_set(fault, -errno, "the keyring's key: %s", strerror(errno));
    if (!S_ISREG(status.st_mode))
        return 0; /* a pipe from somebody who asked */
    mode_t allowed = status.st_mode & 0222 ? 0700 : 0740;
    if (status.st_mode & 0777 & ~allowed)
        return fault_set(fault, STORE_E_DENIED,
                         "the keyring's key file can be read by others (mode %04o): chmod 600 "
                         "it, and make a new one if others were there",
                         (unsigned)status.st_mode & 07777);
    return 0;
}

int keyring_derive(KeyringLock *lock, const KeyringKey *key, Fault *fault)
{
    size_t room = KEYRING_MAX_PASSPHRASE + 2, len = 0;
    int r = check_key_private(key->fd, fault);
    if (r)
        return r;
    char *said = secret_alloc(room);
    if (!said)
        return fault_set(fault, -ENOMEM, "the locked memory is used up");
    while (r == 0 && len < room) {
        ssize_t n = read(key->fd, said + len, room - len);
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            r = fault_set(fault, -errno, "the keyring's key cannot be read: %s", strerror(errno));
    }
    if (lock->passphrase && len && said[len - 1] == '\n')
        len--;
    if (r == 0 && len > KEYRING_MAX_PASSPHRASE)
        r = fault_set(fault, STORE_E_DENIED, "the keyring's %s is longer than %d bytes",
                      lock->passphrase ? "passphrase" : "key file", KEYRING_MAX_PASSPHRASE);
    if (r == 0)
        r = keyring_lock_derive(lock, (Slice){said, len}, fault);
    secret_release(said, room);
    return r;
}

int keyring_peek(int fd, bool *ret_passphrase, Fault *fault)
{
    char head[18]; /* the magic and the byte behind it; the rest is checked when it is read */
    ssize_t n = pread(fd, head, sizeof(head), 0);
    if (n < 0)
        return fault_set(fault, -errno, "the keyring cannot be read: %s", strerror(errno));
    /* not secret: a file's magic */
    if ((size_t)n < sizeof(head) || memcmp(head, "purser-keyring-1\n", 17) != 0 || !strchr("KP", head[17]) ||
        !head[17])
        return fault_set(fault, STORE_E_DAMAGED,
                         "this is not a keyring of purser, or its first bytes are damaged");
    *ret_passphrase = head[17] == 'P';
    return 0;
}

static int read_bytes(const char *path, int fd, Buf *file, KeyringLock *ret_lock, Fault *fault)
{
    int r = check_private(path, fd, fault);
    if (r)
        return r;
    r = io_read_all(fd, file);
    if (r == -EFBIG)
        return fault_set(fault, STORE_E_DAMAGED,
                         "the keyring %s is larger than %u MiB: this is not one of purser's", path,
                         KEYRING_MAX_FILE >> 20);
    if (r)
        return fault_set(fault, r, "the keyring %s cannot be read: %s", path, strerror(-r));
    return keyring_format_head(path, buf_slice(file), ret_lock, fault);
}

/* Opens the file's bytes; the lock stays derived for the caller, who ends it also after a failure. */
static int read_locked(const char *path, int fd, const KeyringKey *key, KeyringLock *ret_lock,
                       Keyring **ret_keyring, Fault *fault)
{
    CLEANUP_BUF Buf file = BUF_INIT(KEYRING_MAX_FILE);
    int r = read_bytes(path, fd, &file, ret_lock, fault);
    if (r)
        return r;
    if (ret_lock->passphrase != key->passphrase)
        return fault_set(fault, STORE_E_DENIED, "the keyring %s is sealed with a %s", path,
                         ret_lock->passphrase ? "passphrase, not with a key file"
                                              : "key file, not with a passphrase");
    r = keyring_derive(ret_lock, key, fault);
    return r ? r : keyring_format_open(path, buf_slice(&file), ret_lock, ret_keyring, fault);
}

int keyring_read(const char *path, int fd, const KeyringKey *key, Keyring **ret_keyring, Fault *fault)
{
    KeyringLock lock = {0};
    int r = read_locked(path, fd, key, &lock, ret_keyring, fault);
    keyring_lock_done(&lock);
    return r;
}

int keyring_read_lock(const char *path, int fd, const KeyringKey *key, KeyringLock *ret_lock,
                      Keyring **ret_keyring, Fault *fault)
{
    KeyringLock lock = {0};
    int r = read_locked(path, fd, key, &lock, ret_keyring, fault);
    if (r)
        keyring_lock_done(&lock);
    else
        *ret_lock = lock;
    return r;
}

int keyring_read_again(const char *path, int fd, const KeyringLock *lock, Keyring **ret_keyring, Fault *fault)
{
    CLEANUP_BUF Buf file = BUF_INIT(KEYRING_MAX_FILE);
    KeyringLock now = {0};
    int r = read_bytes(path, fd, &file, &now, fault);
    if (r)
        return r;
    bool same = now.passphrase == lock->passphrase && now.operations == lock->operations &&
                now.memory == lock->memory &&
                memcmp(now.salt, lock->salt, sizeof(now.salt)) == 0; /* not secret: it lies in the file */
    if (!same)
        return fault_set(fault, STORE_E_DENIED,
                         "the keyring %s has another key than when purser started: start purser again", path);
    return keyring_format_open(path, buf_slice(&file), lock, ret_keyring, fault);
}

static int busy(const char *path, int fd, Fault *fault)
{
    char holder[24] = "";
    uint64_t pid;
    ssize_t n = pread(fd, holder, sizeof(holder) - 1, 0);
    if (n > 1 && text_parse_u64((Slice){holder, (size_t)n - 1}, INT32_MAX, &pid) == 0)
        return fault_set(fault, -EBUSY,
                         "the keyring %s is being written by process %d: try again when that is done", path,
                         (int)pid);
    return fault_set(fault, -EBUSY, "the keyring %s is being written by another process: try again", path);
}

/* Takes PATH.lock, which stays behind for the next writer, and leaves our process id in it. */
int keyring_take_lock(const char *path, int *ret_fd, Fault *fault)
{
    CLEANUP_MEM char *name = mem_printf("%s.lock", path);
    CLEANUP_FD int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault_set(fault, -errno, "the keyring's lock %s cannot be opened: %s", name, strerror(errno));
    int64_t until = clock_mono() + LOCK_PATIENCE;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return fault_set(fault, -errno, "the keyring's lock %s cannot be taken: %s", name,
                             strerror(errno));
        if (clock_mono() >= until)
            return busy(path, fd, fault);
        usleep(LOCK_POLL);
    }
    char text[24];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        return fault_set(fault, -errno, "the keyring's lock %s cannot be written: %s", name, strerror(errno));
    *ret_fd = fd_steal(&fd);
    return 0;
}

static int write_fresh(const char *path, Slice bytes)
{
    if (unlink(path) < 0 && errno != ENOENT) /* of a writer that died: we hold the lock */
        return -errno;
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = io_write_all(fd, bytes.ptr, bytes.len);
    return r ? r : fsync(fd) < 0 ? -errno : 0;
}

int keyring_replace(const char *path, const Keyring *keyring, const KeyringLock *lock, Fault *fault)
{
    CLEANUP_BUF Buf file = BUF_INIT(KEYRING_MAX_FILE);
    CLEANUP_MEM char *fresh = mem_printf("%s.new", path);
    int r = keyring_format_seal(keyring, lock, &file, fault);
    if (r)
        return r;
    r = write_fresh(fresh, buf_slice(&file));
    if (r == 0 && rename(fresh, path) < 0)
        r = -errno;
    if (r) {
        unlink(fresh);
        return fault_set(fault, r, "the keyring %s cannot be written: %s; the old one is as it was", path,
                         strerror(-r));
    }
    r = io_sync_folder_of(path);
    return r ? fault_set(fault, r, "the keyring %s is written, but its folder cannot be synced: %s", path,
                         strerror(-r))
             : 0;
}

/* The keyring as it is, or an empty one with a new lock. */
static int read_or_begin(const char *path, const KeyringKey *key, KeyringLock *ret_lock,
                         Keyring **ret_keyring, Fault *fault)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0)
        return read_locked(path, fd, key, ret_lock, ret_keyring, fault);
    if (errno != ENOENT)
        return fault_set(fault, -errno, "the keyring %s cannot be opened: %s", path, strerror(errno));
    keyring_lock_new(ret_lock, key->passphrase);
    int r = keyring_derive(ret_lock, key, fault);
    if (r)
        return r;
    *ret_keyring = MEM_NEW(Keyring);
    return 0;
}

int keyring_update(const char *path, const KeyringKey *key, KeyringChange *change, void *context,
                   Fault *fault)
{
    CLEANUP_FD int lock_fd = -1;
    KeyringLock lock = {0};
    Keyring *keyring = NULL;
    int r = keyring_take_lock(path, &lock_fd, fault);
    if (r)
        return r;
    r = read_or_begin(path, key, &lock, &keyring, fault);
    if (r == 0)
        r = change(keyring, context, fault);
    if (r == 0)
        r = keyring_replace(path, keyring, &lock, fault);
    keyring_free(keyring);
    keyring_lock_done(&lock);
    return r;
}
