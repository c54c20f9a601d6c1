/* Calls of purser-rotate over HTTPS, each waited for: store/client.h on a loop of its own. */
#pragma once

#include "ipc/rotate.h"
#include "store/client.h"

typedef struct Link {
    struct event_base *base;
    StoreFiles *files;
    StoreClient *client;
    Skew skew;
    const StoreServer *server;
    int roots_fd;
} Link;

/* setup and server are borrowed. Pieces that are there already when it fails go with link_done(). */
int link_init(Link *link, const RotateSetup *setup, const StoreServer *server, Fault *fault) MUST_USE;
void link_done(Link *link); /* a zeroed one too */

/* 0: done() was called with an answer, whatever its status. STORE_E_OUTAGE with a sentence. */
int link_call(Link *link, StoreCall *call, void (*done)(void *context, StoreAnswer *answer), void *context,
              Fault *fault) MUST_USE;
