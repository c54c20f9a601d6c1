/* See seen.h. */
#include "keeper/run.h"
#include "keeper/setup.h"

#include "base/mem.h"
#include "graphql/print.h"
#include "http/head.h"

#include <stdio.h>

#define MAX_TEXT (24u << 10) /* of a document, of its variables: together they fit a record */

static bool same(const RunSeen *a, const RunSeen *b)
{
    return a->source == b->source && strcmp(a->method, b->method) == 0 && strcmp(a->host, b->host) == 0 &&
           slice_equal(a->path, b->path) && slice_equal(a->query, b->query) &&
           slice_equal(a->document, b->document) && slice_equal(a->variables, b->variables);
}

static Slice keep(Slice text)
{
    return (Slice){mem_dup(text.ptr, text.len), text.len};
}

/* `what` borrows its texts. */
static void note(Run *run, const RunSeen *what)
{
    Seen *seen = &run->seen;
    for (size_t i = 0; i < seen->n; i++)
        if (same(&seen->kind[i], what)) {
            seen->kind[i].count++;
            return;
        }
    size_t bytes = what->path.len + what->query.len + what->document.len + what->variables.len;
    if (seen->n == SEEN_MAX_KINDS || bytes > SEEN_MAX_BYTES - seen->bytes) {
        seen->lost++;
        return;
    }
    seen->bytes += bytes;
    MEM_PUSH(seen->kind, seen->n, *what);
    RunSeen *kept = &seen->kind[seen->n - 1];
    kept->path = keep(what->path);
    kept->query = keep(what->query);
    kept->document = keep(what->document);
    kept->variables = keep(what->variables);
    kept->count = 1;
}

static RunSeen begin(const Run *run, uint32_t source, const char *host, const char *method)
{
    RunSeen seen = {.source = source, .query = {"", 0}, .document = {"", 0}, .variables = {"", 0}};
    snprintf(seen.run, sizeof(seen.run), "%s", run->id);
    snprintf(seen.host, sizeof(seen.host), "%s", host);
    snprintf(seen.method, sizeof(seen.method), "%s", method);
    return seen;
}

/* The names alone, "page&per_page", as they were sent. */
static Slice names_of(Slice query, char *room, size_t size)
{
    size_t n = 0;
    while (query.len) {
        Slice pair, name, value;
        slice_cut(query, '&', &pair, &query);
        slice_cut(pair, '=', &name, &value);
        if (n + name.len + 1 > size)
            break;
        if (n)
            room[n++] = '&';
        memcpy(room + n, name.ptr, name.len);
        n += name.len;
    }
    return (Slice){room, n};
}

void seen_rest(Run *run, uint32_t source, const StreamRequest *request, const char *host)
{
    char names[RUN_SEEN_MAX_TEXT];
    if (!run->record)
        return;
    RunSeen seen = begin(run, source, host, http_method_text(request->method));
    Slice query = {request->target.ptr + request->path_len, request->target.len - request->path_len};
    seen.path = (Slice){request->target.ptr, request->path_len};
    if (query.len)
        seen.query = names_of((Slice){query.ptr + 1, query.len - 1}, names, sizeof(names));
    if (seen.path.len > RUN_SEEN_MAX_TEXT)
        run->seen.lost++;
    else
        note(run, &seen);
}

/* Those that the request gave, as an object of GraphQL. What GraphQL cannot say is left out: no rule is about
 * an object. */
static int print_variables(const GraphqlChosen *chosen, Buf *out)
{
    int r = 0;
    for (const GraphqlVariable *one = chosen->operation->variable; one && r == 0; one = one->next) {
        if (!one->value || !graphql_is_printable(one->value))
            continue;
        r = buf_printf(out, "%s%.*s: ", out->len ? ", " : "{", (int)one->name.len, one->name.ptr);
        r = r ? r : graphql_print_value(one->value, out);
    }
    return r || out->len == 0 ? r : buf_append(out, "}", 1);
}

void seen_graphql(Run *run, uint32_t source, const char *host, const GraphqlChosen *chosen)
{
    CLEANUP_BUF Buf document = BUF_INIT(MAX_TEXT), variables = BUF_INIT(MAX_TEXT);
    if (!run->record)
        return;
    if (graphql_print(chosen, &document) || print_variables(chosen, &variables)) {
        run->seen.lost++;
        return;
    }
    RunSeen seen = begin(run, source, host, "POST");
    seen.path = (Slice){"", 0};
    seen.document = buf_slice(&document);
    seen.variables = buf_slice(&variables);
    note(run, &seen);
}

int seen_send(Run *run)
{
    static unsigned char room[IPC_MAX_PAYLOAD];
    int r = 0;
    for (size_t i = 0; i <= run->seen.n && r == 0; i++) {
        RunSeen lost = begin(run, 0, "", "");
        lost.path = (Slice){"", 0};
        lost.count = run->seen.lost;
        if (i == run->seen.n && lost.count == 0)
            break;
        WireWriter wire = WIRE_WRITER(room);
        run_seen_put(i < run->seen.n ? &run->seen.kind[i] : &lost, &wire);
        r = wire.failed ? -EMSGSIZE
                        : setup_tell(run->keeper, IPC_KEEPER_RUN_SEEN, (Slice){(char *)room, wire.len});
    }
    return r;
}

void seen_done(Seen *seen)
{
    for (size_t i = 0; i < seen->n; i++) {
        mem_free((char *)seen->kind[i].path.ptr);
        mem_free((char *)seen->kind[i].query.ptr);
        mem_free((char *)seen->kind[i].document.ptr);
        mem_free((char *)seen->kind[i].variables.ptr);
    }
    mem_free(seen->kind);
}
