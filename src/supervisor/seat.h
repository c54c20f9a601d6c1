/* A retriever's place in a pod, as the agent sees it: a folder that it shares with the retriever's container
 * alone, a socket in it, and the runner that has come there. One run for each: a container that is started
 * again is another attempt of the Job, in another pod.
 *
 *   FREE     nobody has come yet
 *   TAKEN    a runner has connected, and prepares; it has no lease
 *   RUNNING  it has asked for its leases: a Run (run.h) goes on from here
 *   DONE     its run has ended, or its runner before one began
 */
#pragma once

#include "supervisor/run.h"

typedef enum SeatState { SEAT_FREE, SEAT_TAKEN, SEAT_RUNNING, SEAT_DONE } SeatState;

typedef struct Seat Seat;

/* What the agent does when a runner asks for its leases (then seat->place is to be taken over), or has gone
 * before that. */
typedef void SeatBegins(Seat *seat);
typedef void SeatLost(Seat *seat);

struct Seat {
    const Retriever *retriever;
    char folder[96]; /* SOCKETS/NAME */
    int listener;
    struct event *arrival, *greeting;
    RunPlace place; /* of the runner that has come */
    SeatState state;
    SeatBegins *begins;
    SeatLost *lost;
    void *context;
};

/* Listens in `sockets`/NAME, which is there already (a volume). -errno with a sentence. */
int seat_open(Seat *seat, const char *sockets, struct event_base *base, Fault *fault) MUST_USE;
void seat_close(Seat *seat);

/* Tells a runner that no run begins, and why; hangs up. */
void seat_refuse(RunPlace *place, const char *sentence);
