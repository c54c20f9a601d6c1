/* Which host belongs to which source: the one list that both the gate's policing and its certificates come
 * from (promise 7). Built from the run's sources and nothing else.
 */
#pragma once

#include "http/paging.h"
#include "ipc/gate.h"

#define LEASE_ID_LEN                                                                                         \
    26 /* "psl_1" and the whole base64 digits of a lease's id: the same in everything narrowed from it */

typedef struct RunSourceInfo {
    GateSource record;
    char lease_id[LEASE_ID_LEN + 1]; /* "" until its lease came */
    PagingUrl own;                   /* its API's; "": longer than any link that is rewritten */
} RunSourceInfo;

typedef struct Host {
    const char *name; /* lower case, no brackets; the source's. "*.suffix": one certificate for all of them */
    uint16_t port;
    bool tls;
    bool address;                   /* an IP literal */
    struct ssl_ctx_st *tls_context; /* the run CA's, for hosts with tls */
} Host;

typedef struct HostList {
    Host *host;
    size_t n;
    RunSourceInfo *source; /* not owned */
    size_t n_source;
} HostList;

/* Each (host, port) once, of those that the run may reach. The sources must outlive the list. */
void host_list_init(HostList *list, RunSourceInfo *source, size_t n_source);
void host_list_done(HostList *list);

/* NULL: no source's. `name` lower case, without brackets. */
const Host *host_list_find(const HostList *list, const char *name, uint16_t port);

/* A source, and which of its hosts (source_origin()). */
typedef struct Place {
    RunSourceInfo *source; /* NULL: none */
    uint32_t host;
    bool graphql; /* base-URL mode: the endpoint itself is meant */
} Place;

/* Where a request to `host` goes: to the source whose lease was presented, else to the one whose base is the
 * longest that `path` lies under. The keeper checks it against the lease. */
Place host_list_place(const HostList *list, const Host *host, Slice path, Slice credential);

/* Base-URL mode's first segment: "NAME" for the source's API, "NAME~graphql" for its GraphQL endpoint,
 * "NAME~HOST" for another host of its. */
Place host_list_named(const HostList *list, Slice segment);
