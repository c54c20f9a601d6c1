/* purser audit: is it whole, or where was it altered or cut; and what does it say? */
#include "audit/export.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "purser/audit-show.h"
#include "purser/command.h"
#include "purser/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>

#define OPTION(name) command_option(&command_audit, invocation, (name))

/* The files that are asked about, and where they are. */
typedef struct Files {
    int folder; /* AT_FDCWD for those that were named */
    char **name;
    size_t n;
    bool named;
} Files;

static void find_files(const Invocation *invocation, const Session *session, Files *ret_files)
{
    Files files = {.folder = AT_FDCWD, .named = invocation->n_argument > 1};
    for (int i = 1; i < invocation->n_argument; i++)
        MEM_PUSH(files.name, files.n, mem_strdup(invocation->argument[i]));
    if (!files.named) {
        audit_files_list(&session->state, &files.name, &files.n);
        files.folder = openat(session->state.fd, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    *ret_files = files;
}

static void files_done(Files *files)
{
    mem_free_strings(files->name, files->n);
    if (files->folder >= 0)
        close(files->folder);
}

/* Calls for each; the first failure ends it. */
static int each_file(const Files *files, int (*each)(void *context, int fd, const char *name), void *context)
{
    for (size_t i = 0; i < files->n; i++) {
        bool is_input = files->named && strcmp(files->name[i], "-") == 0;
        CLEANUP_FD int fd = is_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                     : openat(files->folder, files->name[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);
        int r = fd < 0 ? -errno : each(context, fd, files->name[i]);
        if (r) {
            log_error("%s: %s.", files->name[i], strerror(-r));
            return r;
        }
    }
    return 0;
}

/* --- verify --- */

typedef struct Verifying {
    AuditVerify *verify; /* of files; or */
    AuditExport *lines;  /* of many pods' lines */
    AuditExported exported;
    JsonWriter *json; /* NULL: for people */
    AuditVerified result;
    bool unread;
    const char *sink; /* "asked", "not asked", "failed" */
    Fault sink_fault;
    char installation[AUDIT_INSTALLATION];
} Verifying;

static void say_finding(void *context, const AuditFinding *finding)
{
    Verifying *verifying = context;
    char place[320] = "";
    if (finding->line)
        snprintf(place, sizeof(place), "%s, line %llu: ", finding->file, (unsigned long long)finding->line);
    else if (finding->file[0])
        snprintf(place, sizeof(place), "%s: ", finding->file);
    if (verifying->json) {
        JsonWriter *json = verifying->json;
        json_object_begin(json, NULL);
        json_text(json, "kind", finding->kind == AUDIT_PROBLEM ? "problem" : "note");
        json_text(json, "file", finding->file[0] ? finding->file : NULL);
        if (finding->line)
            json_u64(json, "line", finding->line);
        json_text(json, "message", finding->sentence);
        json_object_end(json);
    } else if (finding->kind == AUDIT_PROBLEM) {
        log_error("%s%s", place, finding->sentence);
    } else {
        char safe[3200]; /* it may hold what stands in a file that nobody vouches for */
        text_escape(safe, sizeof(safe), finding->sentence, strlen(finding->sentence));
        printf("note: %s%s\n", place, safe);
    }
}

static void take_head(const IpcRecord *record, void *context)
{
    Verifying *verifying = context;
    WireReader wire = WIRE_READER(record->payload.ptr, record->payload.len);
    ClerkSeal head;
    if (record->type != IPC_CLERK_SEAL_IS || clerk_seal_get(&wire, &head))
        return;
    AuditSeal seal = {.number = head.number, .time = head.time};
    memcpy(seal.mac.bytes, head.head, sizeof(seal.mac.bytes));
    const char *chain = strchr(head.installation, '-');
    if (verifying->lines && chain)
        audit_export_expect(verifying->lines, chain + 1, &seal, head.run);
    else if (verifying->verify && !chain)
        audit_verify_expect(verifying->verify, &seal, head.run);
}

/* The heads that the sink has, before the files are read: those only grow. */
static void ask_sink(Session *session, Verifying *verifying)
{
    unsigned char room[64];
    WireWriter wire = WIRE_WRITER(room);
    SinkLink sink;
    Fault *fault = &verifying->sink_fault;
    const Sink *where = &session->config->sink;
    verifying->sink = "failed";
    if (where->kind == SINK_SQLITE && access(where->path, F_OK) < 0) {
        fault_set(fault, 0, "There is no database %s.", where->path);
        return;
    }
    wire_put_text(&wire, verifying->installation);
    int r = sink_open(session, &sink, fault);
    if (!r)
        r = clerk_command(&sink.clerk, IPC_CLERK_SEALS, &wire, NULL, 0, 30000, take_head, verifying, fault);
    if (!r)
        verifying->sink = "asked";
    sink_close(&sink);
}

static int verify_one(void *context, int fd, const char *name)
{
    Verifying *verifying = context;
    return audit_verify_file(verifying->verify, fd, name);
}

static int read_key(const Invocation *invocation, const Session *session, unsigned char key[AUDIT_KEY])
{
    Fault fault = {0};
    const char *path = OPTION("key");
    CLEANUP_FD int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
    int r = path && fd < 0 ? fault_set(&fault, -errno, "%s: %s.", path, strerror(errno))
            : path         ? audit_key_read(fd, key, &fault)
                           : audit_files_key(&session->state, key, &fault);
    if (r)
        log_error("%s", fault.text);
    return r;
}

static bool is_asked(const Verifying *verifying)
{
    return strcmp(verifying->sink, "asked") == 0;
}

static void print_verified(const Verifying *verifying)
{
    const AuditVerified *result = &verifying->result;
    char records[32], seals[32], known[32];
    if (result->files == 0 && result->problems == 0) {
        printf(is_asked(verifying)
                   ? "There is no audit yet.\n"
                   : "There is no audit here; the sink was not asked whether there was one.\n");
        return;
    }
    printf("%s records in %u file%s, %s. Runs that are sealed: %s; of these, the sink ",
           text_human_count(records, result->records), result->files, result->files == 1 ? "" : "s",
           verifying->unread  ? "not all of them read"
           : result->problems ? "NOT as they were written"
                              : "each as it was written, none missing",
           text_human_count(seals, result->seals));
    if (is_asked(verifying))
        printf("has %s (installation %s).\n", text_human_count(known, result->seals_known),
               verifying->installation);
    else
        printf("was not asked, so lines at the end may have been cut off.\n");
}

static int print_verified_json(const Verifying *verifying)
{
    const AuditVerified *result = &verifying->result;
    JsonWriter *json = verifying->json;
    json_array_end(json);
    json_bool(json, "whole", result->problems == 0 && !verifying->unread);
    json_u64(json, "records", result->records);
    json_u64(json, "files", result->files);
    json_u64(json, "problems", result->problems);
    json_u64(json, "notes", result->notes);
    json_u64(json, "seals", result->seals);
    json_u64(json, "sealsInSink", result->seals_known);
    if (verifying->exported.pods || verifying->exported.missing) {
        json_u64(json, "pods", verifying->exported.pods);
        json_u64(json, "missingRuns", verifying->exported.missing);
        json_u64(json, "otherLines", verifying->exported.others);
        json_u64(json, "twice", verifying->exported.twice);
    }
    json_text(json, "installation", verifying->installation);
    json_text(json, "sink", verifying->sink);
    json_text(json, "sinkMessage", verifying->sink_fault.text[0] ? verifying->sink_fault.text : NULL);
    json_object_end(json);
    return print_json(json);
}

static int judge(const Verifying *verifying)
{
    if (verifying->result.problems || verifying->unread)
        return EXIT_FAILED;
    return strcmp(verifying->sink, "failed") == 0 ? EXIT_SINK : EXIT_OK;
}

/* Nothing was ever recorded, as far as this installation knows. Where there is a key there were files, too:
 * then the sink may know of them. */
static bool is_new(const Files *files, const Session *session)
{
    unsigned char key[AUDIT_KEY];
    Fault fault;
    bool none = files->n == 0 && audit_files_key(&session->state, key, &fault) == -ENOENT;
    sodium_memzero(key, sizeof(key));
    return none;
}

static int export_one(void *context, int fd, const char *name)
{
    Verifying *verifying = context;
    (void)name;
    return audit_export_read(verifying->lines, fd);
}

static void print_exported(const Verifying *verifying)
{
    const AuditExported *exported = &verifying->exported;
    const AuditVerified *result = &verifying->result;
    char records[32], seals[32], known[32], others[32], twice[32];
    printf("%s records of %u pods, %s. Runs that are sealed: %s; of these, the sink ",
           text_human_count(records, result->records), exported->pods,
           verifying->unread  ? "not all of them read"
           : result->problems ? "NOT as they were written"
                              : "each as it was written, none missing",
           text_human_count(seals, result->seals));
    if (is_asked(verifying))
        printf("has %s. Runs that are missing: %u.", text_human_count(known, result->seals_known),
               exported->missing);
    else
        printf("was not asked, so lines at the end, and whole pods, may be missing.");
    printf(" Other lines: %s; records that came twice: %s.\n", text_human_count(others, exported->others),
           text_human_count(twice, exported->twice));
}

/* Of nothing one cannot say that it is whole: most likely the log could not be fetched. With --since the
 * sink's runs have answered that. */
static void say_empty(Verifying *verifying, bool since)
{
    if (verifying->result.records || verifying->result.problems || (since && is_asked(verifying)))
        return;
    say_finding(verifying, &(AuditFinding){AUDIT_PROBLEM, "", 0,
                                           "there is no record of an audit in this: it is no agent's log, or "
                                           "nothing came of it."});
    verifying->result.problems++;
}

/* Files as they are named, "-" for standard input. */
static int verify_export(const Invocation *invocation, Session *session, const Files *files,
                         Verifying *verifying)
{
    unsigned char key[AUDIT_KEY];
    AuditExportSpec spec = {.key = key, .say = say_finding, .context = verifying};
    const char *since = OPTION("since");
    if (since && audit_show_since(since, &spec.since)) {
        log_error("--since takes 2h, 3d, 2026-11-24 or 2026-11-24T08:00:00Z, not %s.", since);
        return EXIT_USAGE;
    }
    spec.until = since ? clock_wall() : 0;
    if (read_key(invocation, session, key))
        return EXIT_FAILED;
    audit_installation(key, verifying->installation);
    verifying->lines = audit_export_new(&spec);
    verifying->sink = "not asked";
    if (session && !OPTION("offline"))
        ask_sink(session, verifying);
    verifying->unread = each_file(files, export_one, verifying) != 0;
    verifying->unread |= audit_export_end(verifying->lines, &verifying->exported) != 0;
    verifying->result = verifying->exported.all;
    verifying->lines = audit_export_free(verifying->lines);
    say_empty(verifying, since != NULL);
    sodium_memzero(key, sizeof(key));
    if (!verifying->json)
        print_exported(verifying);
    return -1;
}

static int verify_files(const Invocation *invocation, Session *session, const Files *files,
                        Verifying *verifying)
{
    unsigned char key[AUDIT_KEY];
    if (read_key(invocation, session, key))
        return EXIT_FAILED;
    audit_installation(key, verifying->installation);
    verifying->verify =
        audit_verify_new(&(AuditVerifySpec){.key = key,
                                            .retain = session ? session->config->retain.audit : 0,
                                            .part = files->named,
                                            .say = say_finding,
                                            .context = verifying});
    verifying->sink = "not asked";
    if (!files->named && !OPTION("offline"))
        ask_sink(session, verifying);
    verifying->unread = each_file(files, verify_one, verifying) != 0;
    verifying->result = audit_verify_end(verifying->verify);
    audit_verify_free(verifying->verify);
    sodium_memzero(key, sizeof(key));
    if (!verifying->json)
        print_verified(verifying);
    return -1;
}

static int verify(const Invocation *invocation, Session *session, const Files *files)
{
    CLEANUP_BUF Buf text = BUF_INIT(64u << 20);
    JsonWriter json = JSON_WRITER(&text);
    Verifying verifying = {.json = OPTION("json") ? &json : NULL};
    if (verifying.json) {
        json_object_begin(&json, NULL);
        json_array_begin(&json, "findings");
    }
    if (!verifying.json && !OPTION("key") && session && is_new(files, session)) {
        printf("There is no audit yet.\n");
        return EXIT_OK;
    }
    int status = OPTION("export") ? verify_export(invocation, session, files, &verifying)
                                  : verify_files(invocation, session, files, &verifying);
    if (status >= 0)
        return status;
    if (verifying.json && print_verified_json(&verifying))
        return EXIT_FAILED;
    if (!verifying.json && verifying.sink_fault.text[0])
        log_error("The sink cannot be asked: %s", verifying.sink_fault.text);
    return judge(&verifying);
}

/* --- show --- */

static int show_one(void *context, int fd, const char *name)
{
    (void)name;
    return audit_show_file(context, fd);
}

static int show(const Invocation *invocation, const Files *files)
{
    AuditShow what = {.run = OPTION("run"),
                      .retriever = OPTION("retriever"),
                      .source = OPTION("source"),
                      .refused = OPTION("refused") != NULL,
                      .all = OPTION("all") != NULL,
                      .json = OPTION("json") != NULL,
                      .terminal = isatty(STDOUT_FILENO) == 1,
                      .retriever_width = 12};
    const char *since = OPTION("since");
    if (since && audit_show_since(since, &what.since)) {
        log_error("--since takes 2h, 3d, 2026-11-24 or 2026-11-24T08:00:00Z, not %s.", since);
        return EXIT_USAGE;
    }
    return each_file(files, show_one, &what) || fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

static int run(const Invocation *invocation)
{
    bool verifies = strcmp(invocation->argument[0], "verify") == 0;
    if (!verifies && strcmp(invocation->argument[0], "show") != 0) {
        log_error("purser audit takes verify or show, not %s.", invocation->argument[0]);
        return EXIT_USAGE;
    }
    /* Files that are named need no configuration, if their key is named too. */
    bool asks = OPTION("export") && !OPTION("offline");
    bool alone = invocation->n_argument > 1 && (!verifies || OPTION("key")) && !asks;
    if (OPTION("export") && (!verifies || invocation->n_argument == 1)) {
        log_error("--export is of verify, and names the log's files: purser audit verify --export FILE...");
        return EXIT_USAGE;
    }
    Session session;
    int status = alone ? -1 : session_open(OPTION("file"), &session);
    if (status >= 0)
        return status;
    Files files;
    find_files(invocation, &session, &files);
    status = verifies ? verify(invocation, alone ? NULL : &session, &files) : show(invocation, &files);
    files_done(&files);
    if (!alone)
        session_close(&session);
    return status;
}

const Command command_audit = {
    .name = "audit",
    .arguments = "verify|show [FILE...]",
    .summary = "Verify that the audit is whole; show what it says",
    .help =
        "Every decision is a line of STATE/audit/audit.ndjson, bound to the one before it with a key of "
        "this\n"
        "installation (STATE/audit.key). At each run's end the head of that chain goes into the sink.\n\n"
        "verify: finds every line that was changed, put in, taken out or moved, over all files, and lines "
        "that\n"
        "were cut off behind a run's end. Exit status 0: it is whole; 1: it is not, and each line of the "
        "answer\n"
        "says where; 4: the files are whole, but the sink could not be asked.\n"
        "verify --export: the lines of many pods out of a log (kubectl logs --prefix, a log store's export), "
        "in "
        "any\n"
        "order: each pod's are verified, and runs that the sink knows and the export has not are named, in "
        "the "
        "time\n"
        "that it covers or since --since. The key is that of `audit: {keyFile: ...}`.\n"
        "show: one line for each decision; what was refused, with the reason. FILE: only these, not all.\n\n"
        "Examples:\n"
        "  purser audit verify\n"
        "  purser audit verify --offline --json\n"
        "  kubectl logs -l app.kubernetes.io/name=purser -c agent --prefix --tail=-1 |\n"
        "    purser audit verify --export --key audit.key -\n"
        "  purser audit show --since 2h --refused\n"
        "  purser audit show --json | jq 'select(.status == 403)'\n",
    .option = {{"file", 'f', "PATH", "the configuration (default: ./purser.yaml, /etc/purser/purser.yaml)"},
               {"offline", 0, NULL, "verify: do not ask the sink"},
               {"key", 0, "PATH", "verify: the key, if not STATE/audit.key"},
               {"export", 0, NULL,
                "verify: the files are a log's export, of many pods; - for standard input"},
               {"run", 0, "ID", "show: of this run"},
               {"retriever", 'r', "NAME", "show: of this retriever"},
               {"source", 's', "NAME", "show: of this source"},
               {"since", 0, "TIME", "show, verify --export: from then on: 2h, 3d, 2026-11-24"},
               {"refused", 0, NULL, "show: only what was refused, would be, or failed"},
               {"all", 'a', NULL, "show: also when answers ended"},
               {"json", 0, NULL, "verify: the result; show: the lines as they are"}},
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run,
};
