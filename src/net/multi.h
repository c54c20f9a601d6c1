/* libcurl's multi interface on a libevent loop. Runs in the keeper: for dialling upstreams, and for the
 * stores' requests. One thread, one loop; nothing blocks but what libcurl's own resolver thread does.
 */
#pragma once

#include "base/fault.h"

#include <curl/curl.h>
#include <event2/event.h>

typedef struct Multi Multi;

/* A transfer's end. Its easy handle is still in the multi (a CONNECT_ONLY connection would end with its
 * going); its owner takes it out with multi_remove(). */
typedef void MultiDone(void *context, CURLcode code);

typedef struct MultiJob { /* stays where it is until done() or multi_remove() */
    MultiDone *done;
    void *context;
} MultiJob;

/* max_host_connections 0: as many as there are transfers. */
int multi_new(struct event_base *base, long max_host_connections, Multi **ret_multi, Fault *fault) MUST_USE;
Multi *multi_free(Multi *multi); /* every transfer was removed before; takes NULL, returns NULL */

/* Never calls done() before it returns. Sets CURLOPT_PRIVATE. -ENOMEM. */
int multi_add(Multi *multi, CURL *easy, MultiJob *job) MUST_USE;
void multi_remove(Multi *multi, CURL *easy); /* done() is not called */
