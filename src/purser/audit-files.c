/* The audit's files: putting aside, removing. See audit-files.h. */
#include "purser/audit-files.h"

#include "base/clock.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define MOST_AGE (INT64_C(30) * 86400 * CLOCK_SECOND)
#define CURRENT  "audit/audit.ndjson"

/* When the first record was written; 0 when there is none that can be read. */
static int64_t first_time(int fd)
{
    static const char key[] = "\"time\":\"";
    char head[256];
    int64_t time = 0;
    ssize_t n = pread(fd, head, sizeof(head) - 1, 0);
    head[n > 0 ? n : 0] = '\0';
    const char *at = strstr(head, key);
    Slice text, rest;
    if (!at)
        return 0;
    slice_cut(slice_of(at + sizeof(key) - 1), '"', &text, &rest);
    return clock_parse(text, &time) ? 0 : time;
}

static int put_aside(const State *state, uint64_t retain)
{
    CLEANUP_FD int fd = openat(state->fd, CURRENT, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int64_t first = fd < 0 ? 0 : first_time(fd);
    int64_t most = retain && (int64_t)(retain / 4) < MOST_AGE ? (int64_t)(retain / 4) : MOST_AGE;
    char stamp[CLOCK_TEXT];
    if (!first || first + most > clock_wall())
        return 0;
    CLEANUP_MEM char *name = mem_printf("audit/audit-%s.ndjson", clock_format(stamp, first));
    return renameat(state->fd, CURRENT, state->fd, name) < 0 ? -errno : 0;
}

int audit_files_open(const State *state, uint64_t retain, int *ret_fd, Fault *fault)
{
    int r = put_aside(state, retain);
    int fd = r ? -1 : openat(state->fd, CURRENT, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault_set(fault, r ? r : -errno, "Cannot open the audit %s/" CURRENT ": %s.", state->path,
                         strerror(r ? -r : errno));
    *ret_fd = fd;
    return 0;
}

static int is_aside(const struct dirent *entry)
{
    Slice name = slice_of(entry->d_name);
    return slice_starts(name, "audit-") && slice_ends(name, ".ndjson");
}

/* The names of the files put aside, sorted: their times are in them. */
static int list_aside(const State *state, struct dirent ***ret_list)
{
    return scandirat(state->fd, "audit", ret_list, is_aside, alphasort);
}

unsigned audit_files_prune(const State *state, uint64_t retain, bool dry)
{
    struct dirent **list = NULL;
    unsigned removed = 0;
    int n = retain ? list_aside(state, &list) : 0;
    for (int i = 0; i < n; i++) {
        struct stat status;
        CLEANUP_MEM char *name = mem_printf("audit/%s", list[i]->d_name);
        if (fstatat(state->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            (int64_t)status.st_mtime * CLOCK_SECOND + (int64_t)retain < clock_wall() &&
            (dry || unlinkat(state->fd, name, 0) == 0))
            removed++;
        mem_free(list[i]);
    }
    mem_free(list);
    return removed;
}

void audit_files_each(const State *state, void (*each)(const char *path, void *context), void *context)
{
    struct dirent **list = NULL;
    int n = list_aside(state, &list);
    for (int i = 0; i < n; i++) {
        CLEANUP_MEM char *path = mem_printf("%s/audit/%s", state->path, list[i]->d_name);
        each(path, context);
        mem_free(list[i]);
    }
    mem_free(list);
    CLEANUP_MEM char *current = mem_printf("%s/" CURRENT, state->path);
    each(current, context);
}
