/* The clerk's sandbox, from where its database is. See walls.h. */
#include "clerk/walls.h"

#include "base/log.h"
#include "clerk/database.h"

#include <errno.h>

int walls_enter(const ClerkSetup *setup, Fault *fault)
{
    SandboxSpec spec = {.role = SANDBOX_CLERK, .optional = setup->sandbox_optional};
    int r = setup->kind == database_kind
                ? database_enter(setup, &spec, fault)
                : fault_set(fault, -EINVAL,
                            "this clerk is for another kind of database; is purser installed whole?");
    if (r == SANDBOX_E_PARTIAL) {
        log_warning("%s", fault->text);
        r = 0;
    }
    return r;
}
