/* purser-rotate: the process of `purser rotate SOURCE` and `purser revoke SOURCE`, the only one that holds
 * two tokens of a source. It is told what it needs on descriptor 3, speaks to that source's own API and to
 * the place where its token is kept, and ends. Exit status: 0, or 1 with a sentence on standard error.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "rotate/get.h"
#include "rotate/rotate.h"
#include "rotate/walls.h"
#include "sandbox/sandbox.h"
#include "secret/secret.h"
#include "json/arena.h"

#include "audit/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/resource.h>

#define ARENA_BYTES (384u << 10) /* two tokens open beside each other, a message of the keyring, a search */
#define JSON_BYTES  (4u << 20)

static int read_setup(RotateSetup *ret_setup, Fault *fault)
{
    CLEANUP_BUF Buf blob = BUF_INIT(ROTATE_MAX_BLOB);
    int r = fcntl(ROTATE_FD, F_GETFD) < 0 ? -errno : io_read_all(ROTATE_FD, &blob);
    WireReader wire = WIRE_READER(blob.data, blob.len);
    r = r ? r : rotate_setup_get(&wire, ret_setup);
    close(ROTATE_FD);
    return r ? fault_set(fault, r, "this program is started by `purser rotate`") : 0;
}

static int read_key(const RotateSetup *setup, unsigned char *key, Fault *fault)
{
    CLEANUP_MEM char *path = mem_printf("%s/audit.key", setup->state);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
    if (fd < 0)
        return fault_set(fault, -errno, "the installation's key %s cannot be read: %s", path,
                         strerror(errno));
    return audit_key_read(fd, key, fault);
}

static int run(const RotateSetup *setup, const unsigned char *key)
{
    if (setup->database && setup->act != ROTATE_STATUS)
        return rotate_database(setup, key);
    switch (setup->act) {
    case ROTATE_STATUS:
        return rotate_status(setup, key);
    case ROTATE_REVOKE:
        return rotate_revoke(setup, key);
    case ROTATE_DRY_RUN:
        return rotate_dry_run(setup);
    default:
        return rotate_run(setup, key);
    }
}

int main(void)
{
    Fault fault = {""};
    RotateSetup setup = {0};
    struct rlimit none = {0};
    log_open("purser-rotate", LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    int r = sandbox_harden(&fault);
    if (r == 0 && setrlimit(RLIMIT_CORE, &none) < 0)
        r = fault_set(&fault, -errno, "core dumps cannot be switched off");
    r = r ? r : secret_init(ARENA_BYTES, &fault);
    unsigned char *key = r ? NULL : secret_alloc(AUDIT_KEY);
    if (r == 0 && !secret_protection().locked)
        log_warning(
            "whether the memory for secrets is kept from swapping cannot be verified (is /proc mounted?)");
    if (r == 0)
        json_arena_install(JSON_BYTES);
    r = r ? r : read_setup(&setup, &fault);
    r = r ? r : get_prepare(&setup, &fault);
    r = r ? r : read_key(&setup, key, &fault);
    r = r ? r : walls_enter(&setup, &fault);
    int status = 1;
    if (r)
        log_error("%s", fault.text);
    else
        status = run(&setup, key);
    rotate_setup_done(&setup);
    secret_release(key, AUDIT_KEY);
    secret_wipe_traces();
    secret_done();
    return fflush(stdout) == 0 ? status : 1;
}
