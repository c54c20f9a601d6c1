/* Requests to stores over HTTPS, by libcurl whole (TLS and its verification, the site's proxy, time limits),
 * on the keeper's loop. What is special here: answers are bounded; the credential of a request is opened only
 * when the request is made, and nothing of request or answer outlives it (the keeper's own free() wipes what
 * libcurl, OpenSSL and jansson give back); a link-local or metadata address is never dialled.
 */
#pragma once

#include "net/multi.h"
#include "net/skew.h"
#include "store/files.h"
#include "store/store.h"

#define STORE_MAX_ANSWER  (1u << 20)
#define STORE_MAX_REQUEST (64u << 10)
#define STORE_CONNECT_MS  5000
#define STORE_CALL_MS     10000
#define STORE_STREAM_MS   300000          /* the longest of an answer that is a stream */
#define STORE_CONNECTIONS 16              /* to one host; of these the keeper's watches take half at most */
#define STORE_PEM_US      (60L * 1000000) /* a CA bundle or client certificate is read again after */

typedef struct StoreClient StoreClient;

typedef struct StoreClientSetup {
    struct event_base *base;
    StoreFiles *files;
    int roots_fd; /* the public roots; borrowed */
    const char *proxy;
    char *const *no_proxy;
    size_t n_no_proxy;
    Skew *skew; /* what servers say of their clocks is noted there; borrowed */
} StoreClientSetup;

int store_client_new(const StoreClientSetup *setup, StoreClient **ret_client, Fault *fault) MUST_USE;
StoreClient *store_client_free(StoreClient *client); /* its calls end without done() */
/* Nobody answers for files any more: from here on those that were read before are used. */
void store_client_closing(StoreClient *client);

/* Who is asked. Borrowed until the client is freed. */
typedef struct StoreServer {
    const char *label; /* for sentences: "Vault", "the Kubernetes API" */
    const Origin *origin;
    const char *server_name;                    /* "": the origin's host */
    const char *ca_file, *cert_file, *key_file; /* "" each, or names of StoreFiles */
    /* A source's API, as rotation asks it: not NULL when it is one. Its rules for addresses, and connectTo.
     */
    const Source *source;
} StoreServer;

typedef struct StoreCall {
    const StoreServer *server;
    const char *method;
    const char *path;       /* after the origin's base, with its query; copied */
    const char *header[4];  /* nothing secret; NULL: no more; copied */
    const char *credential; /* a header's beginning: "X-Vault-Token: ", "Authorization: Bearer " */
    const Sealed *token;    /* and its end; NULL: none */
    Buf body;               /* taken over, wiped; may be empty */
    const Sealed *hidden;   /* besides token, in case the answer repeats it; NULL: none */
    const char *wanted;     /* a header of the answer; NULL: none; borrowed until done() */
    bool once; /* over a connection of its own: libcurl sends anew what an old one has swallowed, POST too */
    /* Not NULL: the answer is a stream of lines. Called whenever one has ended; what stands in it is not
     * kept. */
    void (*line)(void *context);
} StoreCall;

typedef struct StoreAnswer {
    int status;
    Slice body;           /* wiped once done() has returned */
    uint32_t retry_after; /* seconds, 0: it says nothing */
    int64_t date;         /* wall us, by the server's clock; 0: it says nothing */
    const char *wanted;   /* NULL: it was not there */
} StoreAnswer;

/* result: 0 and an answer, whatever its status; or STORE_E_OUTAGE, STORE_E_UNTRUSTED with a sentence. In the
 * body of an error every credential that was sent is overwritten, so that it may be quoted. */
typedef void StoreAnswered(void *context, int result, StoreAnswer *answer, const Fault *fault);

/* Never calls done() before it returns. */
void store_client_call(StoreClient *client, StoreCall *call, StoreAnswered *done, void *context);
