/* Egress tunnels. See tunnel.h. */
#include "keeper/tunnel.h"

#include "base/mem.h"
#include "keeper/dial.h"
#include "keeper/report.h"

#include <stdio.h>

struct Tunnel {
    Run *run;
    TunnelRecord wanted;
    Dial *dial;      /* NULL: it has ended, */
    int fd;          /* with this, or -1: */
    Refused refused; /* why not */
    TAILQ_ENTRY(Tunnel) link, turn_link;
};

static void tunnel_free(Tunnel *tunnel)
{
    if (tunnel->dial)
        dial_cancel(tunnel->dial);
    else
        TAILQ_REMOVE(&tunnel->run->keeper->dialled, tunnel, turn_link);
    fd_close(&tunnel->fd);
    TAILQ_REMOVE(&tunnel->run->tunnels, tunnel, link);
    tunnel->run->n_tunnel--;
    mem_free(tunnel);
}

static void record(const Tunnel *tunnel)
{
    Run *run = tunnel->run;
    const RefusalKind *kind = refusal_kind(tunnel->refused.refusal);
    AuditEvent event = {.event = tunnel->fd >= 0 ? "tunnel" : "refused",
                        .run = run->id,
                        .retriever = run->retriever,
                        .method = "CONNECT",
                        .host = tunnel->wanted.host,
                        .decision = tunnel->fd >= 0 ? AUDIT_ALLOWED : AUDIT_REFUSED};
    if (tunnel->fd < 0) {
        event.status = kind->status;
        event.code = kind->code;
        event.sentence = tunnel->refused.fault.text;
        RunRefusal report = {.count = 1};
        report_fill(&report, kind->code, "CONNECT", tunnel->wanted.host, SLICE_LITERAL(""),
                    tunnel->refused.fault.text);
        report_refusal(run, &report);
    }
    if (tunnel->fd >= 0 || run_may_record(run))
        audit_add(run->keeper->audit, &event);
}

/* It is over, one way or the other: on record, and at the turn's end the gate is told. */
static void done(Tunnel *tunnel)
{
    record(tunnel);
    TAILQ_INSERT_TAIL(&tunnel->run->keeper->dialled, tunnel, turn_link);
}

static void answer(Tunnel *tunnel)
{
    unsigned char room[2048];
    WireWriter wire = WIRE_WRITER(room);
    Run *run = tunnel->run;
    const RefusalKind *kind = refusal_kind(tunnel->refused.refusal);
    TunnelRefused answer = {.id = tunnel->wanted.id, .status = kind->status};
    bool open = tunnel->fd >= 0;
    snprintf(answer.code, sizeof(answer.code), "%s", kind->code);
    snprintf(answer.sentence, sizeof(answer.sentence), "%s", tunnel->refused.fault.text);
    tunnel_refused_put(&answer, &wire);
    if (run->gate.fd >= 0 &&
        ipc_send_wire(&run->gate, open ? IPC_TUNNEL_OPEN : IPC_TUNNEL_REFUSED, &wire, &tunnel->fd, open) != 0)
        run_lose_gate(run);
}

void tunnel_release(Tunnel *tunnel)
{
    if (tunnel->fd >= 0 && keeper_is_mute(tunnel->run->keeper)) {
        fd_close(&tunnel->fd);
        refused_set(&tunnel->refused, REFUSAL_AUDIT,
                    "the connection could not be recorded, so it is not given");
        record(tunnel);
    }
    answer(tunnel);
    tunnel_free(tunnel);
}

static void on_dialled(void *context, int fd, const Refused *refused)
{
    Tunnel *tunnel = context;
    tunnel->dial = NULL;
    tunnel->fd = fd;
    tunnel->refused = *refused;
    done(tunnel);
}

static bool allowed(const Run *run, const TunnelRecord *wanted)
{
    for (size_t i = 0; i < run->n_egress; i++)
        if (run->egress[i].port == wanted->port && strcmp(run->egress[i].host, wanted->host) == 0)
            return true;
    return false;
}

/* NULL, and why. */
static Dial *start(Tunnel *tunnel)
{
    Run *run = tunnel->run;
    const TunnelRecord *wanted = &tunnel->wanted;
    if (!allowed(run, wanted)) {
        refused_set(&tunnel->refused, REFUSAL_EGRESS,
                    "%s:%u is no source of this run; retriever %s may reach it once its `egress:` names it",
                    wanted->host, wanted->port, run->retriever);
        return NULL;
    }
    refused_set(&tunnel->refused, REFUSAL_BUSY, "too many egress connections are being opened at a time");
    DialTo to = {wanted->host, wanted->port, "", NULL, 0};
    return run->n_tunnel <= TUNNEL_MAX && run_may_record(run)
               ? dial_start(run->keeper, &to, on_dialled, tunnel)
               : NULL;
}

void tunnel_wanted(Run *run, const TunnelRecord *wanted)
{
    Tunnel *tunnel = MEM_NEW(Tunnel);
    *tunnel = (Tunnel){.run = run, .wanted = *wanted, .fd = -1};
    TAILQ_INSERT_TAIL(&run->tunnels, tunnel, link);
    run->n_tunnel++;
    tunnel->dial = start(tunnel);
    if (!tunnel->dial)
        done(tunnel);
}

void tunnel_free_all(Run *run)
{
    while (!TAILQ_EMPTY(&run->tunnels))
        tunnel_free(TAILQ_FIRST(&run->tunnels));
}
