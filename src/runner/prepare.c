/* python -m venv, then pip. See prepare.h. */
#include "runner/prepare.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "runner/environment.h"
#include "runner/status.h"
#include "runner/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TIME_LIMIT       (20ull * 60 * CLOCK_SECOND) /* a wheel may have to be compiled */
#define GRACE            (5ull * CLOCK_SECOND)
#define MAX_REQUIREMENTS (1u << 20)

typedef struct Prepare {
    const Options *options;
    OutputSink *sink;
    int signal_fd;
    Environment environment;
    char *temporary;
    const char *read[2 * OPTIONS_MAX_LIST];
    size_t n_read;
} Prepare;

/* A passed variable may name a file (a configuration of pip's, certificates, a folder of wheels). */
static void may_read(Prepare *prepare, const char *value)
{
    if (strncmp(value, "file://", 7) == 0)
        value += 7;
    if (*value == '/' && prepare->n_read < COUNT_OF(prepare->read))
        prepare->read[prepare->n_read++] = value;
}

static int set_site(Prepare *prepare)
{
    static const char *const proxy_names[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"};
    static const char *const trust_names[] = {"PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"};
    const Options *options = prepare->options;
    int r = 0;
    if (options->package_index) {
        may_read(prepare, options->package_index);
        r = environment_set_text(&prepare->environment, "PIP_INDEX_URL", options->package_index);
    }
    for (size_t i = 0; !r && options->proxy && i < COUNT_OF(proxy_names); i++)
        r = environment_set_text(&prepare->environment, proxy_names[i], options->proxy);
    for (size_t i = 0; !r && options->ca_file && i < COUNT_OF(trust_names); i++)
        r = environment_set_text(&prepare->environment, trust_names[i], options->ca_file);
    if (options->ca_file)
        may_read(prepare, options->ca_file);
    return r;
}

static int set_environment(Prepare *prepare)
{
    const Options *options = prepare->options;
    Environment *environment = &prepare->environment;
    int r = environment_set_usual(environment, options->name);
    for (size_t i = 0; !r && i < options->n_pass; i++) {
        const char *value = getenv(options->pass[i]);
        if (!value)
            continue;
        may_read(prepare, value);
        r = environment_set_text(environment, options->pass[i], value);
    }
    if (!r)
        r = set_site(prepare);
    if (!r)
        r = environment_set_text(environment, "HOME", options->env_dir);
    return r ? r : environment_set_text(environment, "TMPDIR", prepare->temporary);
}

static int run_step(Prepare *prepare, const char *const *argv)
{
    const Options *options = prepare->options;
    const char *const write[] = {options->env_dir};
    const ScriptSpec spec = {.argv = argv,
                             .envp = prepare->environment.entry,
                             .directory = options->env_dir,
                             .umask = 022, /* scripts read it with another user id */
                             .limit_files = !options->own_uid && !options->no_file_limit,
                             .walls_optional = options->walls_optional,
                             .read = prepare->read,
                             .n_read = prepare->n_read,
                             .write = write,
                             .n_write = 1};
    const SuperviseSpec limits = {
        .time_limit = TIME_LIMIT, .grace = GRACE, .gate_fd = -1, .own_uid = options->own_uid};
    static Script script;
    RunEnd end;
    Fault fault;
    bool gate_gone;
    if (script_start(&spec, &script, &fault)) {
        output_say(prepare->sink, "%s", fault.text);
        return STATUS_BROKEN;
    }
    supervise_script(&script, &limits, prepare->signal_fd, prepare->sink, &end, &gate_gone);
    if (end.timed_out)
        output_say(prepare->sink, "The environment was not ready within 20 minutes.");
    return status_of_end(&end);
}

/* 1 when a line of the file pins by hash: then every line must. */
static int has_hashes(const char *path, bool *ret_has)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_REQUIREMENTS);
    int r = io_read_file(AT_FDCWD, path, &text);
    if (!r)
        *ret_has = strstr(buf_text(&text), "--hash=") != NULL;
    return r;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    int ignored = remove(path);
    (void)ignored; /* the supervisor removes what is left together with the environment */
    return 0;
}

static int build(Prepare *prepare, bool hashes)
{
    const Options *options = prepare->options;
    CLEANUP_MEM char *python = mem_printf("%s/bin/python", options->env_dir);
    const char *const venv[] = {options->python, "-m", "venv", options->env_dir, NULL};
    const char *const pip[] = {python,
                               "-m",
                               "pip",
                               "install",
                               "--require-virtualenv",
                               "--no-input",
                               "--quiet",
                               "--disable-pip-version-check",
                               "--no-cache-dir",
                               "-r",
                               options->requirements,
                               hashes ? "--require-hashes" : NULL,
                               NULL};
    int status = run_step(prepare, venv);
    return status ? status : run_step(prepare, pip);
}

int prepare(const Options *options, int signal_fd, OutputSink *sink)
{
    Prepare state = {.options = options, .sink = sink, .signal_fd = signal_fd};
    bool hashes;
    int r = has_hashes(options->requirements, &hashes), status = STATUS_BROKEN;
    if (r) {
        output_say(sink, "Cannot read %s: %s.", options->requirements, strerror(-r));
        return status;
    }
    CLEANUP_MEM char *temporary = mem_printf("%s/.tmp", options->env_dir);
    state.temporary = temporary;
    may_read(&state, options->requirements);
    if ((mkdir(options->env_dir, 0755) < 0 && errno != EEXIST) || mkdir(temporary, 0700) < 0)
        output_say(sink, "Cannot make %s: %s.", temporary, strerror(errno));
    else if ((r = set_environment(&state)))
        output_say(sink, "Cannot make the environment of the preparation: %s.", strerror(-r));
    else
        status = build(&state, hashes);
    nftw(temporary, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    environment_done(&state.environment);
    return status;
}
