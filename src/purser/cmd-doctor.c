/* purser doctor: what doctor.h finds, with what to change, for a person or as JSON. */
#include "base/log.h"
#include "purser/command.h"
#include "purser/doctor.h"
#include "supervisor/session.h"

#include <stdio.h>
#include <sys/utsname.h>

static int print_report_json(const Doctor *doctor)
{
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    JsonWriter json = JSON_WRITER(&text);
    json_object_begin(&json, NULL);
    json_bool(&json, "holds", !doctor_missing(doctor));
    json_text(&json, "configuration", doctor->config ? doctor->config->path : NULL);
    json_array_begin(&json, "findings");
    for (size_t i = 0; i < doctor->report.n_finding; i++) {
        const SandboxFinding *finding = &doctor->report.finding[i];
        json_object_begin(&json, NULL);
        json_text(&json, "name", finding->name);
        json_text(&json, "state", sandbox_state_text(finding->state));
        json_bool(&json, "needed", doctor_needs(doctor, finding));
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
        bool counts = finding->state == SANDBOX_MISSING && doctor_needs(doctor, finding);
        printf("%-8s %-18s %s\n", counts ? "MISSING" : sandbox_state_text(finding->state), finding->name,
               finding->sentence);
    }
    printf("\n%s\n", !doctor_missing(doctor) ? "What this configuration needs holds here."
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
    Config *config = NULL;
    int status = named || paths_usual_config() ? paths_load_config(named, &doctor.paths, &config) : -1;
    if (status >= 0)
        return status;
    doctor.config = config;
    if (doctor_look(&doctor, true)) {
        log_error("The protections of this machine cannot be tried.");
        return EXIT_FAILED;
    }
    status = doctor_missing(&doctor) ? EXIT_FAILED : EXIT_OK;
    if (!command_option(&command_doctor, invocation, "json"))
        print_report(&doctor);
    else if (print_report_json(&doctor))
        status = EXIT_FAILED;
    config_free(config);
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
