/* A token in the keyring: entries NAME, NAME~new, NAME~old. See place.h. */
#include "rotate/place.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/keyring-format.h"
#include "token/key.h"

#include <errno.h>
#include <fcntl.h>

typedef struct KeyringPlace {
    Place place;
    const RotateSetup *setup;
    const char *name;
    char *staged[2]; /* their entries' names */
    TokenOptions options;
    char *said; /* the passphrase, in the arena: asked for once */
    size_t said_len;
} KeyringPlace;

static int ask_passphrase(KeyringPlace *self, Fault *fault)
{
    KeyringKey key;
    int r = token_key_open(&self->options, false, &key, fault);
    if (r)
        return r;
    self->said = secret_alloc(KEYRING_MAX_PASSPHRASE);
    ssize_t n = self->said ? read(key.fd, self->said, KEYRING_MAX_PASSPHRASE) : -1;
    fd_close(&key.fd);
    if (n <= 0)
        return fault_set(fault, -EIO, "the passphrase cannot be taken");
    self->said_len = (size_t)n;
    return 0;
}

/* A descriptor that yields the key once more. */
static int open_key(KeyringPlace *self, KeyringKey *ret_key, Fault *fault)
{
    int ends[2];
    if (!self->options.passphrase)
        return token_key_open(&self->options, false, ret_key, fault);
    int r = self->said ? 0 : ask_passphrase(self, fault);
    if (r)
        return r;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fault_set(fault, -errno, "no pipe: %s", strerror(errno));
    r = io_write_all(ends[1], self->said, self->said_len); /* a pipe holds more */
    close(ends[1]);
    if (r) {
        close(ends[0]);
        return fault_set(fault, r, "the passphrase cannot be passed on: %s", strerror(-r));
    }
    *ret_key = (KeyringKey){.passphrase = true, .fd = ends[0]};
    return 0;
}

static Sealed *copy_of(const Keyring *keyring, const char *name)
{
    const KeyringEntry *entry = keyring_find(keyring, name);
    return entry ? secret_dup(entry->token) : NULL;
}

static void take(const KeyringPlace *self, const Keyring *keyring, PlaceFound *found)
{
    const KeyringEntry *entry = keyring_find(keyring, self->name);
    *found = (PlaceFound){.current = copy_of(keyring, self->name)};
    for (size_t i = 0; i < 2; i++)
        found->staged[i] = copy_of(keyring, self->staged[i]);
    for (size_t i = 0; entry && i < entry->n_host; i++)
        MEM_PUSH(found->host, found->n_host, mem_strdup(entry->host[i]));
    found->set = entry ? entry->set : 0;
}

static int keyring_look(Place *place, PlaceFound *ret_found, Fault *fault)
{
    KeyringPlace *self = (KeyringPlace *)place;
    Keyring *keyring = NULL;
    KeyringKey key;
    const char *path = self->setup->keyring;
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fault_set(fault, -errno, "the keyring %s cannot be opened: %s", path, strerror(errno));
    int r = open_key(self, &key, fault);
    if (r)
        return r;
    r = keyring_read(path, fd, &key, &keyring, fault);
    fd_close(&key.fd);
    if (r)
        return r;
    take(self, keyring, ret_found);
    keyring_free(keyring);
    return 0;
}

/* One change, for keyring_update(). */
typedef struct Change {
    KeyringPlace *self;
    const Sealed *token[2]; /* stage */
    RotateToken which;      /* put */
} Change;

static int change(KeyringPlace *self, KeyringChange *how, Change *what, Fault *fault)
{
    KeyringKey key;
    what->self = self;
    int r = open_key(self, &key, fault);
    if (r)
        return r;
    r = keyring_update(self->setup->keyring, &key, how, what, fault);
    fd_close(&key.fd);
    return r;
}

/* With the hosts of the entry that it is put beside. */
static void put_entry(Keyring *keyring, const KeyringPlace *self, const char *name, const Sealed *token)
{
    const KeyringEntry *like = keyring_find(keyring, self->name);
    KeyringEntry entry = {.name = mem_strdup(name), .token = secret_dup(token), .set = clock_wall()};
    for (size_t i = 0; i < like->n_host; i++)
        MEM_PUSH(entry.host, entry.n_host, mem_strdup(like->host[i]));
    keyring_put(keyring, entry);
}

static int stage(Keyring *keyring, void *context, Fault *fault)
{
    Change *what = context;
    const KeyringPlace *self = what->self;
    const KeyringEntry *entry = keyring_find(keyring, self->name);
    if (!entry || !secret_same(entry->token, what->token[ROTATE_OLD]))
        return place_stale(&self->place, fault);
    if (keyring->n_entry + 2 > KEYRING_MAX_ENTRIES)
        return fault_set(fault, -E2BIG,
                         "a keyring holds %d tokens at most, and a rotation needs room for two",
                         KEYRING_MAX_ENTRIES);
    for (size_t i = 0; i < 2; i++)
        put_entry(keyring, self, self->staged[i], what->token[i]);
    return 0;
}

static int keyring_stage(Place *place, const Sealed *old, const Sealed *fresh, Fault *fault)
{
    Change what = {.token = {old, fresh}};
    return change((KeyringPlace *)place, stage, &what, fault);
}

static int put(Keyring *keyring, void *context, Fault *fault)
{
    Change *what = context;
    const KeyringPlace *self = what->self;
    PlaceFound found;
    take(self, keyring, &found);
    bool fits = found.staged[what->which] && place_current(&found) != ROTATE_CURRENT_OTHER;
    if (fits)
        put_entry(keyring, self, self->name, found.staged[what->which]);
    place_found_done(&found);
    return fits ? 0 : place_stale(&self->place, fault);
}

static int keyring_put_one(Place *place, RotateToken which, Fault *fault)
{
    Change what = {.which = which};
    return change((KeyringPlace *)place, put, &what, fault);
}

static int clear(Keyring *keyring, void *context, Fault *fault)
{
    const Change *what = context;
    (void)fault;
    for (size_t i = 0; i < 2; i++)
        keyring_remove(keyring, what->self->staged[i]);
    return 0;
}

static int keyring_clear(Place *place, Fault *fault)
{
    Change what = {0};
    return change((KeyringPlace *)place, clear, &what, fault);
}

static int put_mark(Keyring *keyring, const KeyringPlace *self, const PlaceFound *found, Fault *fault)
{
    char mark[MARK_TEXT];
    Sealed *sealed = NULL;
    int r = place_mark(found, clock_wall(), mark, fault);
    if (r == 0 && secret_seal(slice_of(mark), &sealed))
        r = fault_set(fault, -ENOMEM, "the mark cannot be made");
    if (r == 0)
        keyring_put(
            keyring,
            (KeyringEntry){.name = keyring_mark_name(self->name), .token = sealed, .set = clock_wall()});
    return r;
}

static int withdraw(Keyring *keyring, void *context, Fault *fault)
{
    const KeyringPlace *self = ((Change *)context)->self;
    PlaceFound found;
    take(self, keyring, &found);
    bool known = place_current(&found) != ROTATE_CURRENT_OTHER;
    bool fits = known || (found.current && !found.staged[ROTATE_OLD] && !found.staged[ROTATE_NEW] &&
                          keyring->n_entry < KEYRING_MAX_ENTRIES);
    int r = fits ? put_mark(keyring, self, &found, fault) : place_stale(&self->place, fault);
    if (r == 0 && !known)
        put_entry(keyring, self, self->staged[ROTATE_OLD], found.current);
    if (r == 0)
        keyring_remove(keyring, self->name);
    place_found_done(&found);
    return r;
}

static int keyring_withdraw(Place *place, Fault *fault)
{
    Change what = {0};
    return change((KeyringPlace *)place, withdraw, &what, fault);
}

static int keyring_may_write(Place *place, Fault *fault)
{
    const KeyringPlace *self = (KeyringPlace *)place;
    CLEANUP_MEM char *folder = mem_strdup(self->setup->keyring);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    if (access(slash ? folder : ".", W_OK) < 0 || access(self->setup->keyring, W_OK) < 0)
        return fault_set(fault, -errno, "the keyring %s cannot be written: %s", self->setup->keyring,
                         strerror(errno));
    return 0;
}

static Place *keyring_place_free(Place *place)
{
    KeyringPlace *self = (KeyringPlace *)place;
    secret_release(self->said, KEYRING_MAX_PASSPHRASE);
    mem_free(self->staged[ROTATE_OLD]);
    mem_free(self->staged[ROTATE_NEW]);
    mem_free(self);
    return NULL;
}

int place_keyring_open(const RotateSetup *setup, Place **ret_place, Fault *fault)
{
    static const PlaceDriver driver = {place_flock,
                                       NULL,
                                       keyring_look,
                                       keyring_stage,
                                       keyring_put_one,
                                       keyring_clear,
                                       keyring_withdraw,
                                       keyring_may_write,
                                       NULL,
                                       NULL,
                                       keyring_place_free};
    const char *name = setup->source.source.token.name;
    KeyringPlace *self = MEM_NEW(KeyringPlace);
    (void)fault;
    *self = (KeyringPlace){.place = {.driver = &driver,
                                     .label = mem_printf("the keyring's entry %s", name),
                                     .lock_path = mem_printf("%s.rotate-%s", setup->keyring, name),
                                     .lock_fd = -1},
                           .setup = setup,
                           .name = name,
                           .staged = {mem_printf("%s~old", name), mem_printf("%s~new", name)},
                           .options = {.path = setup->keyring,
                                       .key_file = setup->passphrase ? NULL : setup->key_file,
                                       .passphrase = setup->passphrase}};
    *ret_place = &self->place;
    return 0;
}
