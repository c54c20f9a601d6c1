/* Copying a folder of the user's own, bounded. (tree_remove() is in state.h.) */
#pragma once

#include <stdint.h>

typedef struct TreeBounds {
    uint64_t bytes;
    uint32_t files, depth;
} TreeBounds;

/* Regular files and folders; -EFBIG or -ELOOP past the bounds, which count down. */
int tree_copy(int from_fd, int to_fd, TreeBounds *left) __attribute__((warn_unused_result));
