/* Which addresses may be dialled (promise 14). Every address that a name resolved to is asked about here, at
 * the dial. Pure.
 */
#pragma once

#include "config/config.h"

#include <sys/socket.h>

typedef enum AddressKind {
    ADDRESS_PUBLIC,
    ADDRESS_PRIVATE, /* private, loopback, CGNAT, documentation, benchmarks, ...: only if the source allows it
                      */
    ADDRESS_NEVER,   /* link-local, metadata, multicast, unspecified, broadcast */
} AddressKind;

/* IPv4 as ::ffff:a.b.c.d. An address that embeds an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) is
 * what that one is, and never better than private. */
AddressKind address_kind(const uint8_t address[16]);

/* Whether it may be dialled for a source that allows these networks besides the public ones. */
bool address_allowed(const uint8_t address[16], const Cidr *allow, size_t n_allow);

/* -EAFNOSUPPORT when it is neither IPv4 nor IPv6. */
int address_from_sockaddr(const struct sockaddr *from, socklen_t len, uint8_t ret_address[16]) MUST_USE;

char *address_text(char out[static 64], const uint8_t address[16]);

/* Whether a host is to be reached without the site's proxy: an entry is "*", a host, ".suffix" (or "suffix",
 * for everything beneath it), or a network for hosts that are addresses. */
bool address_bypasses_proxy(const char *host, char *const *no_proxy, size_t n_no_proxy);
