/* The table of refusals. See refusal.h. */
#include "keeper/refusal.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>

static const RefusalKind kinds[REFUSAL_COUNT] = {
    [REFUSAL_NONE] = {"none", 0},
    [REFUSAL_BAD_REQUEST] = {"bad-request", 400},
    [REFUSAL_METHOD] = {"method-refused", 403},
    [REFUSAL_GRAPHQL_UNDECIDABLE] = {"graphql-undecidable", 400},
    [REFUSAL_BODY_TOO_LARGE] = {"body-too-large", 413},
    [REFUSAL_NO_LEASE] = {"no-lease", 401},
    [REFUSAL_NOT_A_LEASE] = {"not-a-lease", 401},
    [REFUSAL_FOREIGN_LEASE] = {"foreign-lease", 401},
    [REFUSAL_WRONG_SOURCE] = {"wrong-source", 403},
    [REFUSAL_CAVEAT] = {"unknown-caveat", 403},
    [REFUSAL_NARROWED] = {"lease-narrowed", 403},
    [REFUSAL_NARROWED_FULL] = {"narrowed-too-many", 403},
    [REFUSAL_EXPIRED] = {"lease-expired", 401},
    [REFUSAL_REVOKED] = {"lease-revoked", 401},
    [REFUSAL_PATH_DENIED] = {"path-denied", 403},
    [REFUSAL_ANSWER_TOO_LARGE] = {"answer-too-large", 403},
    [REFUSAL_HOST_CLOSED] = {"host-closed", 403},
    [REFUSAL_NOT_REDIRECTED] = {"not-redirected", 403},
    [REFUSAL_PATH_NOT_ALLOWED] = {"path-not-allowed", 403},
    [REFUSAL_GRAPHQL_DENIED] = {"graphql-denied", 403},
    [REFUSAL_RATE] = {"budget-rate", 429},
    [REFUSAL_REQUESTS] = {"budget-requests", 403},
    [REFUSAL_REQUEST_BYTES] = {"budget-request-bytes", 403},
    [REFUSAL_RESPONSE_BYTES] = {"budget-response-bytes", 403},
    [REFUSAL_COST] = {"budget-graphql-cost", 403},
    [REFUSAL_SOURCE_RATE] = {"source-rate", 429},
    [REFUSAL_SOURCE_RESERVE] = {"source-reserve", 429},
    [REFUSAL_UPSTREAM_LIMIT] = {"upstream-rate-limit", 429},
    [REFUSAL_TOKEN_MISSING] = {"token-missing", 502},
    [REFUSAL_TOKEN_REVOKED] = {"token-revoked", 403},
    [REFUSAL_BUSY] = {"busy", 503},
    [REFUSAL_AUDIT] = {"audit-failed", 503},
    [REFUSAL_INTERNAL] = {"internal", 500},
    [REFUSAL_UPSTREAM_NAME] = {"upstream-name", 502},
    [REFUSAL_UPSTREAM_ADDRESS] = {"upstream-address", 502},
    [REFUSAL_UPSTREAM_PROXY] = {"upstream-proxy", 502},
    [REFUSAL_UPSTREAM_REFUSED] = {"upstream-refused", 502},
    [REFUSAL_UPSTREAM_CERTIFICATE] = {"upstream-certificate", 502},
    [REFUSAL_UPSTREAM_TLS] = {"upstream-tls", 502},
    [REFUSAL_UPSTREAM_TIMEOUT] = {"upstream-timeout", 504},
    [REFUSAL_UPSTREAM_RESET] = {"upstream-reset", 502},
    [REFUSAL_UPSTREAM_INVALID] = {"upstream-invalid", 502},
    [REFUSAL_UPSTREAM_ENCODING] = {"upstream-encoding", 502},
    [REFUSAL_EGRESS] = {"egress-not-allowed", 403},
};

const RefusalKind *refusal_kind(Refusal refusal)
{
    return &kinds[refusal < REFUSAL_COUNT ? refusal : REFUSAL_INTERNAL];
}

bool refused_retry(Refused *refused, uint64_t us)
{
    uint64_t seconds = us / CLOCK_SECOND + (us % CLOCK_SECOND != 0);
    refused->retry_after = seconds == 0 ? 1 : seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
    return false;
}

bool refused_set(Refused *refused, Refusal refusal, const char *fmt, ...)
{
    char text[sizeof(refused->fault.text)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    refused->refusal = refusal;
    refused->retry_after = 0;
    fault_set(&refused->fault, 0, "%s", text);
    return false;
}
