/* `retrievers:`. See parse.h. What only a cluster has (image, resources, ...) is read, checked for form, and
 * noted. */
#include "config/parse.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "schedule/cron.h"

#include <errno.h>
#include <sys/stat.h>

#define MINUTE    (60ull * CLOCK_SECOND)
#define DAY       (24 * 60 * MINUTE)
#define MAX_LIMIT (30 * DAY)

typedef struct RetrieverForm {
    char *name, *schedule, *time_zone;
    uint64_t jitter;
    char **command;
    size_t n_command;
    const YamlNode *image, *resources, *script, *env, *sources, *policy, *with, *mode, *until, *egress,
        *limits, *window;
} RetrieverForm;

typedef struct ScriptForm {
    char *name, *mount_path;
    const YamlNode *secret;
} ScriptForm;

static Retriever retriever_new(void)
{
    Retriever retriever = {
        .time_limit = 30 * MINUTE,
        .grace = 10ull * CLOCK_SECOND,
        .jitter = 30ull * CLOCK_SECOND,
        .first_window = 7 * DAY,
        .output_bytes = 256ull << 20,
        .output_files = 1000,
        .processes = 256,
    };
    char **const text[] = {&retriever.name,   &retriever.schedule,    &retriever.time_zone,
                           &retriever.script, &retriever.script_path, &retriever.requirements};
    for (size_t i = 0; i < COUNT_OF(text); i++)
        *text[i] = mem_strdup("");
    return retriever;
}

int check_schedule(Loader *loader, const YamlNode *node, char *schedule)
{
    Cron cron;
    Fault why = {""};
    if (strcmp(schedule, "never") == 0) {
        schedule[0] = '\0';
        return 0;
    }
    if (cron_parse(slice_of(schedule), &cron, &why))
        return yaml_fault(loader->doc, node, loader->fault, "schedule: %s", why.text);
    return 0;
}

int check_time_zone(Loader *loader, const YamlNode *node, const char *time_zone)
{
    Fault why = {""};
    if (cron_check_zone(time_zone, &why))
        return yaml_fault(loader->doc, node, loader->fault, "timeZone: %s", why.text);
    return 0;
}

static int read_limits(Loader *loader, const YamlNode *limits, const YamlNode *window, Retriever *retriever)
{
    static const YamlField limit[] = {
        YAML_FIELD(Retriever, "time", YAML_AS_DURATION, time_limit, .most = MAX_LIMIT),
        YAML_FIELD(Retriever, "grace", YAML_AS_DURATION, grace, .most = DAY),
        YAML_FIELD(Retriever, "outputBytes", YAML_AS_SIZE, output_bytes, .most = 1ull << 40),
        YAML_FIELD(Retriever, "outputFiles", YAML_AS_U32, output_files, .most = 1000000),
        YAML_FIELD(Retriever, "memory", YAML_AS_SIZE, memory),
        YAML_FIELD(Retriever, "processes", YAML_AS_U32, processes, .most = 100000),
    };
    static const YamlField first[] = {
        YAML_FIELD(Retriever, "first", YAML_AS_DURATION, first_window, .most = 3660 * DAY, .required = true),
    };
    int r = limits ? YAML_READ_MAP(loader->doc, limits, "limits", limit, retriever, loader->fault) : 0;
    if (!r && (!retriever->time_limit || !retriever->output_bytes || !retriever->output_files ||
               !retriever->processes))
        r = yaml_fault(loader->doc, limits, loader->fault,
                       "a limit of 0 would let no run end well; leave the key out for the default");
    if (!r && window)
        r = YAML_READ_MAP(loader->doc, window, "window", first, retriever, loader->fault);
    return r;
}

static bool is_file_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strlen(name) <= 255;
}

static int find_script(Loader *loader, const YamlNode *node, const char *name, Retriever *retriever)
{
    struct stat st;
    if (!is_file_name(name))
        return yaml_fault(loader->doc, node, loader->fault,
                          "'%.100s' must be the name of a file in files/%s/, without a folder", name,
                          retriever->name);
    put_text(&retriever->script, name);
    if (loader->paths->form == CONFIG_POD)
        return 0;
    mem_free(retriever->script_path);
    retriever->script_path = mem_printf("%s/files/%s/%s", loader->config->directory, retriever->name, name);
    bool is_there = stat(retriever->script_path, &st) == 0;
    if (!is_there && loader->paths->form == CONFIG_CHART) {
        add_note(
            loader,
            "line %u: %s is not there; where the cluster has it from a Secret, put it there to run it here.",
            node->line, retriever->script_path);
        return 0;
    }
    if (!is_there)
        return yaml_fault(loader->doc, node, loader->fault, "the script %s is not there: %s",
                          retriever->script_path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return yaml_fault(loader->doc, node, loader->fault, "the script %s is not a file",
                          retriever->script_path);
    CLEANUP_MEM char *requirements =
        mem_printf("%s/files/%s/requirements.txt", loader->config->directory, retriever->name);
    if (stat(requirements, &st) == 0)
        put_text(&retriever->requirements, requirements);
    return 0;
}

static int read_script(Loader *loader, const YamlNode *node, Retriever *retriever)
{
    static const YamlField field[] = {
        YAML_FIELD(ScriptForm, "name", YAML_AS_TEXT, name, .most = 255, .required = true),
        YAML_FIELD(ScriptForm, "secret", YAML_AS_NODE, secret),
        YAML_FIELD(ScriptForm, "mountPath", YAML_AS_TEXT, mount_path),
    };
    ScriptForm form = {0};
    int r = node->kind == YAML_TEXT
                ? yaml_read_text(loader->doc, node, "script", 255, &form.name, loader->fault)
                : YAML_READ_MAP(loader->doc, node, "script", field, &form, loader->fault);
    if (!r)
        r = find_script(loader, node->kind == YAML_MAP ? yaml_get(node, "name") : node, form.name, retriever);
    bool is_own = loader->paths->form == CONFIG_MACHINE;
    if (!r && form.secret && is_own)
        add_note(loader, "line %u: 'script.secret' is for a cluster; here the script is files/%s/%s.",
                 form.secret->line, retriever->name, retriever->script);
    if (!r && form.mount_path && is_own)
        add_note(loader, "line %u: 'script.mountPath' is for a cluster; here the script runs where it lies.",
                 node->line);
    mem_free(form.name);
    mem_free(form.mount_path);
    return r;
}

typedef struct ImageForm {
    char *name, *tag, *pull_policy;
} ImageForm;

static int note_cluster_keys(Loader *loader, const RetrieverForm *form, const Retriever *retriever)
{
    static const YamlField field[] = {
        YAML_FIELD(ImageForm, "name", YAML_AS_TEXT, name),
        YAML_FIELD(ImageForm, "tag", YAML_AS_TEXT, tag),
        YAML_FIELD(ImageForm, "pullPolicy", YAML_AS_TEXT, pull_policy),
    };
    int r = 0;
    if (loader->paths->form == CONFIG_POD)
        return 0;
    if (form->image && form->image->kind != YAML_TEXT) {
        ImageForm image = {0};
        r = YAML_READ_MAP(loader->doc, form->image, "image", field, &image, loader->fault);
        mem_free(image.name);
        mem_free(image.tag);
        mem_free(image.pull_policy);
    }
    if (!r && form->image)
        add_note(
            loader,
            "line %u: the retriever %s has an 'image', which one machine ignores: the script runs with this "
            "machine's Python.",
            form->image->line, retriever->name);
    if (!r && form->resources) {
        r = yaml_want_map(loader->doc, form->resources, "resources", loader->fault);
        add_note(
            loader,
            "line %u: the retriever %s has 'resources', which one machine ignores; use 'limits: {memory: "
            "...}'.",
            form->resources->line, retriever->name);
    }
    return r;
}

static int read_program(Loader *loader, const YamlNode *node, RetrieverForm *form, Retriever *retriever)
{
    bool has_command = yaml_get(node, "command");
    if (loader->paths->form == CONFIG_POD && !form->script && !has_command)
        return 0; /* its image's own program */
    if (!form->script == !has_command)
        return yaml_fault(
            loader->doc, node, loader->fault,
            "the retriever %s needs either 'script: {name: FILE.py}' or 'command: [PROGRAM, ARGUMENT...]'",
            retriever->name);
    if (form->script)
        return read_script(loader, form->script, retriever);
    if (form->n_command == 0)
        return yaml_fault(loader->doc, yaml_get(node, "command"), loader->fault,
                          "'command' names no program");
    retriever->command = STEAL(form->command);
    retriever->n_command = form->n_command;
    form->n_command = 0;
    return 0;
}

static int read_times(Loader *loader, const YamlNode *node, const RetrieverForm *form, Retriever *retriever)
{
    int r = 0;
    put_text(&retriever->schedule, form->schedule ? form->schedule : loader->schedule);
    put_text(&retriever->time_zone, form->time_zone ? form->time_zone : loader->time_zone);
    retriever->jitter = form->jitter;
    if (form->schedule)
        r = check_schedule(loader, yaml_get(node, "schedule"), retriever->schedule);
    if (!r && form->time_zone)
        r = check_time_zone(loader, yaml_get(node, "timeZone"), retriever->time_zone);
    return r;
}

static int fill_retriever(Loader *loader, const YamlNode *node, RetrieverForm *form, Retriever *retriever)
{
    int32_t other = config_find_retriever(loader->config, form->name);
    if (other >= 0)
        return yaml_fault(loader->doc, yaml_get(node, "name"), loader->fault,
                          "there are two retrievers '%s'; the first is in line %u", form->name,
                          loader->config->retriever[other].line);
    put_text(&retriever->name, form->name);
    retriever->line = node->line;
    int r = read_times(loader, node, form, retriever);
    if (!r)
        r = read_limits(loader, form->limits, form->window, retriever);
    if (!r)
        r = note_cluster_keys(loader, form, retriever);
    if (!r)
        r = parse_env(loader, form->env, form->sources, retriever);
    if (!r)
        r = parse_grants(loader, node, form->sources, form->policy, retriever);
    if (!r)
        r = parse_egress(loader, form->egress, retriever);
    return r ? r : read_program(loader, node, form, retriever);
}

static int parse_retriever(Loader *loader, const YamlNode *node)
{
    static const YamlField field[] = {
        YAML_FIELD(RetrieverForm, "name", YAML_AS_NAME, name, .required = true),
        YAML_FIELD(RetrieverForm, "schedule", YAML_AS_TEXT, schedule, .most = CRON_MAX_TEXT),
        YAML_FIELD(RetrieverForm, "timeZone", YAML_AS_TEXT, time_zone, .most = 64),
        YAML_FIELD(RetrieverForm, "script", YAML_AS_NODE, script),
        YAML_FIELD(RetrieverForm, "command", YAML_AS_TEXTS, command,
                   .count = offsetof(RetrieverForm, n_command)),
        YAML_FIELD(RetrieverForm, "sources", YAML_AS_NODE, sources),
        YAML_FIELD(RetrieverForm, "policy", YAML_AS_NODE, policy),
        YAML_FIELD(RetrieverForm, "with", YAML_AS_NODE, with),
        YAML_FIELD(RetrieverForm, "mode", YAML_AS_NODE, mode),
        YAML_FIELD(RetrieverForm, "until", YAML_AS_NODE, until),
        YAML_FIELD(RetrieverForm, "env", YAML_AS_NODE, env),
        YAML_FIELD(RetrieverForm, "egress", YAML_AS_NODE, egress),
        YAML_FIELD(RetrieverForm, "limits", YAML_AS_NODE, limits),
        YAML_FIELD(RetrieverForm, "window", YAML_AS_NODE, window),
        YAML_FIELD(RetrieverForm, "jitter", YAML_AS_DURATION, jitter, .most = DAY),
        YAML_FIELD(RetrieverForm, "image", YAML_AS_NODE, image),
        YAML_FIELD(RetrieverForm, "resources", YAML_AS_NODE, resources),
    };
    Retriever retriever = retriever_new();
    RetrieverForm form = {.jitter = retriever.jitter};
    int r = YAML_READ_MAP(loader->doc, node, "a retriever", field, &form, loader->fault);
    if (!r)
        r = fill_retriever(loader, node, &form, &retriever);
    mem_free(form.name);
    mem_free(form.schedule);
    mem_free(form.time_zone);
    mem_free_strings(form.command, form.n_command);
    MEM_PUSH(loader->config->retriever, loader->config->n_retriever,
             retriever); /* whole or not, freed with it */
    return r;
}

int parse_retrievers(Loader *loader, const YamlNode *list)
{
    if (!list)
        return 0;
    int r = yaml_want_list(loader->doc, list, "retrievers", CONFIG_MAX_RETRIEVERS, loader->fault);
    for (size_t i = 0; !r && i < list->n_child; i++)
        r = parse_retriever(loader, list->child[i]);
    return r;
}
