/* free() and realloc() for a process that handles tokens: what is given back is wiped first, whoever gives it
 * back (libcurl, OpenSSL, jansson, libc itself). Linked whole into the executable, whose symbols come before
 * libc's.
 *
 * Only the giving back is replaced: the blocks are glibc's own, so that every function which hands them out
 * (malloc, calloc, memalign, posix_memalign, aligned_alloc, strdup, ...) stays as it is. glibc exports
 * __libc_free for this. Not in sanitized builds: those keep freed bytes on purpose.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void __libc_free(void *p);
void *__libc_malloc(size_t len);

void free(void *p)
{
    if (!p)
        return;
    explicit_bzero(p, malloc_usable_size(p));
    __libc_free(p);
}

/* Never in place when it grows: a block that moves inside glibc would leave its bytes behind unwiped. */
void *realloc(void *old, size_t len)
{
    if (!old)
        return __libc_malloc(len);
    if (len == 0) {
        free(old);
        return NULL;
    }
    size_t room = malloc_usable_size(old);
    if (len <= room && len >= room / 2) {
        explicit_bzero((char *)old + len, room - len);
        return old;
    }
    void *fresh = __libc_malloc(len);
    if (!fresh)
        return NULL;
    memcpy(fresh, old, len < room ? len : room);
    free(old);
    return fresh;
}

void *reallocarray(void *old, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, total);
}
