/* A rotation, carried out. See rotate.h, and docs/rotation.md for what each step means. */
#include "rotate/rotate-private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "rotate/get.h"
#include "rotate/known.h"

#include <errno.h>
#include <stdio.h>

#define CONFIRM_TRIES   4
#define CONFIRM_US      500000
#define BY_HAND_US      2000000
#define BY_HAND_MOST_US (900L * CLOCK_SECOND)

int rotating_look(Rotating *self, Fault *fault)
{
    place_found_done(&self->found);
    int r = self->place->driver->look(self->place, &self->found, fault);
    if (r)
        return r;
    self->facts.staged = place_is_staged(&self->found);
    self->facts.current = self->facts.staged ? place_current(&self->found) : ROTATE_CURRENT_OTHER;
    /* Without a journal of it, maybe of another machine, agents may hold either. */
    self->facts.given = !journal_end(self->journal)->open || journal_end(self->journal)->given;
    return 0;
}

int rotating_probe(Rotating *self, RotateToken token, const Sealed *sealed, Fault *fault)
{
    account_done(&self->account[token]);
    int r = provider_probe(self->provider, sealed, &self->facts.life[token], &self->account[token], fault);
    return r ? fault_prefix(fault, r, "whether the %s token works cannot be told now", token_word(token)) : 0;
}

/* Whose it is, and that it may do no more; else nothing stays of it. */
static int check_account(Rotating *self, Fault *fault)
{
    const Account *old = &self->account[ROTATE_OLD], *fresh = &self->account[ROTATE_NEW];
    char wider[256];
    if (account_differs(old, fresh) && !self->setup->allow_other)
        return fault_set(
            fault, -EPERM,
            "the new token belongs to %s, the old one to %s (--allow-other-identity); nothing was changed, "
            "and the new one still lives",
            fresh->identity, old->identity);
    if (account_wider(old, fresh, wider) && !self->setup->allow_wider)
        return fault_set(
            fault, -EPERM,
            "the new token may do more than the old one: %s (--allow-wider); nothing was changed, and the "
            "new one still lives",
            wider);
    return 0;
}

static int undo_stage(Rotating *self, const Fault *why)
{
    Fault fault;
    int r = STEP(self, "clear", &fault, "%s", why->text);
    r = r ? r : self->place->driver->clear(self->place, &fault);
    r = r ? r : journal_add(self->journal, "end", &fault, "the old token stays");
    if (r)
        log_error("%s", fault.text);
    return r;
}

static int prove(Rotating *self, Fault *fault)
{
    int r = STEP(self, "prove", fault, "whether the tokens work");
    for (RotateToken token = ROTATE_OLD; token <= ROTATE_NEW && r == 0; token++)
        if (self->facts.life[token] == ROTATE_UNKNOWN)
            r = rotating_probe(self, token, self->found.staged[token], fault);
    bool judge = r == 0 && self->facts.keep == ROTATE_NEW && self->facts.current == ROTATE_CURRENT_OLD &&
                 self->facts.life[ROTATE_NEW] == ROTATE_WORKS;
    if (judge)
        r = check_account(self, fault);
    if (judge && r == 0)
        r = provider_prove(self->provider, self->found.staged[ROTATE_NEW], fault);
    if (judge && r && !store_is_away(r))
        (void)!undo_stage(self, fault);
    return r;
}

static int turn(Rotating *self, Fault *fault)
{
    RotateToken keep = rotate_other(self->facts.keep);
    int r = STEP(self, keep == ROTATE_OLD ? "turn" : "resume", fault,
                 "the %s token does not work, so the %s one is kept", token_word(self->facts.keep),
                 token_word(keep));
    self->facts.keep = keep;
    self->facts.settled = self->facts.retired = false;
    self->turned = true;
    return r;
}

/* Nobody else reads that store, and no run has the token itself: then who runs here says it exactly. */
static bool is_alone(const Rotating *self)
{
    return !self->setup->shared && !self->setup->wait_said && !self->setup->revealed && !self->setup->app;
}

/* The purser that runs here reads the store now, and nothing is under way with the other token any more. */
static bool has_read(Agent *agent)
{
    Fault fault;
    int r = agent ? agent_ask(agent, AGENT_READ, &fault) : -ENOTCONN;
    if (agent && r)
        log_warning("%s; it is waited for as if it had said nothing", fault.text);
    return r == 0;
}

/* One that is kept though its provider was told to retire it: by a process that stands still, or whose
 * question is on its way, or by one that has no answer. What works after that time is believed to work. */
static int wait_for_provider(Rotating *self, Fault *fault)
{
    char most[24];
    int r =
        STEP(self, "wait", fault, "%s: %s was told to retire the %s token, and may still be about to",
             text_human_duration(most, (uint64_t)rotating_patience()),
             self->setup->provider[0] ? self->setup->provider : "its provider", token_word(self->facts.keep));
    if (r)
        return r;
    rotating_wait_out(self);
    self->facts.told[ROTATE_OLD] = self->facts.told[ROTATE_NEW] = false;
    self->facts.life[self->facts.keep] = ROTATE_UNKNOWN;
    return 0;
}

static int make_current(Rotating *self, Fault *fault)
{
    int r = STEP(self, "switch", fault, "the %s token becomes current: %s", token_word(self->facts.keep),
                 self->place->label);
    r = r ? r : self->place->driver->put(self->place, self->facts.keep, fault);
    self->switched = clock_wall();
    bool read =
        r == 0 && has_read(self->agent); /* before its requests go on, whoever else reads that store */
    self->facts.settled = read && is_alone(self);
    renew_let_go(self);
    return r;
}

static void beat(void *context)
{
    Place *place = context;
    place->driver->beat(place);
}

static bool asks_agent(const Rotating *self)
{
    Agent *agent = NULL;
    Fault fault;
    if (!is_alone(self))
        return false;
    if (agent_open(self->setup, &agent, &fault))
        log_warning("%s", fault.text);
    bool yes = has_read(agent);
    agent_close(agent);
    return yes;
}

static int settle(Rotating *self, Fault *fault)
{
    char most[24];
    int r = 0;
    bool needless = !self->setup->wait_said && !settle_somebody_runs(self->setup);
    text_human_duration(most, settle_most(self->setup));
    r = needless ? STEP(self, "settle", fault, "no purser runs here, so none holds the other token")
                 : STEP(self, "settle", fault, "agents read the store again: %s at most", most);
    if (r == 0 && !needless && !asks_agent(self))
        settle_wait(self->setup, self->switched, &self->say, self->place->driver->beat ? beat : NULL,
                    self->place);
    self->facts.settled = true;
    return r;
}

/* A token of another account was maybe given by mistake: it is not ours to end. */
static bool may_retire(const Rotating *self, RotateToken drop)
{
    return drop == ROTATE_OLD || !account_differs(&self->account[ROTATE_OLD], &self->account[ROTATE_NEW]);
}

static int retire(Rotating *self, Fault *fault)
{
    RotateToken drop = rotate_other(self->facts.keep);
    bool by_hand = !provider_can_retire(self->provider) || !may_retire(self, drop);
    const char *where = self->setup->provider[0] ? self->setup->provider : "its provider";
    char name[PROVIDER_NAME];
    provider_name(self->provider, self->found.staged[drop], name);
    int64_t written = clock_boot();
    int r = by_hand
                ? STEP(self, "retire", fault, "the %s token%s, by hand: delete it in the settings of %s now",
                       token_word(drop), name, where)
                : STEP(self, "retire", fault, "the %s token, at %s", token_word(drop), where);
    r = r || by_hand ? r : rotating_in_time(self, written, fault);
    if (r)
        return r;
    self->facts.retired = true;
    self->facts.told[drop] = !by_hand;
    self->facts.life[drop] = ROTATE_UNKNOWN;
    Fault why = {""};
    if (!by_hand && provider_retire(self->provider, self->found.staged[drop], &why))
        log_warning("%s; the probe will tell", why.text);
    return 0;
}

/* Asks a few times: a provider may need a moment; a person, on a terminal, minutes. */
static int confirm(Rotating *self, Fault *fault)
{
    RotateToken drop = rotate_other(self->facts.keep);
    bool by_hand = !provider_can_retire(self->provider) || !may_retire(self, drop);
    bool waits = by_hand && !self->say.json && isatty(STDIN_FILENO);
    int64_t until = clock_mono() + BY_HAND_MOST_US;
    int r = STEP(self, "confirm", fault, "that the %s token is dead", token_word(drop));
    for (unsigned i = 0; r == 0; i++) {
        r = rotating_probe(self, drop, self->found.staged[drop], fault);
        if (r || self->facts.life[drop] == ROTATE_DEAD)
            return r;
        if (waits ? clock_mono() >= until : i + 1 >= CONFIRM_TRIES)
            break;
        if (self->place->driver->beat && i % 5 == 4)
            self->place->driver->beat(self->place);
        usleep(waits ? BY_HAND_US : CONFIRM_US);
    }
    return fault_set(
        fault, -EAGAIN,
        "the %s token is current, and the %s one still works: %s, then `purser rotate %s %s` confirms it",
        token_word(self->facts.keep), token_word(drop),
        by_hand ? "delete it at the provider"
                : "the provider has not retired it; try again, or delete it there",
        self->source, self->facts.keep == ROTATE_NEW ? "--resume" : "--abort");
}

static int tidy_up(Rotating *self, Fault *fault)
{
    int r = STEP(self, "clear", fault, "the %s token is dead; what was staged is removed",
                 token_word(rotate_other(self->facts.keep)));
    return r ? r : self->place->driver->clear(self->place, fault);
}

/* Neither works, or somebody has set another one: --abort only tidies up, and only where what is there works.
 */
static int need_person(Rotating *self, bool foreign, Fault *fault)
{
    RotateLife life = ROTATE_UNKNOWN;
    if (foreign && self->facts.keep == ROTATE_OLD && self->found.current) {
        Account account = {0};
        int r = provider_probe(self->provider, self->found.current, &life, &account, fault);
        account_done(&account);
        if (r)
            return r;
    }
    if (life == ROTATE_WORKS) {
        self->tidied = true;
        int r = STEP(
            self, "clear", fault,
            "the current token is another one, and works; what was staged is removed: delete both at the "
            "provider where they still live");
        return r ? r : self->place->driver->clear(self->place, fault);
    }
    if (journal_add(self->journal, "person", fault, "%s",
                    foreign ? "the current token is another one" : "both are dead"))
        return -EIO;
    return fault_set(
        fault, -EAGAIN,
        foreign ? "%s is neither the old nor the new token of the rotation: somebody has set it meanwhile. "
                  "Nothing was changed; if it is the right one, `purser rotate %s --abort` tidies up"
                : "%s: neither the old nor the new token works any more. Make a token at the provider, put "
                  "it there with `purser token set`, then `purser rotate %s --abort` tidies up",
        self->place->label, self->source);
}

static int take(Rotating *self, RotateStep step, Fault *fault)
{
    switch (step) {
    case ROTATE_PROVE:
        return prove(self, fault);
    case ROTATE_TURN:
        return turn(self, fault);
    case ROTATE_WAIT:
        return wait_for_provider(self, fault);
    case ROTATE_SWITCH:
        return make_current(self, fault);
    case ROTATE_SETTLE:
        return settle(self, fault);
    case ROTATE_RETIRE:
        return retire(self, fault);
    case ROTATE_CONFIRM:
        return confirm(self, fault);
    case ROTATE_CLEAR:
        return tidy_up(self, fault);
    default:
        return need_person(self, step == ROTATE_FOREIGN, fault);
    }
}

static int go_on(Rotating *self, Fault *fault)
{
    for (;;) {
        int r = rotating_look(self, fault);
        if (r)
            return r;
        RotateStep step = rotate_next(&self->facts);
        if (step == ROTATE_DONE)
            return journal_end(self->journal)->open
                       ? journal_add(self->journal, "end", fault, "the %s token is current, and the only one",
                                     token_word(self->facts.keep))
                       : 0;
        r = take(self, step, fault);
        if (r)
            return r;
    }
}

static int stage(Rotating *self, Fault *fault)
{
    Sealed *fresh = NULL;
    if (self->setup->from_provider)
        return renew_get(self, fault);
    int r = STEP(self, "get", fault, "the new token, %s",
                 provider_makes(self->provider) ? "made by Vault"
                 : self->setup->n_argv          ? "of the command"
                 : self->setup->from_stdin      ? "from standard input"
                                                : "from a person");
    if (r == 0)
        r = provider_makes(self->provider) ? provider_make(self->provider, &fresh, fault)
                                           : get_token(self->setup, &fresh, fault);
    r = r ? r : provider_check(self->provider, fresh, fault);
    if (r == 0 && secret_same(fresh, self->found.current))
        r = fault_set(fault, -EEXIST, "the new token is the one that is there already");
    if (r == 0)
        r = STEP(self, "stage", fault, "both beside the current one: %s", self->place->label);
    if (r == 0)
        r = self->place->driver->stage(self->place, self->found.current, fresh, fault);
    secret_free(fresh);
    return r;
}

/* What the provider tells of it is kept for `purser status`, whatever else fails. */
static void note_account(Rotating *self, RotateToken token)
{
    if (self->facts.life[token] == ROTATE_WORKS)
        known_write(self->setup, &self->account[token]);
}

/* True: it is told, and nothing is done. A store that knows no age has it rotated. */
static bool is_young(Rotating *self)
{
    Fault fault;
    char age[24];
    int64_t now = clock_wall(), set = self->found.set;
    uint64_t old = set && now > set ? (uint64_t)(now - set) : 0;
    if (!self->setup->older_than || self->facts.staged || !self->found.current || !set ||
        old >= self->setup->older_than)
        return false;
    if (rotating_probe(self, ROTATE_OLD, self->found.current, &fault) == 0)
        note_account(self, ROTATE_OLD);
    say_result(&self->say, "young", "%s: its token is %s old, so it stays.", self->source,
               text_human_duration(age, old));
    return true;
}

static int begin(Rotating *self, Fault *fault)
{
    const Account *old = &self->account[ROTATE_OLD];
    if (self->facts.staged)
        return fault_set(
            fault, -EALREADY,
            "a rotation of %s is under way: `purser rotate %s --resume` goes on with it, --abort goes back "
            "to the old token",
            self->source, self->source);
    if (!self->found.current)
        return fault_set(fault, STORE_E_ABSENT, "there is no token in %s: `purser token set`",
                         self->place->label);
    if (journal_end(self->journal)->asked)
        return fault_set(
            fault, -EALREADY,
            "%s was asked for a new token, and what came of it is not known: `purser rotate %s --resume` "
            "finds out",
            self->setup->provider, self->source);
    int r = rotating_probe(self, ROTATE_OLD, self->found.current, fault);
    if (r == 0 && self->facts.life[ROTATE_OLD] == ROTATE_DEAD)
        r = fault_set(
            fault, STORE_E_DENIED,
            "the token that is there does not work (401), so there is nothing to go back to: put a new one "
            "there with `purser token set`");
    if (r == 0 && self->setup->from_provider)
        r = renew_check(self, fault);
    if (r == 0)
        r = STEP(self, "begin", fault, "%s of %s%s%s", self->place->label, self->source,
                 old->identity[0] ? ", account " : "", old->identity);
    if (r)
        return r;
    self->facts.life[ROTATE_OLD] = ROTATE_UNKNOWN; /* asked again beside the new one */
    r = stage(self, fault);
    /* What was asked of the provider and has not ended stays open: --resume finds out. */
    const JournalEnd *end = journal_end(self->journal);
    if (r && end->open && !end->asked)
        (void)!undo_stage(self, fault);
    return r;
}

/* Without a journal of it, maybe of another machine, the provider may have been told to retire either. */
static void note_told(Rotating *self)
{
    const JournalEnd *end = journal_end(self->journal);
    for (RotateToken token = ROTATE_OLD; token <= ROTATE_NEW; token++)
        self->facts.told[token] = provider_can_retire(self->provider) && (!end->open || end->told[token]);
}

/* --resume and --abort, of whoever's rotation. */
static int take_up(Rotating *self, Fault *fault)
{
    bool back = self->setup->act == ROTATE_ABORT;
    const JournalEnd *end = journal_end(self->journal);
    self->facts.keep = back ? ROTATE_OLD : ROTATE_NEW;
    note_told(self);
    if (!self->facts.staged && !end->open)
        return fault_set(fault, -ENOENT, "no rotation of %s is under way", self->source);
    if (self->facts.staged)
        return STEP(self, back ? "abort" : "resume", fault, "the %s token is kept",
                    token_word(self->facts.keep));
    if (end->asked) {
        self->tidied = true;
        int r = self->place->driver->clear(self->place, fault);
        return r ? r
               : self->found.current
                   ? renew_resolve(self, true, fault)
                   : fault_set(fault, STORE_E_ABSENT, "there is no token in %s: `purser token set`",
                               self->place->label);
    }
    /* Before anything was staged, or after everything was done. What a crash left half, goes. */
    bool cleared = strcmp(end->step, "clear") == 0;
    int r = self->place->driver->clear(self->place, fault);
    self->tidied = true;
    say_step(&self->say, "clear", "%s",
             cleared ? "everything was done already"
             : self->setup->shared
                 ? "nothing is staged: it was ended from another machine, or had changed nothing; a "
                   "new token that was made for it may still live at the provider"
                 : "nothing had been changed; if a new token was made, it still lives at the "
                   "provider: delete it there");
    return r;
}

static int tell(void *context, Slice story, Fault *fault)
{
    Place *place = context;
    return place->driver->tell(place, story, fault);
}

int rotating_open(Rotating *self, const unsigned char *key, Fault *fault)
{
    CLEANUP_MEM char *folder = mem_printf("%s/rotate", self->setup->state);
    int r = place_open(self->setup, &self->place, fault);
    r = r ? r : self->place->driver->lock(self->place, fault);
    r = r ? r : journal_open(folder, self->source, key, &self->journal, fault);
    if (r == 0 && self->place->driver->tell)
        r = journal_share(self->journal, buf_slice(&self->place->story), self->place->holder, tell,
                          self->place, fault);
    return r ? r : rotating_look(self, fault);
}

void rotating_close(Rotating *self)
{
    place_found_done(&self->found);
    account_done(&self->account[ROTATE_OLD]);
    account_done(&self->account[ROTATE_NEW]);
    renew_let_go(self);
    provider_close(self->provider);
    journal_free(self->journal);
    place_free(self->place);
}

/* What is being revoked is not given out again. */
static int refuse_revoked(const Rotating *self, Fault *fault)
{
    bool alone = self->found.staged[ROTATE_OLD] && !self->found.staged[ROTATE_NEW];
    if (!alone && !(journal_end(self->journal)->open && journal_end(self->journal)->revoking))
        return 0;
    return fault_set(fault, -EALREADY, "%s is being revoked: `purser revoke %s` goes on with that",
                     self->source, self->source);
}

/* Where nobody says --resume. */
static bool goes_on(const Rotating *self)
{
    return self->setup->goes_on &&
           (self->facts.staged || (self->journal && journal_end(self->journal)->open));
}

int rotate_run(const RotateSetup *setup, const unsigned char key[static 32])
{
    const char *source = setup->source.source.name;
    Rotating self = {.setup = setup,
                     .source = source,
                     .say = {source, setup->json, setup->tells},
                     .facts = {.keep = ROTATE_NEW},
                     .switched = clock_wall()};
    Fault fault = {""};
    int r = rotating_open(&self, key, &fault);
    r = r ? r : provider_open(setup, &self.provider, &fault);
    r = r ? r : refuse_revoked(&self, &fault);
    bool begins = setup->act == ROTATE_START && !goes_on(&self);
    if (r == 0 && begins && is_young(&self)) {
        rotating_close(&self);
        return 0;
    }
    if (r == 0)
        r = begins ? begin(&self, &fault) : take_up(&self, &fault);
    r = r ? r : go_on(&self, &fault);
    bool fresh = self.facts.keep == ROTATE_NEW;
    note_account(&self, self.facts.keep);
    if (r) {
        say_failed(&self.say, fault.text);
    } else if (self.tidied) {
        say_result(&self.say, "tidied", "%s: no rotation is under way any more.", source);
    } else {
        say_result(&self.say, fresh ? "rotated" : "kept",
                   "%s: the %s token is current, and the only one that works.", source,
                   fresh ? "new" : "old");
    }
    rotating_close(&self);
    return r || (self.turned && fresh != (setup->act != ROTATE_ABORT)) ? 1 : 0;
}
