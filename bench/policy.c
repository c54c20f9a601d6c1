/* What a decision costs, and what is done for it and beside it.
 *
 *   bench-policy
 *
 * One line for each: a name, a figure, its unit; for decisions also what it costs to ask each rule in turn.
 * Of this process's time, the best of five rounds.
 */
#include "base/buf.h"
#include "policy/graphql-rule.h"
#include "secret/scrub.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 5

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench-policy: %s\n", what);
    exit(1);
}

/* As those of a provider are: a few kinds of paths of many repositories; one in ten denies. */
static Policy *make_policy(unsigned n)
{
    static const char *const end[] = {"actions/runs", "actions/runs/*", "actions/runs/*/jobs",
                                      "actions/workflows", "commits/*/check-runs"};
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    Policy *policy = NULL;
    Fault fault = {""};
    int r = buf_append_text(&text, "policy: p\nallow:\n");
    unsigned n_deny = n / 10;
    for (unsigned i = 0; i < n && r == 0; i++) {
        if (i == n - n_deny && n_deny)
            r = buf_append_text(&text, "deny:\n");
        r = r ? r
              : buf_printf(&text, "- {method: GET, path: '/repos/acme/%s%u/%s'}\n",
                           i < n - n_deny ? "r" : "s", i / 5, end[i % COUNT_OF(end)]);
    }
    if (r || policy_parse("p.yaml", buf_slice(&text), &policy, &fault))
        fail(fault.text);
    return policy;
}

/* The last rule that allows, one that none names, and one beneath a path of many rules. */
static PolicyRequest asked(unsigned n, unsigned which, char room[128])
{
    unsigned last = n - n / 10 - 1;
    snprintf(room, 128,
             which == 0   ? "/repos/acme/r%u/actions/runs"
             : which == 1 ? "/user/emails"
                          : "/repos/acme/r%u/secrets",
             last / 5);
    return (PolicyRequest){.method = HTTP_GET, .path = slice_of(room)};
}

static long volatile sum; /* so that nothing is left out as unused */

static double decide(const Policy *policy, const PolicyRequest *request, long times)
{
    double began = seconds();
    for (long i = 0; i < times; i++)
        sum += policy_decide(policy, request).rule;
    return (seconds() - began) / (double)times;
}

/* Each rule in turn, and no more than its path. */
static double scan(const Policy *policy, const PolicyRequest *request, long times)
{
    double began = seconds();
    for (long i = 0; i < times; i++)
        for (size_t k = 0; k < policy->n_rule; k++)
            sum += policy_path_matches(policy->rule[k].path, request->path);
    return (seconds() - began) / (double)times;
}

static void measure_decisions(unsigned n)
{
    Policy *policy = make_policy(n);
    double best = 1, scanned = 1;
    long times = 200000;
    for (int round = 0; round < ROUNDS; round++) {
        double took = 0, all = 0;
        for (unsigned which = 0; which < 3; which++) {
            char room[128];
            PolicyRequest request = asked(n, which, room);
            took += decide(policy, &request, times) / 3;
            all += scan(policy, &request, times / n + 1) / 3;
        }
        best = took < best ? took : best;
        scanned = all < scanned ? all : scanned;
    }
    printf("policy-%u %.3f us %.3f\n", n, best * 1e6, scanned * 1e6);
    policy_free(policy);
}

/* A document as scripts send them, as often as makes `kib`. */
static void measure_graphql(unsigned kib)
{
    static const char one[] =
        "  a%u: repository(owner: \"acme\", name: \"web\") { nameWithOwner refs(first: 50, after: \"x\") { "
        "nodes { name "
        "target { ... on Commit { oid history(first: 9) { nodes { oid committedDate } } } } } } }\n";
    CLEANUP_BUF Buf text = BUF_INIT(GRAPHQL_MAX_BYTES);
    Policy *policy = NULL;
    Fault fault = {""};
    static const char rules[] = "policy: p\nallow:\n- graphql: {fields: [repository], maxAliases: 400}\n"
                                "deny:\n- graphql: {fields: [email, text, log, secret, token]}\n";
    int r =
        policy_parse("p.yaml", SLICE_LITERAL(rules), &policy, &fault) || buf_append_text(&text, "query {\n");
    for (unsigned i = 0; r == 0 && text.len < (size_t)kib << 10; i++)
        r = buf_printf(&text, one, i);
    if (r || buf_append_text(&text, "}\n"))
        fail("the document is too long");
    GraphqlArena arena;
    graphql_arena_init(&arena);
    double best = 1;
    for (int round = 0; round < ROUNDS; round++) {
        double began = seconds();
        for (int i = 0; i < 200; i++) {
            GraphqlRequest request = {.query = buf_slice(&text)};
            GraphqlChosen chosen;
            graphql_arena_reset(&arena);
            if (graphql_read(&arena, &request, &chosen, &fault))
                fail(fault.text);
            sum += policy_decide_graphql(policy, &chosen).rule;
        }
        double took = (seconds() - began) / 200 / ((double)text.len / 1024);
        best = took < best ? took : best;
    }
    printf("graphql-parse %.3f us/kB\n", best * 1e6);
    graphql_arena_done(&arena);
    policy_free(policy);
}

static void measure_scrub(void)
{
    static char body[1u << 20], piece[64u << 10];
    ScrubForms *forms;
    Fault fault = {""};
    if (secret_init(1u << 20, &fault) ||
        scrub_forms_new(SLICE_LITERAL("ghp_0123456789abcdefABCDEF0123456789abcd"), &forms))
        fail("no arena for a token");
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] =
            "{\"id\": 17, \"name\": \"build and test\", \"url\": \"https://api.github.com/repos/acme/web\"}, "
                [i % 87];
    Scrub *scrub = scrub_new();
    double best = 1;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned hits = 0;
        double began = seconds();
        scrub_begin(scrub, forms);
        for (size_t at = 0; at < sizeof(body); at += sizeof(piece)) {
            Slice out;
            memcpy(piece, body + at, sizeof(piece));
            if (scrub_piece(scrub, piece, sizeof(piece), at + sizeof(piece) == sizeof(body), &out, &hits) ||
                hits)
                fail("the answer cannot be searched");
        }
        double took = seconds() - began;
        best = took < best ? took : best;
    }
    printf("scrub %.3f ms/MB\n", best * 1e3);
    scrub_free(scrub);
    scrub_forms_free(forms);
}

int main(void)
{
    if (sodium_init() < 0)
        fail("libsodium cannot be used");
    measure_decisions(1);
    measure_decisions(100);
    measure_decisions(1000);
    measure_graphql(16);
    measure_scrub();
    return 0;
}
