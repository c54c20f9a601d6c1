/* Calls to a store's API. See api.h. */
#include "rotate/api.h"

#include "base/clock.h"
#include "base/mem.h"
#include "token/take.h"

#include <errno.h>
#include <fcntl.h>

int api_init(Api *api, const RotateSetup *setup, StoreServer server, Fault *fault)
{
    api->server = server;
    return link_init(&api->link, setup, &api->server, fault);
}

void api_done(Api *api)
{
    link_done(&api->link);
}

int api_read_login(const char *label, const char *path, const char *advice, Sealed **ret_token, Fault *fault)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fault_set(fault, -errno, "%s cannot be read from %s: %s; %s", label, path, strerror(errno),
                         advice);
    return token_take_pipe(path, fd, ret_token, fault);
}

typedef struct Answering {
    Api *api;
    ApiCall *call;
    int result;
    Fault *fault;
} Answering;

static void on_answer(void *context, StoreAnswer *answer)
{
    Answering *answering = context;
    ApiCall *call = answering->call;
    bool well = answer->status == 200 || answer->status == 201;
    call->status = answer->status;
    answering->api->now = answer->date ? answer->date : clock_wall();
    if (answer->status >= 300 && !call->mute)
        answer_error(answer->status, answer->body, call->said);
    if (!call->take || !(well || (call->absent_too && answer->status == 404)))
        return;
    CLEANUP_JSON json_t *json = answer_json(answer->body);
    if (json)
        answering->result = call->take(call->context, json, answering->fault);
    else if (well)
        answering->result =
            fault_set(answering->fault, STORE_E_DAMAGED, "%s's answer is not the JSON that it should be",
                      answering->api->server.label);
}

int api_call(Api *api, ApiCall *call, const char *credential, const Sealed *login, const char *const *header,
             size_t n, Fault *fault)
{
    Answering answering = {api, call, 0, fault};
    StoreCall request = {.method = call->method,
                         .path = call->path,
                         .credential = credential,
                         .token = call->bare ? NULL
                                  : call->as ? call->as
                                             : login,
                         .hidden = call->hidden,
                         .body = call->body ? *call->body : BUF_INIT(0)};
    for (size_t i = 0; i < n && i < COUNT_OF(request.header); i++)
        request.header[i] = header[i];
    if (call->body)
        *call->body = BUF_INIT(0);
    call->status = 0;
    int r = link_call(&api->link, &request, on_answer, &answering, fault);
    return r ? r : answering.result;
}

int api_kind(const ApiCall *call)
{
    return call->status == 429 || call->status >= 500 ? STORE_E_OUTAGE : STORE_E_DENIED;
}
