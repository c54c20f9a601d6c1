/* purser's own answers: the sentence in the reason phrase, a JSON body, X-Purser-Error. */
#pragma once

#include "gate/client.h"

typedef struct Refusal {
    int status;
    const char *code; /* "path-denied": docs/refusals.md */
    const char *sentence;
    uint32_t retry_after; /* seconds; 0: none */
    bool close;           /* the connection cannot be used again */
    bool ask_proxy_key;   /* 407's Proxy-Authenticate */
    bool graphql;         /* GraphQL clients show "errors" */
} Refusal;

/* Answers the request under way with it. The connection goes on with the next request, or lingers when the
 * request's body was not read whole or the refusal says so. */
void refuse(Client *client, const Refusal *refusal);

/* The same, and has the keeper record it: for what the gate decides by itself. `head`: NULL when it could not
 * be read. */
void refuse_recorded(Client *client, const HttpHead *head, const char *host, const Refusal *refusal);

/* Only the record. */
void refuse_record(Client *client, const char *method, const char *host, Slice path, const char *code,
                   const char *sentence);
