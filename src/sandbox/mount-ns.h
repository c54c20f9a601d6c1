/* A mount namespace of a run's own, in which the sockets of other programs are covered. Root only.
 *
 * A network namespace keeps a script from addresses and from abstract sockets, but a socket with a path
 * belongs to a file system: whoever's mode lets any user connect would look names up for a script, put its
 * calls through to another network, or start programs. So the folders in which such sockets lie are covered
 * by an empty read-only tmpfs, single sockets by /dev/null; all else is as it was. Only well-known places can
 * be covered. One that is not there yet when the run begins, or is removed and made again by a service that
 * starts anew, is seen until the run ends.
 */
#pragma once

#include "base/result.h"

#include <stdint.h>

/* A bit for each place under which one of these paths lies, once links are followed (in the place's own name;
 * the paths are given both ways): what the run itself needs stays as it is. */
uint64_t mount_ns_needed(const char *const *path, size_t n);

/* The first of these places, for a sentence. */
const char *mount_ns_place(uint64_t places);

/* In a forked child with one thread: enters a namespace of its own and covers all that is there, but for the
 * places that are `left`. -errno: something is not covered (as much is as can be); *ret_what names it. */
int mount_ns_enter(uint64_t left, const char **ret_what) MUST_USE;
