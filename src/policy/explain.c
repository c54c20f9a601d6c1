/* Sentences about verdicts, for the script's author. See policy.h. The path is a stranger's: cut, and quoted
 * where a person would paste it into a policy. */
#include "policy/form.h"

#include "base/text.h"

#include <stdio.h>

#define PATH_SHOWN 240
#define WHAT_SHOWN 60
#define LIST_SHOWN 240

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

static const char *rule_host(const PolicyRule *rule, const char **ret_comma)
{
    *ret_comma = rule->host[0] ? ", " : "";
    return rule->host[0] ? "host: " : "";
}

static void explain_rule(const Policy *policy, const PolicyVerdict *verdict, const char *method, Slice shown,
                         Fault *ret)
{
    const PolicyRule *rule = &policy->rule[verdict->rule];
    bool denied = verdict->answer == POLICY_DENY;
    const char *comma, *host = rule_host(rule, &comma);
    fault_set(ret, 0, "%s %.*s is %s by policy %s, line %u: %s {%s%s%spath: %s}%s", method, (int)shown.len,
              shown.ptr, denied ? "denied" : "allowed", policy->name, rule->line, denied ? "deny" : "allow",
              host, rule->host, comma, rule->path, denied ? "; no allow rule is stronger than that" : "");
}

/* "a, b, c", cut where it is long. */
static const char *write_list(char out[LIST_SHOWN], char *const *list, size_t n)
{
    size_t len = 0, i = 0;
    out[0] = '\0';
    for (; i < n && len + strlen(list[i]) + 8 < LIST_SHOWN; i++)
        len += (size_t)snprintf(out + len, LIST_SHOWN - len, "%s%s", i ? ", " : "", list[i]);
    if (i < n)
        snprintf(out + len, LIST_SHOWN - len, "%s...", i ? ", " : "");
    return n ? out : "none";
}

/* A rule has the method and the path, and asks for more. */
static void explain_near(const Policy *policy, const PolicyVerdict *verdict, const char *method, Slice shown,
                         Fault *ret)
{
    char list[LIST_SHOWN];
    const PolicyRule *rule = &policy->rule[verdict->near];
    const PolicyShape *shape = &rule->shape;
    Slice what = {verdict->what.ptr, verdict->what.len < WHAT_SHOWN ? verdict->what.len : WHAT_SHOWN};
    int len = (int)what.len, path = (int)shown.len;
    switch (verdict->why) {
    case POLICY_WHY_TWICE:
        fault_set(ret, 0,
                  "%s %.*s has the query parameter '%.*s' twice, and which of the two a server takes is not "
                  "known: send it once",
                  method, path, shown.ptr, len, what.ptr);
        break;
    case POLICY_WHY_BROKEN:
        fault_set(
            ret, 0,
            "%s %.*s has a query parameter whose name cannot be decoded; policy %s, line %u, allows: %s",
            method, path, shown.ptr, policy->name, rule->line,
            write_list(list, shape->query, shape->n_query));
        break;
    case POLICY_WHY_ACCEPT:
        fault_set(
            ret, 0,
            "%s %.*s asks for '%.*s' in its Accept header (none is as */*); policy %s, line %u, allows: "
            "%s. Send one of these, or add it to the rule's 'accept'",
            method, path, shown.ptr, len, what.ptr, policy->name, rule->line,
            write_list(list, shape->accept, shape->n_accept));
        break;
    case POLICY_WHY_CONTENT_TYPE:
        fault_set(ret, 0,
                  "%s %.*s has a body whose one Content-Type is '%.*s'; policy %s, line %u, allows: %s. Send "
                  "one of these, or add it to the rule's 'contentType'",
                  method, path, shown.ptr, len, what.ptr, policy->name, rule->line,
                  write_list(list, shape->content_type, shape->n_content_type));
        break;
    default:
        fault_set(ret, 0,
                  "%s %.*s has the query parameter '%.*s', which policy %s, line %u, does not allow (it "
                  "allows: %s); if it is meant to be allowed, add it to that rule's 'query'",
                  method, path, shown.ptr, len, what.ptr, policy->name, rule->line,
                  write_list(list, shape->query, shape->n_query));
        break;
    }
}

void policy_explain(const Policy *policy, const PolicyVerdict *verdict, const char *method,
                    const PolicyRequest *request, Fault *ret_sentence)
{
    Slice path = request->path, host = request->host;
    Slice shown = {path.ptr, path.len < PATH_SHOWN ? path.len : PATH_SHOWN};
    const char *cut = shown.len < path.len ? "..." : "";
    if (verdict->answer != POLICY_NOT_NAMED && verdict->rule >= 0) {
        explain_rule(policy, verdict, method, shown, ret_sentence);
        return;
    }
    if (verdict->near >= 0 && verdict->why > POLICY_WHY_METHOD) {
        explain_near(policy, verdict, method, shown, ret_sentence);
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
