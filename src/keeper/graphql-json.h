/* JSON of a GraphQL request into GraphQL's own values, strictly: duplicate keys, NUL, bytes that are not
 * UTF-8, a byte order mark, half surrogate pairs, integers past 64 bits, nesting past GRAPHQL_MAX_NESTING are
 * refused. What it makes lies in jansson's arena (json/arena.h) and the caller's. Sentences hold nothing of
 * the text but names of members.
 */
#pragma once

#include "graphql/graphql.h"

/* The members of a request, as text. */
typedef struct GraphqlMembers {
    Slice query, operation_name, variables, extensions;
} GraphqlMembers;

/* A whole request. -EINVAL with a sentence. */
int graphql_json_request(GraphqlArena *arena, Slice text, GraphqlRequest *ret_request, Fault *fault) MUST_USE;

/* An object alone, as a GET has it; empty text or null is none. `ret_entry` may be NULL: it is only checked.
 */
int graphql_json_object(GraphqlArena *arena, Slice text, const char *what, GraphqlEntry **ret_entry,
                        Fault *fault) MUST_USE;
