/* What a grant says beside its source: which policy, with which values, whether it only watches so far. See
 * parse.h.
 *
 *   policy: NAME                                     # with `with`, `mode`, `until` beside it
 *   policy: {SOURCE: NAME}                           # where a retriever has several sources
 *   policy: {SOURCE: {name: NAME, with: {...}, mode: audit, until: DATE}}
 */
#include "config/parse.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* -ENOENT: there is no such file. */
static int load_policy_file(Loader *loader, const char *file, const char *name, Policy **ret_policy)
{
    CLEANUP_BUF Buf bytes = BUF_INIT(POLICY_MAX_BYTES);
    Policy *policy = NULL;
    int r = io_read_file(AT_FDCWD, file, &bytes);
    if (r == -ENOENT || r == -ENOTDIR)
        return -ENOENT;
    if (r == -EFBIG)
        return fault_set(loader->fault, -EINVAL, "%s: a policy is at most %u KiB", file,
                         POLICY_MAX_BYTES >> 10);
    if (r)
        return fault_set(loader->fault, -EINVAL, "%s cannot be read: %s", file, strerror(-r));
    r = policy_parse(file, buf_slice(&bytes), &policy, loader->fault);
    if (!r && strcmp(policy->name, name) != 0)
        r = fault_set(loader->fault, -EINVAL, "%s:1:1: this file must say 'policy: %s', as its name does",
                      file, name);
    if (!r)
        r = policy_run_tests(policy, loader->fault);
    if (r) {
        policy_free(policy);
        return -EINVAL;
    }
    *ret_policy = policy;
    return 0;
}

/* A policy as its file has it, loaded when it is named for the first time: own files before purser's. */
static int want_form(Loader *loader, const YamlNode *node, const char *name, const Policy **ret_form)
{
    Config *config = loader->config;
    for (size_t i = 0; i < config->n_form; i++)
        if (strcmp(config->form[i]->name, name) == 0) {
            *ret_form = config->form[i];
            return 0;
        }
    Policy *policy = NULL;
    CLEANUP_MEM char *own = mem_printf("%s/policy/%s.yaml", config->directory, name);
    CLEANUP_MEM char *purser = mem_printf("%s/%s.yaml", loader->paths->policy_dir, name);
    int r = load_policy_file(loader, own, name, &policy);
    if (r == -ENOENT)
        r = load_policy_file(loader, purser, name, &policy);
    if (r == -ENOENT)
        return yaml_fault(loader->doc, node, loader->fault, "there is no policy '%s'; looked for %s and %s",
                          name, own, purser);
    if (r)
        return r;
    MEM_PUSH(config->form, config->n_form, policy);
    *ret_form = policy;
    return 0;
}

/* The index of a policy with its values. */
static int want_bound(Loader *loader, const YamlNode *node, const YamlNode *map, const Policy *form,
                      PolicyWith *with, uint32_t *ret_index)
{
    Config *config = loader->config;
    Fault why = {""};
    int r = policy_read_with(loader->doc, map, form, with, loader->fault);
    if (r)
        return r;
    for (size_t i = 0; i < config->n_policy; i++)
        if (policy_bound_as(config->policy[i], form, with)) {
            *ret_index = (uint32_t)i;
            return 0;
        }
    Policy *bound = NULL;
    if (policy_bind(form, with, &bound, &why))
        return yaml_fault(loader->doc, map ? map : node, loader->fault, "%s", why.text);
    *ret_index = (uint32_t)config->n_policy;
    MEM_PUSH(config->policy, config->n_policy, bound);
    return 0;
}

typedef struct GrantForm {
    char *name;
    const YamlNode *with, *mode, *until;
} GrantForm;

/* `node` is what stands for this source: a name, a mapping, or nothing. */
static int read_form(Loader *loader, const YamlNode *node, GrantForm *form)
{
    static const YamlField field[] = {
        YAML_FIELD(GrantForm, "name", YAML_AS_TEXT, name, .most = 63),
        YAML_FIELD(GrantForm, "with", YAML_AS_NODE, with),
        YAML_FIELD(GrantForm, "mode", YAML_AS_NODE, mode),
        YAML_FIELD(GrantForm, "until", YAML_AS_NODE, until),
    };
    int r = 0;
    if (node && node->kind == YAML_MAP)
        r = YAML_READ_MAP(loader->doc, node, "a source's policy", field, form, loader->fault);
    else if (node)
        r = yaml_read_text(loader->doc, node, "policy", 63, &form->name, loader->fault);
    if (!r && !text_is_name(slice_of(form->name)) && form->name[0])
        r = yaml_fault(loader->doc, node, loader->fault, "'policy: %.80s' is not the name of a policy",
                       form->name);
    return r;
}

/* `mode: audit` with its last day, in UTC. */
static int read_mode(Loader *loader, const GrantForm *form, GrantRef *grant)
{
    char time[40];
    int64_t day;
    bool audit = form->mode && form->mode->kind == YAML_TEXT && strcmp(form->mode->text, "audit") == 0;
    if (form->mode && !audit && strcmp(form->mode->text, "enforce") != 0)
        return yaml_fault(loader->doc, form->mode, loader->fault,
                          "'mode' is enforce, as it is without this key, or audit: then what no rule allows "
                          "passes if it is safe, and is recorded");
    if (audit && !form->until)
        return yaml_fault(loader->doc, form->mode, loader->fault,
                          "'mode: audit' needs its last day beside it, as in 'until: 2030-01-31'");
    if (form->until && !audit)
        return yaml_fault(loader->doc, form->until, loader->fault,
                          "'until' is the last day of 'mode: audit'");
    if (!audit)
        return 0;
    snprintf(time, sizeof(time), "%.20sT00:00:00Z", form->until->text);
    if (strlen(form->until->text) != 10 || clock_parse(slice_of(time), &day))
        return yaml_fault(loader->doc, form->until, loader->fault, "'until' is a day, as in 2030-01-31");
    grant->audit_until = day + 86400 * (int64_t)CLOCK_SECOND;
    return 0;
}

static int fault_none(Loader *loader, const YamlNode *retriever_node, const Source *source)
{
    return yaml_fault(
        loader->doc, retriever_node, loader->fault,
        "the source %s has no policy of its own (%s%s), so this retriever needs the key 'policy': the "
        "name of a file policy/NAME.yaml beside purser.yaml",
        source->name, source->provider[0] ? "purser has none yet for the provider " : "no provider",
        source->provider);
}

int parse_policy(Loader *loader, const YamlNode *retriever_node, const YamlNode *policy, const Source *source,
                 GrantRef *grant)
{
    bool apart = policy && policy->kind == YAML_MAP;
    const YamlNode *node = apart ? yaml_get(policy, source->name) : policy;
    const Policy *file = NULL;
    PolicyWith with = {0};
    GrantForm form = {.name = mem_strdup(source->policy),
                      .with = apart ? NULL : yaml_get(retriever_node, "with"),
                      .mode = apart ? NULL : yaml_get(retriever_node, "mode"),
                      .until = apart ? NULL : yaml_get(retriever_node, "until")};
    int r = read_form(loader, node, &form);
    if (!r && !form.name[0])
        r = fault_none(loader, retriever_node, source);
    const YamlNode *place = node ? node : retriever_node;
    if (!r)
        r = want_form(loader, place, form.name, &file);
    if (!r)
        r = want_bound(loader, place, form.with, file, &with, &grant->policy);
    if (!r)
        r = read_mode(loader, &form, grant);
    policy_with_done(&with);
    mem_free(form.name);
    return r;
}

int check_apart(Loader *loader, const YamlNode *retriever_node, const YamlNode *policy,
                const Retriever *retriever)
{
    static const char *const key[] = {"with", "mode", "until"};
    for (size_t i = 0; i < COUNT_OF(key); i++) {
        const YamlNode *node = yaml_get(retriever_node, key[i]);
        if (node && (retriever->n_grant > 1 || (policy && policy->kind == YAML_MAP)))
            return yaml_fault(loader->doc, node, loader->fault,
                              "'%s' beside 'policy' is for a retriever with one source; say for which it is: "
                              "policy: {%s: {name: ..., %s: ...}}",
                              key[i], loader->config->source[retriever->grant[0].source].name, key[i]);
    }
    return 0;
}
