/* Any bytes as a log's export with many pods' audits in it: reading and verifying come to an end, and a pod's
 * sound lines among them stay sound, whatever the others are. The corpus was written with the key below. */
#include "audit/export.h"
#include "base/io.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SOUND "0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char key[AUDIT_KEY] = "the key of the fuzzer's corpus!!";

static void note(void *context, const AuditFinding *finding)
{
    if (finding->kind == AUDIT_PROBLEM && strstr(finding->file, SOUND))
        ++*(unsigned *)context;
}

static void write_sound(int fd, AuditSeal *ret_seal)
{
    static unsigned char chain[AUDIT_KEY];
    const AuditPod pod = {"0011223344556677", SOUND, "sound"};
    Audit *audit;
    audit_chain_key(key, SOUND, chain);
    if (audit_open_pod(dup(fd), &pod, chain, &audit, NULL) ||
        audit_record(audit, &(AuditEvent){.event = "request"}) || audit_seal(audit, "run", "one", ret_seal))
        abort();
    audit_free(audit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned problems = 0;
    AuditSeal seal;
    AuditExported exported;
    if (size > (64u << 10) || memmem(data, size, SOUND, sizeof(SOUND) - 1))
        return 0;
    CLEANUP_FD int fd = memfd_create("export", MFD_CLOEXEC);
    if (fd < 0 || io_write_all(fd, data, size) || io_write_all(fd, "\n", 1))
        abort();
    write_sound(fd, &seal);
    AuditExport *lines = audit_export_new(&(AuditExportSpec){.key = key, .say = note, .context = &problems});
    audit_export_expect(lines, SOUND, &seal, "run");
    if (lseek(fd, 0, SEEK_SET) || audit_export_read(lines, fd) || audit_export_end(lines, &exported))
        abort();
    if (problems || exported.all.seals_known != 1)
        abort();
    audit_export_free(lines);
    return 0;
}
