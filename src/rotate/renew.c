/* A new token that the provider makes of the old one, which dies with that: see rotate-private.h and
 * docs/rotation.md. Between the question and the write that stages its answer, whoever dies takes both tokens
 * along; so the question is on record before it is asked, is asked once, and what nobody heard the answer of
 * is never asked again before the old token has been seen to work when the question cannot be under way any
 * more. */
#include "rotate/rotate-private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

#define STAGE_TRIES    60
#define STAGE_AGAIN_US 1000000

static const char *where(const Rotating *self)
{
    return self->setup->provider[0] ? self->setup->provider : "its provider";
}

/* What a person has to know before, since nobody can undo it. */
static int check_loss(const Rotating *self, Fault *fault)
{
    if (self->setup->rotation.renew_overlaps || self->setup->accept_loss)
        return 0;
    return fault_set(
        fault, -EPERM,
        "%s replaces a token by a call that kills the old one at once: if its answer is lost, or this "
        "process dies "
        "before the new one is stored, both are gone, and you make one by hand (`purser token set %s`)%s%s. "
        "--accept-loss says that this may be; or make a token there and give it to `purser rotate %s`, which "
        "loses "
        "nothing",
        where(self), self->source,
        self->setup->shared
            ? "; purser holds the requests of this machine meanwhile, agents elsewhere are answered "
              "401 until they have read it"
            : "",
        self->setup->revealed ? "; a run that was given the token itself loses it" : "", self->source);
}

/* GitLab tells the scopes of a token: one that may not do this is not asked to. */
static int check_scopes(const Rotating *self, Fault *fault)
{
    const Account *old = &self->account[ROTATE_OLD];
    const char *need = self->setup->rotation.renew_scopes;
    Slice word, rest = slice_of(need);
    for (bool more = *need && old->tells_scopes; more;) {
        more = slice_cut(rest, ' ', &word, &rest);
        if (account_has(old, word))
            return 0;
    }
    return !*need || !old->tells_scopes
               ? 0
               : fault_set(
                     fault, -EPERM,
                     "the token may not replace itself: for that it needs one of these scopes at %s: %s",
                     where(self), need);
}

int renew_check(const Rotating *self, Fault *fault)
{
    if (!self->setup->rotation.renew[0])
        return fault_set(
            fault, -ENOTSUP,
            "%s has no call that makes a new token of an old one: make one there, and give it to `purser "
            "rotate %s`",
            where(self), self->source);
    int r = check_loss(self, fault);
    r = r ? r : check_scopes(self, fault);
    return r ? r : self->place->driver->may_write(self->place, fault);
}

/* Nothing may be under way with a token that is about to die, and nothing new may go up with it. */
static int hold(Rotating *self, Fault *fault)
{
    if (self->setup->rotation.renew_overlaps)
        return 0;
    int r = agent_open(self->setup, &self->agent, fault);
    if (r || !self->agent)
        return r;
    r = STEP(self, "hold", fault, "requests with it wait, until its successor is there");
    r = r ? r : agent_ask(self->agent, AGENT_HOLD, fault);
    return r ? fault_prefix(fault, r, "its requests cannot be held, so it is not replaced") : 0;
}

void renew_let_go(Rotating *self)
{
    self->agent = agent_close(self->agent);
}

/* The answer is in this process alone, and the old token is dead: the one write that must come about. */
static int stage(Rotating *self, const Sealed *fresh, Fault *fault)
{
    int r = STEP(self, "stage", fault, "both beside the current one: %s", self->place->label);
    if (r)
        log_error("%s", fault->text); /* the story is worth less than the token */
    for (int i = 0;; i++) {
        r = self->place->driver->stage(self->place, self->found.current, fresh, fault);
        if (r == 0 || i == STAGE_TRIES)
            return r;
        log_error("%s. The new token is in this process alone: it tries again, do not end it", fault->text);
        usleep(STAGE_AGAIN_US);
    }
}

/* Neither of the two is there any more, or nobody knows: only the probe tells. */
static int lost(Rotating *self, Fault *fault)
{
    if (journal_add(self->journal, "person", fault, "the old token is dead, and nobody has the new one"))
        return -EIO;
    return fault_set(
        fault, -EAGAIN,
        "%s has replaced the token, and its answer was lost: nobody has the new one. Revoke that at %s (it "
        "has the old one's name), make another there, put it there with `purser token set %s`, then "
        "`purser rotate %s --abort` tidies up",
        where(self), where(self), self->source, self->source);
}

int renew_resolve(Rotating *self, bool under_way, Fault *fault)
{
    char most[24];
    renew_let_go(self);
    int r = STEP(self, "prove", fault, "whether the current token still works");
    r = r ? r : rotating_probe(self, ROTATE_OLD, self->found.current, fault);
    if (r == 0 && self->facts.life[ROTATE_OLD] == ROTATE_WORKS && under_way) {
        r = STEP(self, "wait", fault, "%s at most: %s may still be about to do what it was asked",
                 text_human_duration(most, (uint64_t)rotating_patience()), where(self));
        if (r == 0)
            rotating_wait_out(self);
        r = r ? r : rotating_probe(self, ROTATE_OLD, self->found.current, fault);
    }
    if (r)
        return fault_prefix(
            fault, r,
            "%s was asked for a new token, and what came of it is not known (`purser rotate %s "
            "--resume` asks again)",
            where(self), self->source);
    if (self->facts.life[ROTATE_OLD] == ROTATE_DEAD)
        return lost(self, fault);
    return journal_add(self->journal, "end", fault, "the current token works: nothing was replaced");
}

int renew_get(Rotating *self, Fault *fault)
{
    Sealed *fresh = NULL;
    bool under_way = false;
    int r = hold(self, fault);
    int64_t written = clock_boot();
    r = r ? r
          : STEP(self, "ask", fault, "%s, for a new token%s", where(self),
                 self->setup->rotation.renew_overlaps ? "" : ": the old one dies with that");
    r = r ? r : rotating_in_time(self, written, fault);
    if (r)
        return r;
    Fault why = {""};
    r = provider_renew(self->provider, self->found.current, self->setup->life, &fresh, &under_way, &why);
    if (r == 0) {
        r = stage(self, fresh, fault);
        secret_free(fresh);
        return r ? fault_prefix(fault, r, "the new token is lost with this process, and the old one is dead")
                 : 0;
    }
    log_error("%s", why.text);
    r = renew_resolve(self, under_way, fault);
    return r ? r : fault_set(fault, -ECANCELED, "the old token stays: %s", why.text);
}
