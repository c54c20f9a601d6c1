/* The addresses that a run was redirected to. See redirect.h. */
#include "keeper/redirect.h"

#include "base/mem.h"

#include <sodium.h>

static void hash_of(const char *host, Slice target, unsigned char ret_hash[REDIRECT_HASH])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, REDIRECT_HASH);
    crypto_generichash_update(&state, (const unsigned char *)host, strlen(host) + 1);
    crypto_generichash_update(&state, (const unsigned char *)target.ptr, target.len);
    crypto_generichash_final(&state, ret_hash, REDIRECT_HASH);
}

bool redirect_parse(Slice location, char ret_host[static 254], Target *ret_target)
{
    Slice scheme = SLICE_LITERAL("https://");
    uint16_t port;
    if (!slice_starts_nocase(location, scheme.ptr))
        return false;
    Slice rest = {location.ptr + scheme.len, location.len - scheme.len}, authority = rest;
    size_t n = 0;
    while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?' && rest.ptr[n] != '#')
        n++;
    authority.len = n;
    Slice target = {rest.ptr + n, rest.len - n};
    const char *fragment = memchr(target.ptr, '#', target.len); /* a client does not send it */
    if (fragment)
        target.len = (size_t)(fragment - target.ptr);
    if (target.len == 0)
        target = SLICE_LITERAL("/");
    return target_parse_authority(authority, 443, ret_host, &port, NULL) == 0 && port == 443 &&
           target_normalise_whole(target, ret_target, NULL) == 0;
}

void redirect_note(Redirects *redirects, const char *host, Slice target, uint32_t grant,
                   const Narrowing *narrowing, int64_t now)
{
    Redirect *redirect = &redirects->last[redirects->next++ % REDIRECT_MAX];
    hash_of(host, target, redirect->hash);
    redirect->grant = grant;
    redirect->until = now + REDIRECT_US;
    mem_free(STEAL(redirect->narrowing));
    if (narrowing->n) {
        redirect->narrowing = MEM_NEW(Narrowing);
        *redirect->narrowing = *narrowing;
    }
}

const Redirect *redirect_find(const Redirects *redirects, const char *host, Slice target, int64_t now)
{
    unsigned char hash[REDIRECT_HASH];
    hash_of(host, target, hash);
    for (size_t i = 1; i <= REDIRECT_MAX; i++) {
        const Redirect *redirect = &redirects->last[(redirects->next - i) % REDIRECT_MAX];
        if (now < redirect->until && sodium_memcmp(redirect->hash, hash, REDIRECT_HASH) == 0)
            return redirect;
    }
    return NULL;
}

void redirects_done(Redirects *redirects)
{
    for (size_t i = 0; i < REDIRECT_MAX; i++)
        mem_free(STEAL(redirects->last[i].narrowing));
}
