/* What holds on this machine. See sandbox.h. */
#include "sandbox/sandbox.h"

const char *sandbox_state_text(SandboxState state)
{
    static const char *const text[] = {"holds", "weaker", "missing"};
    return text[state];
}

int sandbox_report(SandboxReport *ret_report)
{
    *ret_report = (SandboxReport){.n_finding = 0};
    return 0;
}
