/* Any bytes as a file of the audit: verifying reads to the end, what is shown is one printable line, and
 * going on behind them makes a file in which the new records are sound. The corpus was written with the key
 * below. */
#include "audit/line.h"
#include "audit/verify.h"
#include "base/io.h"

#include <stdlib.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char key[AUDIT_KEY] = "the key of the fuzzer's corpus!!";

static void count(void *context, const AuditFinding *finding)
{
    uint64_t *last = context;
    if (finding->kind == AUDIT_PROBLEM && finding->line > *last)
        *last = finding->line;
}

static uint64_t last_problem(int fd, AuditVerified *ret_result)
{
    uint64_t last = 0;
    AuditVerify *verify =
        audit_verify_new(&(AuditVerifySpec){.key = key, .part = true, .say = count, .context = &last});
    if (audit_verify_file(verify, fd, "fuzz"))
        abort();
    *ret_result = audit_verify_end(verify);
    audit_verify_free(verify);
    return last;
}

static bool show(void *context, Slice text)
{
    AuditLine line;
    char room[256];
    ++*(uint64_t *)context;
    if (audit_line_parse(text, &line) == 0)
        for (const char *at = audit_line_text(line.path, room, sizeof(room)); *at; at++)
            if ((unsigned char)*at < ' ')
                abort();
    return true;
}

static void go_on(int fd, uint64_t lines)
{
    Audit *audit;
    AuditVerified result;
    if (audit_open(dup(fd), fd, "", key, &audit, NULL))
        return;
    if (audit_record(audit, &(AuditEvent){.event = "request"}) ||
        audit_record(audit, &(AuditEvent){.event = "x"}))
        abort();
    audit_free(audit);
    if (last_problem(fd, &result) > lines + 2) /* what went wrong did so before */
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AuditVerified result;
    uint64_t lines = 0;
    if (size > (64u << 10) || (size && data[size - 1] != '\n')) /* half a line is given time to grow */
        return 0;
    CLEANUP_FD int fd = memfd_create("audit", MFD_CLOEXEC);
    if (fd < 0 || io_write_all(fd, data, size) || audit_lines_each(fd, show, NULL, &lines))
        abort();
    last_problem(fd, &result);
    go_on(fd, lines);
    return 0;
}
