/* A token in KV 2 of Vault or OpenBao: SECRET, and beside it SECRET.purser-rotation, which is the lock and
 * holds both tokens while a rotation is under way. Every write is a check-and-set. See place.h. */
#include "rotate/place.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "rotate/link.h"
#include "store/answer.h"
#include "store/mark.h"
#include "store/vault.h"
#include "token/take.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define SIDE ".purser-rotation"

typedef struct VaultPlace {
    Place place;
    const RotateSetup *setup;
    const char *key;
    char *main, *side, *side_metadata; /* API paths */
    char *space;
    Link link;
    StoreServer server;
    Sealed *token; /* Vault's */
    Sealed *staged[2];
    uint64_t main_version, side_version;
    int64_t since, now; /* wall us, by the server's clock */
    bool locked;
} VaultPlace;

/* One answer. */
typedef struct Reply {
    VaultPlace *self;
    int status, result;
    char said[256];
    Fault *fault;
    uint64_t version;
    PlaceFound *found;         /* read: main */
    char holder[256];          /* read: side */
    int64_t since, beat;       /* read: side */
    const Sealed *replacement; /* change: the key's new value; NULL: it is taken out, */
    const char *mark;          /* and this is put in its place */
    Buf body;                  /* change: what is to be written */
    Slice path[3];             /* capabilities */
} Reply;

static int ask(VaultPlace *self, const char *method, const char *path, Buf *body,
               void (*done)(void *context, StoreAnswer *answer), Reply *reply)
{
    CLEANUP_MEM char *escaped = vault_path(path);
    StoreCall call = {.method = method,
                      .path = escaped,
                      .header = {"X-Vault-Request: true", self->space},
                      .credential = "X-Vault-Token: ",
                      .token = self->token,
                      .body = body ? *body : BUF_INIT(0)};
    if (body)
        *body = BUF_INIT(0);
    reply->self = self;
    int r = link_call(&self->link, &call, done, reply, reply->fault);
    return r ? r : reply->result;
}

static void take_head(Reply *reply, const StoreAnswer *answer)
{
    reply->status = answer->status;
    reply->self->now = answer->date ? answer->date : clock_wall();
    if (answer->status >= 300)
        answer_error(answer->body, reply->said);
}

static int refusal(const Reply *reply, const char *path)
{
    bool stale = reply->status == 400 && strstr(reply->said, "check-and-set");
    if (stale)
        return fault_set(reply->fault, -ESTALE, "Vault's secret %s was changed meanwhile by somebody else",
                         path);
    return fault_set(
        reply->fault, reply->status == 429 || reply->status >= 500 ? STORE_E_OUTAGE : STORE_E_DENIED,
        "Vault answered %d for %s%s%s", reply->status, path, reply->said[0] ? ": " : "", reply->said);
}

/* KV 2: data.data and data.metadata.version; a version that was deleted is a 404 with the latter. */
static const json_t *open_secret(Reply *reply, const json_t *json)
{
    const json_t *data = json_object_get(json, "data");
    reply->version = answer_number(json_object_get(data, "metadata"), "version", INT64_MAX);
    return json_object_get(data, "data");
}

static int seal_text(const json_t *data, const char *key, Sealed **ret_token, Fault *fault)
{
    const json_t *value = json_object_get(data, key);
    if (!json_is_string(value))
        return 0;
    return store_seal(key, (Slice){json_string_value(value), json_string_length(value)}, true, ret_token,
                      fault);
}

static void on_main(void *context, StoreAnswer *answer)
{
    Reply *reply = context;
    take_head(reply, answer);
    CLEANUP_JSON json_t *json = answer_json(answer->body);
    const json_t *data = json ? open_secret(reply, json) : NULL;
    if (answer->status != 200)
        return;
    const char *created =
        answer_text(json_object_get(json_object_get(json, "data"), "metadata"), "created_time");
    if (created && clock_parse(slice_of(created), &reply->found->set))
        reply->found->set = 0;
    reply->result = seal_text(data, reply->self->key, &reply->found->current, reply->fault);
}

static int64_t read_time(const json_t *data, const char *key)
{
    uint64_t at = 0;
    const char *text = answer_text(data, key);
    return text && text_parse_u64(slice_of(text), INT64_MAX, &at) == 0 ? (int64_t)at : 0;
}

static void on_side(void *context, StoreAnswer *answer)
{
    Reply *reply = context;
    VaultPlace *self = reply->self;
    take_head(reply, answer);
    CLEANUP_JSON json_t *json = answer_json(answer->body);
    const json_t *data = json ? open_secret(reply, json) : NULL;
    for (size_t i = 0; i < 2; i++)
        self->staged[i] = secret_free(self->staged[i]);
    place_take_story(&self->place, NULL);
    if (answer->status != 200)
        return;
    const char *holder = answer_text(data, "holder");
    text_escape(reply->holder, sizeof(reply->holder), holder ? holder : "", holder ? strlen(holder) : 0);
    place_take_story(&self->place, answer_text(data, "journal"));
    reply->since = read_time(data, "since");
    reply->beat = read_time(data, "beat");
    reply->result = seal_text(data, "old", &self->staged[ROTATE_OLD], reply->fault);
    if (reply->result == 0)
        reply->result = seal_text(data, "new", &self->staged[ROTATE_NEW], reply->fault);
}

static int read_side(VaultPlace *self, Reply *reply)
{
    int r = ask(self, "GET", self->side, NULL, on_side, reply);
    if (r == 0 && reply->status != 200 && reply->status != 404)
        r = refusal(reply, self->side);
    self->side_version = reply->version;
    return r;
}

static void on_written(void *context, StoreAnswer *answer)
{
    Reply *reply = context;
    take_head(reply, answer);
    CLEANUP_JSON json_t *json = answer_json(answer->body);
    if (json)
        reply->version = answer_number(json_object_get(json, "data"), "version", INT64_MAX);
}

static int put_secret(json_t *data, const char *key, const Sealed *token)
{
    size_t len = token ? secret_len(token) : 0;
    char *plain = token ? secret_alloc(len + 1) : NULL;
    if (!token)
        return 0;
    int r = plain ? secret_open(token, plain, len) : -ENOMEM;
    if (r == 0 && json_object_set_new(data, key, json_stringn(plain, len)) < 0)
        r = -EINVAL;
    secret_release(plain, len + 1);
    return r;
}

/* {"options": {"cas": VERSION}, "data": ...}; takes `data` over. */
static int dump_write(json_t *data, uint64_t version, Buf *body)
{
    json_t *options = json_object(), *json = json_object();
    json_object_set_new(options, "cas", json_integer((json_int_t)version));
    json_object_set_new(json, "options", options);
    json_object_set_new(json, "data", data);
    *body = BUF_INIT(STORE_MAX_REQUEST);
    int r = answer_dump(json, body);
    json_decref(json);
    return r;
}

/* The lock's secret, with the tokens that are staged. holder "": it is let go. */
static int write_side(VaultPlace *self, const char *holder, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(0);
    char time[24];
    Reply reply = {.fault = fault};
    CLEANUP_JSON json_t *data = json_object();
    json_object_set_new(data, "holder", json_string(holder));
    json_object_set_new(data, "since", json_string(text_u64(time, (uint64_t)self->since)));
    json_object_set_new(data, "beat", json_string(text_u64(time, (uint64_t)self->now)));
    Slice story = buf_slice(&self->place.story);
    if (story.len)
        json_object_set_new(data, "journal", json_stringn(story.ptr, story.len));
    int r = put_secret(data, "old", self->staged[ROTATE_OLD]);
    r = r ? r : put_secret(data, "new", self->staged[ROTATE_NEW]);
    r = r ? r : dump_write(json_incref(data), self->side_version, &body);
    if (r)
        return fault_set(fault, r, "the rotation's secret cannot be made: %s", strerror(-r));
    r = ask(self, "POST", self->side, &body, on_written, &reply);
    if (r == 0 && reply.status != 200)
        r = refusal(&reply, self->side);
    if (r == 0)
        self->side_version = reply.version;
    return r;
}

/* One whose lock was taken over hears so at its next write. */
static void vault_beat(Place *place)
{
    VaultPlace *self = (VaultPlace *)place;
    Fault fault = {""};
    self->now += PLACE_BEAT_US;
    if (self->locked && write_side(self, self->place.holder, &fault))
        log_warning("%s", fault.text);
}

static int vault_look(Place *place, PlaceFound *ret_found, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    PlaceFound found = {0};
    Reply main = {.fault = fault, .found = &found}, side = {.fault = fault};
    int r = ask(self, "GET", self->main, NULL, on_main, &main);
    if (r == 0 && main.status != 200 && main.status != 404)
        r = refusal(&main, self->main);
    self->main_version = main.version;
    r = r ? r : read_side(self, &side);
    bool ours = side.status == 200 && strcmp(side.holder, self->place.holder) == 0;
    if (r == 0 && self->locked && !ours) {
        self->locked = false;
        r = place_taken_over(place, side.holder, fault);
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
    secret_free(self->staged[ROTATE_OLD]);
    secret_free(self->staged[ROTATE_NEW]);
    self->staged[ROTATE_OLD] = secret_dup(old);
    self->staged[ROTATE_NEW] = fresh ? secret_dup(fresh) : NULL;
    return write_side(self, self->place.holder, fault);
}

/* The secret as it is, with one key changed, into reply->body: all else in it stays. */
static void on_change(void *context, StoreAnswer *answer)
{
    Reply *reply = context;
    const VaultPlace *self = reply->self;
    take_head(reply, answer);
    CLEANUP_JSON json_t *json = answer_json(answer->body);
    json_t *data = json ? (json_t *)(uintptr_t)open_secret(reply, json) : NULL;
    if (answer->status != 200 || !json_is_object(data) || reply->version != self->main_version) {
        reply->result = place_stale(&self->place, reply->fault);
        return;
    }
    int r = reply->replacement ? put_secret(data, self->key, reply->replacement) : 0;
    if (!reply->replacement) {
        CLEANUP_MEM char *mark = mem_printf("%s" MARK_SUFFIX, self->key);
        json_object_del(data, self->key);
        json_object_set_new(data, mark, json_string(reply->mark));
    }
    r = r ? r : dump_write(json_incref(data), reply->version, &reply->body);
    if (r)
        reply->result =
            fault_set(reply->fault, r, "%s cannot be written anew: %s", self->place.label, strerror(-r));
}

static int write_main(VaultPlace *self, const Sealed *replacement, const char *mark, Fault *fault)
{
    Reply change = {.fault = fault, .replacement = replacement, .mark = mark, .body = BUF_INIT(0)},
          reply = {.fault = fault};
    int r = ask(self, "GET", self->main, NULL, on_change, &change);
    r = r ? r : ask(self, "POST", self->main, &change.body, on_written, &reply);
    buf_done(&change.body);
    return r ? r : reply.status == 200 ? 0 : refusal(&reply, self->main);
}

/* Whoever was taken over may be in the middle of a write: after this the version that it checks is an old
 * one. */
static int fence(VaultPlace *self, Fault *fault)
{
    PlaceFound found;
    int r = vault_look(&self->place, &found, fault);
    if (r)
        return r;
    r = found.current ? write_main(self, found.current, NULL, fault) : 0;
    place_found_done(&found);
    return r;
}

static int vault_lock(Place *place, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    Reply reply = {.fault = fault};
    int r = read_side(self, &reply);
    if (r)
        return r;
    PlaceHolder holder = {reply.holder, reply.since, reply.beat, self->now};
    if (reply.holder[0] && !place_may_take_over(&holder, self->setup->act == ROTATE_START))
        return place_held(place, &holder, fault);
    self->since = self->now;
    r = write_side(self, self->place.holder, fault);
    self->locked = r == 0;
    return r || !reply.holder[0] ? r : fence(self, fault);
}

static int vault_put(Place *place, RotateToken which, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    PlaceFound found;
    int r = vault_look(place, &found, fault);
    if (r)
        return r;
    if (found.staged[which] && place_current(&found) != ROTATE_CURRENT_OTHER)
        r = write_main(self, found.staged[which], NULL, fault);
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
    r = place_mark(&found, self->now, mark, fault);
    if (r == 0 && place_current(&found) == ROTATE_CURRENT_OTHER)
        r = !found.staged[ROTATE_OLD] ? vault_stage(place, found.current, NULL, fault)
                                      : place_stale(place, fault);
    place_found_done(&found);
    return r ? r : write_main(self, NULL, mark, fault);
}

static int remove_side(VaultPlace *self, Fault *fault)
{
    Reply reply = {.fault = fault};
    int r = ask(self, "DELETE", self->side_metadata, NULL, on_written, &reply);
    if (r == 0 && reply.status != 204 && reply.status != 200)
        r = refusal(&reply, self->side_metadata);
    return r;
}

/* All versions of it: each held tokens. Then it is made anew, for the lock and the story alone; whoever was
 * faster has the lock. */
static int vault_clear(Place *place, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    int r = remove_side(self, fault);
    if (r)
        return r;
    for (size_t i = 0; i < 2; i++)
        self->staged[i] = secret_free(self->staged[i]);
    self->side_version = 0;
    if (self->locked && self->place.story.len)
        r = write_side(self, self->place.holder, fault);
    if (r == -ESTALE)
        self->locked = false;
    return r == -ESTALE ? 0 : r;
}

static int vault_tell(Place *place, Slice story, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    CLEANUP_MEM char *text = mem_dup(story.ptr, story.len);
    place_take_story(place, text);
    return self->locked ? write_side(self, place->holder, fault) : 0;
}

static int vault_hear(Place *place, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    Reply reply = {.fault = fault};
    int r = read_side(self, &reply);
    mem_free(STEAL(place->held_by));
    if (r == 0 && reply.holder[0])
        place->held_by = mem_strdup(reply.holder);
    return r;
}

static void on_capabilities(void *context, StoreAnswer *answer)
{
    static const char *const need[] = {"update", "create", "delete"};
    Reply *reply = context;
    take_head(reply, answer);
    CLEANUP_JSON json_t *json = answer_json(answer->body);
    for (size_t i = 0; i < COUNT_OF(need) && answer->status == 200; i++) {
        const json_t *list = json_object_get(json_object_get(json, "data"), reply->path[i].ptr);
        bool may = false;
        for (size_t k = 0; k < json_array_size(list); k++) {
            const char *can = json_string_value(json_array_get(list, k));
            may |= can && (strcmp(can, need[i]) == 0 || strcmp(can, "root") == 0);
        }
        if (!may)
            reply->result =
                fault_set(reply->fault, STORE_E_DENIED, "the policy of --vault-token allows no \"%s\" on %s",
                          need[i], reply->path[i].ptr);
    }
}

static int vault_may_write(Place *place, Fault *fault)
{
    VaultPlace *self = (VaultPlace *)place;
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    Reply reply = {.fault = fault,
                   .path = {slice_of(self->main), slice_of(self->side), slice_of(self->side_metadata)}};
    JsonWriter json = JSON_WRITER(&body);
    json_object_begin(&json, NULL);
    json_array_begin(&json, "paths");
    for (size_t i = 0; i < COUNT_OF(reply.path); i++)
        json_slice(&json, NULL, reply.path[i]);
    json_array_end(&json);
    json_object_end(&json);
    int r = json_finish(&json);
    if (r)
        return fault_set(fault, r, "the paths are too long");
    r = ask(self, "POST", "sys/capabilities-self", &body, on_capabilities, &reply);
    return r ? r : reply.status == 200 ? 0 : refusal(&reply, "sys/capabilities-self");
}

/* The lock is let go; what is staged stays for --resume, from whatever machine. */
static Place *vault_place_free(Place *place)
{
    VaultPlace *self = (VaultPlace *)place;
    Fault fault = {""};
    bool kept = self->staged[ROTATE_OLD] || self->staged[ROTATE_NEW] || place->story.len;
    int r = !self->locked ? 0 : kept ? write_side(self, "", &fault) : remove_side(self, &fault);
    if (r)
        log_warning("the lock of the rotation stays for a minute: %s", fault.text);
    link_done(&self->link);
    secret_free(self->token);
    secret_free(self->staged[ROTATE_OLD]);
    secret_free(self->staged[ROTATE_NEW]);
    char *const text[] = {self->main, self->side, self->side_metadata, self->space};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    mem_free(self);
    return NULL;
}

static int read_token(VaultPlace *self, Fault *fault)
{
    const char *path = self->setup->vault_token;
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fault_set(
            fault, -errno,
            "Vault's token cannot be read from %s: %s; log in (`bao login`, `vault login`), or say "
            "--vault-token FILE",
            path, strerror(errno));
    return token_take_pipe(path, fd, &self->token, fault);
}

int place_vault_open(const RotateSetup *setup, Place **ret_place, Fault *fault)
{
    static const PlaceDriver driver = {vault_lock, vault_beat,  vault_look,      vault_stage,
                                       vault_put,  vault_clear, vault_withdraw,  vault_may_write,
                                       vault_tell, vault_hear,  vault_place_free};
    const TokenRef *ref = &setup->source.source.token;
    const VaultConfig *vault = &setup->vault;
    const char *data = strstr(ref->name, "/data/");
    const char *space = ref->space[0] ? ref->space : vault->space;
    if (!data)
        return fault_set(fault, -EINVAL, "%s is no path of a KV 2 engine", ref->name);
    VaultPlace *self = MEM_NEW(VaultPlace);
    *self = (VaultPlace){
        .place = {.driver = &driver,
                  .label = mem_printf("Vault's secret %s", ref->name),
                  .lock_fd = -1,
                  .holder = place_holder()},
        .setup = setup,
        .key = ref->key,
        .main = mem_strdup(ref->name),
        .side = mem_printf("%s" SIDE, ref->name),
        .side_metadata = mem_printf("%.*s/metadata/%s" SIDE, (int)(data - ref->name), ref->name, data + 6),
        .space = space[0] ? mem_printf("X-Vault-Namespace: %s", space) : NULL,
        .server = {"Vault", &vault->origin, vault->server_name, vault->ca_file, vault->cert_file,
                   vault->key_file, NULL}};
    int r = read_token(self, fault);
    r = r ? r : link_init(&self->link, setup, &self->server, fault);
    if (r) {
        place_free(&self->place);
        return r;
    }
    *ret_place = &self->place;
    return 0;
}
