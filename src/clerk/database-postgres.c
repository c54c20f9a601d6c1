/* purser-clerk-pg: PostgreSQL over a network or a unix socket, and no file. See database.h. */
#include "clerk/database.h"

#include "base/text.h"

#include <libpq-fe.h>
#include <string.h>

#define MAX_PORTS 16
#define MAX_PATHS 8

typedef struct Reach {
    uint16_t port[MAX_PORTS];
    size_t n_port;
    const char *path[MAX_PATHS];
    size_t n_path;
    bool named, unix_socket; /* a host or address is; one of the hosts is a socket's folder */
} Reach;

static void add_ports(Reach *reach, const char *list)
{
    for (Slice one, rest = slice_of(list); rest.len;) {
        uint64_t port;
        slice_cut(rest, ',', &one, &rest);
        if (!text_parse_u64(one, UINT16_MAX, &port) && reach->n_port < MAX_PORTS)
            reach->port[reach->n_port++] = (uint16_t)port;
    }
}

/* As libpq takes them: an empty one is the unix socket of this machine. */
static void add_hosts(Reach *reach, const char *list)
{
    Slice one, rest = slice_of(list);
    bool more = true;
    while (more) {
        more = slice_cut(rest, ',', &one, &rest);
        reach->unix_socket |= one.len == 0 || *one.ptr == '/' || *one.ptr == '@';
    }
    reach->named = true;
}

/* Files that the DSN names; a unix socket's folder. What the DSN does not say, libpq is told by
 * postgres-connect.c. */
static void add_option(Reach *reach, const PQconninfoOption *option)
{
    static const char *const files[] = {"sslrootcert", "sslcert", "sslkey", "sslcrl", "host"};
    if (!option->val || !*option->val)
        return;
    if (strcmp(option->keyword, "port") == 0)
        add_ports(reach, option->val);
    if (strcmp(option->keyword, "host") == 0 || strcmp(option->keyword, "hostaddr") == 0)
        add_hosts(reach, option->val);
    if (strcmp(option->keyword, "service") == 0) /* a file that says the rest */
        reach->unix_socket = true;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (strcmp(option->keyword, files[i]) == 0 && *option->val == '/' && reach->n_path < MAX_PATHS)
            reach->path[reach->n_path++] = option->val;
}

const uint8_t database_kind = SINK_POSTGRES;

RowSink *database_new(const ClerkSetup *setup, SinkCredential *credential, void *userdata)
{
    return sink_postgres_new(setup, setup->has_credential ? credential : NULL, userdata);
}

int database_enter(const ClerkSetup *setup, SandboxSpec *spec, Fault *fault)
{
    Reach reach = {.path = {"/run/postgresql"}, .n_path = 1};
    PQconninfoOption *options = PQconninfoParse(setup->dsn, NULL);
    for (const PQconninfoOption *option = options; option && option->keyword; option++)
        add_option(&reach, option);
    if (!reach.n_port)
        reach.port[reach.n_port++] = 5432;
    spec->network = true;
    spec->unix_socket = reach.unix_socket || !reach.named;
    spec->connect_port = reach.port;
    spec->n_connect_port = reach.n_port;
    spec->read_path = reach.path;
    spec->n_read_path = reach.n_path;
    int r = sandbox_enter(spec, fault);
    PQconninfoFree(options);
    return r;
}
