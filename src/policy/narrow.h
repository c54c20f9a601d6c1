/* The narrowest policy under which what was seen is allowed, as a file's text with tests: what `purser policy
 * record` prints. Pure.
 *
 * Paths that differ only in segments with a digit in them (ids) become one rule, with `*` where several
 * values were seen; what else differs stays as it is, unless more than POLICY_NARROW_VALUES values stand in
 * one place. A segment that is a parameter's value stays literal. Of GraphQL each root field has a rule of
 * its own: with the fields beneath it, for each beneath which nothing led on what stood there, and those
 * arguments that were always there, as one of a few strings.
 */
#pragma once

#include "base/buf.h"
#include "policy/policy.h"

#define POLICY_NARROW_VALUES 8

/* One kind of request. A REST request has a path, beneath the source's base, and the names of its parameters
 * as they were sent ("page&per_page"); one of GraphQL a document and its variables as an object of GraphQL.
 * "" is none. */
typedef struct PolicySeen {
    char *method, *host, *path, *query;
    char *document, *variables;
    uint64_t count;
} PolicySeen;

typedef struct PolicyNarrow {
    const char *name;
    const char *about; /* one line, for the comment at the top */
    const PolicySeen *seen;
    size_t n_seen;
    const PolicyWith *with;            /* of the grant; or NULL */
    uint64_t requests, response_bytes; /* what the run has used */
} PolicyNarrow;

/* 0, -ENOBUFS, or -EINVAL with a sentence: there is a document that cannot be read. */
int policy_narrow(const PolicyNarrow *narrow, Buf *out, Fault *fault) MUST_USE;

/* narrow-graphql.c: its rules, then its tests. */
int policy_narrow_graphql_rules(const PolicyNarrow *narrow, Buf *out, Fault *fault) MUST_USE;
int policy_narrow_graphql_tests(const PolicyNarrow *narrow, Buf *out) MUST_USE;
/* A word in YAML, in quotes where it needs them. */
int policy_narrow_word(Buf *out, Slice word) MUST_USE;
/* A text inside of double quotes of YAML, with `escape` and its number for each character that YAML would
 * read otherwise, or not at all. `quote`: the text's own quotes and backslashes are escaped too. */
int policy_narrow_escaped(Buf *out, Slice text, const char *escape, bool quote) MUST_USE;
/* Tests, if there is room for them in a policy's file; it is one without them, too. */
int policy_narrow_add_test(Buf *out, const Buf *test) MUST_USE;
