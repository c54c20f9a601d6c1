/* A request to a GraphQL endpoint, in one of its three forms, into a chosen operation (graphql/graphql.h),
 * and back into what is sent. Taken are POST application/json      an object with query, operationName,
 * variables, extensions POST application/graphql   the document alone GET                        query=,
 * operationName=, variables=, extensions= in the query Sent is never what came, but the chosen operation in
 * its one form (graphql/print.h), as JSON or in the query: so an upstream that reads JSON, UTF-8,
 * percent-escapes or GraphQL otherwise than purser does, reads what was decided on all the same. `extensions`
 * are not sent: they name a stored operation by its hash, and a server may prefer the hash to the text beside
 * it.
 *
 * Refused: batches; members or parameters that are not these four, or come twice; a hash without a document;
 * other content types, parameters of a content type other than charset=utf-8; what is compressed; a query
 * beside a body; bytes that are not UTF-8; NUL. Pure. One at a time: the arenas and what is chosen are those
 * of the process. See decide.h for what becomes of it.
 */
#pragma once

#include "base/buf.h"
#include "graphql/graphql.h"
#include "ipc/stream.h"
#include "keeper/refusal.h"

#define GRAPHQL_MAX_BODY   (256u << 10) /* what is inspected, and what is sent of it */
#define GRAPHQL_JSON_ARENA (8u << 20)   /* json_arena_install() */

typedef enum GraphqlWay { GRAPHQL_BY_JSON, GRAPHQL_BY_DOCUMENT, GRAPHQL_BY_QUERY } GraphqlWay;

/* The form, by method and headers, before any of the body. False: refused. */
bool graphql_way(const StreamRequest *request, const HttpHead *head, GraphqlWay *ret_way,
                 Refused *ret_refused);

/* `bytes`: the body, or the target's query without '?', in the form of the target; they must stay where they
 * are as long as what was chosen is used, which is until graphql_forget(). */
bool graphql_take(GraphqlWay way, Slice bytes, GraphqlChosen *ret_chosen, Refused *ret_refused);

/* What is sent: JSON, or the query without '?'. Appends. */
bool graphql_send(GraphqlWay way, const GraphqlChosen *chosen, Buf *out, Refused *ret_refused);

/* "query Name: repository, rateLimit", cut: for records, which hold neither arguments nor variables. */
void graphql_summary(const GraphqlChosen *chosen, char *out, size_t size);

void graphql_forget(void); /* wipes the arenas */
