/* What an answer's head says of the provider's own limits. The headers are those that the providers document:
 *
 *   GitHub      X-RateLimit-Limit, -Remaining, -Used, -Reset (seconds since 1970), -Resource
 *   GitLab      RateLimit-Limit, -Remaining, -Observed, -Reset (seconds since 1970), -Name
 *   Buildkite   RateLimit-Limit, -Remaining, -Reset (seconds from now), -Scope; RateLimit-User-...;
 *               of GraphQL RateLimit-Complexity-Actual
 *   all         Retry-After: seconds, or a date
 *
 * A number over a thousand million is a time since 1970, another one a distance from now. What cannot be read
 * is taken as not said. Pure.
 */
#pragma once

#include "http/head.h"

#define HTTP_LIMIT_UNKNOWN UINT64_MAX

typedef struct HttpLimit {
    Slice name;                      /* of the limit, as the provider calls it; "" */
    uint64_t limit, remaining, used; /* HTTP_LIMIT_UNKNOWN */
    int64_t reset;                   /* us from now; -1: not said */
} HttpLimit;

typedef struct HttpLimits {
    HttpLimit limit[2];  /* the second: of the user beside that of the organisation */
    size_t n;            /* those of which something is known */
    int64_t retry_after; /* us from now; -1: not said */
    uint64_t cost;       /* of this GraphQL request; HTTP_LIMIT_UNKNOWN */
} HttpLimits;

/* wall: now, for times since 1970 where the answer has no Date of its own. */
void http_limits(const HttpHead *head, int64_t wall, HttpLimits *ret_limits);

/* IMF-fixdate (RFC 9110, 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". -EINVAL. */
int http_parse_date(Slice text, int64_t *ret_wall_us) MUST_USE;
