/* Every way in which the keeper says no: one code, one status. docs/refusals.md is the same table for people
 * (a test compares the two). Pure.
 */
#pragma once

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum Refusal {
    REFUSAL_NONE,
    /* the request is not one that can be decided */
    REFUSAL_BAD_REQUEST,
    REFUSAL_METHOD,
    REFUSAL_GRAPHQL_UNDECIDABLE,
    REFUSAL_BODY_TOO_LARGE,
    /* the lease */
    REFUSAL_NO_LEASE,
    REFUSAL_NOT_A_LEASE,
    REFUSAL_FOREIGN_LEASE,
    REFUSAL_WRONG_SOURCE,
    REFUSAL_CAVEAT,
    REFUSAL_NARROWED,
    REFUSAL_NARROWED_FULL,
    REFUSAL_EXPIRED,
    REFUSAL_REVOKED,
    /* the grant */
    REFUSAL_PATH_DENIED,
    REFUSAL_PATH_NOT_ALLOWED,
    REFUSAL_GRAPHQL_DENIED,
    REFUSAL_ANSWER_TOO_LARGE,
    REFUSAL_HOST_CLOSED,
    REFUSAL_NOT_REDIRECTED,
    REFUSAL_RATE,
    REFUSAL_REQUESTS,
    REFUSAL_REQUEST_BYTES,
    REFUSAL_RESPONSE_BYTES,
    REFUSAL_COST,
    /* the source, for all its leases */
    REFUSAL_SOURCE_RATE,
    REFUSAL_SOURCE_RESERVE,
    REFUSAL_UPSTREAM_LIMIT,
    /* purser itself */
    REFUSAL_TOKEN_MISSING,
    REFUSAL_TOKEN_REVOKED,
    REFUSAL_BUSY,
    REFUSAL_AUDIT,
    REFUSAL_INTERNAL,
    /* the way to the upstream, and its answer */
    REFUSAL_UPSTREAM_NAME,
    REFUSAL_UPSTREAM_ADDRESS,
    REFUSAL_UPSTREAM_PROXY,
    REFUSAL_UPSTREAM_REFUSED,
    REFUSAL_UPSTREAM_CERTIFICATE,
    REFUSAL_UPSTREAM_TLS,
    REFUSAL_UPSTREAM_TIMEOUT,
    REFUSAL_UPSTREAM_RESET,
    REFUSAL_UPSTREAM_INVALID,
    REFUSAL_UPSTREAM_ENCODING,
    /* tunnels */
    REFUSAL_EGRESS,
    REFUSAL_COUNT,
} Refusal;

typedef struct RefusalKind {
    const char *code;
    uint16_t status;
} RefusalKind;

const RefusalKind *refusal_kind(Refusal refusal);

/* A refusal with its sentence. refusal REFUSAL_NONE: nothing was refused. */
typedef struct Refused {
    Refusal refusal;
    uint32_t retry_after; /* seconds; 0: none */
    Fault fault;
} Refused;

/* Fills it in; returns false, so that a check can end with `return refused_set(...)`. */
bool refused_set(Refused *refused, Refusal refusal, const char *fmt, ...) FORMAT(3, 4);

/* Says when to try again: whole seconds, at least one. Returns false likewise. */
bool refused_retry(Refused *refused, uint64_t us);
