/* Kubernetes' answers to a rotation. See cluster-read.h. */
#include "rotate/cluster-read.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>

static void read_metadata(const json_t *json, const char *key, char out[static CLUSTER_VERSION])
{
    const char *text = answer_text(json_object_get(json, "metadata"), key);
    snprintf(out, CLUSTER_VERSION, "%s", text && strlen(text) < CLUSTER_VERSION ? text : "");
}

void cluster_read_version(const json_t *json, char version[static CLUSTER_VERSION],
                          char uid[static CLUSTER_VERSION])
{
    read_metadata(json, "resourceVersion", version);
    read_metadata(json, "uid", uid);
}

static int64_t read_time(const json_t *object, const char *key)
{
    int64_t at = 0;
    const char *text = answer_text(object, key);
    return text && clock_parse(slice_of(text), &at) == 0 ? at : 0;
}

static int take_key(const json_t *json, const char *name, const char *key, StoredToken *ret_token,
                    Fault *fault)
{
    TokenRef ref = {.kind = STORE_KUBERNETES, .name = (char *)name, .key = (char *)key};
    const json_t *data = json_object_get(json, "data");
    return json_object_get(data, key) ? answer_take_token(&ref, data, true, ret_token, fault) : 0;
}

/* When it was set: what wrote the key last is its manager, and has a time. */
static int64_t take_set(const json_t *json, const char *key)
{
    const json_t *metadata = json_object_get(json, "metadata"),
                 *fields = json_object_get(metadata, "managedFields");
    CLEANUP_MEM char *field = mem_printf("f:%s", key);
    int64_t at = read_time(metadata, "creationTimestamp");
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *one = json_array_get(fields, i);
        const json_t *data = json_object_get(json_object_get(one, "fieldsV1"), "f:data");
        if (json_object_get(data, field) && answer_text(one, "time"))
            at = read_time(one, "time");
    }
    return at;
}

/* What is made of something else is made anew: a rotation of it would not last. */
static void take_maker(const json_t *json, char out[static 256])
{
    const json_t *metadata = json_object_get(json, "metadata");
    const char *release = answer_text(json_object_get(metadata, "annotations"), "meta.helm.sh/release-name");
    const json_t *owner = json_array_get(json_object_get(metadata, "ownerReferences"), 0);
    const char *kind = answer_text(owner, "kind"), *name = answer_text(owner, "name");
    char raw[256] = "";
    if (release || kind)
        snprintf(raw, sizeof(raw), "%s %s", release ? "Helm's release" : kind,
                 release ? release
                 : name  ? name
                         : "");
    text_escape(out, 256, raw, strlen(raw));
}

int cluster_read_secret(const json_t *json, const char *name, const char *key, ClusterSecret *ret_secret,
                        Fault *fault)
{
    ClusterSecret secret = {.version = ""};
    int r = take_key(json, name, key, &secret.token, fault);
    if (r)
        return r;
    cluster_read_version(json, secret.version, secret.uid);
    take_maker(json, secret.maker);
    secret.set = secret.token.token ? take_set(json, key) : 0;
    *ret_secret = secret;
    return 0;
}

void cluster_secret_done(ClusterSecret *secret)
{
    stored_token_done(&secret->token);
    *secret = (ClusterSecret){.version = ""};
}

int cluster_read_staged(const json_t *json, const char *name, const char *key, Sealed *ret_staged[static 2],
                        Fault *fault)
{
    static const char *const keys[] = {"old", "new"};
    const char *of =
        answer_text(json_object_get(json_object_get(json, "metadata"), "annotations"), "purser/key");
    StoredToken token[2] = {{0}};
    if (of && strcmp(of, key) != 0)
        return fault_set(
            fault, -EALREADY,
            "the Secret %s holds a rotation of another key of the same Secret, %s: end that one first", name,
            of);
    int r = 0;
    for (size_t i = 0; i < 2 && r == 0; i++)
        r = take_key(json, name, keys[i], &token[i], fault);
    for (size_t i = 0; i < 2; i++) {
        if (r == 0)
            ret_staged[i] = STEAL(token[i].token);
        stored_token_done(&token[i]);
    }
    return r;
}

void cluster_read_lock(const json_t *json, ClusterLock *ret_lock, char **ret_story)
{
    const json_t *notes = json_object_get(json_object_get(json, "metadata"), "annotations");
    const char *story = answer_text(notes, "purser/journal");
    const json_t *spec = json_object_get(json, "spec");
    const char *holder = answer_text(spec, "holderIdentity");
    ClusterLock lock = {.since = read_time(spec, "acquireTime"), .beat = read_time(spec, "renewTime")};
    read_metadata(json, "resourceVersion", lock.version);
    text_escape(lock.holder, sizeof(lock.holder), holder ? holder : "", holder ? strlen(holder) : 0);
    lock.transitions = answer_number(spec, "leaseTransitions", INT32_MAX - 1);
    *ret_lock = lock;
    if (ret_story)
        *ret_story = mem_strdup(story ? story : "");
}

bool cluster_read_review(const json_t *json)
{
    return json_is_true(json_object_get(json_object_get(json, "status"), "allowed"));
}
