/* The clerk's sandbox, from where its database is. See walls.h. */
#include "clerk/walls.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <libpq-fe.h>
#include <string.h>

#define MAX_PORTS 16
#define MAX_PATHS 8

typedef struct Reach {
    uint16_t port[MAX_PORTS];
    size_t n_port;
    const char *path[MAX_PATHS];
    size_t n_path;
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

/* Files that the DSN names; a unix socket's folder. What the DSN does not say, libpq is told by
 * postgres-connect.c. */
static void add_option(Reach *reach, const PQconninfoOption *option)
{
    static const char *const files[] = {"sslrootcert", "sslcert", "sslkey", "sslcrl", "host"};
    if (!option->val || !*option->val)
        return;
    if (strcmp(option->keyword, "port") == 0)
        add_ports(reach, option->val);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (strcmp(option->keyword, files[i]) == 0 && *option->val == '/' && reach->n_path < MAX_PATHS)
            reach->path[reach->n_path++] = option->val;
}

static int enter_postgres(const ClerkSetup *setup, SandboxSpec *spec, Fault *fault)
{
    Reach reach = {.path = {"/run/postgresql"}, .n_path = 1};
    PQconninfoOption *options = PQconninfoParse(setup->dsn, NULL);
    for (const PQconninfoOption *option = options; option && option->keyword; option++)
        add_option(&reach, option);
    if (!reach.n_port)
        reach.port[reach.n_port++] = 5432;
    spec->network = true;
    spec->connect_port = reach.port;
    spec->n_connect_port = reach.n_port;
    spec->read_path = reach.path;
    spec->n_read_path = reach.n_path;
    int r = sandbox_enter(spec, fault);
    PQconninfoFree(options);
    return r;
}

static int enter_sqlite(const ClerkSetup *setup, SandboxSpec *spec, Fault *fault)
{
    const char *slash = strrchr(setup->path, '/');
    if (!slash)
        return fault_set(fault, -EINVAL, "sink.sqlite.path %s is not absolute", setup->path);
    CLEANUP_MEM char *folder = mem_dup(setup->path, slash == setup->path ? 1 : (size_t)(slash - setup->path));
    const char *path[] = {folder};
    spec->write_path = path;
    spec->n_write_path = 1;
    return sandbox_enter(spec, fault);
}

int walls_enter(const ClerkSetup *setup, Fault *fault)
{
    SandboxSpec spec = {.role = SANDBOX_CLERK, .optional = setup->sandbox_optional};
    int r =
        setup->kind == SINK_SQLITE ? enter_sqlite(setup, &spec, fault) : enter_postgres(setup, &spec, fault);
    if (r == SANDBOX_E_PARTIAL) {
        log_warning("%s", fault->text);
        r = 0;
    }
    return r;
}
