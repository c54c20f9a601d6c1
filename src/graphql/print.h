/* A chosen operation as a document of its own, in one form: without what was not chosen or is not used,
 * without comments, with every string in quotes. What was decided on is what is sent: a server cannot choose
 * another operation, find another string, or see a comment end elsewhere, because nothing of that is left to
 * differ in. The names of operation, fragments and variables, aliases and order stay as they were.
 */
#pragma once

#include "base/json.h"
#include "graphql/graphql.h"

/* -ENOBUFS. */
int graphql_print(const GraphqlChosen *chosen, Buf *out) MUST_USE;

/* Whether a value can be said in GraphQL: a key of JSON may be anything, a field of an input object is a
 * name. */
bool graphql_is_printable(const GraphqlValue *value);

/* A constant value as GraphQL text; one that is printable. */
int graphql_print_value(const GraphqlValue *value, Buf *out) MUST_USE;

/* The request as JSON: {"query": ..., "operationName": ..., "variables": {...}}, with only the variables that
 * the operation declares and the request gave, and only the members that have something in them. */
int graphql_print_request(const GraphqlChosen *chosen, Slice document, Buf *out) MUST_USE;

/* The variables alone; *ret_any: there are some. */
void graphql_print_variables(const GraphqlChosen *chosen, JsonWriter *json, const char *key, bool *ret_any);
