/* purser doctor: which protections hold on this machine, each proven by trying, and what to change. */
#include "base/log.h"
#include "base/text.h"
#include "purser/session.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#define LITTLE_ROOM (100ull << 20)

/* The configuration says what is needed; without one, what a plain one would need is. */
typedef struct Doctor {
    Config *config; /* NULL: there is none */
    Paths paths;
    SandboxReport report;
} Doctor;

static bool is_needed(const Doctor *doctor, const SandboxFinding *finding)
{
    bool optional = doctor->config && doctor->config->sandbox_optional;
    return finding->need == SANDBOX_NEEDED || (finding->need == SANDBOX_NEEDED_IF_REQUIRED && !optional);
}

static bool all_needed_hold(const Doctor *doctor)
{
    for (size_t i = 0; i < doctor->report.n_finding; i++)
        if (doctor->report.finding[i].state == SANDBOX_MISSING &&
            is_needed(doctor, &doctor->report.finding[i]))
            return false;
    return true;
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

static int print_report_json(const Doctor *doctor)
{
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    JsonWriter json = JSON_WRITER(&text);
    json_object_begin(&json, NULL);
    json_bool(&json, "holds", all_needed_hold(doctor));
    json_text(&json, "configuration", doctor->config ? doctor->config->path : NULL);
    json_array_begin(&json, "findings");
    for (size_t i = 0; i < doctor->report.n_finding; i++) {
        const SandboxFinding *finding = &doctor->report.finding[i];
        json_object_begin(&json, NULL);
        json_text(&json, "name", finding->name);
        json_text(&json, "state", sandbox_state_text(finding->state));
        json_bool(&json, "needed", is_needed(doctor, finding));
        json_text(&json, "message", finding->sentence);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    return print_json(&json);
}

static void print_report(const Doctor *doctor)
{
    struct utsname machine;
    if (uname(&machine) == 0)
        printf("Linux %s, user %u; %s\n\n", machine.release, (unsigned)geteuid(),
               doctor->config ? doctor->config->path
                              : "no purser.yaml, so what a plain one would need counts");
    for (size_t i = 0; i < doctor->report.n_finding; i++) {
        const SandboxFinding *finding = &doctor->report.finding[i];
        bool counts = finding->state == SANDBOX_MISSING && is_needed(doctor, finding);
        printf("%-8s %-18s %s\n", counts ? "MISSING" : sandbox_state_text(finding->state), finding->name,
               finding->sentence);
    }
    printf("\n%s\n", all_needed_hold(doctor) ? "What this configuration needs holds here."
                                             : "Something that this configuration needs is MISSING here.");
}

static int run(const Invocation *invocation)
{
    static Doctor doctor;
    Fault fault = {0};
    const char *named = command_option(&command_doctor, invocation, "file");
    if (paths_find(&doctor.paths, &fault)) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    int status = named || paths_usual_config() ? paths_load_config(named, &doctor.paths, &doctor.config) : -1;
    if (status >= 0)
        return status;
    if (sandbox_report(&doctor.report)) {
        log_error("The protections of this machine cannot be tried.");
        return EXIT_FAILED;
    }
    look_at_state(&doctor);
    look_at_sockets(&doctor);
    status = all_needed_hold(&doctor) ? EXIT_OK : EXIT_FAILED;
    if (!command_option(&command_doctor, invocation, "json"))
        print_report(&doctor);
    else if (print_report_json(&doctor))
        status = EXIT_FAILED;
    config_free(doctor.config);
    return status;
}

const Command command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "Show which protections hold on this machine",
    .help = "Each is tried: a child process goes behind the wall and attempts what it forbids. What does not "
            "hold is\n"
            "said with what to change, also in a container or a pod. SECURITY.md says what each protects "
            "from.\n\n"
            "Exit status 0: all that the configuration needs holds (what is weaker or missing besides is "
            "shown);\n"
            "1: something that it needs is missing, and purser will not start; 3: the configuration is at "
            "fault.\n"
            "Without a purser.yaml, what a plain one would need counts.\n\n"
            "Examples:\n"
            "  purser doctor\n"
            "  purser doctor --json | jq '.findings[] | select(.state != \"holds\")'\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"json", 0, NULL, "print as JSON"}},
    .run = run,
};
