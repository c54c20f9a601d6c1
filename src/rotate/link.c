/* Calls that are waited for. See link.h. */
#include "rotate/link.h"

#include <errno.h>
#include <fcntl.h>

typedef struct Call {
    void (*done)(void *context, StoreAnswer *answer);
    void *context;
    bool ended;
    int result;
    Fault *fault;
} Call;

static const char *file_of(const StoreServer *server, uint32_t index)
{
    return index == 0 ? server->ca_file : index == 1 ? server->cert_file : server->key_file;
}

static int give(Link *link, uint32_t index)
{
    const char *path = file_of(link->server, index);
    int fd = *path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
    return store_files_give(link->files, index, path, fd, fd >= 0 ? 0 : *path ? errno : ENOENT);
}

/* This process may open what its person may. */
static void open_file(void *context, uint32_t index)
{
    (void)!give(context, index);
}

int link_init(Link *link, const RotateSetup *setup, const StoreServer *server, Fault *fault)
{
    *link = (Link){.base = event_base_new(), .server = server, .roots_fd = -1};
    link->files = store_files_new(link->base, open_file, link);
    link->roots_fd = open(setup->roots, O_RDONLY | O_CLOEXEC);
    if (link->roots_fd < 0)
        return fault_set(fault, -errno, "the public roots %s cannot be read: %s", setup->roots,
                         strerror(errno));
    for (uint32_t i = 0; i < 3; i++)
        if (give(link, i))
            return fault_set(fault, -EIO, "%s cannot be used", file_of(server, i));
    StoreClientSetup client = {link->base,      link->files,       link->roots_fd, setup->proxy,
                               setup->no_proxy, setup->n_no_proxy, &link->skew};
    return store_client_new(&client, &link->client, fault);
}

void link_done(Link *link)
{
    if (!link->base)
        return;
    store_client_free(link->client);
    store_files_free(link->files);
    event_base_free(link->base);
    fd_close(&link->roots_fd);
    *link = (Link){.roots_fd = -1};
}

static void on_answer(void *context, int result, StoreAnswer *answer, const Fault *fault)
{
    Call *call = context;
    call->ended = true;
    call->result = result;
    if (result)
        *call->fault = *fault;
    else
        call->done(call->context, answer);
}

int link_call(Link *link, StoreCall *from, void (*done)(void *context, StoreAnswer *answer), void *context,
              Fault *fault)
{
    Call call = {.done = done, .context = context, .fault = fault};
    from->server = link->server;
    store_client_call(link->client, from, on_answer, &call);
    while (!call.ended && event_base_loop(link->base, EVLOOP_ONCE) == 0)
        ;
    return call.ended ? call.result
                      : fault_set(fault, STORE_E_OUTAGE, "%s was not asked", link->server->label);
}
