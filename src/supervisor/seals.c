/* Heads of the audit on their way into the sink. See seals.h. */
#include "supervisor/seals.h"

#include "base/mem.h"

#include <stdio.h>

void seals_drop_first(Seals *seals)
{
    if (seals->n)
        memmove(seals->seal, seals->seal + 1, --seals->n * sizeof(ClerkSeal));
}

static void push(Seals *seals, const ClerkSeal *seal)
{
    if (seals->n == SEALS_MAX)
        seals_drop_first(seals);
    MEM_PUSH(seals->seal, seals->n, *seal);
}

void seals_add(Seals *seals, const RunClosed *closed, const char *retriever)
{
    ClerkSeal seal = {.number = closed->number, .time = closed->time};
    memcpy(seal.head, closed->head, sizeof(seal.head));
    snprintf(seal.installation, sizeof(seal.installation), "%s", closed->installation);
    snprintf(seal.run, sizeof(seal.run), "%s", closed->run);
    snprintf(seal.retriever, sizeof(seal.retriever), "%s", retriever);
    push(seals, &seal);
}

void seals_move(Seals *from, Seals *to)
{
    for (size_t i = 0; i < from->n; i++)
        push(to, &from->seal[i]);
    from->n = 0;
}

void seals_done(Seals *seals)
{
    mem_free(seals->seal);
    *seals = (Seals){0};
}

int seals_send(const Seals *seals, Role *clerk, Fault *fault)
{
    int r = 0;
    for (size_t i = 0; i < seals->n && !r; i++) {
        unsigned char room[512];
        WireWriter wire = WIRE_WRITER(room);
        clerk_seal_put(&seals->seal[i], &wire);
        r = role_send_wire(clerk, IPC_CLERK_SEAL, &wire, NULL, 0, fault);
    }
    return r;
}
