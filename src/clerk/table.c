/* The columns of the tables that results go into. See table.h. */
#include "clerk/table.h"

#include "base/result.h"

#define TEXT TABLE_MAX_TEXT
#define NAME TABLE_MAX_NAME

/* name, field, kind, role, max, key, required */
#define SOURCE                                                                                               \
    {"source", "source", CELL_TEXT, COLUMN_SOURCE, NAME, true, true},                                        \
    {                                                                                                        \
        "scope", "scope", CELL_TEXT, COLUMN_PLAIN, NAME, true, true                                          \
    }
#define STATUS                                                                                               \
    {"status", NULL, CELL_TEXT, COLUMN_STATUS, 0, false, true},                                              \
    {                                                                                                        \
        "status_original", "status", CELL_TEXT, COLUMN_STATUS_ORIGINAL, NAME, false, false                   \
    }
#define CONCLUSION                                                                                           \
    {                                                                                                        \
        "conclusion_original", "conclusion", CELL_TEXT, COLUMN_CONCLUSION_ORIGINAL, NAME, false, false       \
    }
#define TIME(name)                                                                                           \
    {                                                                                                        \
        name, name, CELL_TIME, COLUMN_PLAIN, 0, false, false                                                 \
    }
#define PLAIN(name, field, kind, max)                                                                        \
    {                                                                                                        \
        name, field, kind, COLUMN_PLAIN, max, false, false                                                   \
    }
#define ORIGIN                                                                                               \
    {"extra", NULL, CELL_JSON, COLUMN_EXTRA, TEXT, false, false},                                            \
        {"retriever", NULL, CELL_TEXT, COLUMN_RETRIEVER, NAME, false, true},                                 \
        {"purser_run", NULL, CELL_TEXT, COLUMN_RUN, NAME, false, true},                                      \
    {                                                                                                        \
        "observed_at", NULL, CELL_TIME, COLUMN_OBSERVED, 0, false, true                                      \
    }

static const Column run_columns[] = {
    SOURCE,
    {"external_id", "id", CELL_TEXT, COLUMN_PLAIN, NAME, true, true},
    {"attempt", "attempt", CELL_INT, COLUMN_ATTEMPT, 0, true, true},
    PLAIN("name", "name", CELL_TEXT, NAME),
    PLAIN("branch", "branch", CELL_TEXT, NAME),
    PLAIN("commit_sha", "commit", CELL_TEXT, NAME),
    PLAIN("event", "event", CELL_TEXT, NAME),
    STATUS,
    CONCLUSION,
    TIME("created_at"),
    TIME("started_at"),
    TIME("completed_at"),
    PLAIN("url", "url", CELL_TEXT, TEXT),
    ORIGIN,
};

static const Column job_columns[] = {
    SOURCE,
    {"external_id", "id", CELL_TEXT, COLUMN_PLAIN, NAME, true, true},
    {"attempt", "attempt", CELL_INT, COLUMN_ATTEMPT, 0, true, true},
    PLAIN("run_id", "run_id", CELL_TEXT, NAME),
    PLAIN("run_attempt", "run_attempt", CELL_INT, 0),
    PLAIN("name", "name", CELL_TEXT, NAME),
    PLAIN("workflow", "workflow", CELL_TEXT, NAME),
    STATUS,
    CONCLUSION,
    TIME("queued_at"),
    TIME("started_at"),
    TIME("completed_at"),
    PLAIN("runner", "runner", CELL_TEXT, NAME),
    PLAIN("url", "url", CELL_TEXT, TEXT),
    PLAIN("labels", "labels", CELL_JSON, TEXT),
    ORIGIN,
};

static const Column test_columns[] = {
    SOURCE,
    {"external_id", "id", CELL_TEXT, COLUMN_TEST_ID, NAME, true, true},
    PLAIN("job_id", "job_id", CELL_TEXT, NAME),
    PLAIN("suite", "suite", CELL_TEXT, NAME),
    PLAIN("name", "name", CELL_TEXT, NAME),
    STATUS,
    PLAIN("duration_s", "duration_s", CELL_REAL, 0),
    TIME("at"),
    PLAIN("message", "message", CELL_TEXT, TEXT),
    ORIGIN,
};

static const Column deployment_columns[] = {
    SOURCE,
    {"external_id", "id", CELL_TEXT, COLUMN_PLAIN, NAME, true, true},
    PLAIN("environment", "environment", CELL_TEXT, NAME),
    STATUS,
    TIME("at"),
    PLAIN("branch", "branch", CELL_TEXT, NAME),
    PLAIN("commit_sha", "commit", CELL_TEXT, NAME),
    PLAIN("url", "url", CELL_TEXT, TEXT),
    ORIGIN,
};

static const Column queue_columns[] = {
    SOURCE,
    {"name", "name", CELL_TEXT, COLUMN_PLAIN, NAME, true, true},
    {"at", "at", CELL_TIME, COLUMN_PLAIN, 0, true, true},
    PLAIN("waiting", "waiting", CELL_INT, 0),
    PLAIN("running", "running", CELL_INT, 0),
    PLAIN("agents", "agents", CELL_INT, 0),
    ORIGIN,
};

static const Column metric_columns[] = {
    {"retriever", NULL, CELL_TEXT, COLUMN_RETRIEVER, NAME, true, true},
    {"name", "name", CELL_TEXT, COLUMN_PLAIN, NAME, true, true},
    {"at", "at", CELL_TIME, COLUMN_WINDOW_END, 0, true, true},
    {"labels_hash", NULL, CELL_TEXT, COLUMN_LABELS_HASH, 0, true, true},
    {"value", "value", CELL_REAL, COLUMN_PLAIN, 0, false, true},
    {"labels", "labels", CELL_JSON, COLUMN_LABELS, TEXT, false, true},
    {"extra", NULL, CELL_JSON, COLUMN_EXTRA, TEXT, false, false},
    {"purser_run", NULL, CELL_TEXT, COLUMN_RUN, NAME, false, true},
    {"observed_at", NULL, CELL_TIME, COLUMN_OBSERVED, 0, false, true},
};

/* Filled in by row_set_dead() in this order. */
static const Column dead_columns[] = {
    {"purser_run", NULL, CELL_TEXT, COLUMN_RUN, NAME, true, true},
    {"file", NULL, CELL_TEXT, COLUMN_PLAIN, NAME, true, true},
    {"line", NULL, CELL_INT, COLUMN_PLAIN, 0, true, true},
    {"retriever", NULL, CELL_TEXT, COLUMN_RETRIEVER, NAME, false, true},
    {"reason", NULL, CELL_TEXT, COLUMN_PLAIN, NAME, false, true},
    {"content", NULL, CELL_TEXT, COLUMN_PLAIN, TEXT, false, true},
    {"observed_at", NULL, CELL_TIME, COLUMN_OBSERVED, 0, false, true},
};

#define COLUMNS(array) array, COUNT_OF(array)
const Table table_list[TABLE_COUNT] = {
    [TABLE_RUN] = {"ci_run", "run", true, COLUMNS(run_columns)},
    [TABLE_JOB] = {"ci_job", "job", true, COLUMNS(job_columns)},
    [TABLE_TEST] = {"ci_test_result", "test", true, COLUMNS(test_columns)},
    [TABLE_DEPLOYMENT] = {"ci_deployment", "deployment", true, COLUMNS(deployment_columns)},
    [TABLE_QUEUE] = {"ci_queue_sample", "queue", true, COLUMNS(queue_columns)},
    [TABLE_METRIC] = {"metric_sample", "metric", true, COLUMNS(metric_columns)},
    [TABLE_DEAD] = {"dead_letter", "", false, COLUMNS(dead_columns)},
};
_Static_assert(COUNT_OF(run_columns) <= TABLE_MAX_COLUMNS && COUNT_OF(job_columns) <= TABLE_MAX_COLUMNS &&
                   COUNT_OF(test_columns) <= TABLE_MAX_COLUMNS,
               "a row has room for every column");

const Table *table_of_type(Slice type)
{
    for (size_t i = 0; i < TABLE_DEAD; i++)
        if (slice_is(type, table_list[i].type))
            return &table_list[i];
    return NULL;
}

const Table *table_of_file(Slice path)
{
    if (!slice_ends(path, ".csv"))
        return NULL;
    Slice name = {path.ptr, path.len - strlen(".csv")};
    for (Slice head, tail; slice_cut(name, '/', &head, &tail);)
        name = tail;
    for (size_t i = 0; i < TABLE_DEAD; i++) {
        Slice singular = name.len && name.ptr[name.len - 1] == 's' ? (Slice){name.ptr, name.len - 1} : name;
        if (slice_is(name, table_list[i].name) || slice_is(name, table_list[i].type) ||
            slice_is(singular, table_list[i].type))
            return &table_list[i];
    }
    return NULL;
}
