/* Tokens that a run is handed for real. See reveal.h. */
#include "keeper/reveal.h"

#include <errno.h>
#include <sys/stat.h>

static Grant *grant_of(const Run *run, uint32_t source)
{
    for (size_t i = 0; i < run->n_grant; i++)
        if (run->grant[i].source == source)
            return &run->grant[i];
    return NULL;
}

/* The supervisor says which; whether the policy does is looked up here. */
static int check(const Run *run, const Grant *grant, int file, Fault *fault)
{
    struct stat status;
    if (!grant || !grant->policy->reveal)
        return fault_set(fault, -EPERM, "no policy of retriever %s reveals this token to it", run->retriever);
    const Upstream *upstream = &run->keeper->upstream[grant->source];
    if (!upstream->live)
        return fault_set(fault, -ENOENT, "%s", upstream->missing);
    if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size != 0)
        return fault_set(fault, -EINVAL, "there is no file to reveal the token of source %s in",
                         grant->origin->name);
    return 0;
}

/* On record first: what cannot be recorded does not happen. */
static int record(const Run *run, const Grant *grant, Fault *fault)
{
    AuditEvent event = {
        .event = "reveal", .run = run->id, .retriever = run->retriever, .source = grant->origin->name};
    int r = audit_record(run->keeper->audit, &event);
    return r ? fault_set(fault, r,
                         "the token of source %s is not revealed, since the audit cannot be written: %s",
                         grant->origin->name, strerror(-r))
             : 0;
}

static int put(const Sealed *token, int file)
{
    size_t len = secret_len(token), at = 0;
    char *plain = secret_alloc(len);
    int r = plain ? secret_open(token, plain, len) : -ENOMEM;
    while (r == 0 && at < len) {
        ssize_t n = pwrite(file, plain + at, len - at, (off_t)at);
        if (n <= 0 && errno != EINTR)
            r = n < 0 ? -errno : -EIO;
        at += n > 0 ? (size_t)n : 0;
    }
    secret_release(plain, len);
    return r;
}

static int reveal(Run *run, uint32_t source, int file, Fault *fault)
{
    const Grant *grant = grant_of(run, source);
    int r = check(run, grant, file, fault);
    r = r ? r : record(run, grant, fault);
    if (r)
        return r;
    const Sealed *token = run->keeper->upstream[source].live->token;
    run->keeper->opened = true;
    run->revealed[run->n_revealed++] = (Revealed){fd_steal(&file), secret_len(token)};
    r = put(token, run->revealed[run->n_revealed - 1].file);
    return r ? fault_set(fault, r, "the token of source %s cannot be written into its file: %s",
                         grant->origin->name, strerror(-r))
             : 0;
}

int reveal_tokens(Run *run, const KeeperRun *record, int *file, Fault *fault)
{
    int r = 0;
    for (size_t i = 0; i < record->n_reveal; i++) {
        size_t before = run->n_revealed;
        r = r ? r : reveal(run, record->reveal[i], file[i], fault);
        if (run->n_revealed == before)
            fd_close(&file[i]);
    }
    if (r)
        reveal_end(run);
    return r;
}

static void overwrite(const Revealed *revealed)
{
    static const char zeros[4096];
    for (size_t at = 0; at < revealed->len;) {
        size_t part = revealed->len - at < sizeof(zeros) ? revealed->len - at : sizeof(zeros);
        ssize_t n = pwrite(revealed->file, zeros, part, (off_t)at);
        if (n <= 0 && errno != EINTR)
            return; /* the supervisor does the same, and removes it */
        at += n > 0 ? (size_t)n : 0;
    }
}

void reveal_end(Run *run)
{
    for (size_t i = 0; i < run->n_revealed; i++) {
        overwrite(&run->revealed[i]);
        fd_close(&run->revealed[i].file);
    }
    run->n_revealed = 0;
}
