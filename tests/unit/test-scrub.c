/* A token does not come through the scrubber: in no form, at no split, and nothing else changes. */
#include "base/buf.h"
#include "base/mem.h"
#include "secret/find.h"
#include "secret/scrub.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
// clang-format on
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <time.h>

#define MAX_TEXT 4096

/* A text with one form in it, and where the bytes are that must be gone. */
typedef struct Case {
    const char *what;
    char text[MAX_TEXT];
    size_t len, from, to;
} Case;

static const char before[] = "{\"items\": [1, 2], \"url\": \"https://h.example/%7Ea/?q=\", \"v\": \"";
static const char after[] = "\", \"tail\": \"\\u00e9\\/ 100% of g, gh, ghp_ \"}\n";

static void check_split(const ScrubForms *forms, const Case *c, const size_t *piece, size_t n_piece)
{
    char bytes[MAX_TEXT], out[MAX_TEXT];
    size_t at = 0, n_out = 0;
    unsigned hits = 0;
    Scrub *scrub = scrub_new();
    scrub_begin(scrub, forms);
    for (size_t i = 0; i < n_piece; i++) {
        Slice got;
        memcpy(bytes, c->text + at, piece[i]);
        assert_int_equal(scrub_piece(scrub, bytes, piece[i], i + 1 == n_piece, &got, &hits), 0);
        memcpy(out + n_out, got.ptr, got.len);
        n_out += got.len;
        at += piece[i];
        assert_true(at - n_out < scrub_longest(forms) &&
                    (n_out == 0 || i + 1 == n_piece || at - n_out == scrub_longest(forms) - 1));
    }
    scrub_free(scrub);
    assert_int_equal(n_out, c->len);
    if (hits != (c->to > c->from))
        fail_msg("%s: %u hits in:\n%.*s", c->what, hits, (int)c->len, c->text);
    for (size_t i = 0; i < n_out; i++) {
        char want = i >= c->from && i < c->to ? '*' : c->text[i];
        if (out[i] != want)
            fail_msg("%s: byte %zu is '%c', not '%c', in:\n%.*s", c->what, i, out[i], want, (int)n_out, out);
    }
}

static void check_all_splits(const ScrubForms *forms, const Case *c)
{
    for (size_t split = 0; split <= c->len; split++)
        check_split(forms, c, (size_t[]){split, c->len - split}, 2);
    for (size_t first = 1; first < 40; first += 3) /* three pieces: the middle one inside a form */
        check_split(forms, c, (size_t[]){c->from + 1, first, c->len - c->from - 1 - first}, 3);
    size_t each[MAX_TEXT];
    for (size_t i = 0; i < c->len; i++)
        each[i] = 1;
    check_split(forms, c, each, c->len);
    char whole[MAX_TEXT];
    memcpy(whole, c->text, c->len);
    assert_int_equal(scrub_whole(forms, whole, c->len), c->to > c->from);
    for (size_t i = c->from; i < c->to; i++)
        assert_int_equal(whole[i], '*');
}

static void check_form(const ScrubForms *forms, const char *what, const char *form, size_t len, size_t skip,
                       size_t cut)
{
    Case c = {.what = what};
    size_t n = sizeof(before) - 1;
    memcpy(c.text, before, n);
    memcpy(c.text + n, form, len);
    memcpy(c.text + n + len, after, sizeof(after) - 1);
    c.len = n + len + sizeof(after) - 1;
    c.from = n + skip;
    c.to = n + len - cut;
    check_all_splits(forms, &c);
}

typedef void Encode(Buf *out, unsigned char byte, size_t index);

static void percent_upper(Buf *out, unsigned char byte, size_t index)
{
    (void)index;
    assert_int_equal(buf_printf(out, "%%%02X", byte), 0);
}

static void percent_lower(Buf *out, unsigned char byte, size_t index)
{
    (void)index;
    assert_int_equal(buf_printf(out, "%%%02x", byte), 0);
}

static void percent_minimal(Buf *out, unsigned char byte, size_t index)
{
    bool plain = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    if (plain || (byte >= '0' && byte <= '9') || (byte && strchr("-._~", byte)))
        assert_int_equal(buf_append(out, &byte, 1), 0);
    else
        percent_upper(out, byte, index);
}

static void percent_mixed(Buf *out, unsigned char byte, size_t index)
{
    (index % 3 ? percent_minimal : index % 2 ? percent_upper : percent_lower)(out, byte, index);
}

static void json_all(Buf *out, unsigned char byte, size_t index)
{
    assert_int_equal(buf_printf(out, index % 2 ? "\\u%04x" : "\\u%04X", byte), 0);
}

static void json_minimal(Buf *out, unsigned char byte, size_t index)
{
    (void)index;
    if (byte == '"' || byte == '\\')
        assert_int_equal(buf_append(out, "\\", 1), 0);
    assert_int_equal(buf_append(out, &byte, 1), 0);
}

static void json_slash(Buf *out, unsigned char byte, size_t index)
{
    if (byte == '/')
        assert_int_equal(buf_append(out, "\\", 1), 0);
    json_minimal(out, byte, index);
}

static void json_mixed(Buf *out, unsigned char byte, size_t index)
{
    (index % 2 ? json_all : json_slash)(out, byte, index);
}

static void hex_upper(Buf *out, unsigned char byte, size_t index)
{
    (void)index;
    assert_int_equal(buf_printf(out, "%02X", byte), 0);
}

static void hex_lower(Buf *out, unsigned char byte, size_t index)
{
    (void)index;
    assert_int_equal(buf_printf(out, "%02x", byte), 0);
}

static const struct {
    const char *what;
    Encode *encode;
} encoding[] = {
    {"percent, upper case", percent_upper}, {"percent, lower case", percent_lower},
    {"percent, minimal", percent_minimal},  {"percent, mixed", percent_mixed},
    {"JSON, all escaped", json_all},        {"JSON, minimal", json_minimal},
    {"JSON, slashes", json_slash},          {"JSON, mixed", json_mixed},
    {"hex, upper case", hex_upper},         {"hex, lower case", hex_lower},
};

static void check_base64(const ScrubForms *forms, Slice token)
{
    static const int variant[] = {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_URLSAFE};
    for (size_t user = 0; user < 7; user++) {
        for (size_t tail = 0; tail < 3; tail++) {
            char plain[512] = "x7-q@:", coded[1024];
            memcpy(plain + user, token.ptr, token.len);
            memcpy(plain + user + token.len, "~!", tail);
            for (size_t v = 0; v < COUNT_OF(variant); v++) {
                size_t n = user + token.len + tail;
                sodium_bin2base64(coded, sizeof(coded), (unsigned char *)plain, n, variant[v]);
                size_t len = strlen(coded), from = (8 * user + 5) / 6, to = 8 * (user + token.len) / 6;
                check_form(forms, "base64", coded, len, from, len - to);
            }
        }
    }
}

static const char *const tokens[] = {
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "bkua_0123456789abcdef0123456789abcdef01234567",
    "s.%41/b+\\\"=x y&\\u0041",
    "//++//++>?>?>?>?",
    "aaaaaaaaaaab",
    "\xc3\xa9t\xc3\xa9-\xf0\x9f\x94\x91-key",
    "wxyz1234",
    "a+b c%20d",
    "Jenkins-11",
    "-_-_-_\xff\xfe~~",
};

static void test_no_form_comes_through_at_any_split(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(tokens); t++) {
        Slice token = slice_of(tokens[t]);
        ScrubForms *forms;
        assert_int_equal(scrub_forms_new(token, &forms), 0);
        check_form(forms, "raw", token.ptr, token.len, 0, 0);
        for (size_t i = 0; i < COUNT_OF(encoding); i++) {
            CLEANUP_BUF Buf form = BUF_INIT(2048);
            for (size_t k = 0; k < token.len; k++)
                encoding[i].encode(&form, (unsigned char)token.ptr[k], k);
            check_form(forms, encoding[i].what, form.data, form.len, 0, 0);
        }
        check_base64(forms, token);
        scrub_forms_free(forms);
    }
}

static void test_what_encoders_really_write_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *token, *text;
        size_t cut; /* characters at the end that hold four bits of it */
    } written[] = {
        {"\xc3\xa9t\xc3\xa9-\xf0\x9f\x94\x91-key", "\\u00e9t\\u00E9-\\ud83d\\udd11-key", 0},
        {"\xc3\xa9t\xc3\xa9-\xf0\x9f\x94\x91-key", "%C3%a9t\xc3\xa9-%F0%9F%94%91-key", 0},
        {"pass word 99", "pass+word%2099", 0},
        {"//++//++>?>?", "Ly8rKy8vKys+Pz4\\/", 0},
        {"//++//++>?>?", "Ly8rKy8vKys%2BPz4%2f", 0},
        {"//++//++>?>?", "Ly8rKy8vKys\\u002BPz4\\u002f", 0},
        {"\xfb\xef\xbe\xfb\xef\xbe\xfb\xef\xbe", "++\\u002B+\\u002b%2B++\r\n\\u002B+++", 0},
        {"ghp_16C7e42F292c6912E7710c838347Ae178B4a",
         "Z2hwXzE2QzdlNDJGMjky\\nYzY5MTJFNzcxMGM4MzgzNDdB\r\nZTE3OEI0YQ", 1},
    };
    for (size_t i = 0; i < COUNT_OF(written); i++) {
        ScrubForms *forms;
        const char *text = written[i].text;
        assert_int_equal(scrub_forms_new(slice_of(written[i].token), &forms), 0);
        check_form(forms, text, text, strlen(text), 0, written[i].cut);
        scrub_forms_free(forms);
    }
}

/* What is held back tells nothing: it is the same whatever the bytes are. */
static void test_other_text_passes_unchanged_and_so_much_is_held_back_whatever_it_is(void **state)
{
    (void)state;
    static const char *const ends[] = {"nothing like it at all here", "ghp_16C7e42F292c6912E7710c8",
                                       "ghp_16C7e42F292c6912E7710c9", "2hwXzE2QzdlNDJGMjkyYzY5MTJF",
                                       "%67%68%70%5F%31%36%43%37%65", "\\u0067\\u0068\\u0070\\u00"};
    ScrubForms *forms;
    assert_int_equal(scrub_forms_new(slice_of(tokens[0]), &forms), 0);
    size_t hold = scrub_longest(forms) - 1;
    assert_int_equal(hold, 9 * strlen(tokens[0]) - 1);
    Scrub *scrub = scrub_new();
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        for (size_t len = 0; len < 600; len += 7) {
            char text[700], copy[sizeof(text)], more[2] = "!";
            memset(text, '.', sizeof(text));
            memcpy(text + len, ends[i], strlen(ends[i]));
            len += strlen(ends[i]);
            memcpy(copy, text, sizeof(text));
            Slice out;
            unsigned hits = 0;
            scrub_begin(scrub, forms);
            assert_int_equal(scrub_piece(scrub, copy, len, false, &out, &hits), 0);
            assert_int_equal(out.len, len > hold ? len - hold : 0);
            assert_memory_equal(out.ptr, text, out.len);
            size_t had = out.len;
            assert_int_equal(scrub_piece(scrub, more, 1, false, &out, &hits), 0);
            assert_int_equal(out.len, len + 1 > hold ? len + 1 - hold - had : 0);
            had += out.len;
            assert_int_equal(scrub_piece(scrub, more, 0, true, &out, &hits), 0);
            assert_int_equal(had + out.len, len + 1);
            assert_memory_equal(out.ptr, text + had, out.len - 1);
            assert_int_equal(hits, 0);
            len -= strlen(ends[i]);
        }
    }
    scrub_free(scrub);
    scrub_forms_free(forms);
}

static void add_piece_of(Buf *text, Slice token)
{
    static const char *const other[] = {"%",    "\\", "\\u00", "\r\n", "\n",     "+",       "%2",
                                        "=\\/", "\"", "%25",   "_-_",  "\\u002", "\\u002b", "\\u002F"};
    size_t skip = randombytes_uniform((uint32_t)token.len / 2);
    char coded[128];
    unsigned kind = randombytes_uniform(16);
    if (kind < COUNT_OF(encoding)) {
        for (size_t i = skip; i < token.len; i++)
            encoding[kind].encode(text, (unsigned char)token.ptr[i], i);
    } else if (kind < 13) {
        sodium_bin2base64(coded, sizeof(coded), (const unsigned char *)token.ptr + skip, token.len - skip,
                          kind == 10 ? sodium_base64_VARIANT_URLSAFE : sodium_base64_VARIANT_ORIGINAL);
        size_t cut = strlen(coded) / 2;
        assert_int_equal(buf_printf(text, "%.*s%s%s", (int)cut, coded, kind == 12 ? "\\n" : "", coded + cut),
                         0);
    } else {
        assert_int_equal(buf_append_slice(text, slice_of(other[randombytes_uniform(COUNT_OF(other))])), 0);
    }
}

/* The filter against the comparison of every place with every form. */
static void test_the_filter_lets_nothing_through_that_is_a_form(void **state)
{
    (void)state;
    unsigned found = 0;
    for (unsigned round = 0; round < 3000; round++) {
        Slice token = slice_of(tokens[round % COUNT_OF(tokens)]);
        CLEANUP_BUF Buf text = BUF_INIT(1u << 16);
        Scan *scan = mem_new(1, sizeof(Scan) + token.len + FIND_WINDOW);
        scan->len = token.len;
        memcpy(scan->token, token.ptr, token.len);
        find_prepare(scan);
        for (unsigned i = 0; i < 12; i++) {
            if (randombytes_uniform(4) == 0)
                assert_int_equal(buf_append_slice(&text, token), 0);
            add_piece_of(&text, token);
        }
        size_t end = randombytes_uniform((uint32_t)text.len) + 1, n = 0;
        const unsigned char *bytes = (const unsigned char *)text.data;
        Hits hits = {0};
        find_forms(scan, FIND_IN_BODY, buf_slice(&text), end, &hits);
        for (size_t at = 0; at < end; at++) {
            size_t len = form_match(scan, ~0u, bytes + at, text.len - at), most = 0;
            for (; n < hits.n && hits.hit[n].at == at; n++)
                most = hits.hit[n].len > most ? hits.hit[n].len : most;
            if (most != len)
                fail_msg("%s: %zu bytes at %zu, %zu were found, in:\n%.*s", token.ptr, len, at, most,
                         (int)text.len, text.data);
            found += len > 0;
        }
        assert_int_equal(n, hits.n);
        hits_done(&hits);
        mem_free(scan);
    }
    assert_true(found > 3000);
}

static int64_t least_time(const ScrubForms *forms, const char *guess, size_t len)
{
    static char text[16384], bytes[sizeof(text)];
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = guess[i % len];
    for (unsigned round = 0; round < 60; round++) {
        struct timespec from, to;
        memcpy(bytes, text, sizeof(text));
        clock_gettime(CLOCK_MONOTONIC, &from);
        scrub_whole(forms, bytes, sizeof(bytes));
        clock_gettime(CLOCK_MONOTONIC, &to);
        int64_t ns = (to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
        least = ns < least ? ns : least;
    }
    return least;
}

/* Guesses that are right as far as they go take no longer than wrong ones, until the first eight bytes are
 * right. */
static void test_time_tells_no_part_of_a_guess(void **state)
{
    (void)state;
    ScrubForms *forms;
    assert_int_equal(scrub_forms_new(slice_of(tokens[0]), &forms), 0);
    char base64[] = "Z2hwXzE2Qzdl", escaped[64];
    int64_t all = least_time(forms, tokens[0], 8);
    for (size_t right = 1; right < 8; right++) {
        char guess[9], wrong[9];
        snprintf(guess, sizeof(guess), "%.*s", (int)right, tokens[0]);
        memcpy(wrong, guess, sizeof(guess));
        wrong[right - 1] ^= 1;
        int64_t a = least_time(forms, guess, right), b = least_time(forms, wrong, right);
        if (a > 2 * b || 3 * a > all)
            fail_msg("%zu right bytes take %lld ns, with one wrong %lld, 8 right %lld", right, (long long)a,
                     (long long)b, (long long)all);
        a = least_time(forms, base64, right);
        if (a > 2 * b)
            fail_msg("%zu right characters of base64 take %lld ns, other text %lld", right, (long long)a,
                     (long long)b);
        snprintf(escaped, sizeof(escaped), "%%%02x%s", (unsigned char)guess[0], guess + 1);
        a = least_time(forms, escaped, strlen(escaped));
        snprintf(escaped, sizeof(escaped), "%%%02x%s", (unsigned char)wrong[0] ^ 2, wrong + 1);
        b = least_time(forms, escaped, strlen(escaped));
        if (a > 2 * b)
            fail_msg("%zu right bytes, one escaped, take %lld ns, wrong ones %lld", right, (long long)a,
                     (long long)b);
    }
    scrub_forms_free(forms);
}

static void test_hits_that_overlap_leave_nothing_between(void **state)
{
    (void)state;
    char text[] = "x abababababab y";
    ScrubForms *forms;
    assert_int_equal(scrub_forms_new(SLICE_LITERAL("abababab"), &forms), 0);
    assert_int_equal(scrub_whole(forms, text, sizeof(text) - 1), 3);
    assert_string_equal(text, "x ************ y");
    for (size_t split = 0; split < sizeof(text); split++) {
        char again[] = "x abababababab y", joined[32] = "";
        Slice out;
        unsigned hits = 0;
        Scrub *scrub = scrub_new();
        scrub_begin(scrub, forms);
        assert_int_equal(scrub_piece(scrub, again, split, false, &out, &hits), 0);
        strncat(joined, out.ptr, out.len);
        assert_int_equal(scrub_piece(scrub, again + split, sizeof(again) - 1 - split, true, &out, &hits), 0);
        strncat(joined, out.ptr, out.len);
        assert_string_equal(joined, "x ************ y");
        scrub_free(scrub);
    }
    scrub_forms_free(forms);
}

static void test_a_head_and_its_first_piece_are_two_texts(void **state)
{
    (void)state;
    char head[] = "Link: secretxy, secret", piece[] = "xy; secretxy.";
    ScrubForms *forms;
    Slice out;
    unsigned hits = 0;
    assert_int_equal(scrub_forms_new(SLICE_LITERAL("secretxy"), &forms), 0);
    Scrub *scrub = scrub_new();
    Slice whole = {head, sizeof(head) - 1};
    assert_int_equal(scrub_first(scrub, forms, whole, (Slice){piece, sizeof(piece) - 1}, false, &out, &hits),
                     0);
    assert_string_equal(head, "Link: ********, secret");
    assert_int_equal(out.len, 0);
    assert_int_equal(scrub_piece(scrub, piece, 0, true, &out, &hits), 0);
    assert_int_equal(out.len, sizeof(piece) - 1);
    assert_memory_equal(out.ptr, "xy; ********.", out.len);
    assert_int_equal(hits, 2);
    char half[] = "..secre";
    assert_int_equal(
        scrub_first(scrub, forms, (Slice){"", 0}, (Slice){half, sizeof(half) - 1}, false, &out, &hits), 0);
    assert_int_equal(out.len, 0);
    char rest[] = "txy.";
    assert_int_equal(scrub_piece(scrub, rest, sizeof(rest) - 1, true, &out, &hits), 0);
    assert_int_equal(out.len, 11);
    assert_memory_equal(out.ptr, "..********.", out.len);
    assert_int_equal(hits, 3);
    scrub_free(scrub);
    scrub_forms_free(forms);
}

static void test_a_token_too_short_to_be_searched_for_is_none(void **state)
{
    (void)state;
    ScrubForms *forms;
    for (size_t len = 0; len < SECRET_MIN_TOKEN; len++)
        assert_int_equal(scrub_forms_new((Slice){"qzwabcdefgh", len}, &forms), -EINVAL);
    assert_int_equal(scrub_forms_new((Slice){"qzwabcdefgh", SECRET_MIN_TOKEN}, &forms), 0);
    scrub_forms_free(forms);
}

/* They are sent with it, and a server takes them off: what it sees is what it can send back. */
static void test_blanks_at_a_tokens_ends_hide_it_from_nobody(void **state)
{
    (void)state;
    static const char *const stored[] = {" qzwabcdefgh", "qzwabcdefgh ", "  qzwabcdefgh  "};
    for (size_t i = 0; i < COUNT_OF(stored); i++) {
        char text[] = "<qzwabcdefgh> <cXp3YWJjZGVmZ2g=>";
        ScrubForms *forms;
        assert_int_equal(scrub_forms_new(slice_of(stored[i]), &forms), 0);
        assert_int_equal(scrub_longest(forms), 9 * 11);
        assert_int_equal(scrub_whole(forms, text, strlen(text)), 2);
        assert_string_equal(text, "<***********> <**************g=>");
        scrub_forms_free(forms);
    }
    ScrubForms *forms;
    assert_int_equal(scrub_forms_new(slice_of("abcdefg    "), &forms), -EINVAL);
}

static void test_the_longest_token_is_found_and_held_back_within_its_bound(void **state)
{
    (void)state;
    size_t len = SECRET_MAX_TOKEN;
    char *token = mem_new(len, 1), *text = mem_new(3 * len, 1);
    for (size_t i = 0; i < len; i++)
        token[i] = (char)('!' + randombytes_uniform(94));
    memset(text, '.', 3 * len);
    memcpy(text + 1000, token, len);
    ScrubForms *forms, *none;
    assert_int_equal(scrub_forms_new((Slice){token, len}, &forms), 0);
    assert_int_equal(scrub_forms_new((Slice){token, len + 1}, &none), -E2BIG);
    Scrub *scrub = scrub_new();
    scrub_begin(scrub, forms);
    size_t total = 0, stars = 0;
    unsigned hits = 0;
    for (size_t at = 0; at < 3 * len; at += 4096) {
        Slice out;
        assert_int_equal(scrub_piece(scrub, text + at, 4096, at + 4096 == 3 * len, &out, &hits), 0);
        for (size_t i = 0; i < out.len; i++)
            stars += out.ptr[i] == '*';
        total += out.len;
    }
    assert_int_equal(total, 3 * len);
    assert_int_equal(stars, len);
    assert_int_equal(hits, 1);
    scrub_free(scrub);
    scrub_forms_free(forms);
    mem_free(token);
    mem_free(text);
}

static void test_a_stream_given_up_leaves_nothing_for_the_next(void **state)
{
    (void)state;
    char bytes[] = "xx ghp_16C7e42F29", more[] = "2c6912E7710c838347Ae178B4a";
    ScrubForms *forms;
    Slice out;
    unsigned hits = 0;
    assert_int_equal(scrub_forms_new(slice_of(tokens[0]), &forms), 0);
    Scrub *scrub = scrub_new();
    scrub_begin(scrub, forms);
    assert_int_equal(scrub_piece(scrub, bytes, sizeof(bytes) - 1, false, &out, &hits), 0);
    assert_int_equal(out.len, 0);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 17); /* moved, not copied */
    scrub_begin(scrub, forms);
    assert_int_equal(scrub_piece(scrub, more, sizeof(more) - 1, true, &out, &hits), 0);
    assert_int_equal(out.len, sizeof(more) - 1);
    assert_memory_equal(out.ptr, "2c69", 4);
    assert_int_equal(hits, 0);
    scrub_begin(scrub, NULL);
    assert_int_equal(scrub_piece(scrub, more, 1, true, &out, &hits), -EINVAL);
    scrub_free(scrub);
    scrub_forms_free(forms);
}

static void test_what_cannot_be_searched_does_not_go_on(void **state)
{
    (void)state;
    char text[] = "any text", bytes[] = "any text";
    ScrubForms *forms;
    Slice out;
    unsigned hits = 0;
    assert_int_equal(scrub_forms_new(slice_of(tokens[0]), &forms), 0);
    void *rest[4096];
    size_t n = 0;
    while ((rest[n] = secret_alloc(64)))
        n++;
    assert_int_equal(scrub_whole(forms, text, sizeof(text) - 1), 1);
    assert_string_equal(text, "********");
    Scrub *scrub = scrub_new();
    scrub_begin(scrub, forms);
    assert_int_equal(scrub_piece(scrub, bytes, sizeof(bytes) - 1, true, &out, &hits), -ENOMEM);
    scrub_free(scrub);
    while (n)
        secret_release(rest[--n], 64);
    scrub_forms_free(forms);
}

static int start(void **state)
{
    (void)state;
    return secret_init(64u << 10, NULL);
}

static int stop(void **state)
{
    (void)state;
    secret_done();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_form_comes_through_at_any_split),
        cmocka_unit_test(test_what_encoders_really_write_is_found),
        cmocka_unit_test(test_other_text_passes_unchanged_and_so_much_is_held_back_whatever_it_is),
        cmocka_unit_test(test_the_filter_lets_nothing_through_that_is_a_form),
        cmocka_unit_test(test_time_tells_no_part_of_a_guess),
        cmocka_unit_test(test_hits_that_overlap_leave_nothing_between),
        cmocka_unit_test(test_a_head_and_its_first_piece_are_two_texts),
        cmocka_unit_test(test_a_token_too_short_to_be_searched_for_is_none),
        cmocka_unit_test(test_blanks_at_a_tokens_ends_hide_it_from_nobody),
        cmocka_unit_test(test_the_longest_token_is_found_and_held_back_within_its_bound),
        cmocka_unit_test(test_a_stream_given_up_leaves_nothing_for_the_next),
        cmocka_unit_test(test_what_cannot_be_searched_does_not_go_on),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
