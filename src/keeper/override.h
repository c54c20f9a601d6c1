/* Finds a method override in a form's body while it streams by (promise 9): a parameter `_method`, plain or
 * percent-encoded, in any letter case, urlencoded or multipart, also across pieces. The piece that completes
 * it is not sent on, so the upstream never gets the whole request. A percent sign that begins no escape
 * stands for itself, a backslash for what follows it. Pure.
 */
#pragma once

#include "http/head.h"

typedef struct OverrideScan {
    bool active;    /* the body is a form's */
    uint8_t escape; /* hex digits of a percent-escape that are still to come */
    uint8_t matched;
    unsigned char value, before;
} OverrideScan;

void override_begin(OverrideScan *scan, const HttpHead *head);
/* Whether names in such a form are ASCII's bytes: not in UTF-16 or EBCDIC, which some servers decode. */
bool override_is_readable(const HttpHead *head);
bool override_found(OverrideScan *scan, Slice piece);
