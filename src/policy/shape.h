/* What a REST rule may ask of a request beside its method and path, and what it bounds of the answer:
 *
 *   query: [page, per_page, 'status[]']  # the only parameters; []: none. Left out: any
 *   accept: [application/json, '*']      # all that its Accept header may name; none there is as '*'
 *   contentType: [application/json]      # of a request with a body, which must say it
 *   responseBytes: 10MiB                 # of one answer
 *
 * Names of parameters are compared as they are once decoded, byte for byte. One that is there twice, or that
 * cannot be decoded, refuses: which of the two a server takes is not known. Where a name ends in [] it is a
 * list's, and may come again. Of a media type letter case does not count, nor do q and charset; any other
 * parameter makes it another type, as do a boundary's in an Accept header.
 */
#pragma once

#include "base/fault.h"
#include "base/wire.h"
#include "http/head.h"

#define POLICY_MAX_QUERY      64  /* parameters of a rule: a bit each while a request is matched */
#define POLICY_MAX_QUERY_NAME 100 /* bytes */
#define POLICY_MAX_TYPES      16
#define POLICY_MAX_TYPE       127

typedef struct PolicyShape {
    bool names_query; /* `query:` is there */
    char **query;     /* sorted */
    size_t n_query;
    char **accept; /* sorted, in lower case; "*" for any type; none: not asked */
    size_t n_accept;
    char **content_type; /* the same */
    size_t n_content_type;
    uint64_t response_bytes; /* 0: no bound of this rule */
} PolicyShape;

typedef struct PolicyRequest {
    uint32_t method; /* one HttpMethod bit */
    Slice host;      /* "" for the source's own */
    Slice path;      /* normalised (http/target.h), relative to the base */
    Slice query;     /* normalised, without the '?' */
    const HttpHeader *header;
    size_t n_header;
    bool has_body;
} PolicyRequest;

/* What keeps a rule from matching, in the order in which it is asked: the later, the nearer the rule. */
typedef enum PolicyWhy {
    POLICY_WHY_PATH, /* no rule has this path */
    POLICY_WHY_METHOD,
    POLICY_WHY_QUERY,  /* a parameter that the rule does not name */
    POLICY_WHY_TWICE,  /* one that is there twice */
    POLICY_WHY_BROKEN, /* one whose name cannot be decoded */
    POLICY_WHY_ACCEPT,
    POLICY_WHY_CONTENT_TYPE,
    POLICY_WHY_NOTHING, /* it matches */
} PolicyWhy;

/* *ret_what: the parameter's name or the media type that is at fault, as the request has it. */
PolicyWhy policy_shape_match(const PolicyShape *shape, const PolicyRequest *request, Slice *ret_what);

bool policy_shape_is_empty(const PolicyShape *shape);
/* NULL, or what is wrong with it: a sentence without its beginning. */
const char *policy_shape_problem(const PolicyShape *shape);
void policy_shape_sort(PolicyShape *shape); /* as problem() and match() want it */
void policy_shape_done(PolicyShape *shape);

void policy_shape_put(const PolicyShape *shape, WireWriter *wire);
void policy_shape_get(WireReader *wire, PolicyShape *ret_shape);

/* A parameter's name as servers read it: false when it cannot be decoded. *ret_len bytes in `out`. */
bool policy_query_name(Slice raw, char out[POLICY_MAX_QUERY_NAME], size_t *ret_len);
