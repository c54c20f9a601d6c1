/* The runner's own walls. See lock-in.h. */
#include "runner/lock-in.h"

#include "runner/filter.h"
#include "sandbox/landlock.h"

#include <errno.h>
#include <sys/prctl.h>

static int limit_files(int output_fd)
{
    Landlock landlock;
    /* Not signals: the script was started before, and would be outside. */
    int r = landlock_begin(LANDLOCK_FILES | LANDLOCK_CONNECT | LANDLOCK_BIND, &landlock);
    if (r)
        return r == -EOPNOTSUPP ? 0 : r; /* doctor says so */
    r = landlock_allow_path(&landlock, "/proc", LANDLOCK_READ);
    if (!r && output_fd >= 0)
        r = landlock_allow_fd(&landlock, output_fd, LANDLOCK_READ);
    if (!r)
        r = landlock_enforce(&landlock);
    landlock_done(&landlock);
    return r;
}

int lock_in(int output_fd, bool optional)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return optional ? 0 : -errno;
    int r = limit_files(output_fd);
#ifndef PURSER_SANITIZED
    r = r ? r : filter_enter_runner();
#endif
    return r == -EOPNOTSUPP || optional ? 0 : r;
}
