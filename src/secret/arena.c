/* Maps the arena and asks the kernel whether it really is what was asked for. See arena.h. */
#include "secret/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Puts a mapping between two pages that fault, so that an overrun of a neighbour ends the process. */
static int map_guarded(size_t len, int fd, void **ret_data)
{
    size_t page = page_size();
    char *around = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (around == MAP_FAILED)
        return -errno;
    int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void *data = mmap(around + page, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
    if (data == MAP_FAILED) {
        int error = -errno;
        munmap(around, len + 2 * page);
        return error;
    }
    *ret_data = data;
    return 0;
}

static void unmap_guarded(void *data, size_t len)
{
    size_t page = page_size();
    munmap((char *)data - page, len + 2 * page);
}

static int map_memfd_secret(size_t len, void **ret_data)
{
    CLEANUP_FD int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
        return -errno;
    return map_guarded(len, fd, ret_data);
}

static int map_locked(size_t len, void **ret_data)
{
    void *data = NULL;
    int r = map_guarded(len, -1, &data);
    if (r)
        return r;
    /* The system call itself: sanitizers make mlock() do nothing. */
    if (syscall(SYS_mlock, data, len) < 0 || madvise(data, len, MADV_DONTDUMP) < 0) {
        r = -errno;
        unmap_guarded(data, len);
        return r;
    }
    *ret_data = data;
    return 0;
}

/* What the kernel says of the mapping: its VmFlags ("lo": locked, "dd": not dumped) and its locked size. The
 * file is read no further: what stands behind, of all libraries, takes the kernel a millisecond. Pages of
 * memfd_secret are never swapped once they are there, and come when they are first touched.
 */
static void verify(const Arena *arena, bool *ret_locked, bool *ret_not_dumped)
{
    char line[512];
    bool here = false;
    unsigned long from, to, locked_kb = 0;
    *ret_locked = *ret_not_dumped = false;
    FILE *maps = fopen("/proc/self/smaps", "re");
    if (!maps)
        return;
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from == (unsigned long)arena->data && to - from == arena->len;
        else if (here && sscanf(line, "Locked: %lu kB", &locked_kb) == 1)
            continue;
        else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            *ret_locked =
                strstr(line, " lo") && (arena->protection.memfd_secret || locked_kb * 1024 >= arena->len);
            *ret_not_dumped = strstr(line, " dd");
            break;
        }
    }
    fclose(maps);
}

/* The total that is locked must hold the arena too: VmLck of /proc/self/status. */
static size_t locked_total(void)
{
    char line[256];
    unsigned long kb = 0;
    FILE *status = fopen("/proc/self/status", "re");
    if (!status)
        return 0;
    while (fgets(line, sizeof(line), status))
        if (sscanf(line, "VmLck: %lu kB", &kb) == 1)
            break;
    fclose(status);
    return kb * 1024;
}

static int refuse(size_t len, int error, Fault *fault)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    error = error == -EPERM ? -EPERM : -ENOMEM;
    return fault_set(
        fault, error,
        "%zu KiB of memory for secrets cannot be locked against swapping (%s; the limit is %llu KiB): "
        "raise it (ulimit -l, LimitMEMLOCK= in a systemd unit)",
        len / 1024, strerror(-error), (unsigned long long)limit.rlim_cur / 1024);
}

int arena_map(size_t len, bool anonymous, Arena *ret_arena, Fault *fault)
{
    size_t page = page_size(), before = locked_total();
    Arena arena = {.len = (len + page - 1) / page * page};
    int r = anonymous ? -ENOSYS : map_memfd_secret(arena.len, &arena.data);
    arena.protection.memfd_secret = r == 0;
    if (r)
        r = map_locked(arena.len, &arena.data);
    if (r)
        return refuse(arena.len, r, fault);
    if (madvise(arena.data, arena.len, MADV_DONTFORK) < 0) {
        r = -errno;
        unmap_guarded(arena.data, arena.len);
        return fault_set(fault, r, "memory for secrets cannot be kept from child processes: %s",
                         strerror(-r));
    }
    if (!arena.protection.memfd_secret)
        memset(arena.data, 0, arena.len); /* present from now on */
    verify(&arena, &arena.protection.locked, &arena.protection.not_dumped);
    arena.protection.locked &= locked_total() >= before + arena.len;
    arena.protection.not_dumped |= arena.protection.memfd_secret;
    *ret_arena = arena;
    return 0;
}

void arena_unmap(Arena *arena)
{
    if (!arena->data)
        return;
    if (!arena->protection
             .memfd_secret) /* whose pages the kernel wipes; here it would make those that were not used */
        explicit_bzero(arena->data, arena->len);
    unmap_guarded(arena->data, arena->len);
    *arena = (Arena){0};
}
