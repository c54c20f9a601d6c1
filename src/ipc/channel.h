/* Sending and receiving records. Never allocates. Works on blocking and non-blocking sockets: -EAGAIN is
 * passed on, and a record goes whole or not at all, so that nothing is ever half-sent. Sends raise no
 * SIGPIPE.
 */
#pragma once

#include "ipc/record.h"

#include <sys/uio.h>

typedef struct IpcRecord {
    uint16_t type;
    Slice payload; /* points into the caller's room */
    int fd[IPC_MAX_FDS];
    size_t n_fd;
} IpcRecord;

/* A connected pair, close-on-exec, non-blocking when asked. */
int ipc_pair(bool nonblocking, int ret_fd[2]) MUST_USE;

/* -EPROTO: the table does not allow it. Descriptors stay the caller's. */
int ipc_send(const IpcPeer *peer, uint16_t type, Slice payload, const int *fd, size_t n_fd) MUST_USE;

/* The payload in pieces (at most 3), so that a body is not copied to be sent. */
int ipc_send_pieces(const IpcPeer *peer, uint16_t type, const struct iovec *piece, int n_piece) MUST_USE;

/* Sends what was put into the writer; -EMSGSIZE when it did not fit. */
int ipc_send_wire(const IpcPeer *peer, uint16_t type, const WireWriter *wire, const int *fd,
                  size_t n_fd) MUST_USE;

/* The next record into `room` (IPC_MAX_RECORD bytes). -ECONNRESET at the other's end; -EPROTO when the table
 * does not allow what came (its descriptors are closed then). Descriptors in the record are the caller's,
 * close-on-exec. */
int ipc_recv(const IpcPeer *peer, void *room, IpcRecord *ret_record) MUST_USE;

void ipc_record_close(IpcRecord *record);         /* closes the descriptors that were not taken */
int ipc_record_take(IpcRecord *record, size_t i); /* moves one out; -1 if it is not there */
