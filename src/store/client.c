/* Requests to stores. See client.h. */
#include "store/client.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "net/address.h"
#include "secret/scrub.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define MAX_PEM (4u << 20)

typedef struct Call Call;
LIST_HEAD(CallList, Call);

/* What was read of a file: kept sealed, since one of them is a private key. */
typedef struct Pem {
    char *path;
    Sealed **piece; /* a bundle is longer than one token may be */
    size_t n_piece;
    int64_t read; /* mono */
} Pem;

struct StoreClient {
    StoreClientSetup setup;
    Pem *pem;
    size_t n_pem;
    bool closing;
    Multi *multi;
    struct CallList calls;
    Buf roots; /* read when first needed */
};

/* The files that TLS needs, one after the other, then the transfer. */
typedef enum Need { NEED_CA, NEED_CERT, NEED_KEY, NEEDS } Need;

struct Call {
    StoreClient *client;
    const StoreServer *server;
    CURL *easy;
    MultiJob job;
    struct curl_slist *header, *connect_to;
    char *url;
    const char *method;
    Buf body, answer;
    Sealed *hide[2];
    Buf pem[NEEDS];
    Need need;
    bool proxied, too_long;
    char bad_address[64];
    uint32_t retry_after;
    int64_t date;
    const char *wanted;
    bool once;
    char *found; /* of that header */
    void (*line)(void *context);
    char error[CURL_ERROR_SIZE];
    Validity validity;
    StoreAnswered *done;
    void *context;
    LIST_ENTRY(Call) link;
};

static void call_free(Call *call)
{
    if (call->easy) {
        multi_remove(call->client->multi, call->easy);
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->header);
    curl_slist_free_all(call->connect_to);
    mem_free(call->url);
    mem_free(call->found);
    buf_done(&call->body);
    buf_done(&call->answer);
    for (size_t i = 0; i < COUNT_OF(call->hide); i++)
        secret_free(call->hide[i]);
    for (size_t i = 0; i < NEEDS; i++)
        buf_done(&call->pem[i]);
    LIST_REMOVE(call, link);
    mem_free(call);
}

int store_client_new(const StoreClientSetup *setup, StoreClient **ret_client, Fault *fault)
{
    StoreClient *client = MEM_NEW(StoreClient);
    *client = (StoreClient){.setup = *setup, .roots = BUF_INIT(MAX_PEM)};
    LIST_INIT(&client->calls);
    int r = multi_new(setup->base, STORE_CONNECTIONS, &client->multi, fault);
    if (r) {
        mem_free(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

static void pem_done(Pem *pem)
{
    for (size_t i = 0; i < pem->n_piece; i++)
        secret_free(pem->piece[i]);
    mem_free(STEAL(pem->piece));
    pem->n_piece = 0;
}

static Pem *find_pem(StoreClient *client, const char *path)
{
    for (size_t i = 0; i < client->n_pem; i++)
        if (strcmp(client->pem[i].path, path) == 0) /* not secret */
            return &client->pem[i];
    return NULL;
}

static void keep_pem(StoreClient *client, const char *path, const Buf *text)
{
    Pem *pem = find_pem(client, path);
    if (!pem) {
        MEM_PUSH(client->pem, client->n_pem, (Pem){.path = mem_strdup(path)});
        pem = &client->pem[client->n_pem - 1];
    }
    pem_done(pem);
    pem->read = clock_mono();
    for (size_t at = 0; at < text->len; at += SECRET_MAX_TOKEN) {
        size_t len = text->len - at < SECRET_MAX_TOKEN ? text->len - at : SECRET_MAX_TOKEN;
        Sealed *piece = NULL;
        if (secret_seal((Slice){text->data + at, len}, &piece) == 0)
            MEM_PUSH(pem->piece, pem->n_piece, piece);
    }
}

static int open_pem(const Pem *pem, Buf *text)
{
    int r = 0;
    for (size_t i = 0; i < pem->n_piece && r == 0; i++) {
        char *at;
        r = buf_reserve(text, secret_len(pem->piece[i]), &at);
        r = r ? r : secret_open(pem->piece[i], at, secret_len(pem->piece[i]));
        if (r == 0)
            buf_commit(text, secret_len(pem->piece[i]));
    }
    return r;
}

void store_client_closing(StoreClient *client)
{
    client->closing = true;
}

StoreClient *store_client_free(StoreClient *client)
{
    if (!client)
        return NULL;
    for (Call *call; (call = LIST_FIRST(&client->calls));)
        call_free(call);
    multi_free(client->multi);
    buf_done(&client->roots);
    for (size_t i = 0; i < client->n_pem; i++) {
        pem_done(&client->pem[i]);
        mem_free(client->pem[i].path);
    }
    mem_free(client->pem);
    mem_free(client);
    return NULL;
}

static void fail_as(Call *call, int result, const Fault *fault)
{
    StoreAnswered *done = call->done;
    void *context = call->context;
    call_free(call);
    done(context, result, NULL, fault);
}

static void fail(Call *call, const Fault *fault)
{
    fail_as(call, STORE_E_OUTAGE, fault);
}

/* A server that repeats a credential in its error must not have it end in a log. */
static void hide(const Call *call)
{
    for (size_t i = 0; i < COUNT_OF(call->hide); i++) {
        ScrubForms *forms = NULL;
        size_t len = call->hide[i] ? secret_len(call->hide[i]) : 0;
        char *plain = len ? secret_alloc(len) : NULL;
        if (!len)
            continue;
        if (plain && secret_open(call->hide[i], plain, len) == 0 &&
            scrub_forms_new((Slice){plain, len}, &forms) == 0)
            scrub_whole(forms, call->answer.data, call->answer.len);
        else
            buf_reset((Buf *)&call->answer);
        secret_release(plain, len);
        scrub_forms_free(forms);
    }
}

/* A clock may be set right the next moment; whoever signed the certificate stays who it is. */
static int explain_certificate(const Call *call, Fault *fault)
{
    const char *label = call->server->label, *host = call->server->origin->host;
    char when[2 * SKEW_TEXT];
    long verify = 0;
    curl_easy_getinfo(call->easy, CURLINFO_SSL_VERIFYRESULT, &verify);
    const char *why = X509_verify_cert_error_string(verify);
    if (validity_text(when, &call->validity, call->client->setup.skew)[0])
        return fault_set(fault, STORE_E_OUTAGE, "the certificate of %s at %s cannot be verified (%s)%s",
                         label, host, why, when);
    return fault_set(
        fault, STORE_E_UNTRUSTED,
        "the certificate of %s at %s cannot be verified: %s; a private CA is named by caFile, and this "
        "machine's clock must be right",
        label, host, call->error[0] ? call->error : why);
}

static int explain(const Call *call, CURLcode code, Fault *fault)
{
    const char *label = call->server->label, *host = call->server->origin->host;
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        return explain_certificate(call, fault);
    if (call->too_long)
        fault_set(fault, 0, "%s at %s answered with more than %u kB, which no token is", label, host,
                  STORE_MAX_ANSWER >> 10);
    else if (call->bad_address[0])
        fault_set(fault, 0, "%s is at %s, an address %s", host, call->bad_address,
                  call->server->source ? "that is not public: allowPrivateAddresses, if it is meant"
                                       : "at which no store may be (link-local or metadata)");
    else if (code == CURLE_OPERATION_TIMEDOUT)
        fault_set(fault, 0, "%s at %s did not answer within %d s", label, host, STORE_CALL_MS / 1000);
    else if (code == CURLE_COULDNT_RESOLVE_HOST)
        fault_set(fault, 0, "the name of %s, %s, cannot be resolved", label, host);
    else if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING)
        fault_set(fault, 0, "%s at %s broke off its answer", label, host);
    else
        fault_set(fault, 0, "%s at %s:%u cannot be reached: %s", label, host, call->server->origin->port,
                  call->error[0] ? call->error : curl_easy_strerror(code));
    return STORE_E_OUTAGE;
}

static void on_end(void *context, CURLcode code)
{
    Call *call = context;
    Fault fault = {""};
    if (code != CURLE_OK) {
        fail_as(call, explain(call, code, &fault), &fault);
        return;
    }
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300)
        hide(call);
    StoreAnswer answer = {(int)status, buf_slice(&call->answer), call->retry_after, call->date, call->found};
    call->done(call->context, 0, &answer, &fault);
    call_free(call);
}

static size_t on_body(char *bytes, size_t one, size_t n, void *context)
{
    Call *call = context;
    long status = 0;
    (void)one;
    if (call->line && curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
        status == 200) {
        if (memchr(bytes, '\n', n))
            call->line(call->context);
        return n;
    }
    if (buf_append(&call->answer, bytes, n) == 0)
        return n;
    call->too_long = true;
    return 0;
}

static bool header_is(Slice line, const char *name, Slice *ret_value)
{
    Slice head, value;
    if (!slice_cut(line, ':', &head, &value) || !slice_is_nocase(head, name))
        return false;
    while (value.len && (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
        value.len--;
    *ret_value = slice_trim(value);
    return true;
}

/* When it is said: an answer that is a stream ends minutes later. */
static void note_clock(const Call *call)
{
    char of[sizeof(((Skew *)0)->of)];
    snprintf(of, sizeof(of), "%s at %s", call->server->label, call->server->origin->host);
    skew_note(call->client->setup.skew, of, call->date);
}

static size_t on_header(char *bytes, size_t one, size_t n, void *context)
{
    Call *call = context;
    Slice line = {bytes, n}, value;
    char text[64];
    (void)one;
    if (header_is(line, "Retry-After", &value)) {
        uint32_t seconds = 0;
        for (size_t i = 0; i < value.len && value.ptr[i] >= '0' && value.ptr[i] <= '9' && seconds < 100000;
             i++)
            seconds = seconds * 10 + (uint32_t)(value.ptr[i] - '0');
        call->retry_after = seconds;
    } else if (call->wanted && !call->found && header_is(line, call->wanted, &value)) {
        call->found = mem_dup(value.ptr, value.len);
    } else if (header_is(line, "Date", &value) && value.len < sizeof(text)) {
        memcpy(text, value.ptr, value.len);
        text[value.len] = 0;
        time_t date = curl_getdate(text, NULL);
        call->date = date > 0 ? (int64_t)date * CLOCK_SECOND : 0;
        note_clock(call);
    }
    return n;
}

/* The check at the dial: no socket, no connection. Stores live at private addresses; never at these. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *to)
{
    Call *call = context;
    uint8_t address[16];
    if (purpose != CURLSOCKTYPE_IPCXN || address_from_sockaddr(&to->addr, to->addrlen, address) != 0)
        return CURL_SOCKET_BAD;
    const Source *source = call->server->source;
    bool allowed = source ? address_allowed(address, source->allow_private, source->n_allow_private)
                          : address_kind(address) != ADDRESS_NEVER;
    if (!call->proxied && !allowed) {
        address_text(call->bad_address, address);
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
}

/* Changes nothing about it: what OpenSSL has found, it has found. */
static int on_verify(int sound, X509_STORE_CTX *verifying)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(verifying, SSL_get_ex_data_X509_STORE_CTX_idx());
    Call *call = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (!sound)
        validity_note(&call->validity, verifying);
    return sound;
}

/* Buffers are given back, and so wiped, as soon as nothing is in them: connections stay open, answers do not.
 */
static CURLcode on_tls(CURL *easy, void *tls, void *context)
{
    (void)easy;
    SSL_CTX_set_app_data(tls, context);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, on_verify);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    return CURLE_OK;
}

static bool put_header(Call *call, const char *line)
{
    struct curl_slist *more = curl_slist_append(call->header, line);
    if (more)
        call->header = more;
    return more != NULL;
}

/* The one line that is secret is made in the arena; libcurl's copy goes with the call. */
static bool put_credential(Call *call, const char *name, const Sealed *token)
{
    size_t head = strlen(name), len = secret_len(token);
    char *line = secret_alloc(head + len + 1);
    bool ok = line != NULL && secret_open(token, line + head, len) == 0;
    if (ok) {
        memcpy(line, name, head);
        ok = put_header(call, line);
    }
    secret_release(line, head + len + 1);
    return ok;
}

static bool put_blob(Call *call, CURLoption option, const Buf *pem)
{
    struct curl_blob blob = {pem->data, pem->len, CURL_BLOB_NOCOPY};
    return pem->len == 0 || curl_easy_setopt(call->easy, option, &blob) == CURLE_OK;
}

static bool set_tls(Call *call)
{
    CURL *easy = call->easy;
    const StoreServer *server = call->server;
    const Buf *ca = server->ca_file[0] ? &call->pem[NEED_CA] : &call->client->roots;
    const char *dialled = server->source ? server->source->connect_to : "";
    if (server->server_name[0] || dialled[0]) {
        CLEANUP_MEM char *to = dialled[0]
                                   ? mem_printf("::%s", dialled)
                                   : mem_printf(strchr(server->origin->host, ':') ? "::[%s]:%u" : "::%s:%u",
                                                server->origin->host, server->origin->port);
        call->connect_to = curl_slist_append(NULL, to);
        if (!call->connect_to || curl_easy_setopt(easy, CURLOPT_CONNECT_TO, call->connect_to) != CURLE_OK)
            return false;
    }
    return put_blob(call, CURLOPT_CAINFO_BLOB, ca) &&
           put_blob(call, CURLOPT_SSLCERT_BLOB, &call->pem[NEED_CERT]) &&
           put_blob(call, CURLOPT_SSLKEY_BLOB, &call->pem[NEED_KEY]) &&
           curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls) == CURLE_OK;
}

static bool set_way(Call *call)
{
    CURL *easy = call->easy;
    const StoreClientSetup *setup = &call->client->setup;
    return curl_easy_setopt(easy, CURLOPT_URL, call->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, call->server->origin->tls ? "https" : "http") ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, call->proxied ? setup->proxy : "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, call->proxied ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)STORE_CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                            call->line ? (long)STORE_STREAM_MS : (long)STORE_CALL_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, call->line ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 15L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 15L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error) == CURLE_OK;
}

static bool set_request(Call *call)
{
    CURL *easy = call->easy;
    bool ok = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) == CURLE_OK && put_header(call, "Expect:");
    if (ok && call->body.len)
        ok = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)call->body.len) == CURLE_OK &&
             curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body.data) == CURLE_OK; /* not copied */
    return ok && curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, call->once ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->header) == CURLE_OK;
}

static void start(Call *call)
{
    Fault fault;
    call->easy = curl_easy_init();
    call->job = (MultiJob){on_end, call};
    if (call->easy && set_way(call) && set_tls(call) && set_request(call) &&
        multi_add(call->client->multi, call->easy, &call->job) == 0)
        return;
    fault_set(&fault, 0, "libcurl could not be set up for %s", call->server->label);
    fail(call, &fault);
}

static const char *needed_file(const Call *call)
{
    const StoreServer *server = call->server;
    return call->need == NEED_CA     ? server->ca_file
           : call->need == NEED_CERT ? server->cert_file
                                     : server->key_file;
}

static int read_roots(StoreClient *client, Fault *fault)
{
    int fd = client->setup.roots_fd;
    if (client->roots.len)
        return 0;
    int r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : io_read_all(fd, &client->roots);
    if (lseek(fd, 0, SEEK_SET) < 0 || r)
        return fault_set(fault, r, "the public roots cannot be read: %s", strerror(-r));
    return 0;
}

static void gather(Call *call);

static void on_file(void *context, int fd, const Fault *why)
{
    Call *call = context;
    Fault fault = *why;
    if (fd < 0 || store_file_read(needed_file(call), fd, &call->pem[call->need], &fault)) {
        fail(call, &fault);
        return;
    }
    keep_pem(call->client, needed_file(call), &call->pem[call->need]);
    call->need++;
    gather(call);
}

/* From what was read a moment ago, or when nobody answers for files any more. */
static bool use_kept(Call *call)
{
    const Pem *pem = find_pem(call->client, needed_file(call));
    bool usable = pem && pem->n_piece && (call->client->closing || clock_mono() - pem->read < STORE_PEM_US);
    return usable && open_pem(pem, &call->pem[call->need]) == 0;
}

static void gather(Call *call)
{
    Fault fault = {""};
    while (call->need < NEEDS && (!call->server->origin->tls || !needed_file(call)[0] || use_kept(call)))
        call->need++;
    if (call->need < NEEDS) {
        store_files_open(call->client->setup.files, needed_file(call), on_file, call);
        return;
    }
    if (call->server->origin->tls && !call->server->ca_file[0] && read_roots(call->client, &fault)) {
        fail(call, &fault);
        return;
    }
    start(call);
}

static char *make_url(const StoreServer *server, const char *path)
{
    const Origin *origin = server->origin;
    const char *host = server->server_name[0] ? server->server_name : origin->host;
    return mem_printf(strchr(host, ':') ? "%s://[%s]:%u%s%s" : "%s://%s:%u%s%s",
                      origin->tls ? "https" : "http", host, origin->port, origin->base, path);
}

void store_client_call(StoreClient *client, StoreCall *from, StoreAnswered *done, void *context)
{
    Call *call = MEM_NEW(Call);
    *call = (Call){.client = client,
                   .server = from->server,
                   .method = from->method,
                   .url = make_url(from->server, from->path),
                   .body = from->body,
                   .answer = BUF_INIT(STORE_MAX_ANSWER),
                   .wanted = from->wanted,
                   .once = from->once,
                   .line = from->line,
                   .done = done,
                   .context = context};
    from->body = BUF_INIT(0);
    LIST_INSERT_HEAD(&client->calls, call, link);
    for (size_t i = 0; i < NEEDS; i++)
        call->pem[i] = BUF_INIT(MAX_PEM);
    call->hide[0] = from->token ? secret_dup(from->token) : NULL;
    call->hide[1] = from->hidden ? secret_dup(from->hidden) : NULL;
    call->proxied =
        client->setup.proxy[0] && !(from->server->source && from->server->source->connect_to[0]) &&
        !address_bypasses_proxy(from->server->origin->host, client->setup.no_proxy, client->setup.n_no_proxy);
    bool ok = true;
    for (size_t i = 0; i < COUNT_OF(from->header) && from->header[i] && ok; i++)
        ok = put_header(call, from->header[i]);
    if (ok && from->token)
        ok = put_credential(call, from->credential, from->token);
    if (ok) {
        gather(call);
        return;
    }
    Fault fault;
    fault_set(&fault, 0, "there is no locked memory left for a call to %s", call->server->label);
    fail(call, &fault);
}
