/* Strict parsing of the small things that people write, and making strangers' bytes printable.
 * Nothing here depends on the locale. On failure a parser returns -EINVAL (not such a thing) or -ERANGE
 * (outside its bounds) and leaves its output alone. No leading or trailing space is accepted.
 */
#pragma once

#include "base/slice.h"

/* Decimal digits only; no sign, no leading zero but "0" itself; at most `max`. */
int text_parse_u64(Slice text, uint64_t max, uint64_t *ret_value) MUST_USE;

/* 250ms, 90s, 10m, 2h, 30d, also joined ("1h30m", units falling), as microseconds. "0" is accepted. */
int text_parse_duration(Slice text, uint64_t *ret_us) MUST_USE;

/* 512, 64kB, 10MB (powers of 1000), 64KiB, 500MiB, 2GiB (powers of 1024), as bytes. */
int text_parse_size(Slice text, uint64_t *ret_bytes) MUST_USE;

/* 20/s, 600/m, 5000/h, as events per 1,000 seconds, so that small rates stay whole numbers. */
int text_parse_rate(Slice text, uint64_t *ret_per_kilosecond) MUST_USE;

bool text_is_utf8(Slice text); /* well-formed, no surrogates, no overlong forms; NUL is allowed */

/* A name that people choose for a source, retriever, policy: [a-z0-9]([a-z0-9._-]*[a-z0-9])?, 1 to 63 bytes.
 */
bool text_is_name(Slice text);

/* A host name (RFC 1123, lower case, no trailing dot, at most 253 bytes) or an IPv4/IPv6 literal without
 * brackets. */
bool text_is_host(Slice text);

/* The code point of a UTF-8 sequence of two or three bytes that does something to what stands beside it,
 * though no byte of it is a control character: C1, the ends of lines and what turns their direction around
 * (U+2028 to U+202E, U+2066 to U+2069), the byte order's mark; or that is no character at all (U+FFFE,
 * U+FFFF). YAML has none of them as they are. 0: it is none. */
uint32_t text_steers(Slice sequence);

/* Writes `raw` so that it is safe on a terminal and in a log: control characters (C0, DEL, C1) and bytes that
 * are not UTF-8 become \xHH, a newline \n, what steers otherwise \uHHHH; a backslash stays. Always
 * terminates; returns the length that the whole result would have, so that >= size means that it was cut. */
size_t text_escape(char *out, size_t size, const char *raw, size_t len);

/* The environment variable that belongs to a name: upper case, what is no letter or digit as '_', then the
 * suffix. Cut to size. */
void text_variable(char *out, size_t size, const char *name, const char *suffix);

/* Decimal, terminated. Returns where it begins, in out. */
char *text_u64(char out[static 24], uint64_t value);

/* Hexadecimal, lower case; out has 2 * len + 1 bytes. */
void text_hex(char *out, const void *bytes, size_t len);

/* "1.5 MiB", "9,224", "2m 5s": for people. Each writes into a caller's buffer and returns it. */
char *text_human_size(char out[static 24], uint64_t bytes);
char *text_human_count(char out[static 32], uint64_t count);
char *text_human_duration(char out[static 24], uint64_t us);
