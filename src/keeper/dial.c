/* Dialling with libcurl's multi interface on the keeper's loop. See dial.h. */
#include "keeper/dial.h"

#include "base/io.h"
#include "base/mem.h"
#include "net/multi.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>

#define RESOLVER_STACK (256u << 10)

struct Dialer {
    Multi *multi;
};

struct Dial {
    Keeper *keeper;
    CURL *easy;
    MultiJob job;
    struct curl_slist *connect_to;
    DialTo to;
    bool proxied;
    char bad_address[64]; /* the last one that was refused */
    DialDone *done;
    void *context;
};

static void dial_free(Dial *dial)
{
    multi_remove(dial->keeper->dialer->multi, dial->easy);
    curl_easy_cleanup(dial->easy);
    curl_slist_free_all(dial->connect_to);
    mem_free(dial);
}

void dial_cancel(Dial *dial)
{
    dial_free(dial);
}

static void explain(const Dial *dial, CURLcode code, Refused *refused)
{
    const char *host = dial->to.host;
    long os_errno = 0, proxy_status = 0;
    curl_easy_getinfo(dial->easy, CURLINFO_OS_ERRNO, &os_errno);
    curl_easy_getinfo(dial->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
    if (code == CURLE_OPERATION_TIMEDOUT)
        refused_set(refused, REFUSAL_UPSTREAM_TIMEOUT, "%s did not answer within %d seconds", host,
                    DIAL_TIMEOUT_MS / 1000);
    else if (code == CURLE_COULDNT_RESOLVE_HOST)
        refused_set(refused, REFUSAL_UPSTREAM_NAME, "the name %s cannot be resolved", host);
    else if (dial->proxied)
        refused_set(refused, REFUSAL_UPSTREAM_PROXY,
                    "the site's proxy made no connection to %s (status %ld): %s", host, proxy_status,
                    curl_easy_strerror(code));
    else if (dial->bad_address[0])
        refused_set(
            refused, REFUSAL_UPSTREAM_ADDRESS,
            "%s is at %s, which is not a public address; a source's allowPrivateAddresses can allow it "
            "(never a link-local or metadata address)",
            host, dial->bad_address);
    else
        refused_set(refused, REFUSAL_UPSTREAM_REFUSED, "%s cannot be reached: %s", host,
                    os_errno ? strerror((int)os_errno) : curl_easy_strerror(code));
}

/* Takes the socket out of libcurl's hands. */
static int take_socket(const Dial *dial)
{
    curl_socket_t active = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(dial->easy, CURLINFO_ACTIVESOCKET, &active) != CURLE_OK ||
        active == CURL_SOCKET_BAD)
        return -1;
    int fd = fcntl(active, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0 && io_set_nonblocking(fd) != 0)
        fd_close(&fd);
    return fd;
}

static void finish(void *dialled, CURLcode code)
{
    Dial *dial = dialled;
    Refused refused = {.refusal = REFUSAL_NONE};
    int fd = code == CURLE_OK ? take_socket(dial) : -1;
    if (code != CURLE_OK)
        explain(dial, code, &refused);
    else if (fd < 0)
        refused_set(&refused, REFUSAL_INTERNAL, "the connection to %s could not be taken over",
                    dial->to.host);
    DialDone *done = dial->done;
    void *context = dial->context;
    dial_free(dial);
    done(context, fd, &refused);
}

/* Of the resolver's threads, one for each name that is looked up: 8 MiB each would be the address space. */
static bool set_thread_stacks(void)
{
    pthread_attr_t attributes;
    bool set = pthread_attr_init(&attributes) == 0 &&
               pthread_attr_setstacksize(&attributes, RESOLVER_STACK) == 0 &&
               pthread_setattr_default_np(&attributes) == 0;
    pthread_attr_destroy(&attributes);
    return set;
}

int dialer_new(Keeper *keeper, Dialer **ret_dialer, Fault *fault)
{
    if (!set_thread_stacks())
        return fault_set(fault, -ENOMEM, "the resolver's threads cannot be told their size");
    Dialer *dialer = MEM_NEW(Dialer);
    int r = multi_new(keeper->base, 0, &dialer->multi, fault);
    if (r) {
        mem_free(dialer);
        return r;
    }
    *ret_dialer = dialer;
    return 0;
}

Dialer *dialer_free(Dialer *dialer)
{
    if (dialer)
        multi_free(dialer->multi);
    mem_free(dialer);
    return NULL;
}

/* The check at the dial: no socket, no connection. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *to)
{
    Dial *dial = context;
    uint8_t address[16];
    if (purpose != CURLSOCKTYPE_IPCXN || address_from_sockaddr(&to->addr, to->addrlen, address) != 0)
        return CURL_SOCKET_BAD;
    if (!dial->proxied && !address_allowed(address, dial->to.allow, dial->to.n_allow)) {
        address_text(dial->bad_address, address);
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
}

static bool set_options(Dial *dial)
{
    CURL *easy = dial->easy;
    const DialTo *to = &dial->to;
    const char *proxy = dial->proxied ? dial->keeper->proxy : "";
    char url[300];
    snprintf(url, sizeof(url), strchr(to->host, ':') ? "http://[%s]:%u/" : "http://%s:%u/", to->host,
             to->port);
    if (to->connect_to[0]) {
        CLEANUP_MEM char *entry = mem_printf("::%s", to->connect_to);
        dial->connect_to = curl_slist_append(NULL, entry);
        if (!dial->connect_to || curl_easy_setopt(easy, CURLOPT_CONNECT_TO, dial->connect_to) != CURLE_OK)
            return false;
    }
    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* one that is cancelled does not wait for its resolver's thread */
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, proxy) == CURLE_OK && /* "": never from the environment */
           curl_easy_setopt(easy, CURLOPT_NOPROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, dial->proxied ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)DIAL_TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)DIAL_TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, dial) == CURLE_OK;
}

Dial *dial_start(Keeper *keeper, const DialTo *to, DialDone *done, void *context)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return NULL;
    Dial *dial = MEM_NEW(Dial);
    *dial = (Dial){.keeper = keeper, .easy = easy, .to = *to, .done = done, .context = context};
    dial->proxied = keeper->proxy[0] && !to->connect_to[0] &&
                    !address_bypasses_proxy(to->host, keeper->no_proxy, keeper->n_no_proxy);
    dial->job = (MultiJob){finish, dial};
    if (!set_options(dial) || multi_add(keeper->dialer->multi, easy, &dial->job)) {
        dial_free(dial);
        return NULL;
    }
    return dial;
}
