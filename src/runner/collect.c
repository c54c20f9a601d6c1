/* Passing on what a script left. See collect.h.
 *
 * Each step opens one name in a folder that is open already, without following a link: the same as openat2
 * with RESOLVE_BENEATH, on kernels and in sandboxes that do not have it.
 */
#include "runner/collect.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

typedef struct Collect {
    const IpcPeer *gate;
    const RunLimits *limits;
    OutputSink *sink;
    dev_t device;
    uid_t owner;
    uint64_t bytes;
    uint32_t outputs, refused;
    char path[RUN_MAX_PATH + 1]; /* of the entry that is being looked at */
} Collect;

typedef struct Names {
    char **name;
    size_t n;
    bool more;
} Names;

static int send_refused(Collect *collect, const char *path, const char *reason)
{
    unsigned char room[RUN_MAX_PATH + 512];
    WireWriter wire = WIRE_WRITER(room);
    const RunOutputRefused refused = {.path = slice_of(path), .reason = slice_of(reason)};
    run_output_refused_put(&refused, &wire);
    output_say(collect->sink, "%s was not loaded: %s.", path, reason);
    return ipc_send_wire(collect->gate, IPC_OUTPUT_REFUSED, &wire, NULL, 0);
}

static int refuse(Collect *collect, const char *reason)
{
    if (collect->refused++ >= COLLECT_MAX_REFUSED)
        return 0;
    return send_refused(collect, collect->path, reason);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(int fd, Names *ret_names)
{
    Names names = {NULL, 0, false};
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy < 0 ? NULL : fdopendir(copy);
    if (!folder) {
        int r = -errno;
        fd_close(&copy);
        return r;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if ((names.more = names.n == COLLECT_MAX_ENTRIES))
            break;
        MEM_PUSH(names.name, names.n, mem_strdup(entry->d_name));
    }
    closedir(folder);
    if (names.n)
        qsort(names.name, names.n, sizeof(names.name[0]), compare);
    *ret_names = names;
    return 0;
}

static const char *kind_text(mode_t mode)
{
    return S_ISLNK(mode)    ? "it is a link, and links are not followed"
           : S_ISFIFO(mode) ? "it is a fifo"
           : S_ISSOCK(mode) ? "it is a socket"
                            : "it is a device";
}

static int send_file(Collect *collect, int folder, const char *name)
{
    unsigned char room[RUN_MAX_PATH + 64];
    WireWriter wire = WIRE_WRITER(room);
    struct stat status;
    CLEANUP_FD int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return refuse(collect, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return refuse(collect, kind_text(status.st_mode));
    if (status.st_uid != collect->owner)
        return refuse(collect, "it belongs to another user");
    uint64_t size = (uint64_t)status.st_size;
    if (size > collect->limits->output_bytes || collect->bytes > collect->limits->output_bytes - size)
        return refuse(collect, "with it the output would be larger than outputBytes allows");
    if (collect->outputs == collect->limits->output_files)
        return refuse(collect, "there are more files than outputFiles allows");
    const RunOutput output = {slice_of(collect->path), size};
    run_output_put(&output, &wire);
    int r = ipc_send_wire(collect->gate, IPC_OUTPUT, &wire, &fd, 1);
    if (!r) {
        collect->bytes += size;
        collect->outputs++;
    }
    return r;
}

static int send_folder(Collect *collect, int fd, unsigned depth);

static int send_subfolder(Collect *collect, int folder, const char *name, dev_t device, unsigned depth)
{
    if (depth == COLLECT_MAX_DEPTH)
        return refuse(collect, "it is a folder deeper than 8 levels");
    if (device != collect->device)
        return refuse(collect, "it is another file system");
    CLEANUP_FD int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? refuse(collect, strerror(errno)) : send_folder(collect, fd, depth + 1);
}

static int send_entry(Collect *collect, int folder, const char *name, unsigned depth)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return refuse(collect, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return send_subfolder(collect, folder, name, status.st_dev, depth);
    if (!S_ISREG(status.st_mode))
        return refuse(collect, kind_text(status.st_mode));
    return send_file(collect, folder, name);
}

static int send_folder(Collect *collect, int fd, unsigned depth)
{
    Names names = {NULL, 0, false};
    size_t before = strlen(collect->path);
    int r = read_names(fd, &names);
    if (r)
        return refuse(collect, strerror(-r));
    for (size_t i = 0; !r && i < names.n; i++) {
        int n = snprintf(collect->path + before, sizeof(collect->path) - before, "%s%s", before ? "/" : "",
                         names.name[i]);
        r = (size_t)n >= sizeof(collect->path) - before
                ? refuse(collect, "its path is longer than 1,024 bytes")
                : send_entry(collect, fd, names.name[i], depth);
        collect->path[before] = '\0';
    }
    if (!r && names.more)
        r = send_refused(collect, before ? collect->path : "(the output folder)",
                         "it has more than 20,000 entries");
    mem_free_strings(names.name, names.n);
    return r;
}

int collect_send(const IpcPeer *gate, int output_fd, const RunLimits *limits, OutputSink *sink,
                 uint32_t *ret_outputs)
{
    Collect collect = {.gate = gate, .limits = limits, .sink = sink, .owner = geteuid()};
    struct stat status;
    if (fstat(output_fd, &status) < 0)
        return -errno;
    collect.device = status.st_dev;
    int r = send_folder(&collect, output_fd, 0);
    if (!r && collect.refused > COLLECT_MAX_REFUSED) {
        char reason[80];
        snprintf(reason, sizeof(reason), "%u more files and folders were refused too",
                 collect.refused - COLLECT_MAX_REFUSED);
        r = send_refused(&collect, "(others)", reason);
    }
    if (!r)
        *ret_outputs = collect.outputs;
    return r;
}
