/* Egress tunnels. See tunnel.h. */
#include "keeper/tunnel.h"

#include "base/mem.h"
#include "keeper/dial.h"
#include "keeper/report.h"

#include <stdio.h>

struct Tunnel {
    Run *run;
    TunnelRecord wanted;
    Dial *dial;
    TAILQ_ENTRY(Tunnel) link;
};

static void answer(Run *run, const TunnelRecord *wanted, const Refused *refused, int fd)
{
    unsigned char room[2048];
    WireWriter wire = WIRE_WRITER(room);
    const RefusalKind *kind = refusal_kind(refused->refusal);
    TunnelRefused record = {.id = wanted->id, .status = kind->status};
    snprintf(record.code, sizeof(record.code), "%s", kind->code);
    snprintf(record.sentence, sizeof(record.sentence), "%s", refused->fault.text);
    tunnel_refused_put(&record, &wire);
    AuditEvent event = {.event = fd >= 0 ? "tunnel" : "refused",
                        .run = run->id,
                        .retriever = run->retriever,
                        .method = "CONNECT",
                        .host = wanted->host};
    if (fd < 0) {
        event.status = kind->status;
        event.code = kind->code;
        event.sentence = refused->fault.text;
        RunRefusal report = {.count = 1};
        report_fill(&report, kind->code, "CONNECT", wanted->host, SLICE_LITERAL(""), refused->fault.text);
        report_refusal(run, &report);
    }
    audit_add(run->keeper->audit, &event);
    if (run->gate.fd >= 0 &&
        ipc_send_wire(&run->gate, fd >= 0 ? IPC_TUNNEL_OPEN : IPC_TUNNEL_REFUSED, &wire, &fd, fd >= 0) != 0)
        run_lose_gate(run);
}

static void tunnel_free(Tunnel *tunnel)
{
    if (tunnel->dial)
        dial_cancel(tunnel->dial);
    TAILQ_REMOVE(&tunnel->run->tunnels, tunnel, link);
    tunnel->run->n_tunnel--;
    mem_free(tunnel);
}

static void on_dialled(void *context, int fd, const Refused *refused)
{
    Tunnel *tunnel = context;
    tunnel->dial = NULL;
    answer(tunnel->run, &tunnel->wanted, refused, fd);
    fd_close(&fd);
    tunnel_free(tunnel);
}

static bool allowed(const Run *run, const TunnelRecord *wanted)
{
    for (size_t i = 0; i < run->n_egress; i++)
        if (run->egress[i].port == wanted->port && strcmp(run->egress[i].host, wanted->host) == 0)
            return true;
    return false;
}

void tunnel_wanted(Run *run, const TunnelRecord *wanted)
{
    Refused refused;
    if (!allowed(run, wanted)) {
        refused_set(&refused, REFUSAL_EGRESS,
                    "%s:%u is no source of this run; retriever %s may reach it once its `egress:` names it",
                    wanted->host, wanted->port, run->retriever);
        answer(run, wanted, &refused, -1);
        return;
    }
    Tunnel *tunnel = MEM_NEW(Tunnel);
    *tunnel = (Tunnel){.run = run, .wanted = *wanted};
    DialTo to = {tunnel->wanted.host, wanted->port, "", NULL, 0};
    TAILQ_INSERT_TAIL(&run->tunnels, tunnel, link);
    bool room = run->n_tunnel++ < TUNNEL_MAX;
    tunnel->dial = room ? dial_start(run->keeper, &to, on_dialled, tunnel) : NULL;
    if (tunnel->dial)
        return;
    refused_set(&refused, REFUSAL_BUSY, "too many egress connections are being opened at a time");
    answer(run, wanted, &refused, -1);
    tunnel_free(tunnel);
}

void tunnel_free_all(Run *run)
{
    while (!TAILQ_EMPTY(&run->tunnels))
        tunnel_free(TAILQ_FIRST(&run->tunnels));
}
