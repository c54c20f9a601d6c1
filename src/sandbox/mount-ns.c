/* A mount namespace of a run's own. See mount-ns.h. */
#include "sandbox/mount-ns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* Mode 0666 where they are used as they are packaged, or not seldom made so (Docker's). Folders, or single
 * sockets where a folder has other things in it, too. */
static const char *const place[] = {
    /* They look names up, or are a user's directory, and that is a way out. */
    "/run/systemd", /* resolve/, userdb/, journal/ (which may be sent on), and whatever speaks varlink */
    "/run/nscd", "/run/nslcd", "/run/avahi-daemon", "/run/samba", "/var/lib/sss/pipes", "/var/lib/gssproxy",
    /* They connect, print or send. */
    "/run/tor", "/run/tailscale", "/run/cups", "/run/rpcbind.sock", "/dev/log",
    /* They start programs. */
    "/run/dbus", "/run/user", "/run/snapd.socket", "/run/snapd-snap.socket", "/run/docker.sock",
    "/run/containerd", "/run/podman", "/run/crio", "/run/libvirt", "/run/polkit", "/run/WSL",
    "/nix/var/nix/daemon-socket", "/var/guix/daemon-socket", "/tmp/.X11-unix",
    /* They let in whom they know by the user id, or anybody; by TCP a script could not ask them either. */
    "/run/postgresql", "/run/mysqld", "/run/pcscd"};

_Static_assert(COUNT_OF(place) <= 64, "a bit each");

#define BARRED  (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define NOTHING "mode=755,size=4k,nr_inodes=8"

static bool lies_under(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

uint64_t mount_ns_needed(const char *const *path, size_t n)
{
    char real[PATH_MAX];
    uint64_t needed = 0;
    for (size_t i = 0; i < COUNT_OF(place); i++) {
        if (!realpath(place[i], real))
            continue;
        for (size_t k = 0; k < n; k++)
            if (lies_under(path[k], place[i]) || lies_under(path[k], real))
                needed |= UINT64_C(1) << i;
    }
    return needed;
}

const char *mount_ns_place(uint64_t places)
{
    return places ? place[__builtin_ctzll(places)] : "";
}

/* /etc/resolv.conf is often a link to one of them. Nobody answers a script there, but it can be read: there
 * are libraries that do not start without it. */
static int cover_around(const char *folder, const char *target, char *file)
{
    char source[32];
    CLEANUP_FD int kept = open(file, O_PATH | O_CLOEXEC);
    snprintf(source, sizeof(source), "/proc/self/fd/%d", kept);
    if (kept < 0 || mount("purser", target, "tmpfs", BARRED & ~MS_RDONLY, NOTHING) < 0)
        return -errno;
    for (char *at = file + strlen(folder) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        if (mkdir(file, 0755) < 0 || chmod(file, 0755) < 0) /* whatever the umask */
            return -errno;
        *at = '/';
    }
    CLEANUP_FD int made = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (made < 0 || mount(source, file, NULL, MS_BIND, NULL) < 0)
        return -errno;
    fd_close(&made);
    return mount("purser", folder, NULL, MS_REMOUNT | BARRED, NOTHING) < 0 ? -errno : 0;
}

static int cover_folder(const char *folder, const char *target)
{
    char names[PATH_MAX], real[PATH_MAX];
    if (realpath("/etc/resolv.conf", names) && realpath(folder, real) && lies_under(names, real))
        return cover_around(real, target, names);
    return mount("purser", target, "tmpfs", BARRED, NOTHING) < 0 ? -errno : 0;
}

static int cover(const char *path)
{
    /* In a folder that everybody writes, a link is anybody's: what it leads to is not to be covered. */
    int nofollow = lies_under(path, "/tmp") ? O_NOFOLLOW : 0;
    char target[32];
    struct stat status;
    CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC | nofollow);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    snprintf(target, sizeof(target), "/proc/self/fd/%d", fd);
    if (S_ISDIR(status.st_mode))
        return cover_folder(path, target);
    if (S_ISSOCK(status.st_mode)) /* nobody can connect to a device */
        return mount("/dev/null", target, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
    return 0;
}

int mount_ns_enter(uint64_t left, const char **ret_what)
{
    /* First nothing may go back from here: a mount in a folder that the machine shares would be everybody's.
     */
    *ret_what = "a mount namespace";
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return -errno;
    int first = 0;
    for (size_t i = 0; i < COUNT_OF(place); i++) {
        int r = left >> i & 1 ? 0 : cover(place[i]);
        if (r && !first) {
            *ret_what = place[i];
            first = r;
        }
    }
    return first;
}
