/* Where purser's parts and its state lie. See paths.h. */
#include "supervisor/paths.h"

#include "base/log.h"
#include "base/mem.h"
#include "supervisor/exit-status.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

static int join(char *out, size_t size, const char *a, const char *b, Fault *fault)
{
    if ((size_t)snprintf(out, size, "%s%s", a, b) >= size)
        return fault_set(fault, -ENAMETOOLONG, "The path %s%s is too long; install purser in a shorter one.",
                         a, b);
    return 0;
}

static int find_state(Paths *paths, Fault *fault)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (geteuid() == 0)
        return join(paths->state, sizeof(paths->state), "/var/lib/purser", "", fault);
    if (state && state[0] == '/')
        return join(paths->state, sizeof(paths->state), state, "/purser", fault);
    if (home && home[0] == '/' && home[1])
        return join(paths->state, sizeof(paths->state), home, "/.local/state/purser", fault);
    return join(paths->state, sizeof(paths->state), "/var/lib/purser", "",
                fault); /* a service, a container */
}

int paths_find(Paths *ret_paths, Fault *fault)
{
    char exe[PATH_MAX];
    ret_paths->form = CONFIG_MACHINE;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n < 0)
        return fault_set(fault, -errno, "Cannot read /proc/self/exe; is /proc mounted?");
    exe[n] = '\0';
    int r = join(ret_paths->program, sizeof(ret_paths->program), exe, "", fault);
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(exe, '/');
        if (slash)
            *slash = '\0';
    }
    if (!r)
        r = join(ret_paths->libexec, sizeof(ret_paths->libexec), exe, "/libexec/purser", fault);
    if (!r)
        r = join(ret_paths->policy, sizeof(ret_paths->policy), exe, "/share/purser/policy", fault);
    return r ? r : find_state(ret_paths, fault);
}

const char *paths_usual_config(void)
{
    static const char *const usual[] = {"purser.yaml", "/etc/purser/purser.yaml"};
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        if (access(usual[i], F_OK) == 0)
            return usual[i];
    return NULL;
}

int paths_load_config(const char *named, const Paths *paths, Config **ret_config)
{
    const char *path = named ? named : paths_usual_config();
    if (!path) {
        log_error("There is no purser.yaml here and no /etc/purser/purser.yaml; name one with --file PATH.");
        return EXIT_CONFIG;
    }
    char absolute[PATH_MAX];
    if (!realpath(path, absolute)) {
        log_error("%s: %s.", path, strerror(errno));
        return EXIT_CONFIG;
    }
    Fault fault = {0};
    ConfigPaths where = {.policy_dir = paths->policy, .default_state = paths->state, .form = paths->form};
    if (config_load(absolute, &where, ret_config, &fault)) {
        log_error("%s", fault.text);
        return EXIT_CONFIG;
    }
    return -1;
}
