/* Request targets: one form, decided once; what is matched is what is sent (promise 10).
 *
 * target_normalise accepts the origin form only ("/path?query") and returns path and query in the one form
 * that is both matched and sent: percent-encoded unreserved characters are decoded, other escapes are
 * upper-case. What servers take for one path has one spelling: in a path also !$&'()*,=:@ are decoded, and
 * what a URL may not hold as it is ("<>[]^`{|}) is encoded. In a query a plain ';' is encoded, since some
 * servers end a parameter there.
 * Refused with a sentence: an encoded slash, backslash, NUL or control character; a segment of nothing but
 * dots, plain or encoded; an empty segment (//) but for a single trailing slash; ';' in a path, plain or
 * encoded; '\'; '#'; a stray '%'; bytes that are not visible ASCII; escapes in a path that are not UTF-8.
 * Credential parameters (http/credential.h) are left out of the query, but by target_normalise_whole.
 */
#pragma once

#include "base/fault.h"
#include "http/head.h"

typedef struct Target {
    char text[HTTP_MAX_TARGET + 1]; /* path, and "?query" when there is one; terminated */
    size_t len;
    size_t path_len; /* text[0 .. path_len) is the path */
} Target;

static inline Slice target_path(const Target *target)
{
    return (Slice){target->text, target->path_len};
}

/* Without the '?'; empty if there is none. */
static inline Slice target_query(const Target *target)
{
    return target->len > target->path_len
               ? (Slice){target->text + target->path_len + 1, target->len - target->path_len - 1}
               : (Slice){"", 0};
}

/* 0 or -EINVAL with a sentence. */
int target_normalise(Slice raw, Target *ret_target, Fault *fault) MUST_USE;

/* The same for a server that is known to take an encoded slash as part of one segment (a provider's
 * `encodedSlash: segment`): it stays, as %2F, and what it divides must be as segments are: not empty, not
 * dots. */
int target_normalise_slashes(Slice raw, Target *ret_target, Fault *fault) MUST_USE;

/* The same of the address of a file, to which no token goes: what is called `token` in its query is its own.
 */
int target_normalise_whole(Slice raw, Target *ret_target, Fault *fault) MUST_USE;

bool target_has_slashes(Slice path); /* of a path in its one form: whether it has any */

/* CONNECT's authority form, or a Host value: "host:port", "[::1]:443", "host" (when default_port is not 0).
 * ret_host (254 bytes) is lower case, without brackets and a trailing dot. -EINVAL with a sentence. */
int target_parse_authority(Slice raw, uint16_t default_port, char ret_host[static 254], uint16_t *ret_port,
                           Fault *fault) MUST_USE;
