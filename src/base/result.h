/* The error doctrine, in one place.
 *
 * A function that can fail returns int:
 *   0    success;
 *   < 0  a negative errno: fatal for what was being done, passed on untouched;
 *   > 0  the module's own enum (FOO_E_...): an answer, which the caller must handle.
 * All such functions are MUST_USE. Outputs come last, are called ret_..., and are untouched on failure.
 * What a person has to read travels in a Fault (base/fault.h) beside the code.
 *
 * Library folders do not log; a role logs once, where the decision is made.
 * Allocation of bounded sizes does not fail (base/mem.h ends the process); a size that a stranger chose is
 * checked against a bound before anything is allocated.
 */
#pragma once

#include <stddef.h>
#include <unistd.h>

#define MUST_USE        __attribute__((warn_unused_result))
#define FORMAT(fmt, va) __attribute__((format(printf, fmt, va)))
#define NORETURN        __attribute__((noreturn))
#define CLEANUP(fn)     __attribute__((cleanup(fn)))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Defines `fn_p(T *p)` for CLEANUP: calls fn(*p). fn takes NULL. */
#define DEFINE_CLEANUP(T, fn)                                                                                \
    static inline void fn##_p(T *p)                                                                          \
    {                                                                                                        \
        fn(*p);                                                                                              \
    }

/* Moves a pointer or a descriptor out of a variable that has a clean-up. */
#define STEAL(ptr)                                                                                           \
    ({                                                                                                       \
        __typeof__(ptr) stolen_ = (ptr);                                                                     \
        (ptr) = NULL;                                                                                        \
        stolen_;                                                                                             \
    })

static inline int fd_steal(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

/* Closes *fd unless it is negative; leaves -1. Keeps errno. */
void fd_close(int *fd);
#define CLEANUP_FD CLEANUP(fd_close)
