/* Which host belongs to which source: the one list that both the gate's policing and its certificates come
 * from (promise 7). Built from the run's sources and nothing else.
 */
#pragma once

#include "ipc/gate.h"

#define LEASE_ID_LEN                                                                                         \
    26 /* "psl_1" and the whole base64 digits of a lease's id: the same in everything narrowed from it */

typedef struct RunSourceInfo {
    GateSource record;
    char lease_id[LEASE_ID_LEN + 1]; /* "" until its lease came */
} RunSourceInfo;

typedef struct Host {
    const char *name; /* lower case, no brackets; the source's */
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

/* Each (host, port) once. The sources must outlive the list. */
void host_list_init(HostList *list, RunSourceInfo *source, size_t n_source);
void host_list_done(HostList *list);

/* NULL: no source's. `name` lower case, without brackets. */
const Host *host_list_find(const HostList *list, const char *name, uint16_t port);

/* The source that a request to `host` belongs to: the one whose lease was presented, else the one whose base
 * is the longest that `path` lies under. The keeper checks it against the lease. */
RunSourceInfo *host_list_source(const HostList *list, const Host *host, Slice path, Slice credential);

/* The source of that name, or NULL. */
RunSourceInfo *host_list_named(const HostList *list, Slice name);

/* The source whose GraphQL endpoint lies on this host, though its REST API does not; NULL if there is none.
 */
const RunSourceInfo *host_list_graphql(const HostList *list, const char *name);
