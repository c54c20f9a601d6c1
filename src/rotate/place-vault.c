/* A token in KV of Vault or OpenBao: SECRET, and beside it SECRET.purser-rotation, which holds both tokens
 * while a rotation is under way. In KV 2 that is the lock too, and every write is a check-and-set. KV 1 has
 * none: there the lock is SECRET.purser-lock, which whoever wants it writes, and has it if it still says so a
 * moment later; and what is to be replaced is read again right before. See place.h. */
#include "rotate/place.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "rotate/vault-api.h"

#include <errno.h>
#include <stdio.h>

#define SIDE     ".purser-rotation"
#define LOCK     ".purser-lock" /* KV 1 */
#define PAUSE_US 2000000        /* KV 1: longer than what is between reading and writing a lock */

typedef struct VaultPlace {
    Place place;
    const RotateSetup *setup;
    const char *key;
    char *main, *side, *lock,
        *gone; /* API paths; the last: POST destroys versions; KV 1: DELETE takes it away */
    VaultApi api;
    Sealed *staged[2];
    uint64_t main_version, side_version;
    uint64_t
        first;     /* KV 2: the first version of it that holds tokens which are not destroyed; 0: none does */
    int64_t since; /* wall us, by the server's clock */
    bool locked;
} VaultPlace;

typedef struct MainTaken {
    VaultPlace *self;
    PlaceFound *found;
} MainTaken;

static int take_main(void *context, const VaultSecret *secret, Fault *fault)
{
    const MainTaken *taken = context;
    taken->found->set = secret->made;
    return vault_seal(secret->data, taken->self->key, &taken->found->current, fault);
}

static void drop_staged(VaultPlace *self)
{
    for (size_t i = 0; i < 2; i++)
        self->staged[i] = secret_free(self->staged[i]);
}

static bool holds_staged(const VaultPlace *self)
{
    return self->staged[ROTATE_OLD] || self->staged[ROTATE_NEW];
}

/* KV 2: what is staged lies with the lock; KV 1: each is another secret. */
static int take_both(void *context, const VaultSecret *secret, Fault *fault)
{
    return vault_read_lock(secret->data, false, context, fault);
}

static int take_lock(void *context, const VaultSecret *secret, Fault *fault)
{
    return vault_read_lock(secret->data, true, context, fault);
}

static int take_side(void *context, const VaultSecret *secret, Fault *fault)
{
    return vault_read_staged(secret->data, context, fault);
}

/* What could not be read is as it was: the lock is let go with it, and with the tokens that are staged. */
static int read_side(VaultPlace *self, VaultLock *ret_lock, Fault *fault)
{
    uint64_t version = 0, none = 0;
    VaultLock lock = {.holder = ""};
    int r =
        vault_kv_read(&self->api, self->lock, self->api.kv1 ? take_lock : take_both, &lock, &version, fault);
    if (r == 0 && self->api.kv1)
        r = vault_kv_read(&self->api, self->side, take_side, &lock, &none, fault);
    if (r) {
        vault_lock_done(&lock);
        return r;
    }
    place_take_story(&self->place, lock.story);
    drop_staged(self);
    for (size_t i = 0; i < 2; i++)
        self->staged[i] = STEAL(lock.staged[i]);
    self->side_version = version;
    self->first = lock.first;
    mem_free(STEAL(lock.story));
    *ret_lock = lock;
    return 0;
}

/* The lock, in KV 2 with the tokens that are staged. holder "": it is let go. */
static int write_lock(VaultPlace *self, const char *holder, Fault *fault)
{
    char time[24], first[24];
    CLEANUP_JSON json_t *data = json_object();
    Slice story = buf_slice(&self->place.story);
    json_object_set_new(data, "holder", json_string(holder));
    json_object_set_new(data, "since", json_string(text_u64(time, (uint64_t)self->since)));
    json_object_set_new(data, "beat", json_string(text_u64(time, (uint64_t)self->api.api.now)));
    if (self->first)
        json_object_set_new(data, "first", json_string(text_u64(first, self->first)));
    if (story.len)
        json_object_set_new(data, "journal", json_stringn(story.ptr, story.len));
    int r = self->api.kv1 ? 0 : vault_put(data, "old", self->staged[ROTATE_OLD]);
    r = r || self->api.kv1 ? r : vault_put(data, "new", self->staged[ROTATE_NEW]);
    if (r)
        return fault_set(fault, r, "the rotation's secret cannot be made: %s", strerror(-r));
    return vault_kv_write(&self->api, self->lock, data, &self->side_version, fault);
}

static int write_staged(VaultPlace *self, Fault *fault)
{
    uint64_t none = 0;
    if (!self->api.kv1) {
        self->first = self->first ? self->first : self->side_version + 1;
        return write_lock(self, self->place.holder, fault);
    }
    CLEANUP_JSON json_t *data = json_object();
    int r = vault_put(data, "old", self->staged[ROTATE_OLD]);
    r = r ? r : vault_put(data, "new", self->staged[ROTATE_NEW]);
    if (r)
        return fault_set(fault, r, "the rotation's secret cannot be made: %s", strerror(-r));
    return vault_kv_write(&self->api, self->side, data, &none, fault);
}

/* One whose lock was taken over hears so at its next write; in KV 1, which would let it, it looks first. */
static void vault_beat(Place *place)
{
    VaultPlace *self = (VaultPlace *)place;
    Fault fault = {""};
    PlaceFound found = {0};
    int r = self->api.kv1 && self->locked ? place->driver->look(place, &found, &fault) : 0;
    place_found_done(&found);
    self->api.api.now += self->api.kv1 ? 0 : PLACE_BEAT_US;
    if (r || (self->locked && write_lock(self, place->holder, &fault)))
        log_warning("%s", fault.text);
}

static int vault_look(Place *place, PlaceFound *ret_found, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    PlaceFound found = {0};
    MainTaken taken = {self, &found};
    VaultLock lock;
    int r = vault_kv_read(&self->api, self->main, take_main, &taken, &self->main_version, fault);
    r = r ? r : read_side(self, &lock, fault);
    if (r == 0 && self->locked && strcmp(lock.holder, place->holder) != 0) {
        self->locked = false;
        r = place_taken_over(place, lock.holder, fault);
    }
    if (r) {
        place_found_done(&found);
        return r;
    }
    for (size_t i = 0; i < 2; i++)
        found.staged[i] = self->staged[i] ? secret_dup(self->staged[i]) : NULL;
    *ret_found = found;
    return 0;
}

static int vault_stage(Place *place, const Sealed *old, const Sealed *fresh, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    PlaceFound found;
    int r = vault_look(place, &found, fault);
    if (r)
        return r;
    bool same = secret_same(found.current, old);
    place_found_done(&found);
    if (!same)
        return place_stale(place, fault);
    drop_staged(self);
    self->staged[ROTATE_OLD] = secret_dup(old);
    self->staged[ROTATE_NEW] = fresh ? secret_dup(fresh) : NULL;
    return write_staged(self, fault);
}

/* One key of the secret, in the body of a write. */
typedef struct Change {
    VaultPlace *self;
    const Sealed *current;     /* what must be there still */
    const Sealed *replacement; /* the key's new value; NULL: it is taken out, */
    const char *mark;          /* and this is put in its place */
    Buf body;
} Change;

static int take_change(void *context, const VaultSecret *secret, Fault *fault)
{
    Change *change = context;
    const VaultPlace *self = change->self;
    Sealed *current = NULL;
    int r = vault_seal(secret->data, self->key, &current, fault);
    bool same = secret_same(current, change->current) && secret->version == self->main_version;
    secret_free(current);
    if (r || !same)
        return r ? r : place_stale(&self->place, fault);
    json_t *fresh = (json_t *)(uintptr_t)secret->data;
    if (change->replacement) {
        r = vault_put(fresh, self->key, change->replacement);
    } else {
        CLEANUP_MEM char *mark = mem_printf("%s" MARK_SUFFIX, self->key);
        json_object_del(fresh, self->key);
        json_object_set_new(fresh, mark, json_string(change->mark));
    }
    return r ? fault_set(fault, r, "%s cannot be written anew: %s", self->place.label, strerror(-r))
             : vault_kv_dump(&self->api, fresh, secret->version, &change->body, fault);
}

/* The secret as it is, with one key changed: all else in it stays. */
static int write_main(VaultPlace *self, const Sealed *current, const Sealed *replacement, const char *mark,
                      Fault *fault)
{
    Change change = {self, current, replacement, mark, BUF_INIT(0)};
    uint64_t version = 0;
    int r = vault_kv_read(&self->api, self->main, take_change, &change, &version, fault);
    if (r == 0 && !change.body.len) /* it is there no more */
        r = place_stale(&self->place, fault);
    r = r ? r : vault_kv_send(&self->api, self->main, &change.body, &version, fault);
    buf_done(&change.body);
    return r;
}

/* Whoever was taken over may be in the middle of a write: after this the version that it checks is an old
 * one. */
static int fence(VaultPlace *self, Fault *fault)
{
    PlaceFound found;
    int r = vault_look(&self->place, &found, fault);
    if (r)
        return r;
    r = found.current && !self->api.kv1 ? write_main(self, found.current, found.current, NULL, fault) : 0;
    place_found_done(&found);
    return r;
}

/* KV 1: of two that have written, the later one's name stands. */
static int await_rival(VaultPlace *self, Fault *fault)
{
    VaultLock lock;
    usleep(PAUSE_US);
    int r = read_side(self, &lock, fault);
    if (r || strcmp(lock.holder, self->place.holder) == 0)
        return r;
    self->locked = false;
    PlaceHolder holder = {lock.holder, lock.since, lock.beat, self->api.api.now};
    return place_held(&self->place, &holder, fault);
}

static int vault_lock(Place *place, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    VaultLock lock;
    int r = self->api.kv1 ? vault_check_kv1(&self->api, self->main, fault) : 0;
    r = r ? r : read_side(self, &lock, fault);
    if (r)
        return r;
    PlaceHolder holder = {lock.holder, lock.since, lock.beat, self->api.api.now};
    if (lock.holder[0] && !place_may_take_over(self->setup, &holder))
        return place_held(place, &holder, fault);
    self->since = self->api.api.now;
    r = write_lock(self, place->holder, fault);
    self->locked = r == 0;
    r = r || !self->api.kv1 ? r : await_rival(self, fault);
    return r || !place_must_fence(self->setup, lock.holder[0], holds_staged(self)) ? r : fence(self, fault);
}

static int vault_put_one(Place *place, RotateToken which, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    PlaceFound found;
    int r = vault_look(place, &found, fault);
    if (r)
        return r;
    if (found.staged[which] && place_current(&found) != ROTATE_CURRENT_OTHER)
        r = write_main(self, found.current, found.staged[which], NULL, fault);
    else
        r = place_stale(place, fault);
    place_found_done(&found);
    return r;
}

static int vault_withdraw(Place *place, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    PlaceFound found;
    char mark[MARK_TEXT];
    int r = vault_look(place, &found, fault);
    if (r)
        return r;
    r = place_mark(&found, self->api.api.now, mark, fault);
    if (r == 0 && place_current(&found) == ROTATE_CURRENT_OTHER)
        r = !found.staged[ROTATE_OLD] ? vault_stage(place, found.current, NULL, fault)
                                      : place_stale(place, fault);
    r = r ? r : write_main(self, found.current, NULL, mark, fault);
    place_found_done(&found);
    return r;
}

/* KV 2 deletes without check-and-set, so nothing is deleted: a version without tokens is written, if nobody
 * has written since; then those before it are destroyed, by their numbers. What somebody else writes
 * meanwhile has another one. Until it is done the secret itself says from which version on, so that whoever
 * comes next does the rest. */
static int clear_versions(VaultPlace *self, Fault *fault)
{
    if (!self->first && !holds_staged(self))
        return 0;
    drop_staged(self);
    int r = write_lock(self, self->place.holder, fault);
    r = r ? r : vault_kv_destroy(&self->api, self->gone, self->first, self->side_version - 1, fault);
    if (r)
        return r;
    self->first = 0;
    return write_lock(self, self->place.holder, fault);
}

static int vault_clear(Place *place, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    if (!self->api.kv1)
        return clear_versions(self, fault);
    int r = vault_delete(&self->api, self->gone, fault);
    if (r == 0)
        drop_staged(self);
    return r;
}

static int vault_tell(Place *place, Slice story, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    CLEANUP_MEM char *text = mem_dup(story.ptr, story.len);
    place_take_story(place, text);
    return self->locked ? write_lock(self, place->holder, fault) : 0;
}

static int vault_hear(Place *place, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    VaultLock lock;
    int r = read_side(self, &lock, fault);
    mem_free(STEAL(place->held_by));
    if (r == 0 && lock.holder[0])
        place->held_by = mem_strdup(lock.holder);
    return r;
}

static int vault_may_write(Place *place, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    const VaultRight two[] = {
        {"update", self->main}, {"create", self->side}, {"update", self->side}, {"update", self->gone}};
    const VaultRight one[] = {{"update", self->main}, {"create", self->side}, {"update", self->side},
                              {"delete", self->side}, {"create", self->lock}, {"update", self->lock}};
    if (!self->api.kv1)
        return vault_may(&self->api, two, COUNT_OF(two), fault);
    int r = vault_check_kv1(&self->api, self->main, fault);
    return r ? r : vault_may(&self->api, one, COUNT_OF(one), fault);
}

/* The lock is let go; what is staged stays for --resume, from whatever machine. */
static Place *vault_place_free(Place *place)
{
    VaultPlace *self = (VaultPlace *)place;
    Fault fault = {""};
    if (self->locked && write_lock(self, "", &fault))
        log_warning("the lock of the rotation stays for a minute: %s", fault.text);
    vault_api_done(&self->api);
    drop_staged(self);
    char *const text[] = {self->main, self->side, self->lock, self->gone};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    mem_free(self);
    return NULL;
}

int place_vault_open(const RotateSetup *setup, Place **ret_place, Fault *fault)
{
    static const PlaceDriver driver = {vault_lock,    vault_beat,  vault_look,      vault_stage,
                                       vault_put_one, vault_clear, vault_withdraw,  vault_may_write,
                                       vault_tell,    vault_hear,  vault_place_free};
    const TokenRef *ref = &setup->source.source.token;
    const char *data = strstr(ref->name, "/data/");
    VaultPlace *self = MEM_NEW(VaultPlace);
    *self = (VaultPlace){.place = {.driver = &driver,
                                   .label = mem_printf("Vault's secret %s", ref->name),
                                   .lock_fd = -1,
                                   .holder = place_holder()},
                         .setup = setup,
                         .key = ref->key,
                         .main = mem_strdup(ref->name),
                         .side = mem_printf("%s" SIDE, ref->name),
                         .lock = mem_printf("%s%s", ref->name, data ? SIDE : LOCK)};
    self->gone = data ? mem_printf("%.*s/destroy/%s" SIDE, (int)(data - ref->name), ref->name, data + 6)
                      : mem_strdup(self->side);
    int r = vault_api_init(&self->api, setup, ref->space[0] ? ref->space : setup->vault.space, fault);
    self->api.kv1 = !data;
    if (r) {
        place_free(&self->place);
        return r;
    }
    *ret_place = &self->place;
    return 0;
}
