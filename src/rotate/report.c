/* --status and --dry-run: what is said of a rotation without changing anything. See rotate.h. */
#include "rotate/rotate-private.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static void add_line(void *context, const JournalLine *line)
{
    JsonWriter *json = context;
    json_object_begin(json, NULL);
    json_u64(json, "n", line->number);
    json_time(json, "time", line->time);
    json_text(json, "step", line->step);
    json_slice(json, "message", line->detail);
    json_object_end(json);
}

static int print_json(const char *source, Slice text, const unsigned char *key, const JournalEnd *end,
                      const char *held)
{
    CLEANUP_BUF Buf out = BUF_INIT(8u << 20);
    JsonWriter json = JSON_WRITER(&out);
    JournalEnd again;
    json_object_begin(&json, NULL);
    json_text(&json, "source", source);
    json_bool(&json, "underWay", end->open);
    json_bool(&json, "revoking", end->open && end->revoking);
    json_time(&json, "begun", end->open ? end->begun : 0);
    json_text(&json, "step", end->number ? end->step : NULL);
    json_time(&json, "time", end->time);
    json_text(&json, "heldBy", held);
    json_array_begin(&json, "journal");
    int r = journal_read(source, text, key, add_line, &json, &again, NULL);
    json_array_end(&json);
    json_object_end(&json);
    r = r ? r : json_finish(&json);
    if (r == 0)
        puts(buf_text(&out));
    return r;
}

static void print_text(const char *source, const JournalEnd *end)
{
    char time[CLOCK_TEXT], begun[CLOCK_TEXT];
    clock_format(time, end->time - end->time % CLOCK_SECOND);
    clock_format(begun, end->begun - end->begun % CLOCK_SECOND);
    if (!end->number)
        printf("%s: purser has not rotated its token.\n", source);
    else if (end->open && end->revoking)
        printf(
            "%s: it is being revoked since %s; last step: %s, at %s. `purser revoke %s` goes on with that.\n",
            source, begun, end->step, time, source);
    else if (end->open)
        printf("%s: a rotation is under way since %s; last step: %s, at %s. `purser rotate %s --resume` goes "
               "on with "
               "it, --abort goes back.\n",
               source, begun, end->step, time, source);
    else
        printf("%s: no rotation is under way; the last one ended at %s.\n", source, time);
}

/* What lies in a store that others share is the whole story; this machine's own file is its part of it.
 * *ret_held: who is at it now; the caller frees. False: there is none, or it cannot be read, which is said.
 */
static bool hear(const RotateSetup *setup, Buf *text, char **ret_held)
{
    Place *place = NULL;
    Fault fault = {""};
    int r = setup->shared ? place_open(setup, &place, &fault) : -ENOTSUP;
    bool shared = r == 0 && place->driver->hear;
    if (shared && (r = place->driver->hear(place, &fault)) == 0) {
        *ret_held = STEAL(place->held_by);
        r = place->story.len ? buf_append_slice(text, buf_slice(&place->story)) : -ENOENT;
    }
    place_free(place);
    if (r && setup->shared && r != -ENOENT)
        log_warning("%s; this is what was done from this machine", fault.text);
    return shared && r == 0;
}

static int read_own(const RotateSetup *setup, Buf *text, Fault *fault)
{
    CLEANUP_MEM char *path = mem_printf("%s/rotate/%s.journal", setup->state, setup->source.source.name);
    int r = io_read_file(AT_FDCWD, path, text);
    return r && r != -ENOENT
               ? fault_set(fault, r, "the rotation journal %s cannot be read: %s", path, strerror(-r))
               : 0;
}

int rotate_status(const RotateSetup *setup, const unsigned char own_key[static 32])
{
    const char *source = setup->source.source.name;
    CLEANUP_BUF Buf text = BUF_INIT(JOURNAL_MAX);
    CLEANUP_MEM char *held = NULL;
    JournalEnd end;
    Fault fault = {""};
    bool shared = hear(setup, &text, &held);
    const unsigned char *key = shared ? JOURNAL_SHARED_KEY : own_key;
    int r = shared ? 0 : read_own(setup, &text, &fault);
    r = r ? r : journal_read(source, buf_slice(&text), key, NULL, NULL, &end, &fault);
    if (r) {
        log_error("%s", fault.text);
        return 1;
    }
    if (setup->json)
        return print_json(source, buf_slice(&text), key, &end, held) ? 1 : 0;
    print_text(source, &end);
    if (held)
        printf("%s is at it.\n", held);
    return 0;
}

static void say_account(const Say *say, const Account *account)
{
    CLEANUP_BUF Buf scopes = BUF_INIT(16u << 10);
    char expires[CLOCK_TEXT];
    for (size_t i = 0; i < account->n_scope; i++)
        if (buf_printf(&scopes, "%s%s", i ? ", " : "", account->scope[i]))
            break;
    say_step(say, "provider", "the token works%s%s%s%s%s%s", account->identity[0] ? "; account " : "",
             account->identity, account->tells_scopes ? "; may: " : "",
             account->tells_scopes ? buf_text(&scopes) : "", account->expires ? "; expires " : "",
             account->expires ? clock_format(expires, account->expires) : "");
}

static void say_plan(const RotateSetup *setup, const Place *place, bool retires, const Say *say)
{
    char most[24];
    const char *where = setup->provider[0] ? setup->provider : "its provider";
    text_human_duration(most, settle_most(setup));
    if (setup->from_provider) {
        say_step(say, "ask", "%s would make it of the old one, which dies with that; requests would wait",
                 where);
        say_step(say, "switch", "it would be stored at once, tried, and become current");
        return;
    }
    say_step(say, "get", "the new token %s",
             setup->approle      ? "would be made by Vault"
             : setup->n_argv     ? "would come from the command"
             : setup->from_stdin ? "would be read from standard input"
                                 : "would be asked for");
    say_step(say, "stage", "both would lie beside %s", place->label);
    say_step(say, "prove",
             "the new one would be tried: it must work, belong to the same account, and may do no more");
    say_step(say, "switch", "it would become current");
    if (!setup->wait_said && !settle_somebody_runs(setup))
        say_step(say, "settle", "no wait: no purser runs here now");
    else
        say_step(say, "settle", "agents would be waited for: %s at most", most);
    say_step(say, "retire",
             retires ? "the old one would be retired at %s"
                     : "you would be asked to delete the old one at %s",
             where);
    say_step(say, "confirm", "the old one would be tried until it is dead");
}

static int try_all(Rotating *self, Fault *fault)
{
    int r = place_open(self->setup, &self->place, fault);
    r = r ? r : provider_open(self->setup, &self->provider, fault);
    r = r ? r : self->place->driver->may_write(self->place, fault);
    r = r ? r : self->place->driver->look(self->place, &self->found, fault);
    if (r)
        return r;
    if (self->found.staged[ROTATE_OLD])
        return fault_set(fault, -EALREADY, "a rotation of %s is under way: --resume or --abort",
                         self->source);
    if (!self->found.current)
        return fault_set(fault, STORE_E_ABSENT, "there is no token in %s: `purser token set`",
                         self->place->label);
    say_step(&self->say, "store", "%s can be read and written", self->place->label);
    r = rotating_probe(self, ROTATE_OLD, self->found.current, fault);
    if (r == 0 && self->facts.life[ROTATE_OLD] != ROTATE_WORKS)
        r = fault_set(fault, STORE_E_DENIED, "the token that is there does not work (401)");
    r = r ? r : provider_may(self->provider, fault);
    return r || !self->setup->from_provider ? r : renew_check(self, fault);
}

int rotate_dry_run(const RotateSetup *setup)
{
    const char *source = setup->source.source.name;
    Rotating self = {.setup = setup, .source = source, .say = {source, setup->json, setup->tells}};
    Fault fault = {""};
    int r = try_all(&self, &fault);
    if (r == 0) {
        say_account(&self.say, &self.account[ROTATE_OLD]);
        say_plan(setup, self.place, provider_can_retire(self.provider), &self.say);
        say_result(&self.say, "nothing", "Nothing was changed.");
    } else {
        say_failed(&self.say, fault.text);
    }
    rotating_close(&self);
    return r ? 1 : 0;
}
