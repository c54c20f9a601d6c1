/* What a record of the audit costs: adding it, and writing it, as the keeper does for each answer.
 *
 *   bench-audit FILE [RECORDS]
 *
 * FILE is overwritten. One line for each way: nanoseconds of this process's time per record (the kernel's
 * part of writing included), the best of five rounds.
 */
#include "audit/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 5

static const unsigned char key[AUDIT_KEY] = "the key of a benchmark's records";

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* As long as records of real requests are. */
static const AuditEvent event = {.event = "request",
                                 .run = "20261124T001139Z-github-actions-12ab",
                                 .retriever = "github-actions",
                                 .source = "github",
                                 .method = "GET",
                                 .host = "api.github.com",
                                 .target = SLICE_LITERAL("/repos/linkerd/linkerd2/actions/runs/123456/jobs"),
                                 .policy = "github-actions-read",
                                 .rule = 12,
                                 .decision = AUDIT_ALLOWED,
                                 .status = 200,
                                 .measured = true,
                                 .whole = true,
                                 .received = 2048,
                                 .us = 12345};

static int open_new(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    return fd;
}

/* `per_write`: records that one turn of the loop writes together. */
static double add_records(const char *path, long records, long per_write)
{
    Audit *audit;
    Fault fault;
    if (audit_open(open_new(path), -1, "", key, &audit, &fault)) {
        fprintf(stderr, "%s\n", fault.text);
        exit(1);
    }
    double began = seconds();
    for (long i = 1; i <= records; i++) {
        audit_add(audit, &event);
        if (i % per_write == 0 && audit_flush(audit))
            exit(1);
    }
    double took = seconds() - began;
    audit_free(audit);
    return took;
}

static void ignore(void *context, const AuditFinding *finding)
{
    (void)context;
    fprintf(stderr, "line %llu: %s\n", (unsigned long long)finding->line, finding->sentence);
}

static double verify_records(const char *path, long records)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    AuditVerify *verify = audit_verify_new(&(AuditVerifySpec){.key = key, .say = ignore});
    double began = seconds();
    if (fd < 0 || audit_verify_file(verify, fd, path) || audit_verify_end(verify).records < (uint64_t)records)
        exit(1);
    double took = seconds() - began;
    audit_verify_free(verify);
    close(fd);
    return took;
}

int main(int argc, char **argv)
{
    static const long turns[] = {1, 8, 64};
    long records = argc > 2 ? atol(argv[2]) : 100000;
    if (argc < 2 || records < 64) {
        fprintf(stderr, "usage: %s FILE [RECORDS]\n", argv[0]);
        return 2;
    }
    for (size_t way = 0; way < COUNT_OF(turns); way++) {
        double best = 1e9;
        for (int round = 0; round < ROUNDS; round++) {
            double took = add_records(argv[1], records, turns[way]);
            best = took < best ? took : best;
        }
        printf("audit add+write, %ld a write: %.0f ns a record\n", turns[way], best / (double)records * 1e9);
    }
    printf("audit verify: %.0f ns a record\n",
           verify_records(argv[1], records / 64 * 64) / (double)records * 1e9);
    return 0;
}
