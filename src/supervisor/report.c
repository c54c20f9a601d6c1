/* Runs' reports: writing and reading run.json. See report.h. */
#include "supervisor/report.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"
#include "supervisor/node.h"
#include "supervisor/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define MAX_REPORT (1u << 20)

static const char *const status_text[] = {"running",   "ok",           "failed",
                                          "timed-out", "not-prepared", "not-started",
                                          "no-token",  "not-loaded",   "recorded"};

const char *run_status_text(RunStatus status)
{
    return status_text[status];
}

char *run_report_took(const RunReport *report, char out[static 24])
{
    return text_human_duration(
        out, report->ended > report->started ? (uint64_t)(report->ended - report->started) : 0);
}

static void json_count(JsonWriter *json, const char *key, uint64_t count)
{
    if (count == UINT64_MAX)
        json_nothing(json, key);
    else
        json_u64(json, key, count);
}

static void json_limits(const RunReport *report, uint32_t source, JsonWriter *json)
{
    json_array_begin(json, "limits");
    for (size_t i = 0; i < report->n_limit; i++) {
        const RunLimit *limit = &report->limit[i];
        if (limit->source != source)
            continue;
        json_object_begin(json, NULL);
        json_text(json, "name", limit->name);
        json_count(json, "limit", limit->limit);
        json_count(json, "remaining", limit->remaining);
        json_u64(json, "reserved", limit->reserved);
        json_time(json, "told", limit->told);
        json_time(json, "reset", limit->reset);
        json_object_end(json);
    }
    json_array_end(json);
}

void run_report_sources(const RunReport *report, JsonWriter *json, const char *key)
{
    json_array_begin(json, key);
    for (size_t i = 0; i < report->n_source; i++) {
        const RunSource *source = &report->source[i];
        json_object_begin(json, NULL);
        json_text(json, "name", report->source_name[i]);
        json_u64(json, "requests", source->requests);
        json_u64(json, "refused", source->refused);
        json_u64(json, "failed", source->failed);
        json_u64(json, "retried", source->retried);
        json_u64(json, "sentBytes", source->sent);
        json_u64(json, "receivedBytes", source->received);
        json_u64(json, "redacted", source->redacted);
        json_u64(json, "storeCalls", source->store_calls);
        json_time(json, "tokenSet", source->token_set);
        json_bool(json, "unused", source->unused);
        json_limits(report, source->source, json);
        json_object_end(json);
    }
    json_array_end(json);
}

static void json_refusals(const RunReport *report, JsonWriter *json)
{
    json_array_begin(json, "refusals");
    for (size_t i = 0; i < report->n_refusal; i++) {
        const RunRefusal *refusal = &report->refusal[i];
        json_object_begin(json, NULL);
        json_text(json, "code", refusal->code);
        json_text(json, "method", refusal->method);
        json_text(json, "host", refusal->host);
        json_text(json, "path", refusal->path);
        json_text(json, "message", refusal->sentence);
        json_u64(json, "count", refusal->count);
        json_object_end(json);
    }
    json_array_end(json);
}

static bool is_first_of_code(const RunReport *report, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(report->refusal[k].code, report->refusal[i].code) == 0)
            return false;
    return true;
}

void run_report_refusal_counts(const RunReport *report, JsonWriter *json)
{
    json_object_begin(json, NULL);
    for (size_t i = 0; i < report->n_refusal; i++) {
        uint64_t count = 0;
        if (!is_first_of_code(report, i) || strcmp(report->refusal[i].code, RUN_WOULD_REFUSE) == 0)
            continue; /* what passed was not refused */
        for (size_t k = i; k < report->n_refusal; k++)
            if (strcmp(report->refusal[k].code, report->refusal[i].code) == 0)
                count += report->refusal[k].count;
        json_u64(json, report->refusal[i].code, count);
    }
    json_object_end(json);
}

void run_report_json(const RunReport *report, JsonWriter *json, const char *key)
{
    json_object_begin(json, key);
    json_text(json, "id", report->id);
    json_text(json, "retriever", report->retriever);
    json_text(json, "status", run_status_text(report->status));
    json_text(json, "message", report->sentence);
    json_time(json, "started", report->started);
    json_time(json, "ended", report->ended);
    json_time(json, "since", report->since);
    json_time(json, "until", report->until);
    json_i64(json, "exitStatus", report->exit_status);
    json_i64(json, "signal", report->signal);
    json_u64(json, "rows", report->rows);
    json_u64(json, "unchanged", report->unchanged);
    json_u64(json, "deadLetters", report->dead);
    json_u64(json, "files", report->files);
    json_bool(json, "outputKept", report->output_kept);
    json_bool(json, "advance", report->advance);
    run_report_sources(report, json, "sources");
    json_refusals(report, json);
    json_object_end(json);
}

int run_report_write(const RunReport *report, int folder_fd)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_REPORT);
    JsonWriter json = JSON_WRITER(&text);
    run_report_json(report, &json, NULL);
    int r = json_finish(&json);
    if (!r)
        r = buf_append(&text, "\n", 1);
    return r ? r : state_write(folder_fd, "run.json", buf_slice(&text), 0600);
}

#define COPY_TEXT(array, map, key) snprintf((array), sizeof(array), "%s", node_text((map), (key)))

static uint64_t count_or_unknown(const YamlNode *node, const char *key)
{
    return node_text(node, key)[0] ? node_number(node, key) : UINT64_MAX;
}

static void read_limits(const YamlNode *source, uint32_t index, RunReport *report)
{
    for (size_t i = 0; i < node_count(source, "limits") && report->n_limit < RUN_MAX_LIMITS; i++) {
        const YamlNode *node = node_item(source, "limits", i);
        RunLimit limit = {.source = index,
                          .limit = count_or_unknown(node, "limit"),
                          .remaining = count_or_unknown(node, "remaining"),
                          .reserved = node_number(node, "reserved"),
                          .told = node_time(node, "told"),
                          .reset = node_time(node, "reset")};
        COPY_TEXT(limit.name, node, "name");
        MEM_PUSH(report->limit, report->n_limit, limit);
    }
}

static void read_lists(const YamlNode *root, RunReport *report)
{
    const YamlNode *sources = yaml_get(root, "sources"), *refusals = yaml_get(root, "refusals");
    for (size_t i = 0; sources && sources->kind == YAML_LIST && i < sources->n_child; i++) {
        const YamlNode *node = sources->child[i];
        RunSource source = {.requests = node_number(node, "requests"),
                            .refused = node_number(node, "refused"),
                            .failed = node_number(node, "failed"),
                            .retried = node_number(node, "retried"),
                            .sent = node_number(node, "sentBytes"),
                            .received = node_number(node, "receivedBytes"),
                            .redacted = node_number(node, "redacted"),
                            .store_calls = node_number(node, "storeCalls"),
                            .token_set = node_time(node, "tokenSet"),
                            .unused = node_flag(node, "unused")};
        size_t n = report->n_source;
        source.source = (uint32_t)n;
        read_limits(node, source.source, report);
        MEM_PUSH(report->source_name, n, mem_strdup(node_text(node, "name")));
        MEM_PUSH(report->source, report->n_source, source);
    }
    for (size_t i = 0; refusals && refusals->kind == YAML_LIST && i < refusals->n_child; i++) {
        const YamlNode *node = refusals->child[i];
        RunRefusal refusal = {.count = node_number(node, "count")};
        COPY_TEXT(refusal.code, node, "code");
        COPY_TEXT(refusal.method, node, "method");
        COPY_TEXT(refusal.host, node, "host");
        COPY_TEXT(refusal.path, node, "path");
        COPY_TEXT(refusal.sentence, node, "message");
        MEM_PUSH(report->refusal, report->n_refusal, refusal);
    }
}

int run_report_read(int folder_fd, RunReport *ret_report)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_REPORT);
    CLEANUP_YAML YamlDoc *doc = NULL;
    int r = io_read_file(folder_fd, "run.json", &text);
    if (!r) /* JSON as purser writes it is YAML, and the strict YAML reader is the one that the supervisor has
             */
        r = yaml_doc_read("run.json", buf_slice(&text), MAX_REPORT, &doc, NULL);
    if (r)
        return r;
    const YamlNode *root = doc->root;
    RunReport report = {0};
    if (!root || root->kind != YAML_MAP)
        return -EINVAL;
    COPY_TEXT(report.id, root, "id");
    COPY_TEXT(report.retriever, root, "retriever");
    COPY_TEXT(report.sentence, root, "message");
    for (size_t i = 0; i < COUNT_OF(status_text); i++)
        if (strcmp(node_text(root, "status"), status_text[i]) == 0)
            report.status = (RunStatus)i;
    report.started = node_time(root, "started"), report.ended = node_time(root, "ended");
    report.since = node_time(root, "since"), report.until = node_time(root, "until");
    report.exit_status =
        strcmp(node_text(root, "exitStatus"), "-1") == 0 ? -1 : (int32_t)node_number(root, "exitStatus");
    report.signal = (int32_t)node_number(root, "signal");
    report.rows = node_number(root, "rows"), report.unchanged = node_number(root, "unchanged");
    report.dead = node_number(root, "deadLetters");
    report.files = (uint32_t)node_number(root, "files");
    report.output_kept = node_flag(root, "outputKept");
    report.advance = node_flag(root, "advance");
    if (!text_is_name(slice_of(report.retriever)) || !report.id[0])
        return -EINVAL;
    read_lists(root, &report);
    *ret_report = report;
    return 0;
}

void run_report_done(RunReport *report)
{
    mem_free_strings(report->source_name, report->n_source);
    mem_free(report->source);
    mem_free(report->refusal);
    mem_free(report->limit);
    *report = (RunReport){0};
}

static int newest_first(const void *a, const void *b)
{
    return strcmp(*(char *const *)b, *(char *const *)a); /* ids begin with their time */
}

int run_report_list(int runs_fd, const char *retriever, size_t most, RunReport **ret_list, size_t *ret_n)
{
    char **name = NULL;
    size_t n_name = 0, n = 0;
    RunReport *list = NULL;
    int scan = openat(runs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = scan < 0 ? NULL : fdopendir(scan);
    if (!folder)
        return -errno;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            MEM_PUSH(name, n_name, mem_strdup(entry->d_name));
    closedir(folder);
    if (n_name)
        qsort(name, n_name, sizeof(*name), newest_first);
    for (size_t i = 0; i < n_name && n < most; i++) {
        RunReport report;
        CLEANUP_FD int fd = openat(runs_fd, name[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || run_report_read(fd, &report))
            continue;
        if (retriever && strcmp(report.retriever, retriever) != 0)
            run_report_done(&report);
        else
            MEM_PUSH(list, n, report);
    }
    mem_free_strings(name, n_name);
    *ret_list = list;
    *ret_n = n;
    return 0;
}
