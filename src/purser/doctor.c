/* Which protections hold here. See doctor.h. */
#include "purser/doctor.h"

#include "base/text.h"
#include "runner/filter.h"
#include "supervisor/state.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define LITTLE_ROOM (100ull << 20)

bool doctor_needs(const Doctor *doctor, const SandboxFinding *finding)
{
    bool optional = doctor->config && doctor->config->sandbox_optional;
    return finding->need == SANDBOX_NEEDED || (finding->need == SANDBOX_NEEDED_IF_REQUIRED && !optional);
}

const SandboxFinding *doctor_missing(const Doctor *doctor)
{
    for (size_t i = 0; i < doctor->report.n_finding; i++)
        if (doctor->report.finding[i].state == SANDBOX_MISSING &&
            doctor_needs(doctor, &doctor->report.finding[i]))
            return &doctor->report.finding[i];
    return NULL;
}

/* The nearest folder above that is there: what is made will lie in it. */
static void nearest(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", path);
    while (access(out, F_OK) < 0 && errno == ENOENT) {
        char *slash = strrchr(out, '/');
        if (!slash || slash == out) {
            snprintf(out, size, "/");
            return;
        }
        *slash = '\0';
    }
}

static void look_at_state(Doctor *doctor)
{
    const char *state = doctor->config ? doctor->config->state : doctor->paths.state;
    char there[1200], size[24];
    struct statvfs disk = {0};
    nearest(state, there, sizeof(there));
    if (access(there, W_OK | X_OK) < 0) {
        sandbox_add(&doctor->report, "state-folder", SANDBOX_NEEDED, SANDBOX_MISSING,
                    "purser's state cannot be written in %.120s (%s); say `state:` in purser.yaml, or give "
                    "it a volume there.",
                    there, strerror(errno));
        return;
    }
    uint64_t room = statvfs(there, &disk) < 0 ? 0 : (uint64_t)disk.f_bavail * disk.f_frsize;
    bool little = room < LITTLE_ROOM;
    sandbox_add(&doctor->report, "state-folder", SANDBOX_NEEDED, little ? SANDBOX_WEAKER : SANDBOX_HOLDS,
                "purser's state lies in %.120s, with %s of room%s.", state, text_human_size(size, room),
                little ? "; when that is used up, calls are refused, because they cannot be recorded" : "");
}

static void look_at_sockets(Doctor *doctor)
{
    const char *base = state_runtime_base();
    if (access(base, W_OK | X_OK) == 0)
        return;
    sandbox_add(&doctor->report, "socket-folder", SANDBOX_NEEDED, SANDBOX_MISSING,
                "There is no folder for the runs' sockets: %s cannot be written (%s); give it a volume at "
                "/tmp, or name one "
                "in XDG_RUNTIME_DIR.",
                base, strerror(errno));
}

int doctor_look(Doctor *doctor, bool sockets)
{
    int r = sandbox_report(filter_enter, &doctor->report);
    if (r)
        return r;
    look_at_state(doctor);
    if (sockets)
        look_at_sockets(doctor);
    return 0;
}
