/* Any bytes as Kubernetes' answer to a rotation, in each way that one is read: no crash, a sentence for every
 * refusal, nothing left of what was refused; what is taken for a person's eyes is printable, and what is
 * named again is whole. */
#include "base/mem.h"
#include "hold.h"
#include "rotate/cluster-read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly as it stands there, or not at all. */
static void check_version(const json_t *json, const char *key, const char *taken)
{
    const char *text = answer_text(json_object_get(json, "metadata"), key);
    hold(taken[0] ? text && strcmp(text, taken) == 0 : !text || !*text || strlen(text) >= CLUSTER_VERSION);
}

static void read_secret(const json_t *json)
{
    ClusterSecret secret;
    Fault fault = {""};
    int r = cluster_read_secret(json, "github", "token", &secret, &fault);
    hold((r != 0) == (fault.text[0] != 0));
    if (r)
        return;
    check_version(json, "resourceVersion", secret.version);
    check_version(json, "uid", secret.uid);
    hold(is_printable(secret.maker) && (secret.token.token || !secret.set));
    hold(secret.token.token || !json_object_get(json_object_get(json, "data"), "token"));
    cluster_secret_done(&secret);
}

static void read_staged(const json_t *json)
{
    Sealed *staged[2] = {NULL, NULL};
    Fault fault = {""};
    int r = cluster_read_staged(json, "github.purser-rotation", "token", staged, &fault);
    hold((r != 0) == (fault.text[0] != 0) && (r == 0 || (!staged[0] && !staged[1])));
    secret_free(staged[0]);
    secret_free(staged[1]);
}

static void read_lock(const json_t *json)
{
    ClusterLock lock;
    char *story = NULL;
    cluster_read_lock(json, &lock, &story);
    hold(story && is_printable(lock.holder) && lock.transitions < INT32_MAX);
    check_version(json, "resourceVersion", lock.version);
    mem_free(story);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started && secret_init(256u << 10, NULL))
        abort();
    started = true;
    CLEANUP_JSON json_t *json = answer_json((Slice){(const char *)data, size});
    read_secret(json);
    read_staged(json);
    read_lock(json);
    (void)cluster_read_review(json);
    return 0;
}
