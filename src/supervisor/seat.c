/* A retriever's place in a pod. See seat.h. Nothing is read from a runner here: that is its gate's part. */
#include "supervisor/seat.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

void seat_refuse(RunPlace *place, const char *sentence)
{
    const IpcPeer runner = {place->runner, IPC_GATE, IPC_RUNNER, IPC_SETUP};
    if (place->runner >= 0 && ipc_send(&runner, IPC_RUN_NOT, slice_of(sentence), NULL, 0))
        log_warning("A runner has gone before it could be told: %s", sentence);
    fd_close(&place->runner);
}

/* It asks for its leases, or has gone. */
static void on_greeting(evutil_socket_t fd, short what, void *context)
{
    Seat *seat = context;
    struct pollfd runner = {.fd = fd, .events = POLLIN | POLLRDHUP};
    (void)what;
    if (poll(&runner, 1, 0) <= 0)
        return;
    event_free(STEAL(seat->greeting));
    if (runner.revents & (POLLRDHUP | POLLHUP | POLLERR)) {
        fd_close(&seat->place.runner);
        seat->state = SEAT_DONE;
        seat->lost(seat);
    } else {
        seat->state = SEAT_RUNNING;
        seat->begins(seat);
    }
}

static void on_arrival(evutil_socket_t listener, short what, void *context)
{
    Seat *seat = context;
    struct ucred who;
    socklen_t len = sizeof(who);
    (void)what;
    RunPlace place = {.folder = seat->folder,
                      .runner = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (place.runner < 0)
        return;
    if (getsockopt(place.runner, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || seat->state != SEAT_FREE) {
        log_warning("%s: a second runner has come, and is sent away.", seat->retriever->name);
        seat_refuse(&place, "This retriever has had its run in this pod; the next pod begins another.");
        return;
    }
    place.uid = who.uid;
    seat->place = place;
    seat->state = SEAT_TAKEN;
    seat->greeting =
        event_new(event_get_base(seat->arrival), place.runner, EV_READ | EV_PERSIST, on_greeting, seat);
    event_add(seat->greeting, NULL);
}

int seat_open(Seat *seat, const char *sockets, struct event_base *base, Fault *fault)
{
    seat->listener = seat->place.runner = -1;
    if ((size_t)snprintf(seat->folder, sizeof(seat->folder), "%s/%s", sockets, seat->retriever->name) >=
        sizeof(seat->folder))
        return fault_set(fault, -ENAMETOOLONG, "The folder %s/%s has too long a name for a socket.", sockets,
                         seat->retriever->name);
    int r = run_folder_listen_shared(seat->folder, "run", SOCK_SEQPACKET, &seat->listener, fault);
    if (r)
        return r;
    seat->arrival = event_new(base, seat->listener, EV_READ | EV_PERSIST, on_arrival, seat);
    event_add(seat->arrival, NULL);
    return 0;
}

void seat_close(Seat *seat)
{
    if (seat->greeting)
        event_free(STEAL(seat->greeting));
    if (seat->arrival)
        event_free(STEAL(seat->arrival));
    fd_close(&seat->listener);
    fd_close(&seat->place.runner);
}
