/* The forms that a token can take in a text, and whether one begins at a given place: what scrub.c is built
 * on.
 *
 * No form is written out anywhere: each position that could begin one is compared by decoding the text, or by
 * encoding the token one character at a time. So any mixture of escapes is found, and only the raw token is
 * ever opened.
 */
#pragma once

#include "secret/secret.h"

/* Which forms a byte can be the first (bits 0 to 7), second (8 to 15) or third byte (16 to 23) of. */
enum { FIRST = 0, SECOND = 8, THIRD = 16 };

typedef struct Scan { /* in the arena while a piece is searched */
    uint32_t begin[256];
    size_t len;
    unsigned char token[];
} Scan;

enum { FORM_PARTIAL = -1 };

/* Fills in scan->begin (zero before) from scan->token. A byte that is not marked there begins no form. */
void form_prepare(Scan *scan);

/* The length of the longest form that begins at `text`, among those of the bit set `forms` (of Scan.begin); 0
 * if there is none; FORM_PARTIAL while more bytes could make one, unless these are the `last`. */
ssize_t form_match(const Scan *scan, unsigned forms, const unsigned char *text, size_t len, bool last);
