/* Calls to Kubernetes' API. See cluster.h. */
#include "rotate/cluster.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define LABEL "the Kubernetes API"

int cluster_init(Cluster *cluster, const RotateSetup *setup, const TokenRef *ref, Fault *fault)
{
    const KubernetesConfig *config = &setup->kubernetes;
    const char *space = ref->space[0] ? ref->space : config->space;
    *cluster = (Cluster){.config = config,
                         .space = mem_strdup(space),
                         .name = mem_strdup(ref->name),
                         .side = mem_printf("%s" CLUSTER_SIDE, ref->name)};
    StoreServer server = {
        LABEL, &config->origin, config->server_name, config->ca_file, config->cert_file, config->key_file,
        NULL};
    return api_init(&cluster->api, setup, server, fault);
}

void cluster_done(Cluster *cluster)
{
    api_done(&cluster->api);
    mem_free(cluster->space);
    mem_free(cluster->name);
    mem_free(cluster->side);
}

/* Names are of RFC 1123; what else stands in one is escaped. */
static void put_name(Buf *path, const char *name)
{
    int r = 0;
    for (const unsigned char *p = (const unsigned char *)name; *p && r == 0; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' ||
                     (*p == '.' && p > (const unsigned char *)name);
        r = plain ? buf_append(path, p, 1) : buf_printf(path, "%%%02X", *p);
    }
}

static char *make_path(const Cluster *cluster, const char *api, const char *resource, const char *name)
{
    CLEANUP_BUF Buf path = BUF_INIT(8192);
    int r = buf_printf(&path, "%s/namespaces/", api);
    put_name(&path, cluster->space);
    r = r ? r : buf_printf(&path, "/%s/", resource);
    put_name(&path, name);
    return mem_strdup(r ? "" : buf_text(&path));
}

char *cluster_secret_path(const Cluster *cluster, const char *name)
{
    return make_path(cluster, "/api/v1", "secrets", name);
}

char *cluster_lease_path(const Cluster *cluster)
{
    return make_path(cluster, "/apis/coordination.k8s.io/v1", "leases", cluster->side);
}

/* Read anew each time: kubelet replaces a pod's own token within its life. */
static int read_login(const Cluster *cluster, Sealed **ret_token, Fault *fault)
{
    const TokenRef *ref = &cluster->config->token;
    *ret_token = NULL;
    if (ref->kind == STORE_NONE)
        return 0;
    if (ref->kind != STORE_FILE)
        return fault_set(
            fault, -ENOTSUP,
            "a rotation logs in to the Kubernetes API with a kubeconfig or a token's file: say --kubeconfig");
    return api_read_login("the token for the Kubernetes API", ref->name, "say --kubeconfig FILE", ret_token,
                          fault);
}

int cluster_call(Cluster *cluster, ApiCall *call, Fault *fault)
{
    Sealed *login = NULL;
    CLEANUP_MEM char *type = mem_printf("Content-Type: %s", call->type ? call->type : "application/json");
    const char *const header[] = {"Accept: application/json", type, "User-Agent: purser"};
    int r = read_login(cluster, &login, fault);
    if (r == 0)
        r = api_call(&cluster->api, call, "Authorization: Bearer ", login, header, COUNT_OF(header), fault);
    else if (call->body)
        buf_done(call->body);
    secret_free(login);
    return r;
}

int cluster_refusal(const Cluster *cluster, const ApiCall *call, const char *what, Fault *fault)
{
    const char *space = cluster->space, *said = call->said;
    if (call->status == 409)
        return fault_set(fault, -ESTALE, "%s in namespace %s was changed meanwhile by somebody else", what,
                         space);
    if (call->status == 401)
        return fault_set(fault, STORE_E_DENIED,
                         LABEL " does not take this login (401): say --kubeconfig FILE");
    if (call->status == 403)
        return fault_set(
            fault, STORE_E_DENIED,
            LABEL " refuses %s in namespace %s to this login (403); --dry-run says which rights it lacks: %s",
            what, space, said);
    if (call->status == 404)
        return fault_set(fault, STORE_E_ABSENT, "there is no %s in namespace %s", what, space);
    return fault_set(fault, api_kind(call), LABEL " answered %d for %s in namespace %s%s%s", call->status,
                     what, space, said[0] ? ": " : "", said);
}

int cluster_put_token(JsonWriter *json, const char *key, const Sealed *token)
{
    if (!token) {
        json_nothing(json, key);
        return 0;
    }
    size_t len = secret_len(token), room = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    char *plain = secret_alloc(len), *text = secret_alloc(room);
    int r = plain && text ? secret_open(token, plain, len) : -ENOMEM;
    if (r == 0) {
        sodium_bin2base64(text, room, (const unsigned char *)plain, len, sodium_base64_VARIANT_ORIGINAL);
        json_slice(json, key, (Slice){text, room - 1});
    }
    secret_release(plain, len);
    secret_release(text, room);
    return r;
}

typedef struct LockTaken {
    ClusterLock *lock;
    char **story; /* NULL: not wanted */
} LockTaken;

static int take_lock(void *context, const json_t *json, Fault *fault)
{
    const LockTaken *taken = context;
    (void)fault;
    if (taken->story)
        mem_free(STEAL(*taken->story));
    cluster_read_lock(json, taken->lock, taken->story);
    return 0;
}

static int lock_call(Cluster *cluster, ApiCall *call, LockTaken *taken, Fault *fault)
{
    CLEANUP_MEM char *path = cluster_lease_path(cluster), *what = mem_printf("the Lease %s", cluster->side);
    call->path = path;
    call->take = take_lock;
    call->context = taken;
    int r = cluster_call(cluster, call, fault);
    bool fits = call->status == 200 || call->status == 201 || (!call->body && call->status == 404);
    return r || fits ? r : cluster_refusal(cluster, call, what, fault);
}

int cluster_lock_read(Cluster *cluster, ClusterLock *ret_lock, char **ret_story, Fault *fault)
{
    ApiCall call = {.method = "GET"};
    ClusterLock lock = {.version = ""};
    char *story = NULL;
    LockTaken taken = {&lock, ret_story ? &story : NULL};
    int r = lock_call(cluster, &call, &taken, fault);
    if (r) {
        mem_free(story);
        return r;
    }
    *ret_lock = lock;
    if (ret_story)
        *ret_story = story ? story : mem_strdup("");
    return 0;
}

/* MicroTime: always with six digits of fraction. */
static void put_time(JsonWriter *json, const char *key, int64_t wall)
{
    char text[CLOCK_TEXT], whole[CLOCK_TEXT + 8];
    clock_format(text, wall - wall % CLOCK_SECOND);
    snprintf(whole, sizeof(whole), "%.19s.%06dZ", text, (int)(wall % CLOCK_SECOND));
    json_text(json, key, whole);
}

int cluster_lock_write(Cluster *cluster, ClusterLock *lock, Slice story, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    JsonWriter json = JSON_WRITER(&body);
    json_object_begin(&json, NULL);
    json_text(&json, "apiVersion", "coordination.k8s.io/v1");
    json_text(&json, "kind", "Lease");
    json_object_begin(&json, "metadata");
    json_text(&json, "name", cluster->side);
    if (lock->version[0])
        json_text(&json, "resourceVersion", lock->version);
    json_object_begin(&json, "annotations");
    json_slice(&json, "purser/journal", story);
    json_object_end(&json);
    json_object_end(&json);
    json_object_begin(&json, "spec");
    if (lock->holder[0])
        json_text(&json, "holderIdentity", lock->holder);
    json_u64(&json, "leaseDurationSeconds", 60);
    json_u64(&json, "leaseTransitions", lock->transitions);
    put_time(&json, "acquireTime", lock->since);
    put_time(&json, "renewTime", lock->beat);
    json_object_end(&json);
    json_object_end(&json);
    int r = json_finish(&json);
    if (r)
        return fault_set(fault, r, "the Lease %s cannot be made: %s", cluster->side, strerror(-r));
    bool fresh = !lock->version[0];
    ApiCall call = {.method = "PUT", .body = &body};
    LockTaken taken = {lock, NULL};
    r = lock_call(cluster, &call, &taken, fault);
    /* Two that made it at the same moment: the second one had no version to name. */
    return r && fresh && call.status == 422 && strstr(call.said, "resourceVersion") ? -ESTALE : r;
}

typedef struct Right {
    const char *verb, *group, *resource;
    bool side;
} Right;

static int take_review(void *context, const json_t *json, Fault *fault)
{
    (void)fault;
    *(bool *)context = cluster_read_review(json);
    return 0;
}

static int review(Cluster *cluster, const Right *right, bool *ret_allowed, Fault *fault)
{
    CLEANUP_BUF Buf body = BUF_INIT(STORE_MAX_REQUEST);
    JsonWriter json = JSON_WRITER(&body);
    json_object_begin(&json, NULL);
    json_text(&json, "apiVersion", "authorization.k8s.io/v1");
    json_text(&json, "kind", "SelfSubjectAccessReview");
    json_object_begin(&json, "spec");
    json_object_begin(&json, "resourceAttributes");
    json_text(&json, "namespace", cluster->space);
    json_text(&json, "verb", right->verb);
    json_text(&json, "group", right->group);
    json_text(&json, "resource", right->resource);
    json_text(&json, "name", right->side ? cluster->side : cluster->name);
    json_object_end(&json);
    json_object_end(&json);
    json_object_end(&json);
    int r = json_finish(&json);
    if (r)
        return fault_set(fault, r, "the question for a right cannot be made: %s", strerror(-r));
    ApiCall call = {.method = "POST",
                    .path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                    .body = &body,
                    .take = take_review,
                    .context = ret_allowed};
    r = cluster_call(cluster, &call, fault);
    return r || call.status == 201 || call.status == 200
               ? r
               : cluster_refusal(cluster, &call, "a review of rights", fault);
}

int cluster_may(Cluster *cluster, Fault *fault)
{
    static const Right need[] = {{"get", "", "secrets", false},
                                 {"patch", "", "secrets", false},
                                 {"get", "", "secrets", true},
                                 {"create", "", "secrets", true},
                                 {"patch", "", "secrets", true},
                                 {"delete", "", "secrets", true},
                                 {"get", "coordination.k8s.io", "leases", true},
                                 {"create", "coordination.k8s.io", "leases", true},
                                 {"update", "coordination.k8s.io", "leases", true}};
    CLEANUP_BUF Buf missing = BUF_INIT(4096);
    for (size_t i = 0; i < COUNT_OF(need); i++) {
        bool allowed = false;
        int r = review(cluster, &need[i], &allowed, fault);
        r = r || allowed ? r
                         : buf_printf(&missing, "%s%s %s/%s", missing.len ? ", " : "", need[i].verb,
                                      need[i].resource, need[i].side ? cluster->side : cluster->name);
        if (r)
            return r;
    }
    return missing.len ? fault_set(fault, STORE_E_DENIED,
                                   "this login may not in namespace %s: %s; docs/rotation.md has the Role",
                                   cluster->space, buf_text(&missing))
                       : 0;
}
