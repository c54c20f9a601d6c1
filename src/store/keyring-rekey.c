/* Another key for the keyring. See keyring.h.
 *
 * With a key file: KEY.new is on the disk before the keyring is sealed with it, and takes KEY's place
 * afterwards. So at every moment the keyring opens with one of the two, and all of that happens under the
 * keyring's lock. */
#include "base/io.h"
#include "base/mem.h"
#include "store/keyring-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

static int failed(const char *path, const char *what, int error, Fault *fault)
{
    return fault_set(fault, error, "the key file %s cannot be %s: %s", path, what, strerror(-error));
}

static int open_key(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* 32 bytes of chance, with the owner of the one that it follows. */
static int make_key(const char *key_file, const char *fresh)
{
    struct stat status;
    if (stat(key_file, &status) < 0 || (unlink(fresh) < 0 && errno != ENOENT))
        return -errno;
    CLEANUP_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    bool ours = status.st_uid == geteuid() && status.st_gid == getegid();
    unsigned char *key = secret_alloc(KEYRING_KEY_BYTES);
    int r = key ? 0 : -ENOMEM;
    if (r == 0 && !ours && fchown(fd, status.st_uid, status.st_gid) < 0)
        r = -errno;
    if (r == 0 && getrandom(key, KEYRING_KEY_BYTES, 0) != KEYRING_KEY_BYTES)
        r = -EIO;
    r = r ? r : io_write_all(fd, key, KEYRING_KEY_BYTES);
    secret_release(key, KEYRING_KEY_BYTES);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    return r ? r : io_sync_folder_of(fresh);
}

/* Whether the keyring opens with that file. */
static int opens(const char *path, const char *key_file, bool *ret_opens, Fault *fault)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    CLEANUP_FD int key_fd = open_key(key_file);
    Keyring *keyring = NULL;
    *ret_opens = false;
    if (fd < 0)
        return fault_set(fault, -errno, "the keyring %s cannot be opened: %s", path, strerror(errno));
    if (key_fd < 0)
        return key_fd == -ENOENT ? 0 : failed(key_file, "opened", key_fd, fault);
    int r = keyring_read(path, fd, &(KeyringKey){false, key_fd}, &keyring, fault);
    keyring_free(keyring);
    *ret_opens = r == 0;
    return r == STORE_E_DENIED ? 0 : r;
}

static int put_in_place(const char *fresh, const char *key_file, Fault *fault)
{
    int r = rename(fresh, key_file) < 0 ? -errno : io_sync_folder_of(key_file);
    return r ? failed(key_file, "replaced", r, fault) : 0;
}

/* Under the lock. */
static int mend(const char *path, const char *key_file, const char *fresh, Fault *fault)
{
    bool old, new;
    if (access(fresh, F_OK) < 0)
        return errno == ENOENT ? 0 : failed(fresh, "looked at", -errno, fault);
    int r = opens(path, key_file, &old, fault);
    r = r || old ? r : opens(path, fresh, &new, fault);
    if (r)
        return r;
    if (!old && new)
        return put_in_place(fresh, key_file, fault);
    if (!old)
        return fault_set(fault, STORE_E_DENIED, "the keyring %s opens neither with %s nor with %s", path,
                         key_file, fresh);
    return unlink(fresh) < 0 ? failed(fresh, "removed", -errno, fault) : 0;
}

int keyring_mend_key(const char *path, const char *key_file, Fault *fault)
{
    CLEANUP_MEM char *fresh = mem_printf("%s.new", key_file);
    CLEANUP_FD int lock_fd = -1;
    if (access(fresh, F_OK) < 0 && errno == ENOENT)
        return 0;
    int r = keyring_take_lock(path, &lock_fd, fault);
    return r ? r : mend(path, key_file, fresh, fault);
}

static int seal_anew(const char *path, const KeyringKey *old, const KeyringKey *fresh, Fault *fault)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    KeyringLock lock = {0};
    Keyring *keyring = NULL;
    if (fd < 0)
        return fault_set(fault, errno == ENOENT ? STORE_E_ABSENT : -errno,
                         "the keyring %s cannot be opened: %s", path, strerror(errno));
    int r = keyring_read(path, fd, old, &keyring, fault);
    if (r == 0) {
        keyring_lock_new(&lock, fresh->passphrase);
        r = keyring_derive(&lock, fresh, fault);
    }
    r = r ? r : keyring_replace(path, keyring, &lock, fault);
    keyring_free(keyring);
    keyring_lock_done(&lock);
    return r;
}

static int rekey_file(const char *path, const KeyringKey *old, const char *key_file, Fault *fault)
{
    CLEANUP_MEM char *fresh = mem_printf("%s.new", key_file);
    int r = mend(path, key_file, fresh, fault);
    if (r)
        return r;
    r = make_key(key_file, fresh);
    if (r) {
        unlink(fresh);
        return failed(fresh, "made", r, fault);
    }
    CLEANUP_FD int fd = open_key(fresh);
    r = fd < 0 ? failed(fresh, "opened", fd, fault) : seal_anew(path, old, &(KeyringKey){false, fd}, fault);
    if (r) { /* written or not: which of the two opens it is found out */
        Fault why;
        (void)!mend(path, key_file, fresh, &why);
        return r;
    }
    return put_in_place(fresh, key_file, fault);
}

int keyring_rekey(const char *path, const KeyringKey *old, const KeyringKey *fresh, const char *key_file,
                  Fault *fault)
{
    CLEANUP_FD int lock_fd = -1;
    int r = keyring_take_lock(path, &lock_fd, fault);
    if (r)
        return r;
    return fresh ? seal_anew(path, old, fresh, fault) : rekey_file(path, old, key_file, fault);
}
