/* Audits in memory, for the tests of writing and verifying. */
#pragma once

#include "audit/line.h"
#include "audit/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const unsigned char lines_key[AUDIT_KEY] = "the key of the tests' own audits";

typedef struct AuditFile {
    int fd;
    const char *before; /* name of the file before it; NULL for the first */
    int before_fd;
} AuditFile;

typedef struct Lines {
    char text[16u << 20];
    size_t len;
    Slice line[4096];
    size_t n;
} Lines;

static int lines_file(void)
{
    int fd = memfd_create("audit", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
    return fd;
}

static Audit *lines_open(const AuditFile *file)
{
    Audit *audit = NULL;
    Fault fault = {""};
    struct stat status;
    assert_int_equal(fstat(file->fd, &status), 0);
    int tail = status.st_size ? file->fd : file->before ? file->before_fd : -1;
    if (audit_open(dup(file->fd), tail, file->before ? file->before : "", lines_key, &audit, &fault))
        fail_msg("%s", fault.text);
    return audit;
}

static void __attribute__((unused)) add_events(const AuditFile *file, int n)
{
    Audit *audit = lines_open(file);
    for (int i = 0; i < n; i++) {
        AuditEvent event = {.event = "request",
                            .run = "r1",
                            .method = "GET",
                            .policy = "read",
                            .rule = 12,
                            .decision = AUDIT_ALLOWED,
                            .status = 200 + i,
                            .measured = true,
                            .whole = true,
                            .received = 2048,
                            .us = 12345,
                            .target = SLICE_LITERAL("/a/b")};
        assert_true(audit_add(audit, &event) > 0);
    }
    assert_int_equal(audit_flush(audit), 0);
    audit_free(audit);
}

static void lines_read(Lines *lines, int fd)
{
    ssize_t n = pread(fd, lines->text, sizeof(lines->text), 0);
    assert_true(n >= 0);
    lines->len = (size_t)n;
    lines->n = 0;
    Slice rest = {lines->text, lines->len}, line;
    while (lines->n < COUNT_OF(lines->line) && slice_cut(rest, '\n', &line, &rest))
        lines->line[lines->n++] = line;
}

/* What verifying said. */
typedef struct Said {
    unsigned n_problem, n_note;
    struct {
        uint64_t line;
        char file[16], text[256];
    } problem[32], note[8];
    AuditVerified result;
} Said;

static void lines_say(void *context, const AuditFinding *finding)
{
    Said *said = context;
    bool problem = finding->kind == AUDIT_PROBLEM;
    unsigned at = problem ? said->n_problem++ : said->n_note++;
    if (at >= (problem ? COUNT_OF(said->problem) : COUNT_OF(said->note)))
        return;
    *(problem ? &said->problem[at].line : &said->note[at].line) = finding->line;
    snprintf(problem ? said->problem[at].file : said->note[at].file, 16, "%.15s", finding->file);
    snprintf(problem ? said->problem[at].text : said->note[at].text, 256, "%.255s", finding->sentence);
}

/* The number of problems; the files are called "0", "1", ... */
static unsigned lines_problems(const AuditFile *file, size_t n, const AuditSeal *seal, size_t n_seal,
                               Said *ret_said)
{
    static const char *const name[] = {"0", "1", "2", "3"};
    Said said = {0};
    AuditVerifySpec spec = {.key = lines_key, .say = lines_say, .context = &said};
    AuditVerify *verify = audit_verify_new(&spec);
    for (size_t i = 0; i < n_seal; i++)
        audit_verify_expect(verify, &seal[i], "sealed");
    for (size_t i = 0; i < n; i++)
        assert_int_equal(audit_verify_file(verify, file[i].fd, name[i]), 0);
    said.result = audit_verify_end(verify);
    audit_verify_free(verify);
    assert_int_equal(said.result.problems, said.n_problem);
    if (ret_said)
        *ret_said = said;
    return said.n_problem;
}
