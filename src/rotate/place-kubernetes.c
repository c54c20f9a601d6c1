/* A token in a Secret of Kubernetes: its key, and beside the Secret, as SECRET.purser-rotation, another one
 * that holds both tokens while a rotation is under way, and the Lease that is the lock. Every write names the
 * resourceVersion that was read. See place.h. */
#include "rotate/place.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "rotate/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>

#define APPLY "application/apply-patch+yaml" /* of which JSON is a part */
#define MERGE "application/merge-patch+json"
#define QUERY "?fieldManager=purser-rotate"
#define MAKE  "?fieldManager=purser-rotate-place" /* what it applies takes nothing away of the other's */

typedef struct KubernetesPlace {
    Place place;
    const RotateSetup *setup;
    const char *key;
    Cluster cluster;
    char *main, *side; /* API paths */
    ClusterLock lock;
    char main_version[CLUSTER_VERSION], side_version[CLUSTER_VERSION], side_uid[CLUSTER_VERSION];
    bool locked, warned;
} KubernetesPlace;

/* A Secret as it is taken out of an answer. */
typedef struct SecretTaken {
    KubernetesPlace *self;
    PlaceFound *found;
} SecretTaken;

/* What is made of something else is made anew: a rotation of it would not last. */
static void warn_of_maker(KubernetesPlace *self, const char *maker)
{
    if (self->warned || !maker[0])
        return;
    self->warned = true;
    log_warning("%s is made by %s, which may put the old token back: put the new one there too",
                self->place.label, maker);
}

static int take_main(void *context, const json_t *json, Fault *fault)
{
    const SecretTaken *taken = context;
    KubernetesPlace *self = taken->self;
    ClusterSecret secret;
    int r = cluster_read_secret(json, self->cluster.name, self->key, &secret, fault);
    if (r)
        return r;
    memcpy(self->main_version, secret.version, sizeof(self->main_version));
    warn_of_maker(self, secret.maker);
    taken->found->current = STEAL(secret.token.token);
    taken->found->host = STEAL(secret.token.host);
    taken->found->n_host = secret.token.n_host;
    secret.token.n_host = 0;
    taken->found->set = secret.set;
    cluster_secret_done(&secret);
    return 0;
}

static int take_side(void *context, const json_t *json, Fault *fault)
{
    const SecretTaken *taken = context;
    KubernetesPlace *self = taken->self;
    cluster_read_version(json, self->side_version, self->side_uid);
    return cluster_read_staged(json, self->cluster.side, self->key, taken->found->staged, fault);
}

/* One that is not there leaves what it would fill in as it was. */
static int read_secret(KubernetesPlace *self, bool side, PlaceFound *found, Fault *fault)
{
    CLEANUP_MEM char *what = mem_printf("the Secret %s", side ? self->cluster.side : self->cluster.name);
    SecretTaken taken = {self, found};
    ApiCall call = {.method = "GET",
                    .path = side ? self->side : self->main,
                    .take = side ? take_side : take_main,
                    .context = &taken};
    if (side)
        self->side_version[0] = self->side_uid[0] = 0;
    else
        self->main_version[0] = 0;
    int r = cluster_call(&self->cluster, &call, fault);
    return r || call.status == 200 || call.status == 404
               ? r
               : cluster_refusal(&self->cluster, &call, what, fault);
}

/* Whoever was taken over may be in the middle of a write: after this its resourceVersion is an old one. */
static int fence(KubernetesPlace *self, bool side, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    CLEANUP_MEM char *path = mem_printf("%s" QUERY, side ? self->side : self->main);
    CLEANUP_MEM char *what = mem_printf("the Secret %s", side ? self->cluster.side : self->cluster.name);
    JsonWriter json = JSON_WRITER(&body);
    json_object_begin(&json, NULL);
    json_object_begin(&json, "metadata");
    json_object_begin(&json, "annotations");
    json_text(&json, "purser/rotated-by", self->place.holder);
    json_object_end(&json);
    json_object_end(&json);
    json_object_end(&json);
    int r = json_finish(&json);
    if (r)
        return fault_set(fault, r, "%s cannot be marked: %s", self->place.label, strerror(-r));
    ApiCall call = {.method = "PATCH", .path = path, .type = MERGE, .body = &body};
    r = cluster_call(&self->cluster, &call, fault);
    return r || call.status == 200 || call.status == 404
               ? r
               : cluster_refusal(&self->cluster, &call, what, fault);
}

static int read_lock(KubernetesPlace *self, Fault *fault)
{
    CLEANUP_MEM char *story = NULL;
    int r = cluster_lock_read(&self->cluster, &self->lock, &story, fault);
    if (r == 0)
        place_take_story(&self->place, story);
    return r;
}

static int write_lock(KubernetesPlace *self, Fault *fault)
{
    return cluster_lock_write(&self->cluster, &self->lock, buf_slice(&self->place.story), fault);
}

static int fence_others(KubernetesPlace *self, bool held, Fault *fault)
{
    PlaceFound found = {0};
    int r = read_secret(self, true, &found, fault);
    bool staged = found.staged[ROTATE_OLD] || found.staged[ROTATE_NEW];
    place_found_done(&found);
    r = r || !self->side_version[0] ? r : fence(self, true, fault);
    return r || !place_must_fence(self->setup, held, staged) ? r : fence(self, false, fault);
}

static int kubernetes_lock(Place *place, Fault *fault)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    Cluster *cluster = &self->cluster;
    for (unsigned tries = 0;; tries++) {
        int r = read_lock(self, fault);
        if (r)
            return r;
        bool held = self->lock.holder[0];
        PlaceHolder holder = {self->lock.holder, self->lock.since, self->lock.beat, cluster->api.now};
        if (held && !place_may_take_over(self->setup, &holder))
            return place_held(place, &holder, fault);
        snprintf(self->lock.holder, sizeof(self->lock.holder), "%s", self->place.holder);
        self->lock.since = self->lock.beat = cluster->api.now;
        self->lock.transitions++;
        r = write_lock(self, fault);
        if (r == -ESTALE && tries == 0) /* another one was faster: it is named */
            continue;
        self->locked = r == 0;
        return r ? r : fence_others(self, held, fault);
    }
}

/* One whose lock was taken over hears so at its next look. */
static void kubernetes_beat(Place *place)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    Fault fault = {""};
    self->lock.beat = self->cluster.api.now += PLACE_BEAT_US;
    if (self->locked && write_lock(self, &fault))
        log_warning("%s", fault.text);
}

static int check_lock(KubernetesPlace *self, Fault *fault)
{
    ClusterLock now;
    int r = self->locked ? cluster_lock_read(&self->cluster, &now, NULL, fault) : 0;
    if (r || !self->locked)
        return r;
    if (strcmp(now.holder, self->place.holder) == 0) {
        self->lock = now;
        return 0;
    }
    self->locked = false;
    return place_taken_over(&self->place, now.holder, fault);
}

/* The lock last: if it is ours then, all that was read is as we left it. */
static int kubernetes_look(Place *place, PlaceFound *ret_found, Fault *fault)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    PlaceFound found = {0};
    int r = read_secret(self, false, &found, fault);
    r = r ? r : read_secret(self, true, &found, fault);
    r = r ? r : check_lock(self, fault);
    if (r) {
        place_found_done(&found);
        return r;
    }
    *ret_found = found;
    return 0;
}

static int take_staged(void *context, const json_t *json, Fault *fault)
{
    KubernetesPlace *self = context;
    (void)fault;
    cluster_read_version(json, self->side_version, self->side_uid);
    return 0;
}

static int apply_side(KubernetesPlace *self, const char *query, Buf *body, Fault *fault)
{
    CLEANUP_MEM char *path = mem_printf("%s%s", self->side, query);
    CLEANUP_MEM char *what = mem_printf("the Secret %s", self->cluster.side);
    ApiCall call = {.method = "PATCH",
                    .path = path,
                    .type = APPLY,
                    .body = body,
                    .take = take_staged,
                    .context = self,
                    .mute = true};
    int r = cluster_call(&self->cluster, &call, fault);
    return r || call.status == 200 || call.status == 201
               ? r
               : cluster_refusal(&self->cluster, &call, what, fault);
}

static void put_side(const KubernetesPlace *self, JsonWriter *json)
{
    json_object_begin(json, NULL);
    json_text(json, "apiVersion", "v1");
    json_text(json, "kind", "Secret");
    json_object_begin(json, "metadata");
    json_text(json, "name", self->cluster.side);
    if (self->side_version[0]) {
        json_text(json, "uid", self->side_uid);
        json_text(json, "resourceVersion", self->side_version);
    }
    json_object_begin(json, "annotations");
    json_text(json, "purser/key", self->key);
    json_object_end(json);
    json_object_end(json);
}

/* Empty, so that there is a version to name. Whoever was faster keeps what he has put there; that is ours to
 * replace only if the lock still is. */
static int make_side(KubernetesPlace *self, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    JsonWriter json = JSON_WRITER(&body);
    put_side(self, &json);
    json_object_end(&json);
    int r = json_finish(&json);
    if (r)
        return fault_set(fault, r, "the Secret %s cannot be made: %s", self->cluster.side, strerror(-r));
    r = apply_side(self, MAKE, &body, fault);
    return r ? r : check_lock(self, fault);
}

/* By server-side apply: replaces all that we have ever put there, if nobody has written it since it was
 * looked at. */
static int write_side(KubernetesPlace *self, const Sealed *old, const Sealed *fresh, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    JsonWriter json = JSON_WRITER(&body);
    int r = self->side_version[0] ? 0 : make_side(self, fault);
    if (r)
        return r;
    put_side(self, &json);
    json_object_begin(&json, "data");
    r = cluster_put_token(&json, "old", old);
    r = r || !fresh ? r : cluster_put_token(&json, "new", fresh);
    json_object_end(&json);
    json_object_end(&json);
    r = r ? r : json_finish(&json);
    if (r)
        return fault_set(fault, r, "the Secret %s cannot be made: %s", self->cluster.side, strerror(-r));
    return apply_side(self, QUERY "&force=true", &body, fault);
}

static int kubernetes_stage(Place *place, const Sealed *old, const Sealed *fresh, Fault *fault)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    PlaceFound found;
    int r = kubernetes_look(place, &found, fault);
    if (r)
        return r;
    bool same = secret_same(found.current, old);
    place_found_done(&found);
    return same ? write_side(self, old, fresh, fault) : place_stale(place, fault);
}

/* One key alone; NULL: it is taken out, and the mark is put in its place. Nothing else in the Secret is
 * touched, or passes through here. */
static int write_main(KubernetesPlace *self, const Sealed *replacement, const char *mark, Fault *fault)
{
    CLEANUP_MEM char *mark_key = mem_printf("%s" MARK_SUFFIX, self->key);
    char encoded[2 * MARK_TEXT];
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    CLEANUP_MEM char *path = mem_printf("%s" QUERY, self->main);
    JsonWriter json = JSON_WRITER(&body);
    json_object_begin(&json, NULL);
    json_object_begin(&json, "metadata");
    json_text(&json, "resourceVersion", self->main_version);
    json_object_end(&json);
    json_object_begin(&json, "data");
    int r = cluster_put_token(&json, self->key, replacement);
    if (!replacement)
        json_text(&json, mark_key,
                  sodium_bin2base64(encoded, sizeof(encoded), (const unsigned char *)mark, strlen(mark),
                                    sodium_base64_VARIANT_ORIGINAL));
    json_object_end(&json);
    json_object_end(&json);
    r = r ? r : json_finish(&json);
    if (r)
        return fault_set(fault, r, "%s cannot be written anew: %s", self->place.label, strerror(-r));
    ApiCall call = {.method = "PATCH", .path = path, .type = MERGE, .body = &body, .hidden = replacement};
    r = cluster_call(&self->cluster, &call, fault);
    return r || call.status == 200 ? r : cluster_refusal(&self->cluster, &call, self->place.label, fault);
}

static int kubernetes_put(Place *place, RotateToken which, Fault *fault)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    PlaceFound found;
    int r = kubernetes_look(place, &found, fault);
    if (r)
        return r;
    if (found.staged[which] && place_current(&found) != ROTATE_CURRENT_OTHER)
        r = write_main(self, found.staged[which], NULL, fault);
    else
        r = place_stale(place, fault);
    place_found_done(&found);
    return r;
}

static int kubernetes_withdraw(Place *place, Fault *fault)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    PlaceFound found;
    char mark[MARK_TEXT];
    int r = kubernetes_look(place, &found, fault);
    if (r)
        return r;
    r = place_mark(&found, self->cluster.api.now, mark, fault);
    if (r == 0 && place_current(&found) == ROTATE_CURRENT_OTHER)
        r = !found.staged[ROTATE_OLD] ? write_side(self, found.current, NULL, fault)
                                      : place_stale(place, fault);
    place_found_done(&found);
    return r ? r : write_main(self, NULL, mark, fault);
}

/* Exactly what was looked at: one that was taken over takes nothing of its successor's away. */
static int kubernetes_clear(Place *place, Fault *fault)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    CLEANUP_MEM char *what = mem_printf("the Secret %s", self->cluster.side);
    PlaceFound found;
    int r = kubernetes_look(place, &found, fault);
    if (r)
        return r;
    place_found_done(&found);
    if (!self->side_version[0])
        return 0;
    JsonWriter json = JSON_WRITER(&body);
    json_object_begin(&json, NULL);
    json_object_begin(&json, "preconditions");
    json_text(&json, "uid", self->side_uid);
    json_text(&json, "resourceVersion", self->side_version);
    json_object_end(&json);
    json_object_end(&json);
    r = json_finish(&json);
    if (r)
        return fault_set(fault, r, "the Secret %s cannot be removed: %s", self->cluster.side, strerror(-r));
    ApiCall call = {.method = "DELETE", .path = self->side, .body = &body};
    r = cluster_call(&self->cluster, &call, fault);
    return r || call.status == 200 || call.status == 404
               ? r
               : cluster_refusal(&self->cluster, &call, what, fault);
}

static int kubernetes_tell(Place *place, Slice story, Fault *fault)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    CLEANUP_MEM char *text = mem_dup(story.ptr, story.len);
    place_take_story(place, text);
    self->lock.beat = self->cluster.api.now;
    return self->locked ? write_lock(self, fault) : 0;
}

static int kubernetes_hear(Place *place, Fault *fault)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    int r = read_lock(self, fault);
    mem_free(STEAL(place->held_by));
    if (r == 0 && self->lock.holder[0])
        place->held_by = mem_strdup(self->lock.holder);
    return r;
}

static int kubernetes_may_write(Place *place, Fault *fault)
{
    return cluster_may(&((KubernetesPlace *)place)->cluster, fault);
}

/* The lock is let go; what is staged stays for --resume, from whatever machine. */
static Place *kubernetes_place_free(Place *place)
{
    KubernetesPlace *self = (KubernetesPlace *)place;
    Fault fault = {""};
    self->lock.holder[0] = 0;
    if (self->locked && write_lock(self, &fault))
        log_warning("the lock of the rotation stays for a minute: %s", fault.text);
    cluster_done(&self->cluster);
    char *const text[] = {self->main, self->side};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    mem_free(self);
    return NULL;
}

/* Parts of a kubeconfig were inherited; whatever is started from here shall not have them. */
static void keep_from_children(const KubernetesConfig *config)
{
    const char *const path[] = {config->ca_file, config->cert_file, config->key_file, config->token.name};
    for (size_t i = 0; i < COUNT_OF(path); i++) {
        int fd = -1;
        if (sscanf(path[i], "/proc/self/fd/%d", &fd) == 1)
            (void)!fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
}

int place_kubernetes_open(const RotateSetup *setup, Place **ret_place, Fault *fault)
{
    static const PlaceDriver driver = {kubernetes_lock,     kubernetes_beat,      kubernetes_look,
                                       kubernetes_stage,    kubernetes_put,       kubernetes_clear,
                                       kubernetes_withdraw, kubernetes_may_write, kubernetes_tell,
                                       kubernetes_hear,     kubernetes_place_free};
    const TokenRef *ref = &setup->source.source.token;
    const Origin *origin = &setup->kubernetes.origin;
    KubernetesPlace *self = MEM_NEW(KubernetesPlace);
    keep_from_children(&setup->kubernetes);
    *self = (KubernetesPlace){.place = {.driver = &driver, .lock_fd = -1, .holder = place_holder()},
                              .setup = setup,
                              .key = ref->key};
    int r = cluster_init(&self->cluster, setup, ref, fault);
    self->place.label = mem_printf("the Secret %s/%s at %s", self->cluster.space, ref->name, origin->host);
    self->main = cluster_secret_path(&self->cluster, self->cluster.name);
    self->side = cluster_secret_path(&self->cluster, self->cluster.side);
    if (r) {
        place_free(&self->place);
        return r;
    }
    *ret_place = &self->place;
    return 0;
}
