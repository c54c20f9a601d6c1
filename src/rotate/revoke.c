/* `purser revoke SOURCE`: the bad day. First the token is given out no more, then it is retired, then tried
 * until it is dead; each step is on record before it is taken. Said again, it goes on where it was. See
 * docs/leak.md. */
#include "rotate/rotate-private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>

#define CONFIRM_TRIES 4
#define CONFIRM_US    500000

static bool is_under_way(const Rotating *self)
{
    return journal_end(self->journal)->open && journal_end(self->journal)->revoking;
}

/* One that was begun goes on: a token that was set since is another one, and stays. */
static int withdraw(Rotating *self, bool going_on, Fault *fault)
{
    bool known = self->found.current && place_current(&self->found) != ROTATE_CURRENT_OTHER;
    if (!self->found.current || (!known && going_on))
        return 0;
    int r = STEP(self, "withdraw", fault, "%s is given out no more", self->place->label);
    r = r ? r : self->place->driver->withdraw(self->place, fault);
    return r ? r : rotating_look(self, fault);
}

/* Whatever the provider says, the probe tells. */
static int retire(Rotating *self, RotateToken token, Fault *fault)
{
    const char *where = self->setup->provider[0] ? self->setup->provider : "its provider";
    Fault why = {""};
    int r = provider_can_retire(self->provider)
                ? STEP(self, "retire", fault, "the %s token, at %s", token_word(token), where)
                : STEP(self, "retire", fault, "the %s token, by hand: delete it in the settings of %s now",
                       token_word(token), where);
    if (r == 0 && provider_can_retire(self->provider) &&
        provider_retire(self->provider, self->found.staged[token], &why))
        log_warning("%s; the probe will tell", why.text);
    r = r ? r : STEP(self, "confirm", fault, "that the %s token is dead", token_word(token));
    for (unsigned i = 0; r == 0 && i < CONFIRM_TRIES; i++) {
        if (i)
            usleep(CONFIRM_US);
        r = rotating_probe(self, token, self->found.staged[token], fault);
        if (r || self->facts.life[token] == ROTATE_DEAD)
            return r;
    }
    return r ? r
             : fault_set(fault, -EAGAIN,
                         "%s gives it out no more, but the %s token still works: %s, then `purser revoke %s` "
                         "confirms it",
                         self->place->label, token_word(token),
                         provider_can_retire(self->provider)
                             ? "the provider has not retired it; delete it there"
                             : "delete it at the provider now",
                         self->source);
}

/* Nobody can tell whether it is dead, so nobody is told that it is. */
static int leave_to_person(Rotating *self, Fault *fault)
{
    int r = STEP(self, "clear", fault, "whether it is dead cannot be told: delete it at its provider now");
    r = r ? r : self->place->driver->clear(self->place, fault);
    r = r ? r : journal_add(self->journal, "end", fault, "given out no more; its end was not confirmed");
    return r ? r
             : fault_set(fault, -ENOTSUP,
                         "%s: given out no more. purser knows no call that tells whether it is dead: delete "
                         "it at its "
                         "provider now",
                         self->source);
}

static int revoke_all(Rotating *self, Fault *fault)
{
    bool staged = self->found.staged[ROTATE_OLD] || self->found.staged[ROTATE_NEW];
    bool alone = self->found.staged[ROTATE_OLD] && !self->found.staged[ROTATE_NEW];
    if (!self->found.current && !staged && !is_under_way(self))
        return fault_set(fault, STORE_E_ABSENT, "there is no token in %s, so nothing is given out",
                         self->place->label);
    if (place_is_staged(&self->found) && self->found.current && self->facts.current == ROTATE_CURRENT_OTHER &&
        !is_under_way(self))
        return fault_set(
            fault, -EALREADY,
            "%s is none of the two of a rotation that is under way: `purser rotate %s --abort` first",
            self->place->label, self->source);
    bool going_on = is_under_way(self) && (staged || strcmp(journal_end(self->journal)->step, "clear") == 0);
    int r = STEP(self, "revoke", fault, "%s of %s", self->place->label, self->source);
    r = r ? r : withdraw(self, going_on || alone, fault);
    if (r)
        return r;
    Fault why = {""};
    r = provider_open(self->setup, &self->provider, &why);
    if (r == -ENOTSUP)
        return leave_to_person(self, fault);
    if (r) {
        *fault = why;
        return r;
    }
    for (RotateToken token = ROTATE_OLD; token <= ROTATE_NEW && r == 0; token++)
        if (self->found.staged[token])
            r = retire(self, token, fault);
    r = r ? r : STEP(self, "clear", fault, "it is dead; what was kept of it is removed");
    r = r ? r : self->place->driver->clear(self->place, fault);
    return r ? r : journal_add(self->journal, "end", fault, "revoked");
}

int rotate_revoke(const RotateSetup *setup, const unsigned char key[static 32])
{
    const char *source = setup->source.source.name;
    Rotating self = {.setup = setup, .source = source, .say = {source, setup->json, setup->tells}};
    Fault fault = {""};
    int r = rotating_open(&self, key, &fault);
    r = r ? r : revoke_all(&self, &fault);
    if (r) {
        say_failed(&self.say, fault.text);
    } else {
        say_result(&self.say, "revoked", "%s: revoked, and dead. %s", source,
                   self.found.current ? "The token that was set since stays."
                                      : "Its runs are refused until `purser token set` gives it another.");
    }
    rotating_close(&self);
    return r ? 1 : 0;
}
