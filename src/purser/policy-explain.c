/* purser policy explain: what policies make of one request, by the functions that the keeper decides by. It
 * asks nobody; what only a run knows (leases, budgets, rates) is left out. */
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "http/credential.h"
#include "http/target.h"
#include "policy/form.h"
#include "policy/graphql-rule.h"
#include "policy/load-graphql.h"
#include "purser/command.h"
#include "purser/policy-commands.h"
#include "supervisor/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

typedef struct Asked {
    const Invocation *invocation;
    const char *method;
    char host[254]; /* "": the URL is a path */
    Slice raw;      /* path and query, as they were written */
    HttpHeader header[2];
    size_t n_header;
    bool has_body;
    char *document, *variables, *operation_name; /* of --body; NULL: none */
    Fault undecidable; /* why --body is none that the keeper decides; "": it is one */
    JsonWriter *json;  /* NULL: for people */
    bool any, refused;
} Asked;

/* What one policy makes of it. */
typedef struct Verdict {
    bool allowed;
    bool rigid; /* refused also in `mode: audit` */
    Fault sentence, change;
    unsigned line;
} Verdict;

static int split_url(const char *url, Asked *asked)
{
    const char *rest = strstr(url, "://");
    asked->raw = slice_of(url);
    if (!rest)
        return url[0] == '/' ? 0 : -EINVAL;
    uint16_t port;
    rest += 3;
    size_t n = strcspn(rest, "/?#");
    asked->raw = rest[n] ? slice_of(rest + n) : SLICE_LITERAL("/");
    return target_parse_authority((Slice){rest, n}, 443, asked->host, &port, NULL) || asked->raw.ptr[0] != '/'
               ? -EINVAL
               : 0;
}

/* No document of GraphQL's begins so. */
static bool is_json(Slice text)
{
    Slice rest = slice_trim(text);
    if (rest.len && rest.ptr[0] == '{')
        rest = slice_trim((Slice){rest.ptr + 1, rest.len - 1});
    while (rest.len && (rest.ptr[0] == '\n' || rest.ptr[0] == '\r'))
        rest = slice_trim((Slice){rest.ptr + 1, rest.len - 1});
    return rest.len && strchr("\"}[", rest.ptr[0]);
}

static bool is_text(const YamlNode *node)
{
    return node->kind == YAML_TEXT && !node->plain;
}

/* What the keeper refuses of a request, whatever its document asks for; or NULL. */
static const char *request_problem(const YamlNode *root)
{
    static const char *const known[] = {"query", "operationName", "variables", "extensions"};
    if (root->kind != YAML_MAP)
        return "the GraphQL request is a batch, or no object: each operation is a request of its own";
    for (size_t i = 0; i < root->n_child; i += 2) {
        const YamlNode *value = root->child[i + 1];
        size_t k = 0;
        while (k < COUNT_OF(known) && strcmp(root->child[i]->text, known[k]) != 0)
            k++;
        if (k == COUNT_OF(known))
            return "the GraphQL request has a member that is not query, operationName, variables or "
                   "extensions; purser knows no other";
        if (value->kind != YAML_NULL && !(k < 2 ? is_text(value) : value->kind == YAML_MAP))
            return "of a GraphQL request query and operationName are text, variables and extensions objects";
    }
    const YamlNode *query = yaml_get(root, "query");
    return query && query->kind == YAML_TEXT && query->text[0]
               ? NULL
               : "the GraphQL request has no document; one that is named by its hash or id cannot be decided";
}

/* JSON is YAML; a document may stand alone. */
static int read_body(const char *path, Asked *asked, Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(GRAPHQL_MAX_BYTES);
    CLEANUP_YAML YamlDoc *doc = NULL;
    Fault why = {""};
    int r = io_read_file(AT_FDCWD, path, &text);
    if (r)
        return fault_set(fault, r, "%s: %s.", path, r == -EFBIG ? "longer than 256 KiB" : strerror(-r));
    if (!is_json(buf_slice(&text))) {
        asked->document = mem_strdup(buf_text(&text));
        return 0;
    }
    if (yaml_doc_read(path, buf_slice(&text), GRAPHQL_MAX_BYTES, &doc, &why) != 0) {
        fault_set(&asked->undecidable, 0, "the GraphQL request cannot be read: %s", why.text);
    } else {
        const char *problem = request_problem(doc->root);
        fault_set(&asked->undecidable, 0, "%s", problem ? problem : "");
    }
    bool sound = !asked->undecidable.text[0];
    const YamlNode *name = sound ? yaml_get(doc->root, "operationName") : NULL;
    const YamlNode *variables = sound ? yaml_get(doc->root, "variables") : NULL;
    asked->document = mem_strdup(sound ? yaml_get(doc->root, "query")->text : "");
    asked->operation_name = name && name->kind == YAML_TEXT ? mem_strdup(name->text) : NULL;
    if (variables && variables->kind == YAML_MAP)
        return load_graphql_variables(doc, variables, true, &asked->variables, fault);
    return 0;
}

/* By GET the same stands in the address. */
static const char *method_problem(const Asked *asked, const GraphqlChosen *chosen)
{
    bool get = strcmp(asked->method, "GET") == 0;
    if (!get && strcmp(asked->method, "POST") != 0)
        return "a GraphQL request is a POST or a GET";
    return get && chosen->operation->type != GRAPHQL_QUERY ? "a GraphQL request by GET may only be a query"
                                                           : NULL;
}

static void decide_document(const Policy *policy, const Asked *asked, Verdict *verdict)
{
    GraphqlArena arena;
    GraphqlValue variables = {0};
    GraphqlChosen chosen;
    if (asked->undecidable.text[0]) {
        verdict->sentence = asked->undecidable;
        return;
    }
    graphql_arena_init(&arena);
    GraphqlRequest request = {slice_of(asked->document), slice_of(asked->operation_name), NULL};
    int r = asked->variables
                ? graphql_parse_value(&arena, slice_of(asked->variables), &variables, &verdict->sentence)
                : 0;
    request.variable = variables.entry;
    if (r == 0 && graphql_read(&arena, &request, &chosen, &verdict->sentence) == 0) {
        PolicyGraphqlVerdict said = policy_decide_graphql(policy, &chosen);
        const char *problem = method_problem(asked, &chosen);
        verdict->allowed = said.answer == POLICY_ALLOW && !problem;
        verdict->rigid = said.answer == POLICY_DENY || chosen.operation->type != GRAPHQL_QUERY || problem;
        /* the rule that comes nearest has decided nothing */
        verdict->line = said.rule >= 0 && said.answer != POLICY_NOT_NAMED ? policy->rule[said.rule].line : 0;
        policy_explain_graphql(policy, &said, &chosen, &verdict->sentence);
        if (problem)
            fault_set(&verdict->sentence, 0, "%s", problem);
    } else {
        verdict->rigid = true;
    }
    graphql_arena_done(&arena);
}

/* By every method that it may be taken for it changes nothing. */
static bool is_safe(const char *method, Slice query)
{
    uint32_t all = http_method(slice_of(method));
    for (Slice pair, name, value; query.len;) {
        slice_cut(query, '&', &pair, &query);
        slice_cut(pair, '=', &name, &value);
        all |= http_is_method_parameter(name) ? http_method(value) : 0;
    }
    return !(all & ~(uint32_t)(HTTP_GET | HTTP_HEAD));
}

static void decide_target(const Policy *policy, const Asked *asked, Slice host, Slice path, Slice query,
                          Verdict *verdict)
{
    PolicyRequest request = {.method = policy_method(slice_of(asked->method)),
                             .host = host,
                             .path = path,
                             .query = query,
                             .header = asked->header,
                             .n_header = asked->n_header,
                             .has_body = asked->has_body};
    const char *method = asked->method;
    PolicyVerdict said = policy_decide_overridden(policy, &request, &method);
    verdict->allowed = said.answer == POLICY_ALLOW;
    verdict->line = said.rule >= 0 ? policy->rule[said.rule].line : 0;
    verdict->rigid = said.answer == POLICY_DENY || !is_safe(asked->method, query);
    policy_explain(policy, &said, method, &request, &verdict->sentence);
    if (said.answer != POLICY_NOT_NAMED)
        fault_set(
            &verdict->change, 0,
            said.answer == POLICY_DENY
                ? "It is denied until that rule is taken out of the file or made narrower: line %u of %s."
                : "It is refused when line %u of %s is taken out or made narrower (unless another rule "
                  "allows it), or when a deny rule names it.",
            verdict->line, policy->file[0] ? policy->file : policy->name);
}

static void decide(const Policy *policy, const Asked *asked, Slice host, Slice path, Slice query,
                   Verdict *verdict)
{
    if (asked->document)
        decide_document(policy, asked, verdict);
    else
        decide_target(policy, asked, host, path, query, verdict);
}

/* By a policy with its values; and whether it is they that keep it out. form: the policy as its file has it.
 */
static void decide_both(const Policy *policy, const Policy *form, const Asked *asked, Slice host, Slice path,
                        Slice query, Verdict *verdict)
{
    Policy *open_policy = NULL;
    Verdict open = {0};
    const PolicyWith none = {0};
    decide(policy, asked, host, path, query, verdict);
    if (verdict->allowed || verdict->change.text[0] || policy_bind(form, &none, &open_policy, NULL))
        return;
    decide(open_policy, asked, host, path, query, &open);
    if (open.allowed)
        fault_set(&verdict->change, 0,
                  "Without the values given by 'with', or with others, line %u of %s would allow it.",
                  open.line, form->file);
    policy_free(open_policy);
}

static void say_verdict(Asked *asked, const char *who, const char *source, const Policy *policy,
                        const Verdict *verdict)
{
    asked->any = true;
    asked->refused |= !verdict->allowed;
    if (asked->json) {
        json_object_begin(asked->json, NULL);
        json_text(asked->json, "retriever", who);
        json_text(asked->json, "source", source);
        json_text(asked->json, "policy", policy->name);
        json_text(asked->json, "file", policy->file);
        json_bool(asked->json, "allowed", verdict->allowed);
        if (verdict->line)
            json_u64(asked->json, "line", verdict->line);
        json_text(asked->json, "message", verdict->sentence.text);
        if (verdict->change.text[0])
            json_text(asked->json, "change", verdict->change.text);
        json_object_end(asked->json);
        return;
    }
    char sentence[2048];
    text_escape(sentence, sizeof(sentence), verdict->sentence.text, strlen(verdict->sentence.text));
    printf("%s  ", verdict->allowed ? "allowed" : "refused");
    if (who)
        printf("retriever %s, source %s, ", who, source);
    printf("policy %s", policy->name);
    for (size_t i = 0; i < policy->with.n; i++)
        printf(", %s=%s", policy->with.name[i], policy->with.value[i]);
    printf("\n  %s\n", sentence);
    if (verdict->change.text[0])
        printf("  %s\n", verdict->change.text);
}

/* "owner=acme,repo=web" */
static int read_with(const char *text, const Policy *policy, PolicyWith *with, Fault *fault)
{
    int r = 0;
    for (Slice one, rest = slice_of(text); rest.len && r == 0;) {
        Slice name, value;
        slice_cut(rest, ',', &one, &rest);
        if (!slice_cut(one, '=', &name, &value))
            return fault_set(fault, -EINVAL, "--with is NAME=VALUE, and several with commas between them");
        MEM_PUSH(with->name, with->n, mem_dup(name.ptr, name.len));
        with->value = mem_grow(with->value, with->n, sizeof(*with->value));
        with->value[with->n - 1] = mem_dup(value.ptr, value.len);
        r = policy_check_value(policy, with->name[with->n - 1], with->value[with->n - 1], fault);
    }
    return r;
}

/* A file, or a name: of ./policy, then of purser's own. */
static int load_one(const char *named, Policy **ret_policy)
{
    Paths paths;
    Fault fault = {0};
    if (strchr(named, '/') || slice_ends(slice_of(named), ".yaml"))
        return policy_read_file(named, ret_policy);
    CLEANUP_MEM char *own = mem_printf("policy/%s.yaml", named);
    if (access(own, F_OK) == 0)
        return policy_read_file(own, ret_policy);
    if (paths_find(&paths, &fault)) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    CLEANUP_MEM char *purser = mem_printf("%s/%s.yaml", paths.policy, named);
    return policy_read_file(purser, ret_policy);
}

static int explain_one(Asked *asked, const char *named)
{
    Policy *policy = NULL, *bound = NULL;
    PolicyWith with = {0};
    static Target target;
    Verdict verdict = {0};
    Fault fault = {0};
    const char *values = policy_option(asked->invocation, "with");
    int status = load_one(named, &policy);
    if (status >= 0)
        return status;
    int r = values ? read_with(values, policy, &with, &fault) : 0;
    r = r ? r : policy_bind(policy, &with, &bound, &fault);
    r = r ? r : target_normalise_slashes(asked->raw, &target, &fault);
    if (r) {
        log_error("%s", fault.text);
    } else {
        decide_both(bound, policy, asked, SLICE_LITERAL(""), target_path(&target), target_query(&target),
                    &verdict);
        say_verdict(asked, NULL, NULL, bound, &verdict);
    }
    policy_with_done(&with);
    policy_free(bound);
    policy_free(policy);
    return r ? EXIT_USAGE : -1;
}

/* Which host of the source is meant; source_hosts(): none. */
static uint32_t host_of(const Source *source, const Asked *asked)
{
    uint32_t n = (uint32_t)source_hosts(source);
    for (uint32_t i = 0; i < n && asked->host[0]; i++)
        if (host_matches(source_origin(source, i)->host, slice_of(asked->host)))
            return i;
    return asked->host[0] ? n : 0;
}

/* Whether it is the source's GraphQL endpoint, however that is spelt; *ret_beside: something beneath it. */
static bool is_graphql(const Source *source, uint32_t host, Slice path, bool *ret_beside)
{
    Slice endpoint = slice_of(source->graphql_path);
    endpoint.len -= endpoint.len > 1 && slice_ends(endpoint, "/");
    *ret_beside = path.len > endpoint.len + slice_ends(path, "/");
    return endpoint.len && host == source->graphql_host && path.len >= endpoint.len &&
           slice_equal_nocase((Slice){path.ptr, endpoint.len}, endpoint) &&
           (path.len == endpoint.len || path.ptr[endpoint.len] == '/' || path.ptr[endpoint.len] == '.');
}

static void explain_at(Asked *asked, const Source *source, uint32_t host, const Policy *policy,
                       const Policy *form, Verdict *verdict)
{
    static Target target;
    int r = (source_takes_slashes(source, host) ? target_normalise_slashes
                                                : target_normalise)(asked->raw, &target, &verdict->sentence);
    Slice path = target_path(&target), base = slice_of(source->api.base);
    bool own = source_use(source, host) == HOST_API;
    if (r)
        return;
    if (source_use(source, host) == HOST_ARTIFACT) {
        fault_set(
            &verdict->sentence, 0,
            "%s is where the API redirects to for files: by GET, without a token, only the exact address "
            "that it has just redirected the run to; no rule is about it",
            asked->host);
        return;
    }
    bool beside = false,
         graphql = asked->host[0] ? is_graphql(source, host, path, &beside) : asked->document != NULL;
    Asked rest = *asked;
    if (!graphql)
        rest.document = NULL; /* a body like any other */
    rest.has_body |= asked->document != NULL;
    if ((graphql && beside) || (!graphql && source_use(source, host) == HOST_GRAPHQL)) {
        fault_set(&verdict->sentence, 0, "the GraphQL endpoint of source %s is %s, and nothing beside it",
                  source->name, source->graphql_path);
        return;
    }
    if (graphql && !asked->document) {
        fault_set(&verdict->sentence, 0,
                  "this is the GraphQL endpoint: what is asked there decides; give it with "
                  "--body FILE");
        return;
    }
    if (!graphql && own && asked->host[0] && base.len) {
        if (!slice_starts(path, source->api.base) || (path.len > base.len && path.ptr[base.len] != '/')) {
            fault_set(&verdict->sentence, 0, "source %s has its API beneath %s: this is outside of it",
                      source->name, source->api.base);
            return;
        }
        path = path.len > base.len ? (Slice){path.ptr + base.len, path.len - base.len} : SLICE_LITERAL("/");
    }
    decide_both(policy, form, &rest, own ? SLICE_LITERAL("") : slice_of(source_origin(source, host)->host),
                path, target_query(&target), verdict);
}

static const Policy *form_of(const Config *config, const Policy *bound)
{
    size_t i = 0;
    while (strcmp(config->form[i]->name, bound->name) != 0) /* each was made of one of these */
        i++;
    return config->form[i];
}

static void explain_grant(Asked *asked, const Config *config, const Retriever *retriever,
                          const GrantRef *grant)
{
    const Source *source = &config->source[grant->source];
    const char *wanted = policy_option(asked->invocation, "source");
    uint32_t host = host_of(source, asked);
    Verdict verdict = {.rigid = true};
    if (host == source_hosts(source) || (wanted && strcmp(wanted, source->name) != 0))
        return;
    const Policy *policy = config->policy[grant->policy];
    explain_at(asked, source, host, policy, form_of(config, policy), &verdict);
    if (!verdict.allowed && !verdict.rigid && clock_wall() < grant->audit_until)
        fault_set(&verdict.change, 0, "Its grant has 'mode: audit': it passes and is recorded.");
    say_verdict(asked, retriever->name, source->name, policy, &verdict);
}

static int explain_configured(Asked *asked)
{
    Paths paths;
    Config *config = NULL;
    Fault fault = {0};
    const char *wanted = policy_option(asked->invocation, "retriever");
    if (policy_option(asked->invocation, "with")) {
        log_error("--with goes with --policy; a retriever's values are in purser.yaml.");
        return EXIT_USAGE;
    }
    if (paths_find(&paths, &fault)) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    int status = paths_load_config(policy_option(asked->invocation, "file"), &paths, &config);
    if (status >= 0)
        return status;
    for (size_t i = 0; i < config->n_retriever; i++)
        for (size_t k = 0; k < config->retriever[i].n_grant; k++)
            if (!wanted || strcmp(wanted, config->retriever[i].name) == 0)
                explain_grant(asked, config, &config->retriever[i], &config->retriever[i].grant[k]);
    if (!asked->any)
        log_error("No retriever%s%s has a source at %s; its request would be refused (host-denied).",
                  wanted ? " " : "", wanted ? wanted : "", asked->host[0] ? asked->host : "this path");
    config_free(config);
    return asked->any ? -1 : EXIT_FAILED;
}

static int fill(Asked *asked)
{
    const Invocation *invocation = asked->invocation;
    const char *accept = policy_option(invocation, "accept"),
               *type = policy_option(invocation, "content-type");
    const char *body = policy_option(invocation, "body");
    Fault fault = {0};
    if (invocation->n_argument != 3 || split_url(invocation->argument[2], asked)) {
        log_error("purser policy explain takes a method and a URL or path, as in GET /repos/a/b.");
        return EXIT_USAGE;
    }
    asked->method = invocation->argument[1];
    if (accept)
        asked->header[asked->n_header++] = (HttpHeader){SLICE_LITERAL("Accept"), slice_of(accept)};
    if (type)
        asked->header[asked->n_header++] = (HttpHeader){SLICE_LITERAL("Content-Type"), slice_of(type)};
    asked->has_body = type != NULL;
    if (body && read_body(body, asked, &fault)) {
        log_error("%s", fault.text);
        return EXIT_USAGE;
    }
    return -1;
}

int policy_explain_run(const Invocation *invocation)
{
    CLEANUP_BUF Buf text = BUF_INIT(8u << 20);
    JsonWriter json = JSON_WRITER(&text);
    Asked asked = {.invocation = invocation};
    const char *named = policy_option(invocation, "policy");
    asked.json = policy_option(invocation, "json") ? &json : NULL;
    int status = fill(&asked);
    if (asked.json)
        json_array_begin(&json, NULL);
    if (status < 0)
        status = named ? explain_one(&asked, named) : explain_configured(&asked);
    if (asked.json) {
        json_array_end(&json);
        if (status < 0 && print_json(&json))
            status = EXIT_FAILED;
    }
    mem_free(asked.document);
    mem_free(asked.variables);
    mem_free(asked.operation_name);
    return status >= 0 ? status : asked.refused ? EXIT_FAILED : EXIT_OK;
}
