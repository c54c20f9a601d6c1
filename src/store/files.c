/* Files that the supervisor opens for the keeper. See files.h. */
#include "store/files.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

typedef struct Waiter {
    StoreFileDone *done;
    void *context;
} Waiter;

typedef struct Entry {
    char *path;
    int fd; /* of set-up, not used yet; -1 */
    int error;
    bool fresh; /* fd or error is what set-up said, and nobody has asked yet */
    bool asked;
    Waiter *waiter;
    size_t n_waiter;
    struct event *timer;
    StoreFiles *files;
} Entry;

struct StoreFiles {
    struct event_base *base;
    Entry **entry;
    size_t n_entry;
    StoreFilesAsk *ask;
    void *context;
};

StoreFiles *store_files_new(struct event_base *base, StoreFilesAsk *ask, void *context)
{
    StoreFiles *files = MEM_NEW(StoreFiles);
    *files = (StoreFiles){.base = base, .ask = ask, .context = context};
    return files;
}

StoreFiles *store_files_free(StoreFiles *files)
{
    if (!files)
        return NULL;
    for (size_t i = 0; i < files->n_entry; i++) {
        Entry *entry = files->entry[i];
        fd_close(&entry->fd);
        if (entry->timer)
            event_free(entry->timer);
        mem_free(entry->waiter);
        mem_free(entry->path);
        mem_free(entry);
    }
    mem_free(files->entry);
    mem_free(files);
    return NULL;
}

static void answer(const Entry *entry, const Waiter *waiter, int fd, int error)
{
    Fault fault = {""};
    if (fd < 0)
        fault_set(&fault, 0, "the file %s cannot be opened: %s", entry->path, strerror(error));
    waiter->done(waiter->context, fd, &fault);
}

/* The list is taken first: who is answered may ask again. Each gets a descriptor of its own. */
static void answer_all(Entry *entry, int fd, int error)
{
    Waiter *waiter = STEAL(entry->waiter);
    size_t n = entry->n_waiter;
    entry->n_waiter = 0;
    entry->asked = false;
    if (entry->timer)
        evtimer_del(entry->timer);
    for (size_t i = 0; i < n; i++) {
        int own = fd < 0 ? -1 : i + 1 == n ? fd_steal(&fd) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
        answer(entry, &waiter[i], own, own < 0 && !error ? errno : error);
    }
    fd_close(&fd);
    mem_free(waiter);
}

static void on_timeout(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    answer_all(context, -1, ETIMEDOUT);
}

int store_files_give(StoreFiles *files, uint32_t index, const char *path, int given, int error)
{
    CLEANUP_FD int fd = given;
    if ((fd < 0) != (error != 0) || index > files->n_entry)
        return -EPROTO;
    if (index == files->n_entry) {
        Entry *entry = MEM_NEW(Entry);
        *entry = (Entry){
            .path = mem_strdup(path), .fd = fd_steal(&fd), .error = error, .fresh = true, .files = files};
        MEM_PUSH(files->entry, files->n_entry, entry);
        return 0;
    }
    Entry *entry = files->entry[index];
    if (entry->asked)
        answer_all(entry, fd_steal(&fd), error);
    return 0;
}

static void ask(StoreFiles *files, uint32_t index, StoreFileDone *done, void *context)
{
    static const struct timeval patience = {STORE_FILES_PATIENCE_S, 0};
    Entry *entry = files->entry[index];
    MEM_PUSH(entry->waiter, entry->n_waiter, (Waiter){done, context});
    if (entry->asked)
        return;
    entry->asked = true;
    if (!entry->timer)
        entry->timer = evtimer_new(files->base, on_timeout, entry);
    evtimer_add(entry->timer, &patience);
    files->ask(files->context, index);
}

void store_files_open(StoreFiles *files, const char *path, StoreFileDone *done, void *context)
{
    for (uint32_t i = 0; i < files->n_entry; i++) {
        Entry *entry = files->entry[i];
        if (strcmp(entry->path, path) != 0)
            continue;
        if (!entry->fresh) {
            ask(files, i, done, context);
            return;
        }
        entry->fresh = false;
        answer(entry, &(Waiter){done, context}, fd_steal(&entry->fd), entry->error);
        return;
    }
    Fault fault;
    fault_set(&fault, 0, "the file %s is none that the configuration names", path);
    done(context, -1, &fault);
}

int store_file_read(const char *path, int given, Buf *buf, Fault *fault)
{
    CLEANUP_FD int fd = given;
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return fault_set(fault, -EINVAL, "%s is not a regular file", path);
    int r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : io_read_all(fd, buf); /* others may have read it */
    if (r == -EFBIG)
        return fault_set(fault, r, "%s is larger than %zu bytes", path, buf->max);
    return r ? fault_set(fault, r, "%s cannot be read: %s", path, strerror(-r)) : 0;
}
