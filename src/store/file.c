/* Tokens in files. See file.h. */
#include "store/file.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/mark.h"
#include "store/plan.h"

#include <errno.h>
#include <sys/stat.h>

#define ROOM (SECRET_MAX_TOKEN + 3) /* its newline, and a byte by which too long is seen */

typedef struct FileStore {
    Store store;
    StoreFiles *files;
} FileStore;

typedef struct FileJob {
    char *path;
    StoreDone *done;
    void *context;
} FileJob;

static int read_all(int fd, char *out, size_t room, size_t *ret_len)
{
    size_t len = 0;
    while (len < room) {
        ssize_t n = pread(fd, out + len, room - len, (off_t)len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
    }
    *ret_len = len;
    return 0;
}

/* What a revocation has put in the token's place. */
static int check_mark(const char *path, Slice text, Fault *fault)
{
    Mark mark;
    size_t head = strlen(MARK_FILE);
    if (text.len < head || memcmp(text.ptr, MARK_FILE, head) != 0) /* not secret */
        return 0;
    Slice rest = {text.ptr + head, text.len - head};
    if (rest.len && rest.ptr[rest.len - 1] == '\n')
        rest.len--;
    return mark_refuse(mark_parse(rest, &mark) == 0 ? &mark : NULL, path, fault);
}

static int seal_file(const char *path, int fd, StoredToken *ret_token, Fault *fault)
{
    struct stat status;
    size_t len = 0;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return fault_set(fault, STORE_E_DAMAGED, "the token file %s is not a regular file", path);
    char *scratch = secret_alloc(ROOM);
    if (!scratch)
        return fault_set(fault, -ENOMEM, "the locked memory is used up");
    int r = read_all(fd, scratch, ROOM, &len);
    if (r)
        r = fault_set(fault, STORE_E_OUTAGE, "the token file %s cannot be read: %s", path, strerror(-r));
    r = r ? r : check_mark(path, (Slice){scratch, len}, fault);
    r = r ? r
          : store_seal(path, (Slice){scratch, len}, memmem(scratch, len, "-----BEGIN ", 11) != NULL,
                       &ret_token->token, fault);
    secret_release(scratch, ROOM);
    ret_token->fetched = clock_wall();
    ret_token->set = (int64_t)status.st_mtim.tv_sec * CLOCK_SECOND + status.st_mtim.tv_nsec / 1000;
    return r;
}

static void on_open(void *context, int given, const Fault *fault)
{
    FileJob *job = context;
    CLEANUP_FD int fd = given;
    StoreResult result = {.result = STORE_E_ABSENT, .fault = *fault};
    if (fd >= 0)
        result.result = seal_file(job->path, fd, &result.token, &result.fault);
    job->done(job->context, &result);
    stored_token_done(&result.token);
    mem_free(job->path);
    mem_free(job);
}

static void file_fetch(Store *store, const TokenRef *ref, StoreDone *done, void *context)
{
    FileStore *self = (FileStore *)store;
    FileJob *job = MEM_NEW(FileJob);
    *job = (FileJob){mem_strdup(ref->name), done, context};
    store_files_open(self->files, job->path, on_open, job);
}

static Store *file_free(Store *store)
{
    mem_free(store);
    return NULL;
}

Store *store_file_new(StoreFiles *files)
{
    static const StoreDriver driver = {.name = "file", .fetch = file_fetch, .free = file_free};
    FileStore *self = MEM_NEW(FileStore);
    *self = (FileStore){{&driver, {PLAN_LOCAL_REFRESH, PLAN_LOCAL_STALE, 0}}, files};
    return &self->store;
}
