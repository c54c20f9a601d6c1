/* Where clients of CI providers put a token, and how it is found there: Authorization (Bearer, token, Basic:
 * the password, or the user name when the password is empty or "x-oauth-basic"), PRIVATE-TOKEN, JOB-TOKEN,
 * Circle-Token, X-... as listed in credential.c; the query parameters access_token, private_token,
 * circle-token.
 */
#pragma once

#include "http/head.h"

#define HTTP_MAX_CREDENTIAL 2048

/* Whether a header of this name carries a credential (whatever its value): it is never forwarded. */
bool http_is_credential(Slice header_name);

/* Whether a query parameter of this name carries a credential. The name as sent, percent-encoded or not;
 * letter case, and what some frameworks take for the same name ("access.token", "+access_token"), make no
 * difference.
 */
bool http_is_credential_parameter(Slice name);

/* Whether a query parameter of this name is taken for the request's method: "_method", and what some
 * frameworks make of it ("%5Fmethod", ".method", "+_METHOD"). */
bool http_is_method_parameter(Slice name);

enum {
    HTTP_CREDENTIAL_NONE = 1, /* the request has none */
    HTTP_CREDENTIAL_MANY,     /* two different ones */
    HTTP_CREDENTIAL_BAD,      /* not decodable, of an unknown scheme, or too long */
};

/* The credential that a request carries, decoded, into out (HTTP_MAX_CREDENTIAL bytes); *ret_len its length.
 * `extra_header`: a header of the source's own (`auth: {header: X-Api}`), or empty.
 * `query`: of the target, without '?'; empty if there is none. */
int http_find_credential(const HttpHead *head, Slice extra_header, Slice query, char *out,
                         size_t *ret_len) MUST_USE;

/* The password in the one Proxy-Authorization: Basic, the same way; HTTP_CREDENTIAL_NONE or _BAD otherwise.
 */
int http_find_proxy_password(const HttpHead *head, char *out, size_t *ret_len) MUST_USE;

/* base64 (RFC 4648) with padding; out needs 4 * ((len + 2) / 3) + 1 bytes. */
size_t http_base64(char *out, const void *bytes, size_t len);
