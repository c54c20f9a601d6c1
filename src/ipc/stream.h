/* One client connection between gate and keeper: a socket pair of its own, one request at a time.
 *
 *   gate:   REQUEST (with the body's first piece, or all of it) [BODY ...] [BODY_END]
 *   keeper: [CONTINUE] RESPONSE (with the body's first piece, or all of it) [DATA ...] [DATA_END]   or
 *           REFUSE                                                                                  or
 *           RESPONSE ... ABORT
 * then the next REQUEST. LEASE_ASK stands for a request that is answered by the keeper itself, with RESPONSE
 * or REFUSE. The keeper may answer before the body has come whole; it then takes BODY records up to BODY_END
 * and drops them. Either end may close: the gate when its client is gone, the keeper when it cannot go on.
 * The kernel is the back-pressure: -EAGAIN on send means wait. Nothing here allocates; slices point into the
 * record.
 */
#pragma once

#include "http/head.h"
#include "ipc/channel.h"

#define STREAM_UNKNOWN_LENGTH UINT64_MAX
#define STREAM_PIECE          (32u << 10) /* most body bytes in one record */

typedef struct StreamRequest {
    uint32_t source; /* index; the gate's word for it, checked by the keeper against the lease */
    uint32_t host;   /* of the source (source_origin()) */
    Slice host_name; /* the one that a pattern means; empty where the origin's own name is none */
    uint32_t method; /* HttpMethod */
    Slice method_text;
    Slice
        target; /* normalised path and query, as the client meant it relative to the origin (base included) */
    uint32_t path_len; /* of target */
    bool expect_continue;
    bool has_body;
    bool end;                /* `body` is all of it */
    uint64_t content_length; /* STREAM_UNKNOWN_LENGTH: chunked */
    Slice credential; /* what the client presented; "" for none: a lease, or something else to be refused */
    HttpHeader
        *header; /* hop-by-hop, dropped and credential headers are gone already; the keeper checks again */
    size_t n_header;
    Slice body;
} StreamRequest;

/* `room` for headers: HTTP_MAX_HEADERS entries, the caller's. */
void stream_request_put(const StreamRequest *request, WireWriter *wire);
int stream_request_get(WireReader *wire, HttpHeader *room, StreamRequest *ret_request) MUST_USE;

typedef enum StreamLeaseWhat { STREAM_LEASE_STATUS, STREAM_LEASE_REVOKE } StreamLeaseWhat;

typedef struct StreamLeaseAsk {
    uint8_t what; /* StreamLeaseWhat */
    Slice credential;
} StreamLeaseAsk;

void stream_lease_ask_put(const StreamLeaseAsk *ask, WireWriter *wire);
int stream_lease_ask_get(WireReader *wire, StreamLeaseAsk *ret_ask) MUST_USE;

typedef struct StreamResponse {
    uint16_t status;
    Slice reason;
    uint64_t content_length; /* STREAM_UNKNOWN_LENGTH: the gate chunks (or closes, for HTTP/1.0) */
    bool no_body; /* HEAD, 204, 304: content_length is what the header shall say, or UNKNOWN for none */
    bool end;     /* `body` is all of it */
    HttpHeader *header;
    size_t n_header;
    Slice body;
} StreamResponse;

void stream_response_put(const StreamResponse *response, WireWriter *wire);
int stream_response_get(WireReader *wire, HttpHeader *room, StreamResponse *ret_response) MUST_USE;

/* purser's own answer. The gate makes of it: the sentence in the reason phrase (cut to one line), the JSON
 * body
 * {"message": sentence, "purser": code}, X-Purser-Error: code, Retry-After, WWW-Authenticate on 401. */
typedef struct StreamRefuse {
    uint16_t status;
    Slice code;
    Slice sentence;
    uint32_t retry_after; /* seconds; 0: none */
    bool close;           /* the client's connection cannot be used again */
    bool graphql;         /* of a GraphQL request: the body has "errors" too */
} StreamRefuse;

void stream_refuse_put(const StreamRefuse *refuse, WireWriter *wire);
int stream_refuse_get(WireReader *wire, StreamRefuse *ret_refuse) MUST_USE;
