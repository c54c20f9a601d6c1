/* purser-clerk: an SQLite file, and no network. See database.h. */
#include "clerk/database.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

const uint8_t database_kind = SINK_SQLITE;

RowSink *database_new(const ClerkSetup *setup, SinkCredential *credential, void *userdata)
{
    (void)credential, (void)userdata; /* a file wants none */
    return sink_sqlite_new(setup);
}

int database_enter(const ClerkSetup *setup, SandboxSpec *spec, Fault *fault)
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
