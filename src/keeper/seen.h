/* What a run that is recorded (`purser policy record`) has asked for and got: kinds of requests, from which a
 * narrow policy is made. Kept while it lasts, told when it is closed, and never written anywhere: documents
 * of GraphQL and their variables are a script's own words. */
#pragma once

#include "graphql/graphql.h"
#include "ipc/keeper.h"
#include "ipc/stream.h"
#include "keeper/keeper.h"

#define SEEN_MAX_KINDS 2000
#define SEEN_MAX_BYTES (4u << 20) /* of documents and variables */

typedef struct Seen {
    RunSeen *kind; /* their texts are owned */
    size_t n, bytes;
    uint64_t lost; /* requests of kinds beyond that */
} Seen;

void seen_rest(Run *run, uint32_t source, const StreamRequest *request, const char *host);
void seen_graphql(Run *run, uint32_t source, const char *host, const GraphqlChosen *chosen);
int seen_send(Run *run) MUST_USE;
void seen_done(Seen *seen);
