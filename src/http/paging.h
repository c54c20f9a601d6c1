/* Links to the next page in a JSON answer, rewritten as the bytes stream by: a string that begins with the
 * source's own URL, in one of the places where APIs put such links, begins with the client's URL instead.
 *
 *   {"next": URL}                            and previous, prev, first, last            (Django REST)
 *   {"next_page_url": URL}                   and prev_, first_, last_                   (Laravel)
 *   {"@odata.nextLink": URL}                                                            (OData)
 *   {"links": {"next": URL}}                 and previous, prev, first, last            (JSON:API)
 *   {"_links": {"next": {"href": URL}}}      likewise                                   (HAL)
 *
 * Only in the outermost object; never in another string, whatever is in it. Escapes in the URL ("https:\/\/")
 * are understood. What is no JSON passes as it is. Memory is bounded by PAGING_MAX_HELD, and growth by
 * PAGING_MAX_LINKS links an answer. A piece that nothing is changed in is not copied. Pure.
 */
#pragma once

#include "base/slice.h"

#define PAGING_MAX_URL   512 /* of the source's and of the client's */
#define PAGING_MAX_HELD  (6 * PAGING_MAX_URL + 8)
#define PAGING_MAX_LINKS 32
#define PAGING_GROWTH                                                                                        \
    (PAGING_MAX_HELD + PAGING_MAX_LINKS * PAGING_MAX_URL) /* most that a piece can grow by */

/* What is looked for: the source's URL (origin and base). Made once a source. */
typedef struct PagingUrl {
    char text[2][PAGING_MAX_URL]; /* without and with its port; the second may be "" */
    size_t len[2];
    size_t origin[2]; /* of which letter case says nothing: up to where the path begins */
} PagingUrl;

typedef struct Paging {
    const PagingUrl *own; /* borrowed, as what stands for it */
    const char *client;
    uint8_t state;
    bool escaped; /* in a string: after a backslash */
    bool wants_key;
    bool over;        /* no link can follow: an array is the outermost, or this is no JSON */
    uint8_t place;    /* what the innermost container is, while it is one that can hold a link */
    uint8_t outer[4]; /* places of the containers around it */
    uint32_t depth;   /* containers that are open */
    uint8_t key;      /* what the last key leads to */
    char name[24];    /* of the key that is being read */
    size_t name_len;
    size_t links;   /* rewritten so far */
    unsigned alive; /* bits: URLs that the held bytes can still be */
    size_t matched; /* characters of them */
    uint8_t escape; /* of an escape sequence: bytes so far */
    unsigned code;  /* of \uXXXX */
    char held[PAGING_MAX_HELD];
    size_t held_len, whole_len; /* whole_len: bytes of `held` up to the end of a whole URL */
} Paging;

/* -ENAMETOOLONG. */
int paging_url(PagingUrl *ret_own, const char *own, const char *own_with_port) MUST_USE;

/* For the next answer. client: shorter than PAGING_MAX_URL. */
void paging_begin(Paging *paging, const PagingUrl *own, const char *client);

/* Takes `in` and returns what may go on: bytes of `in` itself where nothing changed, else of `room` (in.len +
 * PAGING_GROWTH). `last`: nothing is held back. */
Slice paging_piece(Paging *paging, Slice in, bool last, char *room) MUST_USE;
