/* The keyring as a store. See keyring-store.h. */
#include "store/keyring-store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/plan.h"

#include <errno.h>

#define FRESH_US (1L * CLOCK_SECOND) /* what was read a moment ago serves all its tokens */

typedef struct Waiter {
    char *name;
    StoreDone *done;
    void *context;
} Waiter;

typedef struct KeyringStore {
    Store store;
    Keyring *keyring;
    KeyringLock lock;
    StoreFiles *files;
    const char *path, *key_path;
    int ring_fd;         /* while its key is asked for; -1 */
    int64_t read;        /* mono */
    bool reading, again; /* again: the file was opened too early */
    Waiter *waiter;
    size_t n_waiter;
} KeyringStore;

static void answer(const KeyringStore *self, const Waiter *waiter, int failed, const Fault *fault)
{
    StoreResult result = {.result = failed, .fault = *fault};
    if (!failed)
        result.result = keyring_take(self->keyring, waiter->name, &result.token, &result.fault);
    waiter->done(waiter->context, &result);
    stored_token_done(&result.token);
}

/* The list is taken first: who is answered may ask again. */
static void answer_all(KeyringStore *self, int failed, const Fault *fault)
{
    Waiter *waiter = STEAL(self->waiter);
    size_t n = self->n_waiter;
    self->n_waiter = 0;
    self->reading = false;
    for (size_t i = 0; i < n; i++) {
        answer(self, &waiter[i], failed, fault);
        mem_free(waiter[i].name);
    }
    mem_free(waiter);
}

static void take(KeyringStore *self, int r, Keyring *keyring, const Fault *fault)
{
    if (r == 0) {
        keyring_free(self->keyring);
        self->keyring = keyring;
        self->read = clock_mono();
    }
    answer_all(self, r, fault);
}

/* The keyring does not open with the key that opened it last: there may be another one (`purser token
 * rekey`). */
static void on_key(void *context, int given, const Fault *why)
{
    KeyringStore *self = context;
    CLEANUP_FD int key_fd = given;
    CLEANUP_FD int fd = fd_steal(&self->ring_fd);
    KeyringLock lock = {0};
    Keyring *keyring = NULL;
    Fault fault = *why;
    int r = key_fd < 0 ? STORE_E_OUTAGE : 0;
    if (r == 0 && (lseek(fd, 0, SEEK_SET) < 0 || lseek(key_fd, 0, SEEK_SET) < 0))
        r = fault_set(&fault, STORE_E_OUTAGE, "the keyring cannot be read: %s", strerror(errno));
    r = r ? r : keyring_read_lock(self->path, fd, &(KeyringKey){false, key_fd}, &lock, &keyring, &fault);
    if (r == 0) {
        keyring_lock_done(&self->lock);
        self->lock = lock;
    }
    take(self, r, keyring, &fault);
}

static void on_open(void *context, int given, const Fault *why)
{
    KeyringStore *self = context;
    CLEANUP_FD int fd = given;
    Keyring *keyring = NULL;
    Fault fault = *why;
    if (self->again) {
        self->again = false;
        store_files_open(self->files, self->path, on_open, self);
        return;
    }
    int r = fd < 0 ? STORE_E_OUTAGE : 0;
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = fault_set(&fault, STORE_E_OUTAGE, "the keyring cannot be read: %s", strerror(errno));
    r = r ? r : keyring_read_again(self->path, fd, &self->lock, &keyring, &fault);
    if (r == STORE_E_DENIED && self->key_path[0]) {
        self->ring_fd = fd_steal(&fd);
        store_files_open(self->files, self->key_path, on_key, self);
        return;
    }
    take(self, r, keyring, &fault);
}

static void keyring_fetch(Store *store, const TokenRef *ref, StoreDone *done, void *context)
{
    KeyringStore *self = (KeyringStore *)store;
    Waiter waiter = {mem_strdup(ref->name), done, context};
    if (!self->reading && clock_mono() - self->read < FRESH_US) {
        Fault none = {""};
        answer(self, &waiter, 0, &none);
        mem_free(waiter.name);
        return;
    }
    MEM_PUSH(self->waiter, self->n_waiter, waiter);
    if (self->reading)
        return;
    self->reading = true;
    store_files_open(self->files, self->path, on_open, self);
}

static void keyring_forget(Store *store)
{
    KeyringStore *self = (KeyringStore *)store;
    self->read = clock_mono() - FRESH_US;
    self->again = self->reading;
}

static Store *keyring_store_free(Store *store)
{
    KeyringStore *self = (KeyringStore *)store;
    for (size_t i = 0; i < self->n_waiter; i++)
        mem_free(self->waiter[i].name);
    mem_free(self->waiter);
    fd_close(&self->ring_fd);
    keyring_free(self->keyring);
    keyring_lock_done(&self->lock);
    mem_free(self);
    return NULL;
}

/* Set-up's descriptor is of the file that was read already: the next one is asked for anew. */
static void on_first(void *context, int given, const Fault *why)
{
    CLEANUP_FD int fd = given;
    (void)context, (void)why;
}

Store *store_keyring_new(Keyring *keyring, KeyringLock lock, StoreFiles *files, const char *path,
                         const char *key_path)
{
    static const StoreDriver driver = {
        .name = "keyring", .fetch = keyring_fetch, .forget = keyring_forget, .free = keyring_store_free};
    KeyringStore *self = MEM_NEW(KeyringStore);
    *self = (KeyringStore){{&driver, {PLAN_LOCAL_REFRESH, PLAN_LOCAL_STALE, 0}},
                           keyring,
                           lock,
                           files,
                           path,
                           key_path,
                           -1,
                           clock_mono()};
    if (files)
        store_files_open(files, path, on_first, self);
    if (files && *key_path)
        store_files_open(files, key_path, on_first, self);
    return &self->store;
}
