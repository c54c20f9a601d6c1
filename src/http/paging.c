/* Links to the next page in a JSON answer. See paging.h. */
#include "http/paging.h"

#include <errno.h>

typedef enum State {
    BETWEEN, /* outside of strings */
    KEY,     /* in a key of a container that can hold a link */
    SKIP,    /* in any other string */
    LINK,    /* in a string that may begin with the source's URL */
} State;

/* Containers that can hold a link, and what a key in them leads to. */
typedef enum Place { NOWHERE, TOP, LINKS, ONE } Place;
typedef enum Key { OTHER, PAGE, LINK_LIST, HREF } Key;

/* What came out so far: as long as it is what went in, only its length. */
typedef struct Out {
    Slice in;
    char *room;
    size_t len;
    bool copied; /* it lies in `room` */
} Out;

static void put(Out *out, const char *bytes, size_t len)
{
    if (!out->copied) {
        const char *same = out->in.ptr + out->len;
        if (len <= out->in.len - out->len && (bytes == same || memcmp(bytes, same, len) == 0)) {
            out->len += len;
            return;
        }
        memcpy(out->room, out->in.ptr, out->len);
        out->copied = true;
    }
    memcpy(out->room + out->len, bytes, len);
    out->len += len;
}

static int take_url(const char *from, char to[PAGING_MAX_URL], size_t *ret_len)
{
    size_t len = strlen(from);
    if (len >= PAGING_MAX_URL)
        return -ENAMETOOLONG;
    memcpy(to, from, len + 1);
    *ret_len = len;
    return 0;
}

static size_t origin_of(const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    return path ? (size_t)(path - url) : strlen(url);
}

int paging_url(PagingUrl *ret_own, const char *own, const char *own_with_port)
{
    int r = take_url(own, ret_own->text[0], &ret_own->len[0]);
    r = r ? r : take_url(own_with_port, ret_own->text[1], &ret_own->len[1]);
    for (int i = 0; i < 2 && r == 0; i++)
        ret_own->origin[i] = origin_of(ret_own->text[i]);
    return r;
}

void paging_begin(Paging *paging, const PagingUrl *own, const char *client)
{
    paging->own = own;
    paging->client = client;
    paging->state = BETWEEN;
    paging->escaped = paging->wants_key = paging->over = false;
    paging->place = NOWHERE;
    paging->depth = 0;
    paging->key = OTHER;
    paging->links = paging->held_len = 0;
}

static Key key_of(const Paging *paging)
{
    static const struct {
        const char *name;
        Key key;
        unsigned places; /* bits */
    } keys[] = {
        {"next", PAGE, 1 << TOP | 1 << LINKS},
        {"previous", PAGE, 1 << TOP | 1 << LINKS},
        {"prev", PAGE, 1 << TOP | 1 << LINKS},
        {"first", PAGE, 1 << TOP | 1 << LINKS},
        {"last", PAGE, 1 << TOP | 1 << LINKS},
        {"next_page_url", PAGE, 1 << TOP},
        {"prev_page_url", PAGE, 1 << TOP},
        {"first_page_url", PAGE, 1 << TOP},
        {"last_page_url", PAGE, 1 << TOP},
        {"@odata.nextLink", PAGE, 1 << TOP},
        {"links", LINK_LIST, 1 << TOP},
        {"_links", LINK_LIST, 1 << TOP},
        {"href", HREF, 1 << ONE},
    };
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (keys[i].places >> paging->place & 1 &&
            slice_is((Slice){paging->name, paging->name_len}, keys[i].name))
            return keys[i].key;
    return OTHER;
}

/* The place that a `{` makes, by where it stands. */
static Place place_of(const Paging *paging)
{
    if (paging->depth == 0)
        return TOP;
    if (paging->place == TOP && paging->key == LINK_LIST)
        return LINKS;
    return paging->place == LINKS && paging->key == PAGE ? ONE : NOWHERE;
}

static void open_container(Paging *paging, bool object)
{
    Place place = object ? place_of(paging) : NOWHERE;
    paging->over |= paging->depth == 0 && !object;
    if (paging->depth < COUNT_OF(paging->outer))
        paging->outer[paging->depth] = paging->place;
    paging->depth++;
    paging->place = (uint8_t)place;
    paging->wants_key = object;
    paging->key = OTHER;
    paging->over |= paging->depth == UINT32_MAX;
}

static void close_container(Paging *paging)
{
    if (paging->depth == 0) {
        paging->over = true;
        return;
    }
    paging->depth--;
    paging->place = paging->depth < COUNT_OF(paging->outer) ? paging->outer[paging->depth] : (uint8_t)NOWHERE;
    paging->wants_key = false;
    paging->key = OTHER;
}

static void open_string(Paging *paging)
{
    bool may_link = (paging->key == PAGE || paging->key == HREF) && paging->links < PAGING_MAX_LINKS;
    paging->escaped = false;
    if (paging->place != NOWHERE && paging->wants_key) {
        paging->state = KEY;
        paging->name_len = 0;
    } else if (paging->place != NOWHERE && may_link) {
        paging->state = LINK;
        paging->alive = 1u | (paging->own->len[1] ? 2u : 0u);
        paging->matched = paging->held_len = paging->whole_len = 0;
        paging->escape = 0;
    } else {
        paging->state = SKIP;
    }
}

/* Structure, up to and with the quote that begins a string. Returns how much was read. */
static size_t read_between(Paging *paging, const char *in, size_t len)
{
    for (size_t i = 0; i < len; i++)
        switch (in[i]) {
        case '"':
            open_string(paging);
            return i + 1;
        case '{':
        case '[':
            open_container(paging, in[i] == '{');
            break;
        case '}':
        case ']':
            close_container(paging);
            break;
        case ',':
            paging->wants_key = true; /* asked about in objects only: an array is never a place */
            paging->key = OTHER;
            break;
        case ':':
            paging->wants_key = false;
            break;
        default:
            break;
        }
    return len;
}

/* The rest of a string of which nothing is wanted, with its closing quote. */
static size_t skip_string(Paging *paging, const char *in, size_t len)
{
    size_t at = 0;
    while (at < len) {
        if (paging->escaped) {
            paging->escaped = false;
            at++;
            continue;
        }
        const char *quote = memchr(in + at, '"', len - at);
        size_t end = quote ? (size_t)(quote - in) : len;
        const char *backslash = memchr(in + at, '\\', end - at);
        if (!backslash) {
            paging->state = quote ? BETWEEN : SKIP;
            return quote ? end + 1 : len;
        }
        paging->escaped = true;
        at = (size_t)(backslash - in) + 1;
    }
    return len;
}

/* A key with an escape in it, or a longer one than any that is looked for, is another one. */
static size_t read_key(Paging *paging, const char *in, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (in[i] == '"') {
            paging->key = (uint8_t)key_of(paging);
            paging->state = BETWEEN;
            return i + 1;
        }
        if (in[i] == '\\' || paging->name_len == sizeof(paging->name)) {
            paging->key = OTHER;
            paging->state = SKIP;
            return i;
        }
        paging->name[paging->name_len++] = in[i];
    }
    return len;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_next(const Paging *paging, unsigned i, char c)
{
    char wanted = paging->own->text[i][paging->matched];
    return paging->matched < paging->own->len[i] &&
           (paging->matched < paging->own->origin[i] ? lower(wanted) == lower(c) : wanted == c);
}

/* Whether the held bytes are one of the URLs, to its end. */
static bool is_whole(const Paging *paging)
{
    for (unsigned i = 0; i < 2; i++)
        if (paging->alive >> i & 1 && paging->matched == paging->own->len[i])
            return true;
    return false;
}

static void rewrite(Paging *paging, Out *out)
{
    put(out, paging->client, strlen(paging->client));
    put(out, paging->held + paging->whole_len, paging->held_len - paging->whole_len);
    paging->links++;
    paging->held_len = 0;
    paging->state = SKIP;
}

static void let_go(Paging *paging, Out *out)
{
    put(out, paging->held, paging->held_len);
    paging->held_len = 0;
    paging->state = SKIP;
}

/* One character of the link, decoded; its bytes are held already. */
static void match(Paging *paging, char c, Out *out)
{
    if (is_whole(paging) && strchr("/?#", c)) {
        rewrite(paging, out);
        return;
    }
    for (unsigned i = 0; i < 2; i++)
        if (!is_next(paging, i, c))
            paging->alive &= ~(1u << i);
    paging->matched++;
    if (!paging->alive)
        let_go(paging, out);
    else if (is_whole(paging))
        paging->whole_len = paging->held_len;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
}

/* A byte of an escape sequence; its bytes before are held. False: it is none, and the byte is not taken. */
static bool read_escape(Paging *paging, char c, Out *out)
{
    if (paging->escape == 1) {
        paging->held[paging->held_len++] = c;
        paging->escape = c == 'u' ? 2 : 0;
        paging->code = 0;
        if (c == '/')
            match(paging, c, out);
        else if (c != 'u')
            let_go(paging, out);
        return true;
    }
    int digit = hex_digit(c);
    if (digit < 0) {
        paging->escape = 0;
        let_go(paging, out);
        return false;
    }
    paging->held[paging->held_len++] = c;
    paging->code = paging->code << 4 | (unsigned)digit;
    if (++paging->escape < 6)
        return true;
    paging->escape = 0;
    if (paging->code > 0 && paging->code < 0x80)
        match(paging, (char)paging->code, out);
    else
        let_go(paging, out);
    return true;
}

static size_t read_link(Paging *paging, const char *in, size_t len, Out *out)
{
    for (size_t i = 0; i < len; i++) {
        if (paging->state != LINK)
            return i;
        char c = in[i];
        if (paging->escape) {
            if (!read_escape(paging, c, out))
                return i;
        } else if (c == '"') {
            is_whole(paging) ? rewrite(paging, out) : let_go(paging, out);
            return i; /* the quote is the string's end for whoever reads on */
        } else {
            paging->held[paging->held_len++] = c;
            if (c == '\\')
                paging->escape = 1;
            else if (c == '\0')
                let_go(paging, out);
            else
                match(paging, c, out);
        }
    }
    return len;
}

Slice paging_piece(Paging *paging, Slice in, bool last, char *room)
{
    Out out = {.in = in, .room = room};
    size_t at = 0;
    while (at < in.len && !paging->over) {
        const char *from = in.ptr + at;
        size_t left = in.len - at, n = 0;
        switch ((State)paging->state) {
        case BETWEEN:
            n = read_between(paging, from, left);
            break;
        case KEY:
            n = read_key(paging, from, left);
            break;
        case SKIP:
            n = skip_string(paging, from, left);
            break;
        case LINK:
            at += read_link(paging, from, left, &out);
            continue;
        }
        put(&out, from, n);
        at += n;
    }
    if (last && paging->state == LINK)
        let_go(paging, &out);
    if (at < in.len)
        put(&out, in.ptr + at, in.len - at);
    return (Slice){out.copied ? room : in.ptr, out.len};
}
