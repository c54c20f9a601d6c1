/* purser-exec in a container. See pod.h. */
#include "runner/pod.h"

#include "base/io.h"
#include "base/mem.h"
#include "runner/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_REQUIREMENTS (1u << 20)
#define TERMINATION_LOG  "/dev/termination-log"

static const char *variable(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static int make_folder(Pod *pod, Fault *fault)
{
    const char *base = variable("TMPDIR", "/tmp");
    if ((size_t)snprintf(pod->scratch, sizeof(pod->scratch), "%s/purser-XXXXXX", base) >=
        sizeof(pod->scratch))
        return fault_set(fault, -ENAMETOOLONG, "$TMPDIR is too long.");
    if (!mkdtemp(pod->scratch))
        return fault_set(fault, -errno,
                         "Cannot make a folder in %s: %s; give the container a volume there (emptyDir).",
                         base, strerror(errno));
    snprintf(pod->venv, sizeof(pod->venv), "%s/venv", pod->scratch);
    return 0;
}

int pod_open(Options *options, Pod *ret_pod, Fault *fault)
{
    Pod *pod = ret_pod;
    *pod = POD_NONE;
    pod->termination_fd =
        open(variable("PURSER_TERMINATION_LOG", TERMINATION_LOG), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
    int r = make_folder(pod, fault);
    if (r)
        return r;
    if (!getcwd(pod->directory, sizeof(pod->directory)) || strcmp(pod->directory, "/") == 0)
        snprintf(pod->directory, sizeof(pod->directory), "%s", pod->scratch);
    if (!options->scratch)
        options->scratch = pod->scratch;
    if (!options->output_dir && *variable("OUTPUTDIR", ""))
        options->output_dir = getenv("OUTPUTDIR");
    options->no_file_limit = true;     /* the container's own */
    options->own_uid |= getpid() == 1; /* all that kill(-1) reaches is the container's */
    return 0;
}

void pod_close(Pod *pod)
{
    fd_close(&pod->termination_fd);
}

void pod_tell_end(Pod *pod, const char *sentence)
{
    if (pod->termination_fd >= 0 && io_write_all(pod->termination_fd, sentence, strlen(sentence)))
        return; /* the log has it */
    fd_close(&pod->termination_fd);
}

/* A program of the image, as execvp() would find it. */
static __attribute__((nonnull)) bool find_program(const char *name, char *out, size_t size)
{
    Slice folder, rest = slice_of(variable("PATH", "/usr/local/bin:/usr/bin:/bin"));
    if (strchr(name, '/')) {
        snprintf(out, size, "%s", name);
        return access(name, X_OK) == 0;
    }
    while (rest.len) {
        slice_cut(rest, ':', &folder, &rest);
        if (folder.len && (size_t)snprintf(out, size, "%.*s/%s", (int)folder.len, folder.ptr, name) < size &&
            access(out, X_OK) == 0)
            return true;
    }
    return false;
}

static bool is_python(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strncmp(slash ? slash + 1 : program, "python", 6) == 0;
}

static bool is_blank(Slice text)
{
    for (Slice line, rest = text; rest.len;) {
        slice_cut(rest, '\n', &line, &rest);
        line = slice_trim(line);
        if (line.len && line.ptr[0] != '#' && line.ptr[0] != '\r')
            return false;
    }
    return true;
}

/* A retriever's files may have requirements, or not. */
static bool has_requirements(const Options *options)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_REQUIREMENTS);
    int r = options->requirements ? io_read_file(AT_FDCWD, options->requirements, &text) : -ENOENT;
    return r != -ENOENT &&
           (r || !is_blank(buf_slice(&text))); /* one that cannot be read is a failure later */
}

int pod_find_command(Options *options, Pod *pod, Fault *fault)
{
    char found[1024];
    const char *program = options->command[0];
    const char *python = options->python ? options->python : is_python(program) ? program : "python3";
    if (!has_requirements(options))
        options->requirements = NULL;
    bool needs_python = is_python(program) || options->requirements;
    if (needs_python && !find_program(python, pod->python, sizeof(pod->python)))
        return fault_set(
            fault, -ENOENT,
            "There is no %s in this container's image; name one that has Python in the retriever's "
            "`image: {name, tag}`, such as python:3-slim.",
            python);
    if (!find_program(program, found, sizeof(found)))
        return fault_set(fault, -ENOENT, "There is no program %s in this container's image.", program);
    return 0;
}

int pod_prepare(Options *options, Pod *pod, int signal_fd, OutputSink *sink)
{
    static const char *const passed[] = {"PATH", "LANG", PREPARE_PASSED};
    Options build = *options;
    build.env_dir = pod->venv;
    build.python = pod->python;
    for (size_t i = 0; i < COUNT_OF(passed) && build.n_pass < OPTIONS_MAX_LIST; i++)
        build.pass[build.n_pass++] = passed[i];
    int status = prepare(&build, signal_fd, sink);
    if (status == 0)
        options->env_dir = pod->venv;
    return status;
}

int pod_inherit(Environment *environment)
{
    int r = 0;
    for (char **entry = environ; !r && *entry; entry++) {
        Slice name, value;
        if (slice_cut(slice_of(*entry), '=', &name, &value) && name.len && !slice_starts(name, "PURSER_"))
            r = environment_set(environment, name, value);
    }
    return r;
}
