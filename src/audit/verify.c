/* Verifying. See verify.h.
 *
 * A record fits when its mac is right behind the record before it. One that does not fit is tried behind the
 * last few, so that one change is one finding: behind a changed line the next is tried with what the changed
 * one says and with what it ought to say, behind a line that was put in with the one before that.
 */
#include "audit/verify.h"

#include "audit/line.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CANDIDATES 6
#define MAX_RUNS   4096 /* open at a time */

typedef struct Expected {
    AuditSeal seal;
    char *run;
} Expected;

typedef struct OpenRun {
    char *id;
    const char *file;
    uint64_t line;
} OpenRun;

struct AuditVerify {
    AuditVerifySpec spec;
    const char *file;
    uint64_t line;
    AuditMac
        candidate[CANDIDATES]; /* what the next record may be bound to; the first is where it should be */
    size_t n_candidate;
    uint64_t next; /* number that the next record should have; 0: none was read yet */
    bool doubtful; /* the line before was a finding: what does not fit behind it is the same finding */
    uint64_t fragment_line; /* first of some lines that are no records; 0: none */
    const char
        *fragment_file; /* they may be the last of a file: the next one's first record is bound to them */
    bool fragment_cut;  /* the last of them has no end */
    uint64_t n_fragment;
    AuditMac fragment_mac; /* what a record behind them is bound to when purser found them itself */
    Expected *expected;
    size_t n_expected, at_expected;
    OpenRun *open;
    size_t n_open;
    AuditVerified result;
};

static void find(AuditVerify *verify, AuditFindingKind kind, const char *file, uint64_t line, const char *fmt,
                 ...) FORMAT(5, 6);
static void find(AuditVerify *verify, AuditFindingKind kind, const char *file, uint64_t line, const char *fmt,
                 ...)
{
    char sentence[768];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, args);
    va_end(args);
    kind == AUDIT_PROBLEM ? verify->result.problems++ : verify->result.notes++;
    verify->spec.say(verify->spec.context, &(AuditFinding){kind, file, line, sentence});
}

#define PROBLEM(verify, ...) find((verify), AUDIT_PROBLEM, (verify)->file, (verify)->line, __VA_ARGS__)

AuditVerify *audit_verify_new(const AuditVerifySpec *spec)
{
    AuditVerify *verify = MEM_NEW(AuditVerify);
    *verify = (AuditVerify){.spec = *spec, .file = ""};
    verify->n_candidate = 1; /* zeros: before the first record of all */
    return verify;
}

void audit_verify_expect(AuditVerify *verify, const AuditSeal *seal, const char *run)
{
    MEM_PUSH(verify->expected, verify->n_expected, (Expected){*seal, mem_strdup(run)});
}

static int by_number(const void *a, const void *b)
{
    uint64_t one = ((const Expected *)a)->seal.number, other = ((const Expected *)b)->seal.number;
    return one < other ? -1 : one > other;
}

/* --- the sink's heads --- */

static void say_missing_head(AuditVerify *verify, const Expected *expected)
{
    char time[CLOCK_TEXT];
    find(verify, AUDIT_PROBLEM, verify->file, 0,
         "record %llu is missing, which the sink has as the seal of run %s (%s).",
         (unsigned long long)expected->seal.number, expected->run, clock_format(time, expected->seal.time));
}

static void check_heads(AuditVerify *verify, const AuditRecord *record)
{
    for (; verify->at_expected < verify->n_expected; verify->at_expected++) {
        const Expected *expected = &verify->expected[verify->at_expected];
        if (expected->seal.number > record->number)
            return;
        if (expected->seal.number < record->number) {
            if (expected->seal.number >= verify->result.first)
                say_missing_head(verify, expected);
            continue;
        }
        verify->result.seals_known++;
        if (!audit_mac_equal(&expected->seal.mac, &record->mac))
            PROBLEM(verify,
                    "this is not what the sink has as the seal of run %s: the audit was written anew, from "
                    "some record before it on.",
                    expected->run);
    }
}

/* --- runs --- */

static void forget_run(AuditVerify *verify, size_t i)
{
    mem_free(verify->open[i].id);
    verify->open[i] = verify->open[--verify->n_open];
}

static void open_run(AuditVerify *verify, Slice id)
{
    if (verify->n_open < MAX_RUNS)
        MEM_PUSH(verify->open, verify->n_open,
                 (OpenRun){mem_dup(id.ptr, id.len), verify->file, verify->line});
}

static void close_run(AuditVerify *verify, Slice id)
{
    verify->result.seals++;
    for (size_t i = 0; i < verify->n_open; i++)
        if (slice_is(id, verify->open[i].id)) {
            forget_run(verify, i);
            return;
        }
}

static void say_unsealed(AuditVerify *verify, const char *why)
{
    while (verify->n_open) {
        const OpenRun *run = &verify->open[0];
        find(verify, AUDIT_NOTE, run->file, run->line, "run %s begins here and has no seal: %s.", run->id,
             why);
        forget_run(verify, 0);
    }
}

static void note_event(AuditVerify *verify, const AuditLine *line)
{
    if (slice_is(line->event, "run.open"))
        open_run(verify, line->run);
    else if (slice_is(line->event, "seal"))
        close_run(verify, line->run);
    else if (slice_is(line->event, "keeper.start"))
        say_unsealed(verify, "its keeper ended before it did");
    else if (slice_is(line->event, "audit.lost"))
        find(verify, AUDIT_NOTE, verify->file, verify->line,
             "%llu events before this one could not be recorded: there was no room to write them.",
             (unsigned long long)line->count);
}

/* --- the chain --- */

static void put_candidate(AuditVerify *verify, const AuditMac *mac)
{
    size_t n = verify->n_candidate < CANDIDATES ? verify->n_candidate++ : CANDIDATES - 1;
    memmove(&verify->candidate[1], &verify->candidate[0], n * sizeof(AuditMac));
    verify->candidate[0] = *mac;
}

static bool fits(const AuditVerify *verify, const AuditRecord *record, const AuditMac *before)
{
    AuditMac mac;
    audit_mac(verify->spec.key, before, record->body, &mac);
    return audit_mac_equal(&mac, &record->mac);
}

/* Nobody vouches for the lines that are no records. */
static void say_fragments(AuditVerify *verify)
{
    if (verify->fragment_line == 0)
        return;
    find(verify, AUDIT_PROBLEM, verify->fragment_file, verify->fragment_line,
         verify->fragment_cut ? "this last line is cut off: by a crash, by a full disk, or by somebody."
                              : "this is no record: it was altered, or put in.");
    verify->fragment_line = 0;
    verify->doubtful = true;
}

/* Lines before this one that are no records: did purser find them there, or did somebody put them in? */
static bool settle_fragments(AuditVerify *verify, const AuditRecord *record)
{
    if (!fits(verify, record, &verify->fragment_mac)) {
        say_fragments(verify);
        return false;
    }
    find(verify, AUDIT_NOTE, verify->fragment_file, verify->fragment_line,
         "this line was cut off by a crash, or in one; purser found it so, and went on behind it.");
    verify->fragment_line = 0;
    return true;
}

static void say_misfit(AuditVerify *verify, uint64_t number)
{
    if (number > verify->next + 1)
        PROBLEM(
            verify,
            "records %llu to %llu are missing before this line: they were taken out, or lines were moved.",
            (unsigned long long)verify->next, (unsigned long long)number - 1);
    else if (number > verify->next)
        PROBLEM(verify, "record %llu is missing before this line: it was taken out, or lines were moved.",
                (unsigned long long)verify->next);
    else if (number == verify->next)
        PROBLEM(verify, "this line was altered, or put in.");
    else
        PROBLEM(verify, "this line was put in, or moved: record %llu should stand here, and it says %llu.",
                (unsigned long long)verify->next, (unsigned long long)number);
}

/* It fits nowhere: it is the finding, or what stood before it is gone. The next may be bound to what this one
 * says, to what it ought to say, or to what was before it. */
static void take_misfit(AuditVerify *verify, const AuditRecord *record)
{
    AuditMac ought;
    uint64_t skipped = verify->n_fragment; /* what were records once has been said already */
    audit_mac(verify->spec.key, &verify->candidate[0], record->body, &ought);
    if (skipped == 0 || record->number != verify->next + skipped)
        say_misfit(verify, record->number);
    verify->n_fragment = 0;
    put_candidate(verify, &ought);
    put_candidate(verify, &record->mac);
    if (record->number >= verify->next)
        verify->next = record->number + 1;
    verify->doubtful = true;
}

static void take_fit(AuditVerify *verify, const AuditRecord *record, size_t which)
{
    if (which > 0 && !verify->doubtful) /* a record, but not behind this one */
        say_misfit(verify, record->number);
    put_candidate(verify, &record->mac);
    verify->next = record->number + 1 > verify->next || which == 0 ? record->number + 1 : verify->next;
    verify->doubtful = false;
    verify->n_fragment = 0;
}

static void take_record(AuditVerify *verify, const AuditRecord *record)
{
    if (verify->fragment_line && settle_fragments(verify, record)) {
        take_fit(verify, record, 0);
        return;
    }
    for (size_t i = 0; i < verify->n_candidate; i++)
        if (fits(verify, record, &verify->candidate[i])) {
            take_fit(verify, record, i);
            return;
        }
    take_misfit(verify, record);
}

/* Whether older files may be gone. */
static bool has_expired(const AuditVerify *verify, Slice last_record)
{
    int64_t time = 0;
    return verify->spec.retain && clock_parse(last_record, &time) == 0 &&
           time + (int64_t)verify->spec.retain < clock_wall();
}

/* Of the oldest file that is there: what comes before it is only said. */
static void begin_at(AuditVerify *verify, const AuditRecord *record, const AuditLine *line,
                     const AuditMac *before)
{
    verify->candidate[0] = *before;
    verify->next = record->number;
    if (verify->spec.part)
        return;
    if (has_expired(verify, line->before_time))
        find(verify, AUDIT_NOTE, verify->file, 0,
             "the files before this one (to %.*s) are gone, as `retain: {audit: ...}` has it.",
             (int)line->before.len, line->before.ptr);
    else
        find(verify, AUDIT_PROBLEM, verify->file, 0,
             "the files before this one are missing, up to %.*s and record %llu, and `retain:` keeps them.",
             (int)line->before.len, line->before.ptr, (unsigned long long)record->number - 1);
}

/* A file's first record says what comes before it. False: it says nothing that this one could be bound to. */
static bool begin_file(AuditVerify *verify, const AuditRecord *record, const AuditLine *line)
{
    AuditMac before;
    if (!slice_is(line->event, "audit.begin")) {
        PROBLEM(verify, "this is not a file's first record: lines before it were taken out.");
        verify->doubtful = true;
        return verify->next != 0;
    }
    if (verify->next == 0 && audit_mac_parse(line->prev, &before) == 0)
        begin_at(verify, record, line, &before);
    return true;
}

static void take_fragment(AuditVerify *verify, Slice line)
{
    static const char key[] = ",\"mac\":\"";
    size_t tail = sizeof(key) - 1 + 2 * AUDIT_MAC + 2;
    AuditMac mac;
    if (verify->fragment_line == 0) {
        verify->fragment_line = verify->line;
        verify->fragment_file = verify->file;
        verify->fragment_mac = verify->candidate[0];
    }
    verify->fragment_cut = false;
    verify->n_fragment++;
    audit_mac(verify->spec.key, &verify->fragment_mac, line, &verify->fragment_mac);
    /* A record of which only the beginning was altered still says what the next is bound to. */
    if (line.len > tail &&
        audit_mac_parse((Slice){line.ptr + line.len - tail + sizeof(key) - 1, 2 * AUDIT_MAC}, &mac) == 0) {
        AuditMac first = verify->candidate[0];
        put_candidate(verify, &mac);
        put_candidate(verify, &first);
    }
}

static bool take_line(void *context, Slice text)
{
    AuditVerify *verify = context;
    AuditRecord record;
    AuditLine line;
    verify->line++;
    if (audit_record_parse(text, &record) || audit_line_parse(text, &line)) {
        take_fragment(verify, text);
        return true;
    }
    if (verify->result.first == 0)
        verify->result.first = record.number;
    if (verify->line == 1 && !begin_file(verify, &record, &line)) {
        verify->candidate[0] = record.mac;
        verify->next = record.number + 1;
        return true;
    }
    if (verify->next == 0)
        verify->next = 1;
    take_record(verify, &record);
    if (!verify->doubtful)
        note_event(verify, &line);
    check_heads(verify, &record);
    verify->result.records++;
    verify->result.last = record.number > verify->result.last ? record.number : verify->result.last;
    return true;
}

/* What is behind the last newline is bound by the next record like a line, in this file or in the next. */
static bool take_cut(void *context, Slice text)
{
    AuditVerify *verify = context;
    verify->line++;
    take_fragment(verify, text);
    verify->fragment_cut = true;
    return true;
}

int audit_verify_file(AuditVerify *verify, int fd, const char *name)
{
    if (verify->result.files++ == 0 && verify->n_expected)
        qsort(verify->expected, verify->n_expected, sizeof(Expected), by_number);
    verify->file = name;
    verify->line = 0;
    return audit_lines_each(fd, take_line, take_cut, verify);
}

AuditVerified audit_verify_end(AuditVerify *verify)
{
    say_fragments(verify);
    say_unsealed(verify, "it is still under way, or its keeper ended before it did");
    verify->file = "";
    for (; verify->at_expected < verify->n_expected; verify->at_expected++) {
        const Expected *expected = &verify->expected[verify->at_expected];
        char time[CLOCK_TEXT];
        find(verify, AUDIT_PROBLEM, "", 0,
             "the audit ends with record %llu, and the sink has the seal of run %s (record %llu, %s): what "
             "came behind was cut off.",
             (unsigned long long)verify->result.last, expected->run,
             (unsigned long long)expected->seal.number, clock_format(time, expected->seal.time));
    }
    return verify->result;
}

AuditVerify *audit_verify_free(AuditVerify *verify)
{
    if (!verify)
        return NULL;
    while (verify->n_open)
        forget_run(verify, 0);
    mem_free(verify->open);
    for (size_t i = 0; i < verify->n_expected; i++)
        mem_free(verify->expected[i].run);
    mem_free(verify->expected);
    mem_free(verify);
    return NULL;
}
