/* Heads of the audit on their way from the keeper into the sink: at a run's end, by the clerk that has loaded
 * it. A head is of every record before it, so one that is lost (the sink is out, purser was killed) is made
 * up for by the next.
 */
#pragma once

#include "ipc/clerk.h"
#include "ipc/keeper.h"
#include "supervisor/role.h"

#define SEALS_MAX 64 /* that wait; of more, the oldest are dropped */

typedef struct Seals {
    ClerkSeal *seal;
    size_t n;
} Seals;

void seals_add(Seals *seals, const RunClosed *closed, const char *retriever);
/* All of `from` go to the end of `to`. */
void seals_move(Seals *from, Seals *to);
void seals_drop_first(Seals *seals);
void seals_done(Seals *seals);

/* Sends each to a clerk, which answers each with its DONE. */
int seals_send(const Seals *seals, Role *clerk, Fault *fault) MUST_USE;
