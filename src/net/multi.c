/* libcurl's multi interface on a libevent loop. See multi.h. */
#include "net/multi.h"

#include "base/mem.h"

#include <errno.h>

struct Multi {
    struct event_base *base;
    CURLM *curl;
    struct event *timer;
};

static void collect(Multi *multi)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(multi->curl, &left))) {
        MultiJob *job = NULL;
        CURLcode code = message->data.result;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &job) == CURLE_OK)
            job->done(job->context, code);
    }
}

static void on_socket(evutil_socket_t fd, short what, void *context)
{
    Multi *multi = context;
    int running, mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(multi->curl, fd, mask, &running);
    collect(multi);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    Multi *multi = context;
    int running;
    curl_multi_socket_action(multi->curl, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(multi);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *watched)
{
    (void)easy;
    Multi *multi = context;
    struct event *event = watched;
    if (event)
        event_free(event);
    event = NULL;
    if (what != CURL_POLL_REMOVE) {
        short kinds =
            (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
        event = event_new(multi->base, fd, kinds, on_socket, multi);
        event_add(event, NULL);
    }
    curl_multi_assign(multi->curl, fd, event);
    return 0;
}

static int watch_timer(CURLM *curl, long ms, void *context)
{
    (void)curl;
    Multi *multi = context;
    if (ms < 0) {
        event_del(multi->timer);
        return 0;
    }
    struct timeval wait = {ms / 1000, ms % 1000 * 1000};
    event_add(multi->timer, &wait);
    return 0;
}

int multi_new(struct event_base *base, long max_host_connections, Multi **ret_multi, Fault *fault)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fault_set(fault, -ENOMEM, "libcurl cannot start");
    Multi *multi = MEM_NEW(Multi);
    multi->base = base;
    multi->curl = curl_multi_init();
    multi->timer = evtimer_new(base, on_timer, multi);
    if (!multi->curl || !multi->timer) {
        multi_free(multi);
        return fault_set(fault, -ENOMEM, "libcurl cannot start");
    }
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, watch_timer);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_MAX_HOST_CONNECTIONS, max_host_connections);
    *ret_multi = multi;
    return 0;
}

Multi *multi_free(Multi *multi)
{
    if (multi) {
        if (multi->curl)
            curl_multi_cleanup(multi->curl);
        if (multi->timer)
            event_free(multi->timer);
        mem_free(multi);
    }
    return NULL;
}

int multi_add(Multi *multi, CURL *easy, MultiJob *job)
{
    if (curl_easy_setopt(easy, CURLOPT_PRIVATE, job) != CURLE_OK ||
        curl_multi_add_handle(multi->curl, easy) != CURLM_OK)
        return -ENOMEM;
    return 0;
}

void multi_remove(Multi *multi, CURL *easy)
{
    curl_multi_remove_handle(multi->curl, easy);
}
