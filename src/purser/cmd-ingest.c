/* purser ingest: loads files that a person names, as a retriever's results. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/command.h"
#include "purser/sink.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

typedef struct Ingest {
    Session *session;
    SinkLink sink;
    const Retriever *retriever; /* whose results they are */
    uint64_t rows, unchanged, dead, files;
    uint64_t failed;
} Ingest;

static void take_loaded(const IpcRecord *record, void *context)
{
    Ingest *ingest = context;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    RunLoaded loaded;
    if (record->type != IPC_LOADED || run_loaded_get(&wire, &loaded))
        return;
    ingest->rows += loaded.rows;
    ingest->unchanged += loaded.unchanged;
    ingest->dead += loaded.dead;
    ingest->files += loaded.files;
}

/* The ledger's key of a file that is no run's: what is in it, and whose it is said to be. Loading the same
 * bytes again as the same changes nothing. The time of a number is its file's, and in no byte of it. */
static int content_id(int fd, const char *name, int64_t time, const char *retriever, char out[64])
{
    char piece[65536];
    unsigned char digest[16];
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, NULL, 0, sizeof(digest));
    off_t at = 0;
    for (ssize_t n; (n = pread(fd, piece, sizeof(piece), at)) != 0; at += n) {
        if (n < 0)
            return -errno;
        crypto_generichash_update(&hash, (unsigned char *)piece, (unsigned long long)n);
    }
    crypto_generichash_update(&hash, (const unsigned char *)retriever, strlen(retriever) + 1);
    if (slice_ends(slice_of(name), ".dat"))
        crypto_generichash_update(&hash, (const unsigned char *)&time, sizeof(time));
    crypto_generichash_final(&hash, digest, sizeof(digest));
    text_hex(out + snprintf(out, 64, "ingest-"), digest, sizeof(digest));
    return 0;
}

static int ingest_file(Ingest *ingest, const char *path, const char *name)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    const Config *config = ingest->session->config;
    WireWriter wire = WIRE_WRITER(bytes);
    Fault fault = {0};
    struct stat status = {0};
    char id[64], *source[CONFIG_MAX_SOURCES];
    char *retriever = ingest->retriever ? ingest->retriever->name : (char *)"ingest";
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int r = fd < 0 || fstat(fd, &status) < 0 ? -errno
            : !S_ISREG(status.st_mode)       ? -EINVAL
                                             : content_id(fd, name, status.st_mtime, retriever, id);
    if (r) {
        log_error("%s: %s.", path, r == -EINVAL ? "not a plain file" : strerror(-r));
        return CLERK_E_DATA;
    }
    size_t n = 0;
    for (; ingest->retriever && n < ingest->retriever->n_grant; n++)
        source[n] = config->source[ingest->retriever->grant[n].source].name;
    for (; !ingest->retriever && n < config->n_source; n++)
        source[n] = config->source[n].name;
    int64_t now = clock_wall(), observed = (int64_t)status.st_mtime * CLOCK_SECOND;
    ClerkLoad load = {.run = id,
                      .retriever = retriever,
                      .file = (char *)name,
                      .source = source,
                      .n_source = n,
                      .since = 0,
                      .until = observed < now ? observed : now,
                      .observed = observed < now ? observed : now,
                      .output_bytes = 64ull << 30,
                      .output_files = 1};
    clerk_load_put(&load, &wire);
    r = clerk_command(&ingest->sink.clerk, IPC_CLERK_INGEST, &wire, &fd, 1, 600000, take_loaded, ingest,
                      &fault);
    if (r)
        log_error("%s: %s", path, fault.text);
    return r;
}

/* A file, or every plain file of a folder (not deeper: outputs of a run are flat as a rule, and links are not
 * followed). */
static int ingest_path(Ingest *ingest, const char *path)
{
    struct stat status;
    if (lstat(path, &status) == 0 && !S_ISDIR(status.st_mode)) {
        CLEANUP_MEM char *copy = mem_strdup(path);
        return ingest_file(ingest, path, basename(copy));
    }
    DIR *folder = opendir(path);
    if (!folder) {
        log_error("%s: %s.", path, strerror(errno));
        return CLERK_E_DATA;
    }
    int first = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        CLEANUP_MEM char *inner = mem_printf("%s/%s", path, entry->d_name);
        if (lstat(inner, &status) < 0 || !S_ISREG(status.st_mode))
            continue;
        int r = ingest_file(ingest, inner, entry->d_name);
        if (r && !first)
            first = r;
        if (r < 0 || r == CLERK_E_OUTAGE || r == CLERK_E_REFUSED)
            break;
    }
    closedir(folder);
    return first;
}

static int ingest_all(Ingest *ingest, const Invocation *invocation)
{
    bool migrate = ingest->session->config->sink.migrate;
    Fault fault = {0};
    char rows[32], unchanged[32], dead[32];
    int r = sink_open(ingest->session, &ingest->sink, &fault);
    if (!r)
        r = clerk_command(&ingest->sink.clerk, migrate ? IPC_CLERK_MIGRATE : IPC_CLERK_CHECK, NULL, NULL, 0,
                          60000, NULL, NULL, &fault);
    int status = r ? clerk_exit_status(r) : EXIT_OK;
    if (r)
        log_error("%s", fault.text);
    for (int i = 0; !r && i < invocation->n_argument; i++) {
        int one = ingest_path(ingest, invocation->argument[i]);
        if (one)
            status = clerk_exit_status(one);
        if (one < 0 || one == CLERK_E_OUTAGE || one == CLERK_E_REFUSED)
            break;
    }
    sink_close(&ingest->sink);
    if (r)
        return status;
    if (command_option(&command_ingest, invocation, "json")) {
        CLEANUP_BUF Buf text = BUF_INIT(4096);
        JsonWriter json = JSON_WRITER(&text);
        json_object_begin(&json, NULL);
        json_u64(&json, "files", ingest->files);
        json_u64(&json, "rows", ingest->rows);
        json_u64(&json, "unchanged", ingest->unchanged);
        json_u64(&json, "deadLetters", ingest->dead);
        json_object_end(&json);
        return print_json(&json) ? EXIT_FAILED : status;
    }
    printf("%llu files: %s rows loaded, %s were there already, %s in dead_letter.\n",
           (unsigned long long)ingest->files, text_human_count(rows, ingest->rows),
           text_human_count(unchanged, ingest->unchanged), text_human_count(dead, ingest->dead));
    return status;
}

static int run(const Invocation *invocation)
{
    Session session;
    int status = session_open(command_option(&command_ingest, invocation, "file"), &session);
    if (status >= 0)
        return status;
    Ingest ingest = {.session = &session, .sink = SINK_NONE};
    const char *name = command_option(&command_ingest, invocation, "retriever");
    int32_t index = name ? config_find_retriever(session.config, name) : -1;
    if (name && index < 0) {
        log_error("There is no retriever %s in %s.", name, session.config->path);
        status = EXIT_USAGE;
    } else {
        ingest.retriever = index < 0 ? NULL : &session.config->retriever[index];
        status = ingest_all(&ingest, invocation);
    }
    session_close(&session);
    return status;
}

const Command command_ingest = {
    .name = "ingest",
    .arguments = "PATH...",
    .summary = "Load files of results into the sink by hand",
    .help = "PATH is a .dat, .ndjson or .csv file, or a folder of them. Loading the same file again (as the "
            "same retriever's) changes nothing.\n"
            "Outputs that a run could not load are loaded by the next `purser run`; they need no ingest.\n\n"
            "Examples:\n"
            "  purser ingest jobs.ndjson\n"
            "  purser ingest --retriever github ./collected/\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"retriever", 'r', "NAME", "whose results they are (default: of no retriever, any source)"},
               {"json", 0, NULL, "print the result as JSON"}},
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run,
};
