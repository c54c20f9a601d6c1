/* Sentences about verdicts, for the script's author. See policy.h. The path is a stranger's: cut, and quoted
 * where a person would paste it into a policy. */
#include "policy/form.h"

#include "base/text.h"

#include <stdio.h>

#define PATH_SHOWN 240

/* `path` as it must be written in a rule: a plain scalar where YAML lets it be one, else in single quotes. */
static void write_yaml(char *out, size_t size, Slice path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_.~-%+@$=";
    bool quote = path.len == 0;
    size_t n = 0;
    for (size_t i = 0; i < path.len; i++)
        quote |= !path.ptr[i] || !strchr(plain, path.ptr[i]);
    if (quote)
        out[n++] = '\'';
    for (size_t i = 0; i < path.len && n + 4 < size; i++) {
        if (path.ptr[i] == '\'')
            out[n++] = '\'';
        out[n++] = path.ptr[i];
    }
    if (quote)
        out[n++] = '\'';
    out[n] = '\0';
}

static void explain_rule(const Policy *policy, PolicyVerdict verdict, const char *method, Slice shown,
                         Fault *ret)
{
    const PolicyRule *rule = &policy->rule[verdict.rule];
    bool denied = verdict.answer == POLICY_DENY;
    fault_set(ret, 0, "%s %.*s is %s by policy %s, line %u: %s {%s%s%spath: %s}%s", method, (int)shown.len,
              shown.ptr, denied ? "denied" : "allowed", policy->name, rule->line, denied ? "deny" : "allow",
              rule->host[0] ? "host: " : "", rule->host, rule->host[0] ? ", " : "", rule->path,
              denied ? "; no allow rule is stronger than that" : "");
}

void policy_explain(const Policy *policy, PolicyVerdict verdict, const char *method, Slice host, Slice path,
                    Fault *ret_sentence)
{
    Slice shown = {path.ptr, path.len < PATH_SHOWN ? path.len : PATH_SHOWN};
    const char *cut = shown.len < path.len ? "..." : "";
    if (verdict.answer != POLICY_NOT_NAMED && verdict.rule >= 0 && (size_t)verdict.rule < policy->n_rule) {
        explain_rule(policy, verdict, method, shown, ret_sentence);
        return;
    }
    char written[2 * PATH_SHOWN + 8];
    write_yaml(written, sizeof(written), shown);
    if (!policy_method(slice_of(method)))
        fault_set(ret_sentence, 0, "%s %.*s%s is refused: no policy can allow the method %s", method,
                  (int)shown.len, shown.ptr, cut, method);
    else
        fault_set(ret_sentence, 0,
                  "%s %.*s%s is not named by policy %s; if it is meant to be allowed, add to its allow list: "
                  "- {method: %s, %s%.*s%spath: %s}%s",
                  method, (int)shown.len, shown.ptr, cut, policy->name, method, host.len ? "host: " : "",
                  (int)host.len, host.ptr, host.len ? ", " : "", written,
                  *cut ? " (the whole path, which is cut here)" : "");
}
