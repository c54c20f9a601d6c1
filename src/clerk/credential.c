/* The database credential. See credential.h. */
#include "clerk/credential.h"

#include "ipc/clerk.h"
#include "json/arena.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <sodium.h>

#define MAX_CREDENTIAL (64u << 10)

void credential_wipe(Credential *credential)
{
    buf_done(&credential->user);
    buf_done(&credential->password);
}

/* One member of the object, as text without NUL; absent is all right for a user. */
static int take(json_t *object, const char *key, bool needed, Buf *out)
{
    json_t *value = json_object_get(object, key);
    if (!value && !needed)
        return 0;
    if (!json_is_string(value) || json_string_length(value) == 0)
        return -EINVAL;
    return buf_append(out, json_string_value(value), json_string_length(value));
}

int credential_parse(Slice bytes, Credential *ret_credential, Fault *fault)
{
    static const char advice[] =
        "store the password as it is, or {\"username\": \"...\", \"password\": \"...\"}";
    Credential credential = {.user = BUF_INIT(MAX_CREDENTIAL), .password = BUF_INIT(MAX_CREDENTIAL)};
    int r = 0;
    if (bytes.len == 0 || memchr(bytes.ptr, '\0', bytes.len))
        r = fault_set(fault, CLERK_E_SCHEMA, "the database credential is empty or holds a NUL byte: %s",
                      advice);
    if (!r && bytes.ptr[0] != '{')
        r = buf_append_slice(&credential.password, bytes);
    else if (!r) {
        json_t *object = json_loadb(bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(object) || take(object, "username", false, &credential.user) ||
            take(object, "password", true, &credential.password))
            r = fault_set(fault, CLERK_E_SCHEMA,
                          "the database credential begins like JSON, but holds no username and password: %s",
                          advice);
        json_arena_wipe();
    }
    if (r) {
        credential_wipe(&credential);
        return r;
    }
    *ret_credential = credential;
    return 0;
}

int credential_receive(const IpcPeer *keeper, Credential *ret_credential, Fault *fault)
{
    static char room[IPC_MAX_RECORD];
    IpcRecord record;
    struct pollfd poll_fd = {.fd = keeper->fd, .events = POLLIN};
    int r;
    do
        r = poll(&poll_fd, 1, CREDENTIAL_PATIENCE_MS);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        return fault_set(fault, CLERK_E_OUTAGE,
                         "the database credential did not come from the keeper in time");
    r = ipc_recv(keeper, room, &record);
    if (r)
        return fault_set(fault, CLERK_E_OUTAGE, "the database credential did not come from the keeper: %s",
                         strerror(-r));
    ipc_record_close(&record);
    if (record.type == IPC_CREDENTIAL)
        r = credential_parse(record.payload, ret_credential, fault);
    else /* the keeper has waited for its store, and answers once */
        r = fault_set(fault, CLERK_E_REFUSED, "the database credential: %.*s", (int)record.payload.len,
                      record.payload.ptr);
    sodium_memzero(room, sizeof(room));
    return r;
}
