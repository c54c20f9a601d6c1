/* Kubernetes. See kubernetes.h. */
#include "store/kubernetes.h"

#include "base/mem.h"
#include "store/answer.h"

#include <errno.h>
#include <sys/queue.h>

#define LABEL "the Kubernetes API"

typedef struct Job Job;
LIST_HEAD(JobList, Job);

typedef struct Kubernetes {
    Store store;
    const KubernetesConfig *config;
    const Stores *stores;
    StoreClient *client;
    StoreServer server;
    struct JobList jobs; /* under way: what the client's end leaves of them */
} Kubernetes;

struct Job {
    Kubernetes *kubernetes;
    TokenRef ref; /* a copy */
    unsigned calls;
    StoreChanged *changed; /* not NULL: it is a watch, */
    char *version;         /* from this on; NULL: from now on */
    StoreDone *done;
    void *context;
    LIST_ENTRY(Job) link;
};

static void job_free(Job *job)
{
    LIST_REMOVE(job, link);
    token_ref_done(&job->ref);
    mem_free(job->version);
    mem_free(job);
}

static void job_done(Job *job, StoreResult *result)
{
    StoreDone *done = job->done;
    void *context = job->context;
    result->calls = job->calls;
    job_free(job);
    done(context, result);
    stored_token_done(&result->token);
}

static const char *space_of(const Job *job)
{
    const char *own = job->ref.mint ? job->ref.mint->account : job->ref.space;
    return *own ? own : job->kubernetes->config->space;
}

static int refusal(const Job *job, const StoreAnswer *answer, Fault *fault)
{
    const char *name = job->ref.name, *space = space_of(job);
    const char *resource = job->ref.mint ? "serviceaccounts/token" : "secrets";
    char said[256];
    answer_error(answer->status, answer->body, said);
    switch (answer->status) {
    case 401:
        return fault_set(fault, STORE_E_DENIED,
                         LABEL " does not take purser's own token or certificate (401)");
    case 403:
        return fault_set(fault, STORE_E_DENIED,
                         LABEL
                         " refuses %s in namespace %s (403): a Role must allow it, as in {resources: [%s], "
                         "resourceNames: [%s], verbs: [%s]}",
                         name, space, resource, name, job->ref.mint ? "create" : "get");
    case 404:
        return fault_set(fault, STORE_E_ABSENT, "there is no %s %s in namespace %s",
                         job->ref.mint ? "service account" : "Secret", name, space);
    case 429:
        return fault_set(fault, STORE_E_OUTAGE, LABEL " asks for fewer calls (429)");
    default:
        return fault_set(fault,
                         answer->status >= 500 || answer->status < 400 ? STORE_E_OUTAGE : STORE_E_DENIED,
                         LABEL " answered with status %d%s%s", answer->status, said[0] ? ": " : "", said);
    }
}

static void on_answer(void *context, int failed, StoreAnswer *answer, const Fault *fault)
{
    Job *job = context;
    StoreResult result = {.result = failed, .fault = *fault};
    job->calls++;
    if (!failed) {
        result.retry_after = answer->retry_after;
        if (job->changed &&
            answer->status == 410) /* the version is too old: what came since is read, not told */
            job->changed(job->context);
        else if (job->changed && answer->status == 200)
            result.result = 0;
        else if (answer->status != 200 && answer->status != 201)
            result.result = refusal(job, answer, &result.fault);
        else if (job->ref.mint)
            result.result = answer_token_request(answer->body, &result.token, &result.fault);
        else
            result.result = answer_kubernetes_secret(&job->ref, answer->body, &result.token, &result.fault);
    }
    job_done(job, &result);
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

static int put_request(const Mint *mint, Buf *body)
{
    json_t *list = json_array();
    for (size_t i = 0; i < mint->n_list; i++)
        json_array_append_new(list, json_string(mint->list[i]));
    CLEANUP_JSON json_t *request =
        json_pack("{s:s, s:s, s:{s:o, s:I}}", "apiVersion", "authentication.k8s.io/v1", "kind",
                  "TokenRequest", "spec", "audiences", list, "expirationSeconds", (json_int_t)mint->life);
    *body = BUF_INIT(STORE_MAX_REQUEST);
    return answer_dump(request, body);
}

static void on_line(void *context)
{
    Job *job = context;
    job->changed(job->context);
}

/* Of one name alone, and of it the metadata alone: no token comes with it. */
static int put_watch(const Job *job, Buf *path)
{
    int r = buf_append_text(path, "/secrets?watch=true&timeoutSeconds=280&fieldSelector=metadata.name%3D");
    put_name(path, job->ref.name);
    return r || !job->version ? r : buf_printf(path, "&resourceVersion=%s", job->version);
}

/* token NULL: a client certificate logs in. */
static void ask(Job *job, const Sealed *token)
{
    CLEANUP_BUF Buf path = BUF_INIT(4096);
    const Mint *mint = job->ref.mint;
    StoreCall call = {.server = &job->kubernetes->server,
                      .method = mint ? "POST" : "GET",
                      .header = {job->changed
                                     ? "Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
                                     : "Accept: application/json",
                                 "Content-Type: application/json"},
                      .line = job->changed ? on_line : NULL,
                      .credential = "Authorization: Bearer ",
                      .token = token};
    int r = buf_append_text(&path, "/api/v1/namespaces/");
    put_name(&path, space_of(job));
    if (job->changed) {
        r = r ? r : put_watch(job, &path);
    } else {
        r = r ? r : buf_append_text(&path, mint ? "/serviceaccounts/" : "/secrets/");
        put_name(&path, mint ? mint->id : job->ref.name);
    }
    r = r || !mint ? r : buf_append_text(&path, "/token");
    r = r || !mint ? r : put_request(mint, &call.body);
    if (r) {
        StoreResult result = {.result = STORE_E_DAMAGED};
        buf_done(&call.body);
        fault_set(&result.fault, 0, "the request for %s cannot be made", job->ref.name);
        job_done(job, &result);
        return;
    }
    call.path = buf_text(&path);
    store_client_call(job->kubernetes->client, &call, on_answer, job);
}

static void on_login(void *context, StoreResult *login)
{
    Job *job = context;
    if (login->result == 0) {
        ask(job, login->token.token);
        return;
    }
    StoreResult result = {.result = login->result == STORE_E_REVOKED ? STORE_E_DENIED : login->result,
                          .fault = login->fault};
    fault_prefix(&result.fault, 0, "the service account's token");
    job_done(job, &result);
}

static void begin(Kubernetes *self, Job *job)
{
    LIST_INSERT_HEAD(&self->jobs, job, link);
    if (self->config->token.kind == STORE_NONE)
        ask(job, NULL);
    else
        stores_fetch(self->stores, &self->config->token, on_login, job);
}

static void kubernetes_fetch(Store *store, const TokenRef *ref, StoreDone *done, void *context)
{
    Kubernetes *self = (Kubernetes *)store;
    Job *job = MEM_NEW(Job);
    *job = (Job){.kubernetes = self, .ref = token_ref_dup(ref), .done = done, .context = context};
    begin(self, job);
}

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

static void kubernetes_watch(Store *store, const TokenRef *ref, const char *version, StoreChanged *changed,
                             StoreDone *done, void *context)
{
    Kubernetes *self = (Kubernetes *)store;
    Job *job = MEM_NEW(Job);
    *job = (Job){.kubernetes = self,
                 .ref = token_ref_dup(ref),
                 .changed = changed,
                 .version = version && is_number(version) ? mem_strdup(version) : NULL,
                 .done = done,
                 .context = context};
    begin(self, job);
}

static Store *kubernetes_free(Store *store)
{
    Kubernetes *self = (Kubernetes *)store;
    for (Job *job; (job = LIST_FIRST(&self->jobs));)
        job_free(job);
    mem_free(self);
    return NULL;
}

static Store *make(const StoreDriver *driver, const KubernetesConfig *config, StoreClient *client,
                   const Stores *stores)
{
    Kubernetes *self = MEM_NEW(Kubernetes);
    *self = (Kubernetes){
        {driver, config->life},
        config,
        stores,
        client,
        {LABEL, &config->origin, config->server_name, config->ca_file, config->cert_file, config->key_file}};
    return &self->store;
}

Store *store_kubernetes_new(const KubernetesConfig *config, StoreClient *client, const Stores *stores)
{
    static const StoreDriver driver = {
        .name = "kubernetes", .fetch = kubernetes_fetch, .watch = kubernetes_watch, .free = kubernetes_free};
    return make(&driver, config, client, stores);
}

Store *store_token_request_new(const KubernetesConfig *config, StoreClient *client, const Stores *stores)
{
    static const StoreDriver driver = {
        .name = "kubernetesTokenRequest", .fetch = kubernetes_fetch, .free = kubernetes_free};
    return make(&driver, config, client, stores);
}
