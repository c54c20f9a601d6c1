/* Sending and receiving records. See channel.h. */
#include "ipc/channel.h"

#include <errno.h>
#include <sys/socket.h>

typedef struct Header {
    uint16_t version, type;
    uint32_t len;
} Header;
_Static_assert(sizeof(Header) == IPC_HEADER, "the header is what record.h says");

typedef union Control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * IPC_MAX_FDS)];
} Control;

int ipc_pair(bool nonblocking, int ret_fd[2])
{
    int type = SOCK_SEQPACKET | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0);
    return socketpair(AF_UNIX, type, 0, ret_fd) < 0 ? -errno : 0;
}

static int send_message(const IpcPeer *peer, uint16_t type, const struct iovec *piece, int n_piece,
                        const int *fd, size_t n_fd)
{
    struct iovec part[4];
    size_t len = 0;
    if (n_piece > (int)COUNT_OF(part) - 1)
        return -EINVAL;
    for (int i = 0; i < n_piece; i++) {
        part[i + 1] = piece[i];
        len += piece[i].iov_len;
    }
    if (!ipc_allowed(type, peer->self, peer->other, peer->stage, len, n_fd))
        return -EPROTO;
    Header header = {IPC_VERSION, type, (uint32_t)len};
    part[0] = (struct iovec){&header, sizeof(header)};
    struct msghdr message = {.msg_iov = part, .msg_iovlen = (size_t)n_piece + 1};
    Control control;
    if (n_fd) {
        memset(&control, 0, sizeof(control));
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fd);
        struct cmsghdr *rights = &control.align;
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * n_fd);
        memcpy(CMSG_DATA(rights), fd, sizeof(int) * n_fd);
    }
    ssize_t n;
    do
        n = sendmsg(peer->fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

int ipc_send(const IpcPeer *peer, uint16_t type, Slice payload, const int *fd, size_t n_fd)
{
    struct iovec piece = {(void *)payload.ptr, payload.len};
    return send_message(peer, type, &piece, 1, fd, n_fd);
}

int ipc_send_pieces(const IpcPeer *peer, uint16_t type, const struct iovec *piece, int n_piece)
{
    return send_message(peer, type, piece, n_piece, NULL, 0);
}

int ipc_send_wire(const IpcPeer *peer, uint16_t type, const WireWriter *wire, const int *fd, size_t n_fd)
{
    if (wire->failed)
        return -EMSGSIZE;
    return ipc_send(peer, type, (Slice){(const char *)wire->data, wire->len}, fd, n_fd);
}

/* Takes over every descriptor that came, so that none can leak, whatever else is wrong with the message. */
static bool take_descriptors(struct msghdr *message, IpcRecord *record)
{
    bool fits = true;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (record->n_fd < IPC_MAX_FDS)
                record->fd[record->n_fd++] = fd;
            else
                close(fd), fits = false;
        }
    }
    return fits && !(message->msg_flags & (MSG_CTRUNC | MSG_TRUNC));
}

int ipc_recv(const IpcPeer *peer, void *room, IpcRecord *ret_record)
{
    Control control;
    struct iovec whole = {room, IPC_MAX_RECORD};
    struct msghdr message = {.msg_iov = &whole,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    do
        n = recvmsg(peer->fd, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n == 0)
        return -ECONNRESET;
    IpcRecord record = {.n_fd = 0};
    Header header = {0};
    bool sound = take_descriptors(&message, &record) && (size_t)n >= sizeof(header);
    if (sound) {
        memcpy(&header, room, sizeof(header));
        sound = header.version == IPC_VERSION && header.len == (size_t)n - sizeof(header) &&
                ipc_allowed(header.type, peer->other, peer->self, peer->stage, header.len, record.n_fd);
    }
    if (!sound) {
        ipc_record_close(&record);
        return -EPROTO;
    }
    record.type = header.type;
    record.payload = (Slice){(const char *)room + sizeof(header), header.len};
    *ret_record = record;
    return 0;
}

void ipc_record_close(IpcRecord *record)
{
    for (size_t i = 0; i < record->n_fd; i++)
        fd_close(&record->fd[i]);
    record->n_fd = 0;
}

int ipc_record_take(IpcRecord *record, size_t i)
{
    return i < record->n_fd ? fd_steal(&record->fd[i]) : -1;
}
