/* The forms that a token can take in a text, and whether one begins at a given place: what find.c is built
 * on.
 *
 * No form is written out anywhere: a place is compared by decoding the text, or by encoding the token one
 * character at a time. So any mixture of escapes is found, and only the raw token is ever opened.
 *
 * What is compared is compared in blocks: the first 8 bytes (or characters of base64, digits of hex), then 32
 * at a time. Time tells whether a block is right, never how much of one: nothing is learnt byte by byte.
 */
#pragma once

#include "secret/secret.h"

/* One bit per form. */
enum {
    FORM_RAW = 1,
    FORM_PERCENT = 2,
    FORM_JSON = 4,
    FORM_HEX = 8,
    FORM_BASE64 =
        16, /* and the next two: the token begins at bit 0, or its first whole character at bit 4 or 2 */
};
#define BASE64_ALIGNMENTS 3u

#define FIND_WINDOW      8u /* bytes of a text that are looked at together, and no fewer */
#define FIND_STEP        8u /* and so far apart at most */
#define FIND_MAX_WINDOWS (FIND_STEP * (2 + 2 * BASE64_ALIGNMENTS))

/* Eight characters that a form has, `at` characters behind its beginning. */
typedef struct Window {
    uint64_t folded;
    uint32_t forms;
    uint32_t at;
} Window;

typedef struct Scan { /* in the arena while a piece is searched */
    uint64_t key;     /* of the filter's hash: another one for each piece */
    uint64_t filter[64];
    Window window[FIND_MAX_WINDOWS];
    uint64_t first[1 + BASE64_ALIGNMENTS]; /* the windows at 0: of the token, of its base64 */
    size_t n_window;
    size_t step, reach;
    bool wide, letters,
        space; /* the token has bytes that JSON or forms escape in ways that others do not need */
    size_t len;
    unsigned char token[];
} Scan;

/* The length of the longest form that begins at `text`, among those of the bit set `forms`; 0 if there is
 * none. */
size_t form_match(const Scan *scan, unsigned forms, const unsigned char *text, size_t len);

/* The first characters that are escaped at `text`, decoded; 0xFF where there are none. JSON: of tokens that
 * are not `wide`. base64: its own characters, '+' and '/' whichever the text has. */
void form_begin_percent(const unsigned char *text, size_t len, unsigned char out[static FIND_WINDOW]);
void form_begin_json(const unsigned char *text, size_t len, unsigned char out[static FIND_WINDOW]);
void form_begin_base64(const unsigned char *text, size_t len, unsigned char out[static FIND_WINDOW]);

/* The characters of base64 that hold nothing but bits of the token: how many, and the value of each. */
size_t form_base64_len(const Scan *scan, unsigned alignment);
unsigned form_base64_at(const Scan *scan, unsigned alignment, size_t index);
int form_base64_value(unsigned char c); /* -1: none; base64url has the same values */
