/* The runner's own walls, once the script is started and all of its own descriptors are open. It reads what
 * the script prints and leaves; started by a person, it is not within the script's walls, so it has its own:
 * no system call but those that it still needs (filter.h), no file but /proc and the output folder, to be
 * read, no TCP. */
#pragma once

#include "base/result.h"

#include <stdbool.h>

/* `output_fd`: -1: none. `optional`: what cannot be set up is left out. In a sanitized build the filter is.
 */
int lock_in(int output_fd, bool optional) MUST_USE;
