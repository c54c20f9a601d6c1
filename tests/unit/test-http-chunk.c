/* Chunks are read the same however they arrive, and only if they are exactly chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/chunk.h"

typedef struct Read {
    char body[65536];
    size_t len, left; /* left: bytes of the input that were not taken */
    int result;
} Read;

/* The input in two pieces, cut at `at`. */
static void read_cut(const char *text, size_t len, size_t at, Read *ret)
{
    ChunkReader reader = {0};
    Slice piece[2] = {{text, at}, {text + at, len - at}}, part;
    ret->len = 0;
    for (size_t i = 0; i < 2; i++) {
        while ((ret->result = chunk_read(&reader, &piece[i], &part)) == 0) {
            assert_true(part.len > 0);
            memcpy(ret->body + ret->len, part.ptr, part.len);
            ret->len += part.len;
        }
        ret->left = piece[i].len + (i ? 0 : piece[1].len);
        if (ret->result != CHUNK_E_MORE)
            return;
    }
}

static void a_body_is_the_same_wherever_it_is_cut(void **state)
{
    (void)state;
    static const char text[] = "5\r\nhello\r\n00A;name=\"value\"\r\n, world!!\n\r\n1\r\nx\r\n"
                               "0\r\nTrailer: 1\r\nAnother: 2\r\n\r\nNEXT";
    static Read got;
    size_t len = sizeof(text) - 1;
    for (size_t at = 0; at <= len; at++) {
        read_cut(text, len, at, &got);
        assert_int_equal(got.result, CHUNK_E_END);
        assert_int_equal(got.left, 4);
        assert_int_equal(got.len, 16);
        assert_memory_equal(got.body, "hello, world!!\nx", 16);
    }
    for (size_t n = 0; n < len - 4; n++) {
        read_cut(text, n, 0, &got);
        assert_int_equal(got.result, CHUNK_E_MORE);
    }
}

static void an_end_stays_an_end_and_a_break_a_break(void **state)
{
    (void)state;
    ChunkReader reader = {0};
    Slice input = SLICE_LITERAL("0\r\n\r\n5\r\nhello\r\n"), part;
    assert_int_equal(chunk_read(&reader, &input, &part), CHUNK_E_END);
    assert_int_equal(chunk_read(&reader, &input, &part), CHUNK_E_END);
    assert_int_equal(input.len, 10);
    reader = (ChunkReader){0};
    input = SLICE_LITERAL("x5\r\nhello\r\n");
    assert_int_equal(chunk_read(&reader, &input, &part), CHUNK_E_BAD);
    assert_int_equal(chunk_read(&reader, &input, &part), CHUNK_E_BAD);
}

static void what_is_not_exactly_a_chunk_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n",
        ";x\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        " 5\r\nhello",
        "5 \r\nhello",
        "5\t\r\nhello",
        "5_0\r\n",
        "5\nhello\r\n",
        "5\rhello\r\n",
        "5\r\nhello\n0",
        "5\r\nhello0\r\n",
        "5\r\nhello!\r\n",
        "5\r\nhello\r\r\n",
        "g\r\n",
        "5;a\nb\r\n",
        "5;a\rb\r\n",
        "5;a\x01\r\n",
        "10000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "8000000000000000\r\n",
        "00000000000000005\r\n",
        "0\r\n\n",
        "0\r\nX: 1\n\r\n",
        "0\r\nX: 1\r\r\n",
        "0\r\nX\x01: 1\r\n",
        "5, 5\r\n",
        "\xef\xbc\x95\r\n",
    };
    static Read got;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        for (size_t at = 0; at <= strlen(bad[i]); at++) {
            read_cut(bad[i], strlen(bad[i]), at, &got);
            if (got.result != CHUNK_E_BAD)
                fail_msg("%d for %s", got.result, bad[i]);
        }
}

static int read_repeated(const char *before, char fill, size_t n, const char *after)
{
    static char text[16384];
    static Read got;
    size_t start = strlen(before), end = strlen(after);
    memcpy(text, before, start);
    memset(text + start, fill, n);
    memcpy(text + start + n, after, end);
    read_cut(text, start + n + end, 1, &got);
    return got.result;
}

static void extensions_and_trailers_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(read_repeated("0;", 'a', 256, "\r\n\r\n"), CHUNK_E_END);
    assert_int_equal(read_repeated("0;", 'a', 257, "\r\n\r\n"), CHUNK_E_BAD);
    assert_int_equal(read_repeated("0\r\n", 'a', 8192, "\r\n\r\n"), CHUNK_E_END);
    assert_int_equal(read_repeated("0\r\n", 'a', 8193, "\r\n\r\n"), CHUNK_E_BAD);
    assert_int_equal(read_repeated("0\r\nA: b\r\n", 'a', 8190, "\r\n\r\n"), CHUNK_E_BAD);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 9, 10, 15, 16, 255, 256, 4096, 32768};
    static char text[40000];
    static Read got;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t n = chunk_head(text, sizes[i]);
        memset(text + n, 'z', sizes[i]);
        n += sizes[i];
        memcpy(text + n, "\r\n" CHUNK_END, 7);
        read_cut(text, n + 7, n / 2, &got);
        assert_int_equal(got.result, CHUNK_E_END);
        assert_int_equal(got.len, sizes[i]);
    }
    char longest[20];
    assert_int_equal(chunk_head(longest, SIZE_MAX), 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_the_same_wherever_it_is_cut),
        cmocka_unit_test(an_end_stays_an_end_and_a_break_a_break),
        cmocka_unit_test(what_is_not_exactly_a_chunk_is_refused),
        cmocka_unit_test(extensions_and_trailers_are_bounded),
        cmocka_unit_test(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
