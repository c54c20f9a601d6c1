/* TLS towards one source: TLS 1.2 at least, the chain up to the source's roots, the name that of the host,
 * HTTP/1.1 alone. One context per source, so that sessions and trust are never shared.
 */
#pragma once

#include "keeper/keeper.h"

/* Makes upstream->tls if it is not there. */
int tls_prepare(Keeper *keeper, Upstream *upstream, Refused *ret_refused) MUST_USE;

/* A client end over a connected socket, ready for SSL_connect(). NULL when OpenSSL has no memory. */
SSL *tls_client(Endpoint *endpoint, const char *host, int fd);

/* Why a handshake failed. */
void tls_explain(const char *host, SSL *ssl, Refused *ret_refused);

void tls_done(Upstream *upstream);
