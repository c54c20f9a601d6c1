/* Dialling with libcurl's multi interface on the keeper's loop. See dial.h. */
#include "keeper/dial.h"

#include "base/io.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

struct Dialer {
    Keeper *keeper;
    CURLM *multi;
    struct event *timer;
};

struct Dial {
    Keeper *keeper;
    CURL *easy;
    struct curl_slist *connect_to;
    DialTo to;
    bool proxied;
    char bad_address[64]; /* the last one that was refused */
    DialDone *done;
    void *context;
};

static void dial_free(Dial *dial)
{
    curl_multi_remove_handle(dial->keeper->dialer->multi, dial->easy);
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

static void finish(Dial *dial, CURLcode code)
{
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

static void collect(Dialer *dialer)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(dialer->multi, &left))) {
        Dial *dial = NULL;
        CURLcode code = message->data.result;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &dial) == CURLE_OK)
            finish(dial, code);
    }
}

static void on_socket(evutil_socket_t fd, short what, void *context)
{
    Dialer *dialer = context;
    int running, mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(dialer->multi, fd, mask, &running);
    collect(dialer);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    Dialer *dialer = context;
    int running;
    curl_multi_socket_action(dialer->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(dialer);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *watched)
{
    (void)easy;
    Dialer *dialer = context;
    struct event *event = watched;
    if (event)
        event_free(event);
    event = NULL;
    if (what != CURL_POLL_REMOVE) {
        short kinds =
            (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
        event = event_new(dialer->keeper->base, fd, kinds, on_socket, dialer);
        event_add(event, NULL);
    }
    curl_multi_assign(dialer->multi, fd, event);
    return 0;
}

static int watch_timer(CURLM *multi, long ms, void *context)
{
    (void)multi;
    Dialer *dialer = context;
    if (ms < 0) {
        event_del(dialer->timer);
        return 0;
    }
    struct timeval wait = {ms / 1000, ms % 1000 * 1000};
    event_add(dialer->timer, &wait);
    return 0;
}

int dialer_new(Keeper *keeper, Dialer **ret_dialer, Fault *fault)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fault_set(fault, -ENOMEM, "libcurl cannot start");
    Dialer *dialer = MEM_NEW(Dialer);
    dialer->keeper = keeper;
    dialer->multi = curl_multi_init();
    dialer->timer = evtimer_new(keeper->base, on_timer, dialer);
    if (!dialer->multi || !dialer->timer) {
        dialer_free(dialer);
        return fault_set(fault, -ENOMEM, "libcurl cannot start");
    }
    curl_multi_setopt(dialer->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(dialer->multi, CURLMOPT_SOCKETDATA, dialer);
    curl_multi_setopt(dialer->multi, CURLMOPT_TIMERFUNCTION, watch_timer);
    curl_multi_setopt(dialer->multi, CURLMOPT_TIMERDATA, dialer);
    *ret_dialer = dialer;
    return 0;
}

Dialer *dialer_free(Dialer *dialer)
{
    if (dialer) {
        if (dialer->multi)
            curl_multi_cleanup(dialer->multi);
        if (dialer->timer)
            event_free(dialer->timer);
        mem_free(dialer);
    }
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
           curl_easy_setopt(easy, CURLOPT_PRIVATE, dial) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
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
    if (!set_options(dial) || curl_multi_add_handle(keeper->dialer->multi, easy) != CURLM_OK) {
        dial_free(dial);
        return NULL;
    }
    return dial;
}
