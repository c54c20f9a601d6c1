/* The table holds; records go whole or not at all; nothing that comes in is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ipc/clerk.h"
#include "ipc/gate.h"
#include "ipc/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

static unsigned char room[IPC_MAX_RECORD];

typedef struct Pair {
    IpcPeer gate, keeper;
} Pair;

static Pair make_pair(void)
{
    int fd[2];
    assert_int_equal(ipc_pair(true, fd), 0);
    return (Pair){{fd[0], IPC_GATE, IPC_KEEPER, IPC_OPEN}, {fd[1], IPC_KEEPER, IPC_GATE, IPC_OPEN}};
}

static void close_pair(Pair *pair)
{
    fd_close(&pair->gate.fd);
    fd_close(&pair->keeper.fd);
}

static void a_record_arrives_as_it_was_sent(void **state)
{
    (void)state;
    Pair pair = make_pair();
    IpcRecord record;
    assert_int_equal(ipc_send(&pair.gate, IPC_BODY, SLICE_LITERAL("some bytes"), NULL, 0), 0);
    assert_int_equal(ipc_recv(&pair.keeper, room, &record), 0);
    assert_int_equal(record.type, IPC_BODY);
    assert_true(slice_is(record.payload, "some bytes"));
    assert_int_equal(ipc_recv(&pair.keeper, room, &record), -EAGAIN);
    close_pair(&pair);
}

static void the_ports_of_egress_reach_the_keeper_and_no_endless_list_does(void **state)
{
    (void)state;
    uint16_t port[IPC_MAX_PORTS + 1] = {443, 8443};
    KeeperSetup setup = {.egress_port = port, .n_egress_port = 2}, got;
    unsigned char bytes[4096];
    WireWriter wire = WIRE_WRITER(bytes);
    keeper_setup_put(&setup, &wire);
    WireReader reader = WIRE_READER(bytes, wire.len);
    assert_int_equal(keeper_setup_get(&reader, &got), 0);
    assert_int_equal(got.n_egress_port, 2);
    assert_int_equal(got.egress_port[1], 8443);
    keeper_setup_done(&got);

    setup.n_egress_port = IPC_MAX_PORTS + 1;
    WireWriter again = WIRE_WRITER(bytes);
    keeper_setup_put(&setup, &again);
    reader = (WireReader)WIRE_READER(bytes, again.len);
    assert_int_equal(keeper_setup_get(&reader, &got), -EBADMSG);
}

static void a_sender_cannot_send_what_the_table_forbids(void **state)
{
    (void)state;
    Pair pair = make_pair();
    assert_int_equal(ipc_send(&pair.gate, IPC_RESPONSE, SLICE_LITERAL("x"), NULL, 0), -EPROTO);
    assert_int_equal(ipc_send(&pair.gate, IPC_CONNECTION, SLICE_LITERAL(""), NULL, 0), -EPROTO);
    assert_int_equal(ipc_send(&pair.gate, 9999, SLICE_LITERAL(""), NULL, 0), -EPROTO);
    close_pair(&pair);
}

static void a_receiver_refuses_what_the_table_forbids_and_keeps_no_descriptor(void **state)
{
    (void)state;
    Pair pair = make_pair();
    IpcRecord record;
    IpcPeer liar = pair.gate; /* a gate in somebody's hands that speaks as a keeper */
    liar.self = IPC_KEEPER, liar.other = IPC_GATE;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(ipc_send(&liar, IPC_TUNNEL_OPEN, SLICE_LITERAL("x"), &null, 1), 0);
    int next_before = dup(null);
    close(next_before);
    assert_int_equal(ipc_recv(&pair.keeper, room, &record), -EPROTO);
    int next_after = dup(null);
    assert_int_equal(next_after, next_before);
    close(next_after);
    close(null);
    close_pair(&pair);
}

static void garbage_on_the_socket_is_a_protocol_error(void **state)
{
    (void)state;
    static const char *const garbage[] = {"", "x", "\1\0\101\0", "\1\0\101\0\5\0\0\0abc",
                                          "\2\0\101\0\0\0\0\0"};
    static const size_t len[] = {1, 1, 4, 11, 8};
    for (size_t i = 0; i < COUNT_OF(garbage); i++) {
        Pair pair = make_pair();
        IpcRecord record;
        assert_int_equal(send(pair.gate.fd, garbage[i], len[i], 0), (ssize_t)len[i]);
        assert_int_equal(ipc_recv(&pair.keeper, room, &record), -EPROTO);
        close_pair(&pair);
    }
}

static void a_record_that_does_not_fit_now_is_not_half_sent(void **state)
{
    (void)state;
    static char big[STREAM_PIECE];
    Pair pair = make_pair();
    IpcRecord record;
    unsigned sent = 0, got = 0;
    while (ipc_send(&pair.gate, IPC_BODY, (Slice){big, sizeof(big)}, NULL, 0) == 0)
        sent++;
    assert_in_range(sent, 1, 1000);
    for (; ipc_recv(&pair.keeper, room, &record) == 0; got++)
        assert_int_equal(record.payload.len, sizeof(big));
    assert_int_equal(got, sent);
    close_pair(&pair);
}

static void a_request_survives_the_way_and_each_cut_of_it_is_refused(void **state)
{
    (void)state;
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    static HttpHeader in[HTTP_MAX_HEADERS], out[HTTP_MAX_HEADERS];
    in[0] = (HttpHeader){SLICE_LITERAL("Accept"), SLICE_LITERAL("application/json")};
    StreamRequest request = {.source = 3,
                             .host = 2,
                             .host_name = SLICE_LITERAL("a1.blob.example"),
                             .method = HTTP_POST,
                             .method_text = SLICE_LITERAL("POST"),
                             .target = SLICE_LITERAL("/a/b?c=d"),
                             .path_len = 4,
                             .has_body = true,
                             .end = true,
                             .content_length = 2,
                             .credential = SLICE_LITERAL("psl_1abc"),
                             .header = in,
                             .n_header = 1,
                             .body = SLICE_LITERAL("{}")};
    StreamRequest got;
    WireWriter writer = WIRE_WRITER(bytes);
    stream_request_put(&request, &writer);
    assert_false(writer.failed);
    WireReader reader = WIRE_READER(bytes, writer.len);
    assert_int_equal(stream_request_get(&reader, out, &got), 0);
    assert_true(slice_is(got.target, "/a/b?c=d"));
    assert_true(slice_is(got.host_name, "a1.blob.example"));
    assert_true(slice_is(got.header[0].value, "application/json"));
    assert_true(slice_is(got.body, "{}"));
    for (size_t cut = 0; cut < writer.len; cut++) {
        WireReader shorter = WIRE_READER(bytes, cut);
        assert_int_equal(stream_request_get(&shorter, out, &got), -EBADMSG);
    }
}

static void an_output_path_cannot_leave_its_folder(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "/etc/shadow", "../x", "a/../b", "a//b", "a/", ".", "a/./b"};
    unsigned char bytes[2048];
    RunOutput output;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        WireWriter writer = WIRE_WRITER(bytes);
        run_output_put(&(RunOutput){slice_of(bad[i]), 1}, &writer);
        WireReader reader = WIRE_READER(bytes, writer.len);
        assert_int_equal(run_output_get(&reader, &output), -EBADMSG);
    }
    WireWriter writer = WIRE_WRITER(bytes);
    run_output_put(&(RunOutput){SLICE_LITERAL("a/b.ndjson"), 7}, &writer);
    WireReader reader = WIRE_READER(bytes, writer.len);
    assert_int_equal(run_output_get(&reader, &output), 0);
    assert_true(slice_is(output.path, "a/b.ndjson"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_arrives_as_it_was_sent),
        cmocka_unit_test(the_ports_of_egress_reach_the_keeper_and_no_endless_list_does),
        cmocka_unit_test(a_sender_cannot_send_what_the_table_forbids),
        cmocka_unit_test(a_receiver_refuses_what_the_table_forbids_and_keeps_no_descriptor),
        cmocka_unit_test(garbage_on_the_socket_is_a_protocol_error),
        cmocka_unit_test(a_record_that_does_not_fit_now_is_not_half_sent),
        cmocka_unit_test(a_request_survives_the_way_and_each_cut_of_it_is_refused),
        cmocka_unit_test(an_output_path_cannot_leave_its_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
