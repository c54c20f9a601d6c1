/* The rotation journal: what was written is read, what was altered is seen, what a crash left is cut off. */
#include "base/io.h"
#include "base/mem.h"
#include "rotate/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const unsigned char key[AUDIT_KEY] = "the key of this installation";
static char folder[] = "/dev/shm/test-journal-XXXXXX";
static char path[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/j/github.journal", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    CLEANUP_MEM char *command = mem_printf("rm -rf %s", folder);
    return system(command);
}

static int open_in(const char *source, Journal **journal, Fault *fault)
{
    CLEANUP_MEM char *inner = mem_printf("%s/j", folder);
    return journal_open(inner, source, key, journal, fault);
}

static Journal *reopen(void)
{
    Journal *journal = NULL;
    Fault fault = {""};
    assert_int_equal(open_in("github", &journal, &fault), 0);
    return journal;
}

static void write_some(void)
{
    Fault fault;
    Journal *journal = reopen();
    assert_int_equal(journal_add(journal, "begin", &fault, "a rotation of %s", "github"), 0);
    assert_int_equal(journal_add(journal, "stage", &fault, "both\nlie beside \x1b it"), 0);
    assert_int_equal(journal_add(journal, "switch", &fault, "%s", ""), 0);
    journal_free(journal);
}

static void count(void *context, const JournalLine *line)
{
    unsigned *n = context;
    assert_int_equal(line->number, ++*n);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    write_some();
    Journal *journal = reopen();
    const JournalEnd *end = journal_end(journal);
    assert_true(end->open && end->given && end->forward);
    assert_int_equal(end->number, 3);
    assert_string_equal(end->step, "switch");
    Slice text = journal_text(journal);
    assert_non_null(memmem(text.ptr, text.len, "both\\nlie beside \\x1b it\n", 24));
    unsigned n = 0;
    JournalEnd again;
    assert_int_equal(journal_read("github", text, key, count, &n, &again, NULL), 0);
    assert_int_equal(n, 3);
    Fault fault;
    assert_int_equal(journal_add(journal, "abort", &fault, "back"), 0);
    assert_false(journal_end(journal)->forward);
    assert_int_equal(journal_add(journal, "end", &fault, "done"), 0);
    assert_false(journal_end(journal)->open || journal_end(journal)->given);
    journal_free(journal);
    journal = reopen();
    assert_false(journal_end(journal)->open);
    journal_free(journal);
}

static void every_change_is_seen(void **state)
{
    (void)state;
    write_some();
    CLEANUP_BUF Buf good = BUF_INIT(JOURNAL_MAX);
    JournalEnd end;
    Fault fault;
    assert_int_equal(io_read_file(AT_FDCWD, path, &good), 0);
    for (size_t at = 0; at + 1 < good.len; at++) { /* the last newline's loss is a crash's */
        CLEANUP_MEM char *bad = mem_dup(good.data, good.len);
        bad[at] ^= 1;
        assert_int_equal(journal_read("github", (Slice){bad, good.len}, key, NULL, NULL, &end, &fault),
                         -EBADMSG);
        assert_non_null(strstr(fault.text, "github was altered at its line"));
    }
    assert_int_equal(journal_read("gitlab", buf_slice(&good), key, NULL, NULL, &end, &fault), -EBADMSG);
    const char *second = memchr(good.data, '\n', good.len);
    Slice without_first = {second + 1, good.len - (size_t)(second + 1 - good.data)};
    assert_int_equal(journal_read("github", without_first, key, NULL, NULL, &end, &fault), -EBADMSG);
}

/* Cut at each byte: the whole lines stay, the next line is written behind them, and all of it fits. */
static void what_a_crash_left_is_cut_off(void **state)
{
    (void)state;
    write_some();
    CLEANUP_BUF Buf good = BUF_INIT(JOURNAL_MAX);
    assert_int_equal(io_read_file(AT_FDCWD, path, &good), 0);
    for (size_t cut = 0; cut < good.len; cut++) {
        Fault fault;
        unsigned whole = 0;
        CLEANUP_FD int fd = open(path, O_WRONLY | O_TRUNC);
        assert_int_equal(io_write_all(fd, good.data, cut), 0);
        for (size_t i = 0; i < cut; i++)
            whole += good.data[i] == '\n';
        Journal *journal = reopen();
        assert_int_equal(journal_end(journal)->number, whole);
        assert_int_equal(journal_add(journal, "resume", &fault, "again"), 0);
        journal_free(journal);
        journal = reopen();
        assert_int_equal(journal_end(journal)->number, whole + 1);
        journal_free(journal);
    }
}

static void lines_that_are_none(void **state)
{
    (void)state;
    static const char mac[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const char *const bad[] = {"",
                                      "1",
                                      "1 2026-01-02T03:04:05Z begin",
                                      "01 2026-01-02T03:04:05Z begin %s x",
                                      "1 2026-01-02T03:04:05+00:00 begin %s x",
                                      "1 2026-01-02 begin %s x",
                                      "1 2026-01-02T03:04:05Z Begin %s x",
                                      "1 2026-01-02T03:04:05Z  %s x",
                                      "1 2026-01-02T03:04:05Z abcdefghijklmnopq %s x",
                                      "1 2026-01-02T03:04:05Z begin %sA x",
                                      "1 2026-01-02T03:04:05Z begin %s x\x7f",
                                      "4294967296 2026-01-02T03:04:05Z begin %s x",
                                      "1 2026-01-02T03:04:05Z begin %s \xff"};
    JournalLine line;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *at = strstr(bad[i], "%s");
        CLEANUP_MEM char *text =
            at ? mem_printf("%.*s%s%s", (int)(at - bad[i]), bad[i], mac, at + 2) : mem_strdup(bad[i]);
        assert_int_equal(journal_parse(slice_of(text), &line), -EBADMSG);
    }
    CLEANUP_MEM char *good = mem_printf("1 2026-01-02T03:04:05Z begin %s ", mac);
    assert_int_equal(journal_parse(slice_of(good), &line), 0);
}

static void a_long_one_is_put_aside(void **state)
{
    (void)state;
    Journal *journal = reopen();
    Fault fault;
    CLEANUP_MEM char *long_text = mem_dup("", 0);
    long_text = mem_grow(long_text, 481, 1);
    memset(long_text, 'x', 480);
    long_text[480] = 0;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(journal_add(journal, i % 2 ? "end" : "begin", &fault, "%s", long_text), 0);
    assert_true(journal_end(journal)->whole > JOURNAL_MAX / 2);
    journal_free(journal);
    journal = reopen();
    assert_int_equal(journal_end(journal)->number, 0);
    assert_int_equal(journal_add(journal, "begin", &fault, "%s", "a new file"), 0);
    journal_free(journal);
    CLEANUP_MEM char *before = mem_printf("%s.before", path);
    struct stat status;
    assert_int_equal(stat(before, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void a_long_one_that_is_open_keeps_what_matters(void **state)
{
    (void)state;
    Journal *journal = reopen();
    Fault fault;
    assert_int_equal(journal_add(journal, "begin", &fault, "it"), 0);
    int64_t begun = journal_end(journal)->begun;
    assert_int_equal(journal_add(journal, "switch", &fault, "it"), 0);
    assert_int_equal(journal_add(journal, "retire", &fault, "it"), 0);
    for (unsigned i = 0; i < 3500; i++) {
        assert_int_equal(journal_add(journal, "confirm", &fault, "%0400u", i), 0);
        if (i % 500 == 499) { /* another process, which finds it as this one has left it */
            journal_free(journal);
            journal = reopen();
        }
    }
    const JournalEnd *end = journal_end(journal);
    assert_true(end->open && end->given && end->forward && end->told[0] && !end->told[1]);
    assert_true(end->begun == begun && end->whole < JOURNAL_MAX);
    struct stat status;
    CLEANUP_MEM char *before = mem_printf("%s.before", path);
    assert_int_equal(stat(before, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    journal_free(journal);
}

static void one_that_was_shortened_meanwhile_is_not_written_to(void **state)
{
    (void)state;
    Journal *stood_still = reopen();
    Fault fault;
    assert_int_equal(journal_add(stood_still, "begin", &fault, "it"), 0);
    for (unsigned i = 0; i < 1200; i++)
        assert_int_equal(journal_add(stood_still, "confirm", &fault, "%0400u", i), 0);
    journal_free(reopen());
    assert_int_equal(journal_add(stood_still, "switch", &fault, "it"), -ESTALE);
    journal_free(stood_still);
}

/* Until it is known what came of it: staged and switched to, or ended. */
static void a_question_that_was_asked_stays_asked(void **state)
{
    (void)state;
    Fault fault;
    Journal *journal = reopen();
    assert_int_equal(journal_add(journal, "begin", &fault, "x"), 0);
    assert_int_equal(journal_add(journal, "ask", &fault, "x"), 0);
    journal_free(journal);
    journal = reopen();
    assert_true(journal_end(journal)->open && journal_end(journal)->asked && !journal_end(journal)->given);
    assert_int_equal(journal_add(journal, "person", &fault, "x"), 0);
    assert_true(journal_end(journal)->asked);
    assert_int_equal(journal_add(journal, "end", &fault, "x"), 0);
    assert_false(journal_end(journal)->asked);
    assert_int_equal(journal_add(journal, "begin", &fault, "x"), 0);
    assert_int_equal(journal_add(journal, "ask", &fault, "x"), 0);
    assert_int_equal(journal_add(journal, "switch", &fault, "x"), 0);
    assert_true(journal_end(journal)->given && !journal_end(journal)->asked);
    journal_free(journal);
}

/* What was told is known by which way it was going then. */
static void whom_the_provider_was_told_to_retire_is_on_record(void **state)
{
    (void)state;
    Fault fault;
    static const char *const steps[] = {"begin", "retire", "abort"};
    Journal *journal = reopen();
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        assert_int_equal(journal_add(journal, steps[i], &fault, "x"), 0);
    journal_free(journal);
    journal = reopen();
    assert_true(journal_end(journal)->told[0] && !journal_end(journal)->told[1]);
    assert_int_equal(journal_add(journal, "retire", &fault, "x"), 0);
    assert_true(journal_end(journal)->told[0] && journal_end(journal)->told[1]);
    assert_int_equal(journal_add(journal, "end", &fault, "x"), 0);
    assert_false(journal_end(journal)->told[0] || journal_end(journal)->told[1]);
    journal_free(journal);
}

/* One stood still while the other went on; what the file tells hangs together. */
static void one_that_another_has_gone_on_with_is_not_written_to(void **state)
{
    (void)state;
    Fault fault;
    Journal *first = reopen();
    assert_int_equal(journal_add(first, "begin", &fault, "x"), 0);
    Journal *second = reopen();
    assert_int_equal(journal_add(second, "abort", &fault, "x"), 0);
    assert_int_equal(journal_add(first, "switch", &fault, "x"), -ESTALE);
    assert_non_null(strstr(fault.text, "another process has gone on with the rotation of github"));
    assert_int_equal(journal_add(second, "end", &fault, "x"), 0);
    journal_free(first);
    journal_free(second);
    first = reopen();
    assert_int_equal(journal_end(first)->number, 3);
    assert_string_equal(journal_end(first)->step, "end");
    journal_free(first);
}

static char kept[JOURNAL_MAX_SHARED + 1];
static int calls, fails;

static void a_revocation_stays_until_a_rotation_begins(void **state)
{
    (void)state;
    Fault fault;
    Journal *journal = reopen();
    assert_int_equal(journal_add(journal, "begin", &fault, "it"), 0);
    assert_int_equal(journal_end(journal)->revoked, 0);
    assert_int_equal(journal_add(journal, "revoke", &fault, "it"), 0);
    int64_t since = journal_end(journal)->time;
    usleep(1000);
    assert_int_equal(journal_add(journal, "revoke", &fault, "said again"), 0);
    assert_int_equal(journal_end(journal)->revoked, since);
    assert_int_equal(journal_add(journal, "end", &fault, "it is dead"), 0);
    assert_int_equal(journal_end(journal)->revoked, since);
    assert_int_equal(journal_add(journal, "begin", &fault, "of another one"), 0);
    assert_int_equal(journal_end(journal)->revoked, 0);
    journal_free(journal);
}

static int keep(void *context, Slice text, Fault *fault)
{
    (void)context;
    calls++;
    if (fails)
        return fault_set(fault, -ESTALE, "somebody else has it");
    assert_true(text.len < sizeof(kept));
    memcpy(kept, text.ptr, text.len);
    kept[text.len] = 0;
    return 0;
}

static Journal *share(const char *text)
{
    Fault fault;
    Journal *journal = reopen();
    assert_int_equal(journal_share(journal, slice_of(text), "process 1 on here", keep, NULL, &fault), 0);
    return journal;
}

static void each_line_goes_into_the_store_before_its_step(void **state)
{
    (void)state;
    Fault fault;
    JournalEnd end;
    calls = fails = 0;
    Journal *journal = share("");
    assert_int_equal(journal_add(journal, "begin", &fault, "it"), 0);
    assert_int_equal(journal_add(journal, "switch", &fault, "to it"), 0);
    assert_int_equal(calls, 2);
    fails = 1;
    assert_int_equal(journal_add(journal, "settle", &fault, "not on record"), -ESTALE);
    journal_free(journal);
    fails = 0;
    assert_int_equal(journal_read("github", slice_of(kept), JOURNAL_SHARED_KEY, NULL, NULL, &end, &fault), 0);
    assert_true(end.open && end.given && end.number == 2);
    assert_non_null(strstr(kept, " process 1 on here: it\n"));
    assert_int_equal(journal_read("gitlab", slice_of(kept), JOURNAL_SHARED_KEY, NULL, NULL, &end, &fault),
                     -EBADMSG);
}

static void what_another_machine_has_done_is_what_counts(void **state)
{
    (void)state;
    Fault fault;
    char story[sizeof(kept)];
    Journal *journal = share("");
    assert_int_equal(journal_add(journal, "begin", &fault, "here"), 0);
    journal_free(journal);
    CLEANUP_MEM char *command = mem_printf("rm %s", path);
    assert_int_equal(system(command), 0);
    strcpy(story, kept);
    journal = share(story);
    assert_true(journal_end(journal)->open && !journal_end(journal)->given);
    assert_int_equal(journal_add(journal, "end", &fault, "there"), 0);
    assert_false(journal_end(journal)->open);
    journal_free(journal);
    /* The first machine hears of it when it looks: what it has begun itself it does not leave open. */
    assert_int_equal(system(command), 0);
    journal = reopen();
    assert_int_equal(journal_add(journal, "begin", &fault, "here"), 0);
    assert_true(journal_end(journal)->open);
    strcpy(story, kept);
    assert_int_equal(journal_share(journal, slice_of(story), "me", keep, NULL, &fault), 0);
    journal_free(journal);
    journal = reopen();
    assert_false(journal_end(journal)->open);
    journal_free(journal);
    kept[strlen(kept) / 2] ^= 1;
    journal = reopen();
    assert_int_equal(journal_share(journal, slice_of(kept), "", keep, NULL, &fault), -EBADMSG);
    assert_non_null(strstr(fault.text, "in the store"));
    journal_free(journal);
}

static void one_that_grows_too_long_keeps_what_matters(void **state)
{
    (void)state;
    Fault fault;
    JournalEnd end;
    fails = 0;
    Journal *journal = share("");
    assert_int_equal(journal_add(journal, "begin", &fault, "it"), 0);
    int64_t begun = journal_end(journal)->begun;
    assert_int_equal(journal_add(journal, "switch", &fault, "it"), 0);
    assert_int_equal(journal_add(journal, "abort", &fault, "it"), 0);
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(journal_add(journal, "confirm", &fault, "%0100u", i), 0);
    assert_int_equal(journal_read("github", slice_of(kept), JOURNAL_SHARED_KEY, NULL, NULL, &end, &fault), 0);
    assert_true(end.open && end.given && !end.forward && end.number < 400 && end.begun == begun);
    assert_int_equal(journal_add(journal, "revoke", &fault, "it"), 0);
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(journal_add(journal, "confirm", &fault, "%0100u", i), 0);
    assert_true(journal_end(journal)->open && journal_end(journal)->revoking && journal_end(journal)->given);
    journal_free(journal);
}

static void what_matters_is_each_of_these(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 128; bits++) {
        JournalEnd end = {.open = bits & 1, .begun = 1750000000000000, .time = 1750000001000000}, made, read;
        CLEANUP_BUF Buf out = BUF_INIT(JOURNAL_MAX_SHARED);
        Fault fault;
        end.given = end.open && bits & 2;
        end.forward = bits & 4;
        end.asked = end.open && bits & 8 && !end.given;
        end.revoking = end.open && bits & 16;
        end.told[0] = end.open && bits & 32;
        end.told[1] = end.open && bits & 64;
        assert_int_equal(journal_shorten("github", JOURNAL_SHARED_KEY, &end, &out, &made), 0);
        assert_int_equal(
            journal_read("github", buf_slice(&out), JOURNAL_SHARED_KEY, NULL, NULL, &read, &fault), 0);
        assert_true(read.number == made.number && audit_mac_equal(&read.last, &made.last) &&
                    read.whole == out.len);
        assert_true(read.open == end.open && read.given == end.given && read.asked == end.asked);
        assert_true(read.revoking == end.revoking && (!end.open || read.begun == end.begun));
        assert_true(!end.open || end.revoking || read.forward == end.forward);
        assert_true(end.revoking || (read.told[0] == end.told[0] && read.told[1] == end.told[1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_change_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_crash_left_is_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_that_are_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_question_that_was_asked_stays_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whom_the_provider_was_told_to_retire_is_on_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_another_has_gone_on_with_is_not_written_to, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_long_one_is_put_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_one_that_is_open_keeps_what_matters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_was_shortened_meanwhile_is_not_written_to, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_revocation_stays_until_a_rotation_begins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_line_goes_into_the_store_before_its_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_another_machine_has_done_is_what_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_grows_too_long_keeps_what_matters, set_up, tear_down),
        cmocka_unit_test(what_matters_is_each_of_these),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
