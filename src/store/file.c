/* Tokens in files of their own: descriptors that were opened before the sandbox closed, read anew for each
 * fetch (a file that was replaced by a rename is seen after the next start). See store.h. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/store.h"

#include <errno.h>
#include <sys/stat.h>

#define ROOM (SECRET_MAX_TOKEN + 3) /* its newline, and a byte by which too long is seen */

typedef struct FileEntry {
    char *name;
    int fd;
} FileEntry;

typedef struct FileStore {
    Store store;
    FileEntry *entry;
    size_t n_entry;
} FileStore;

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

static int seal_file(const FileEntry *entry, char *scratch, StoredToken *ret_token, Fault *fault)
{
    struct stat status;
    size_t len = 0;
    if (fstat(entry->fd, &status) < 0)
        return fault_set(fault, STORE_E_OUTAGE, "the token file %s: %s", entry->name, strerror(errno));
    int r = read_all(entry->fd, scratch, ROOM, &len);
    if (r)
        return fault_set(fault, STORE_E_OUTAGE, "the token file %s cannot be read: %s", entry->name,
                         strerror(-r));
    r = store_check_token(entry->name, (Slice){scratch, len}, &len, fault);
    if (r)
        return r;
    ret_token->fetched = clock_wall();
    ret_token->set = (int64_t)status.st_mtim.tv_sec * CLOCK_SECOND + status.st_mtim.tv_nsec / 1000;
    return secret_seal((Slice){scratch, len}, &ret_token->token);
}

static void file_fetch(Store *store, const TokenRef *ref, StoreDone *done, void *context)
{
    FileStore *self = (FileStore *)store;
    StoredToken token = {0};
    Fault fault = {""};
    const FileEntry *entry = NULL;
    for (size_t i = 0; i < self->n_entry && !entry; i++)
        if (strcmp(self->entry[i].name, ref->name) == 0)
            entry = &self->entry[i];
    int r = STORE_E_ABSENT;
    if (!entry) {
        fault_set(&fault, r, "the token file %s was not there when purser started", ref->name);
    } else {
        char *scratch = secret_alloc(ROOM);
        r = scratch ? seal_file(entry, scratch, &token, &fault)
                    : fault_set(&fault, -ENOMEM, "the locked memory is used up");
        secret_release(scratch, ROOM);
    }
    done(context, r, r ? NULL : &token, &fault);
}

static Store *file_free(Store *store)
{
    FileStore *self = (FileStore *)store;
    for (size_t i = 0; i < self->n_entry; i++) {
        mem_free(self->entry[i].name);
        fd_close(&self->entry[i].fd);
    }
    mem_free(self->entry);
    mem_free(self);
    return NULL;
}

Store *store_file_new(void)
{
    static const StoreDriver driver = {STORE_FILE, "file", file_fetch, file_free};
    FileStore *self = MEM_NEW(FileStore);
    self->store.driver = &driver;
    return &self->store;
}

int store_file_add(Store *store, const char *name, int fd)
{
    FileStore *self = (FileStore *)store;
    struct stat status;
    int r = fstat(fd, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EINVAL;
    if (r) {
        fd_close(&fd);
        return r;
    }
    MEM_PUSH(self->entry, self->n_entry, (FileEntry){mem_strdup(name), fd});
    return 0;
}
