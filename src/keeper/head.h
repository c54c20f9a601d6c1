/* The heads on both sides of the keeper: what is sent upstream, and what of an answer is passed on. */
#pragma once

#include "ipc/stream.h"
#include "keeper/keeper.h"

#define HEAD_MAX (48u << 10)

/* The request's head up to the credential, which goes last: request line, Host, Accept-Encoding: identity,
 * the client's headers that may pass, the framing. The gate has dropped what must not pass; it is dropped
 * here again. False: a header is not one (a gate does not send such). */
bool head_build(const Endpoint *endpoint, const char *host, const StreamRequest *request,
                const HttpHead *head, Buf *out, Refused *ret_refused);

/* The two parts of it: all but the framing, and that. */
bool head_begin(const Endpoint *endpoint, const char *host, const StreamRequest *request,
                const HttpHead *head, Buf *out, Refused *ret_refused);
bool head_end(const StreamRequest *request, Buf *out, Refused *ret_refused);

/* Opens the token and writes the credential's header line and the empty line into `out`, in the arena; to a
 * host for files only the empty line. The length, or -ENOBUFS, -EBADMSG. The caller wipes. */
ssize_t head_put_credential(const Endpoint *endpoint, const Live *live, char *out, size_t room);

/* Keeps of an answer's headers what may pass, in place: not hop-by-hop, not Set-Cookie and the like, no
 * length (the gate frames anew). */
void head_filter_answer(HttpHead *head);

/* Content-Encoding is absent or identity. */
bool head_is_readable(const HttpHead *head);
