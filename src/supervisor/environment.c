/* Prepared environments. See environment.h. */
#include "supervisor/environment.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

int environment_python(char *out, size_t size, Fault *fault)
{
    static const char usual[] = "/usr/bin/python3";
    const char *path = getenv("PATH");
    if (access(usual, X_OK) == 0) {
        snprintf(out, size, "%s", usual);
        return 0;
    }
    for (Slice folder, rest = slice_of(path ? path : ""); rest.len;) {
        slice_cut(rest, ':', &folder, &rest);
        if (folder.len == 0 || folder.ptr[0] != '/')
            continue;
        if ((size_t)snprintf(out, size, "%.*s/python3", (int)folder.len, folder.ptr) < size &&
            access(out, X_OK) == 0)
            return 0;
    }
    return fault_set(fault, -ENOENT,
                     "There is no python3 on this machine; install the packages python3 and python3-venv.");
}

int environment_find(const State *state, const Retriever *retriever, const char *package_index,
                     const char *python, Environment *ret_environment, Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    int r = io_read_file(AT_FDCWD, retriever->requirements, &text);
    if (r)
        return fault_set(fault, r, "Cannot read %s: %s.", retriever->requirements, strerror(-r));
    char real[PATH_MAX], key[PATH_MAX + 256], hex[17];
    struct stat status;
    struct utsname machine;
    if (!realpath(python, real) || stat(real, &status) < 0 || uname(&machine) < 0)
        return fault_set(fault, -errno, "%s: %s.", python, strerror(errno));
    /* What decides whether an environment still fits: interpreter, platform, index, requirements. */
    int n = snprintf(key, sizeof(key), "1\n%s\n%lld %lld\n%s\n%s\n", real, (long long)status.st_size,
                     (long long)status.st_mtime, machine.machine, package_index);
    unsigned char digest[16];
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, NULL, 0, sizeof(digest));
    crypto_generichash_update(&hash, (unsigned char *)key, (unsigned long long)n);
    crypto_generichash_update(&hash, (const unsigned char *)buf_slice(&text).ptr, text.len);
    crypto_generichash_final(&hash, digest, sizeof(digest));
    text_hex(hex, digest, 8);
    Environment environment;
    snprintf(environment.name, sizeof(environment.name), "%s-%s", retriever->name, hex);
    if ((size_t)snprintf(environment.path, sizeof(environment.path), "%s/envs/%s", state->path,
                         environment.name) >= sizeof(environment.path))
        return fault_set(fault, -ENAMETOOLONG, "The path of the state folder is too long.");
    char marker[160];
    snprintf(marker, sizeof(marker), "%s.ready", environment.name);
    environment.ready = faccessat(state->envs_fd, marker, F_OK, 0) == 0 &&
                        faccessat(state->envs_fd, environment.name, F_OK, 0) == 0;
    *ret_environment = environment;
    return 0;
}

int environment_begin(const State *state, const Environment *environment, const UserId *user, Fault *fault)
{
    char marker[160];
    snprintf(marker, sizeof(marker), "%s.ready", environment->name);
    /* Of one whose folder somebody has removed: what is half-built is not what it speaks of. */
    int r = unlinkat(state->envs_fd, marker, 0) < 0 && errno != ENOENT ? -errno : 0;
    r = r ? r : tree_remove(state->envs_fd, environment->name);
    if (!r && mkdirat(state->envs_fd, environment->name, 0755) < 0)
        r = -errno;
    if (!r && user->own &&
        fchownat(state->envs_fd, environment->name, user->uid, user->gid, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    return r ? fault_set(fault, r, "Cannot make the environment's folder %s: %s.", environment->path,
                         strerror(-r))
             : 0;
}

int environment_finish(const State *state, const Environment *environment, Fault *fault)
{
    char marker[160];
    snprintf(marker, sizeof(marker), "%s.ready", environment->name);
    int r = state_write(state->envs_fd, marker, SLICE_LITERAL(""), 0600);
    return r ? fault_set(fault, r, "Cannot mark %s as ready: %s.", environment->path, strerror(-r)) : 0;
}
