/* Dialling: libcurl resolves, tries the addresses, goes through the site's proxy, and hands over a connected
 * socket; TLS is ours (tls.h). Every address is checked in the moment in which its socket is made, so that
 * what was checked is what is dialled (promise 14); behind the site's proxy the proxy resolves, and decides.
 *
 * libcurl's own hold on the connection ends there: it looks through all CONNECT_ONLY connections of a multi
 * handle at each new dial, and closes those that have an answer waiting or are two minutes old.
 */
#pragma once

#include "keeper/keeper.h"

#define DIAL_TIMEOUT_MS 10000

typedef struct Dial Dial;

/* fd >= 0: connected, close-on-exec, non-blocking, the callee's own. -1: refused says why. */
typedef void DialDone(void *context, int fd, const Refused *refused);

typedef struct DialTo {
    const char *host;
    uint16_t port;
    const char *connect_to; /* "" or ADDRESS:PORT */
    const Cidr *allow;
    size_t n_allow;
} DialTo;

int dialer_new(Keeper *keeper, Dialer **ret_dialer, Fault *fault) MUST_USE;
Dialer *dialer_free(Dialer *dialer);

/* Never calls done() before it returns. NULL: no memory. What `to` points to stays until done(). */
Dial *dial_start(Keeper *keeper, const DialTo *to, DialDone *done, void *context);
void dial_cancel(Dial *dial); /* done() is not called */
