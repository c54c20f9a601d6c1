/* The audit's files. See audit-files.h. */
#include "supervisor/audit-files.h"

#include "base/mem.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_AGE        (INT64_C(30) * 86400 * CLOCK_SECOND)
#define WRITER_PATIENCE (INT64_C(10) * CLOCK_SECOND) /* a keeper without its supervisor ends within two */
#define WRITER_POLL     5000                         /* us */
#define KEY             "audit.key"
#define CURRENT         "audit.ndjson"
#define FOLDER          "audit/"

/* What a file's first record says of itself. */
typedef struct First {
    uint64_t number;
    int64_t time; /* 0: there is no record that can be read */
} First;

static Slice value_of(const char *head, const char *key, char end)
{
    Slice value = {"", 0}, rest;
    const char *at = strstr(head, key);
    if (at)
        slice_cut(slice_of(at + strlen(key)), end, &value, &rest);
    return value;
}

static First read_first(int fd)
{
    char head[256];
    First first = {0, 0};
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof(head) - 1, 0);
    head[n > 0 ? n : 0] = '\0';
    if (text_parse_u64(value_of(head, "{\"n\":", ','), UINT64_MAX, &first.number) ||
        clock_parse(value_of(head, "\"time\":\"", '"'), &first.time))
        return (First){0, 0};
    return first;
}

static int open_file(const State *state, const char *name, int flags)
{
    CLEANUP_MEM char *path = mem_printf(FOLDER "%s", name);
    int fd = openat(state->fd, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    return fd < 0 ? -errno : fd;
}

/* --- lists --- */

typedef struct Named {
    char *name;
    uint64_t number;
} Named;

static int is_audit(const struct dirent *entry)
{
    Slice name = slice_of(entry->d_name);
    return slice_is(name, CURRENT) || (slice_starts(name, "audit-") && slice_ends(name, ".ndjson"));
}

static int by_number(const void *a, const void *b)
{
    const Named *one = a, *other = b;
    if (one->number != other->number)
        return one->number < other->number ? -1 : 1;
    return strcmp(one->name, other->name);
}

/* By their first records, whatever they are called; the current one is the last, also while it is empty. */
void audit_files_list(const State *state, char ***ret_name, size_t *ret_n)
{
    struct dirent **entry = NULL;
    int n = scandirat(state->fd, "audit", &entry, is_audit, alphasort);
    size_t count = n > 0 ? (size_t)n : 0;
    Named *list = MEM_NEW_ARRAY(Named, count + 1);
    char **name = MEM_NEW_ARRAY(char *, count + 1);
    for (size_t i = 0; i < count; i++) {
        CLEANUP_FD int fd = open_file(state, entry[i]->d_name, O_RDONLY);
        list[i] = (Named){mem_strdup(entry[i]->d_name), read_first(fd).number};
        if (list[i].number == 0 && strcmp(list[i].name, CURRENT) == 0)
            list[i].number = UINT64_MAX;
        mem_free(entry[i]);
    }
    mem_free(entry);
    qsort(list, count, sizeof(Named), by_number);
    for (size_t i = 0; i < count; i++)
        name[i] = list[i].name;
    mem_free(list);
    *ret_name = name;
    *ret_n = count;
}

/* --- putting aside --- */

static bool is_due(int fd, uint64_t retain)
{
    struct stat status;
    First first = read_first(fd);
    int64_t most = retain && (int64_t)(retain / 4) < MOST_AGE ? (int64_t)(retain / 4) : MOST_AGE;
    return first.time && fstat(fd, &status) == 0 &&
           (first.time + most <= clock_wall() || status.st_size >= (off_t)AUDIT_FILE_BYTES);
}

/* Under the time of its first record. One that has that name already stays, and so does this one. */
static int put_aside(const State *state, int fd, char before[static 256])
{
    char stamp[CLOCK_TEXT];
    snprintf(before, 256, "audit-%s.ndjson", clock_format(stamp, read_first(fd).time));
    CLEANUP_MEM char *path = mem_printf(FOLDER "%s", before);
    return renameat2(state->fd, FOLDER CURRENT, state->fd, path, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

static void put_back(const State *state, const char *before)
{
    CLEANUP_MEM char *path = mem_printf(FOLDER "%s", before);
    (void)!renameat2(state->fd, path, state->fd, FOLDER CURRENT, RENAME_NOREPLACE);
}

bool audit_files_turn(const State *state, uint64_t retain, AuditFiles *ret_files)
{
    if (state->audit_fd >= 0)
        return false;
    AuditFiles files = AUDIT_FILES_NONE;
    CLEANUP_FD int fd = open_file(state, CURRENT, O_RDONLY);
    if (fd < 0 || !is_due(fd, retain) || fdatasync(fd) < 0 || put_aside(state, fd, files.before))
        return false;
    files.file = open_file(state, CURRENT, O_WRONLY | O_APPEND | O_CREAT | O_EXCL);
    if (files.file < 0) { /* the keeper goes on in the old one, which is the current one again */
        put_back(state, files.before);
        return false;
    }
    flock(files.file, LOCK_EX | LOCK_NB); /* nobody else has it */
    *ret_files = files;
    return true;
}

int audit_files_sync(const State *state)
{
    if (state->audit_fd >= 0)
        return 0;
    CLEANUP_FD int fd = open_file(state, CURRENT, O_RDONLY);
    return fd < 0 ? fd : fdatasync(fd) < 0 ? -errno : 0;
}

/* --- opening --- */

static bool any_file(const State *state)
{
    char **name;
    size_t n;
    audit_files_list(state, &name, &n);
    mem_free_strings(name, n);
    return n > 0;
}

/* A keeper has its file locked: one whose supervisor was killed may write a last record after that, and two
 * must not go on from the same one. */
static int await_writer(const State *state, int fd, Fault *fault)
{
    int64_t until = clock_mono() + WRITER_PATIENCE;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fault_set(fault, -errno, "Cannot lock the audit in %s/" FOLDER ": %s.", state->path,
                             strerror(errno));
        if (clock_mono() >= until)
            return fault_set(fault, -EBUSY,
                             "The keeper of a purser that is gone still writes the audit in %s/" FOLDER
                             ": end that process (purser-keeper), then try again.",
                             state->path);
        usleep(WRITER_POLL);
    }
    flock(fd, LOCK_UN);
    return 0;
}

static int make_key(const State *state, Fault *fault)
{
    unsigned char key[AUDIT_KEY];
    if (any_file(state))
        return fault_set(fault, -ENOENT,
                         "The audit's key %s/" KEY
                         " is missing, and there are records that were bound with it: "
                         "put it back, or move %s/audit away, and both begin anew.",
                         state->path, state->path);
    randombytes_buf(key, sizeof(key));
    int r = state_write(state->fd, KEY, (Slice){(const char *)key, sizeof(key)}, 0600);
    sodium_memzero(key, sizeof(key));
    return r ? fault_set(fault, r, "Cannot make the audit's key %s/" KEY ": %s.", state->path, strerror(-r))
             : 0;
}

static const char *key_path(const State *state)
{
    return state->audit_key ? state->audit_key : KEY; /* an absolute one is taken as it is */
}

static int key_unreadable(const State *state, Fault *fault)
{
    int r = -errno;
    return fault_set(fault, r, "Cannot read the audit's key %s%s%s: %s.", state->audit_key ? "" : state->path,
                     state->audit_key ? "" : "/", key_path(state), strerror(-r));
}

/* A Secret that is mounted is a link; one in the state folder never is. */
static int open_key_file(const State *state)
{
    return openat(state->fd, key_path(state),
                  O_RDONLY | O_CLOEXEC | O_NOCTTY | (state->audit_key ? 0 : O_NOFOLLOW));
}

/* Two that begin at once have one key: what the one who was slower has bound already would be worth nothing.
 */
static int make_key_once(const State *state, Fault *fault)
{
    if (flock(state->fd, LOCK_EX) < 0)
        return fault_set(fault, -errno, "Cannot lock the state folder %s: %s.", state->path, strerror(errno));
    int r = faccessat(state->fd, KEY, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ? make_key(state, fault) : 0;
    flock(state->fd, LOCK_UN);
    return r;
}

static int open_key(const State *state, int *ret_fd, Fault *fault)
{
    int fd = open_key_file(state);
    int r = fd < 0 && errno == ENOENT && !state->audit_key ? make_key_once(state, fault) : 0;
    if (r)
        return r;
    if (fd < 0)
        fd = open_key_file(state);
    if (fd < 0)
        return key_unreadable(state, fault);
    *ret_fd = fd;
    return 0;
}

int audit_files_make_key(const State *state, Fault *fault)
{
    CLEANUP_FD int fd = -1;
    return open_key(state, &fd, fault);
}

int audit_files_key(const State *state, unsigned char ret_key[AUDIT_KEY], Fault *fault)
{
    CLEANUP_FD int fd = open_key_file(state);
    return fd < 0 ? key_unreadable(state, fault) : audit_key_read(fd, ret_key, fault);
}

/* Half a first line, from a disk that was full: nothing was recorded in it, and nothing is bound to it. */
static void drop_false_start(int fd)
{
    char head[AUDIT_MAX_RECORD];
    ssize_t n = pread(fd, head, sizeof(head), 0);
    if (n > 0 && n < (ssize_t)sizeof(head) && !memchr(head, '\n', (size_t)n))
        (void)!ftruncate(fd, 0);
}

/* The file that the chain ends in: the current one, or while that is empty the one before. */
static void find_tail(const State *state, AuditFiles *files)
{
    struct stat status;
    char **name;
    size_t n;
    if (fstat(files->file, &status) == 0 && status.st_size > 0) {
        files->tail = open_file(state, CURRENT, O_RDONLY);
        return;
    }
    audit_files_list(state, &name, &n);
    if (n > 1) {
        files->tail = open_file(state, name[n - 2], O_RDONLY);
        snprintf(files->before, sizeof(files->before), "%s", name[n - 2]);
    }
    mem_free_strings(name, n);
}

/* A chain of its own, whose lines go out of the pod as they are written. */
static int open_elsewhere(const State *state, AuditFiles *ret_files, Fault *fault)
{
    AuditFiles files = AUDIT_FILES_NONE;
    int r = open_key(state, &files.key, fault);
    if (!r && (files.file = fcntl(state->audit_fd, F_DUPFD_CLOEXEC, 3)) < 0)
        r = fault_set(fault, -errno, "The audit cannot be written: %s.", strerror(errno));
    if (r)
        audit_files_close(&files);
    else
        *ret_files = files;
    return r;
}

int audit_files_open(const State *state, uint64_t retain, AuditFiles *ret_files, Fault *fault)
{
    AuditFiles files = AUDIT_FILES_NONE;
    if (state->audit_fd >= 0)
        return open_elsewhere(state, ret_files, fault);
    CLEANUP_FD int current = open_file(state, CURRENT, O_RDWR);
    int r = open_key(state, &files.key, fault);
    if (r)
        return r;
    if (current >= 0) {
        r = await_writer(state, current, fault);
        if (r) {
            audit_files_close(&files);
            return r;
        }
        drop_false_start(current);
    }
    if (current >= 0 && is_due(current, retain))
        r = put_aside(state, current, files.before);
    files.before[0] = '\0';
    files.file = r && r != -EEXIST ? r : open_file(state, CURRENT, O_WRONLY | O_APPEND | O_CREAT);
    if (files.file < 0) {
        r = files.file;
        audit_files_close(&files);
        return fault_set(fault, r, "Cannot open the audit %s/" FOLDER CURRENT ": %s.", state->path,
                         strerror(-r));
    }
    find_tail(state, &files);
    r = files.before[0] ? await_writer(state, files.tail, fault) : 0;
    flock(files.file, LOCK_EX | LOCK_NB); /* nobody else has it: the state folder is ours */
    if (r)
        audit_files_close(&files);
    else
        *ret_files = files;
    return r;
}

void audit_files_close(AuditFiles *files)
{
    fd_close(&files->file);
    fd_close(&files->key);
    fd_close(&files->tail);
}

/* --- removing --- */

unsigned audit_files_prune(const State *state, uint64_t retain, bool dry)
{
    char **name;
    size_t n;
    unsigned removed = 0;
    audit_files_list(state, &name, &n);
    for (size_t i = 0; retain && i < n; i++) {
        struct stat status;
        CLEANUP_MEM char *path = mem_printf(FOLDER "%s", name[i]);
        if (strcmp(name[i], CURRENT) != 0 && fstatat(state->fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            (int64_t)status.st_mtime * CLOCK_SECOND + (int64_t)retain < clock_wall() &&
            (dry || unlinkat(state->fd, path, 0) == 0))
            removed++;
    }
    mem_free_strings(name, n);
    return removed;
}
