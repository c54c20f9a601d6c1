/* A buffer never grows past its maximum, never appends half, and leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/wire.h"

#include <errno.h>

static void it_holds_its_maximum_and_not_a_byte_more(void **state)
{
    (void)state;
    CLEANUP_BUF Buf buf = BUF_INIT(10);
    assert_int_equal(buf_append_text(&buf, "0123456789"), 0);
    assert_int_equal(buf_append(&buf, "x", 1), -ENOBUFS);
    assert_int_equal(buf_printf(&buf, "%d", 1), -ENOBUFS);
    assert_int_equal(buf.len, 10);
    assert_string_equal(buf_text(&buf), "0123456789");
}

static void what_does_not_fit_is_not_appended_in_part(void **state)
{
    (void)state;
    CLEANUP_BUF Buf buf = BUF_INIT(10);
    assert_int_equal(buf_append_text(&buf, "0123"), 0);
    assert_int_equal(buf_append_text(&buf, "4567890"), -ENOBUFS);
    assert_string_equal(buf_text(&buf), "0123");
    char *at;
    assert_int_equal(buf_reserve(&buf, SIZE_MAX, &at), -ENOBUFS);
}

static void it_grows_and_keeps_what_it_has(void **state)
{
    (void)state;
    CLEANUP_BUF Buf buf = BUF_INIT(100000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_printf(&buf, "%d,", i % 10), 0);
    assert_int_equal(buf.len, 20000);
    assert_true(slice_starts(buf_slice(&buf), "0,1,2,") && slice_ends(buf_slice(&buf), "8,9,"));
}

static void what_is_dropped_is_wiped(void **state)
{
    (void)state;
    CLEANUP_BUF Buf buf = BUF_INIT(64);
    assert_int_equal(buf_append_text(&buf, "abcdef"), 0);
    buf_consume(&buf, 2);
    assert_string_equal(buf_text(&buf), "cdef");
    assert_int_equal(buf.data[5], 0); /* where "f" was */
    buf_truncate(&buf, 1);
    assert_memory_equal(buf.data, "c\0\0\0", 4);
    buf_reset(&buf);
    assert_memory_equal(buf.data, "\0\0\0\0", 4);
}

static void a_record_is_read_as_it_was_written(void **state)
{
    (void)state;
    unsigned char bytes[64];
    WireWriter writer = WIRE_WRITER(bytes);
    wire_put_u8(&writer, 200);
    wire_put_u16(&writer, 60000);
    wire_put_u32(&writer, 4000000000u);
    wire_put_u64(&writer, UINT64_MAX);
    wire_put_i64(&writer, -7);
    wire_put_text(&writer, "text");
    wire_put_text(&writer, NULL);
    assert_false(writer.failed);
    for (size_t cut = 0; cut < writer.len; cut++) {
        WireReader reader = WIRE_READER(bytes, cut);
        wire_get_u8(&reader), wire_get_u16(&reader), wire_get_u32(&reader), wire_get_u64(&reader);
        wire_get_i64(&reader), wire_get_slice(&reader, 10), wire_get_slice(&reader, 10);
        assert_int_equal(wire_finish(&reader), -EBADMSG);
    }
    WireReader reader = WIRE_READER(bytes, writer.len);
    assert_int_equal(wire_get_u8(&reader), 200);
    assert_int_equal(wire_get_u16(&reader), 60000);
    assert_int_equal(wire_get_u32(&reader), 4000000000u);
    assert_true(wire_get_u64(&reader) == UINT64_MAX);
    assert_int_equal(wire_get_i64(&reader), -7);
    assert_true(slice_is(wire_get_slice(&reader, 4), "text"));
    assert_int_equal(wire_finish(&reader), -EBADMSG); /* something is left */
    assert_int_equal(wire_get_slice(&reader, 0).len, 0);
    assert_int_equal(wire_finish(&reader), 0);
}

static void a_lying_length_reads_nothing(void **state)
{
    (void)state;
    WireReader longer = WIRE_READER("\xff\xff\xff\xff"
                                    "abcd",
                                    8);
    assert_int_equal(wire_get_slice(&longer, SIZE_MAX).len, 0);
    assert_true(longer.failed);
    WireReader bounded = WIRE_READER("\x04\0\0\0"
                                     "abcd",
                                     8);
    assert_int_equal(wire_get_slice(&bounded, 3).len, 0);
    assert_true(bounded.failed);
    WireReader flag = WIRE_READER("\2", 1);
    wire_get_bool(&flag);
    assert_true(flag.failed);
}

static void a_writer_that_is_full_stays_failed(void **state)
{
    (void)state;
    unsigned char bytes[6];
    WireWriter writer = WIRE_WRITER(bytes);
    wire_put_u32(&writer, 1);
    wire_put_u32(&writer, 2);
    wire_put_u8(&writer, 3); /* would fit */
    assert_true(writer.failed);
    assert_int_equal(writer.len, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_its_maximum_and_not_a_byte_more),
        cmocka_unit_test(what_does_not_fit_is_not_appended_in_part),
        cmocka_unit_test(it_grows_and_keeps_what_it_has),
        cmocka_unit_test(what_is_dropped_is_wiped),
        cmocka_unit_test(a_record_is_read_as_it_was_written),
        cmocka_unit_test(a_lying_length_reads_nothing),
        cmocka_unit_test(a_writer_that_is_full_stays_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
