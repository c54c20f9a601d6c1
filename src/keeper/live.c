/* A token in use. See live.h. */
#include "keeper/live.h"

#include "base/mem.h"

#include <errno.h>

int live_new(Sealed *token, Live **ret_live)
{
    Live *live = MEM_NEW(Live);
    *live = (Live){.users = 1, .token = token};
    size_t len = secret_len(token);
    char *plain = secret_alloc(len);
    int r = plain ? secret_open(token, plain, len) : -ENOMEM;
    if (r == 0 &&
        (memchr(plain, '\n', len) || memchr(plain, '\r', len))) /* a private key: it would end a header */
        r = -EBADMSG;
    r = r ? r : scrub_forms_new((Slice){plain, len}, &live->forms);
    secret_release(plain, len);
    if (r)
        live_drop(live);
    else
        *ret_live = live;
    return r;
}

Live *live_use(Live *live)
{
    if (live)
        live->users++;
    return live;
}

Live *live_drop(Live *live)
{
    if (!live || --live->users)
        return NULL;
    secret_free(live->token);
    scrub_forms_free(live->forms);
    mem_free(live);
    return NULL;
}
