/* Sealing, and the arena handed out in granules of 64 bytes. See secret.h. */
#include "secret/secret.h"

#include "base/mem.h"
#include "secret/arena.h"

#include <errno.h>
#include <sodium.h>

#define GRANULE 64u
#define STACK_BYTES                                                                                          \
    (32u << 10) /* deeper than any call that handles opened bytes (TLS write, base64, scrub) */

struct Sealed {
    uint32_t len;
    unsigned char nonce[crypto_secretbox_NONCEBYTES];
    unsigned char box[]; /* len + crypto_secretbox_MACBYTES */
};

static struct {
    Arena arena;
    unsigned char *used; /* one byte per granule */
    size_t n_granule, next;
    unsigned char *key; /* in the arena */
} self;

int secret_init(size_t arena_bytes, Fault *fault)
{
    if (sodium_init() < 0)
        return fault_set(fault, -EPERM, "libsodium cannot start: the kernel gives no random bytes");
    int r = arena_map(arena_bytes, false, &self.arena, fault);
    if (r)
        return r;
    self.n_granule = self.arena.len / GRANULE;
    self.used = mem_new(self.n_granule, 1);
    self.next = 0;
    self.key = secret_alloc(crypto_secretbox_KEYBYTES);
    crypto_secretbox_keygen(self.key);
    return 0;
}

void secret_done(void)
{
    arena_unmap(&self.arena);
    mem_free(STEAL(self.used));
    self.key = NULL;
    self.n_granule = 0;
}

SecretProtection secret_protection(void)
{
    return self.arena.protection;
}

static size_t granules(size_t len)
{
    return len ? (len + GRANULE - 1) / GRANULE : 1;
}

/* The first run of `need` free granules in [from, to), or `to`. */
static size_t find_free(size_t need, size_t from, size_t to)
{
    for (size_t at = from, run = 0; at < to; at++) {
        run = self.used[at] ? 0 : run + 1;
        if (run == need)
            return at + 1 - need;
    }
    return to;
}

void *secret_alloc(size_t len)
{
    size_t need = granules(len), end = self.n_granule;
    if (len > self.arena.len || need > end)
        return NULL;
    size_t at = find_free(need, self.next, end);
    if (at == end)
        at = find_free(need, 0, end);
    if (at == end)
        return NULL;
    memset(self.used + at, 1, need);
    self.next = at + need == end ? 0 : at + need;
    return (char *)self.arena.data + at * GRANULE; /* zero: wiped when it was released */
}

void secret_release(void *p, size_t len)
{
    if (!p)
        return;
    size_t at = (size_t)((char *)p - (char *)self.arena.data) / GRANULE, n = granules(len);
    explicit_bzero(p, n * GRANULE);
    memset(self.used + at, 0, n);
    self.next = at; /* the same lines again while they are warm */
}

int secret_seal(Slice plain, Sealed **ret_sealed)
{
    if (plain.len > SECRET_MAX_TOKEN)
        return -E2BIG;
    Sealed *sealed = mem_new(1, sizeof(*sealed) + plain.len + crypto_secretbox_MACBYTES);
    sealed->len = (uint32_t)plain.len;
    randombytes_buf(sealed->nonce, sizeof(sealed->nonce));
    crypto_secretbox_easy(sealed->box, (const unsigned char *)plain.ptr, plain.len, sealed->nonce, self.key);
    *ret_sealed = sealed;
    return 0;
}

size_t secret_len(const Sealed *sealed)
{
    return sealed->len;
}

int secret_open(const Sealed *sealed, char *out, size_t room)
{
    if (room < sealed->len)
        return -ENOBUFS;
    int r = crypto_secretbox_open_easy((unsigned char *)out, sealed->box,
                                       sealed->len + crypto_secretbox_MACBYTES, sealed->nonce, self.key);
    return r ? -EBADMSG : 0;
}

Sealed *secret_dup(const Sealed *sealed)
{
    return (Sealed *)mem_dup(sealed, sizeof(*sealed) + sealed->len + crypto_secretbox_MACBYTES);
}

Sealed *secret_free(Sealed *sealed)
{
    mem_free(sealed);
    return NULL;
}

bool secret_equal(Slice a, Slice b)
{
    return a.len == b.len && (a.len == 0 || sodium_memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool secret_same(const Sealed *a, const Sealed *b)
{
    size_t len = a && b ? secret_len(a) : 0;
    if (!a || !b || len != secret_len(b))
        return false;
    char *open_a = secret_alloc(len), *open_b = secret_alloc(len);
    bool same = open_a && open_b && secret_open(a, open_a, len) == 0 && secret_open(b, open_b, len) == 0 &&
                secret_equal((Slice){open_a, len}, (Slice){open_b, len});
    secret_release(open_a, len);
    secret_release(open_b, len);
    return same;
}

/* memcpy and the ciphers move bytes through vector registers, and those keep the last ones. */
#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void wipe_zmm(void)
{
    __asm__ volatile("vzeroall\n\t"
                     "vpxorq %%zmm16, %%zmm16, %%zmm16\n\tvpxorq %%zmm17, %%zmm17, %%zmm17\n\t"
                     "vpxorq %%zmm18, %%zmm18, %%zmm18\n\tvpxorq %%zmm19, %%zmm19, %%zmm19\n\t"
                     "vpxorq %%zmm20, %%zmm20, %%zmm20\n\tvpxorq %%zmm21, %%zmm21, %%zmm21\n\t"
                     "vpxorq %%zmm22, %%zmm22, %%zmm22\n\tvpxorq %%zmm23, %%zmm23, %%zmm23\n\t"
                     "vpxorq %%zmm24, %%zmm24, %%zmm24\n\tvpxorq %%zmm25, %%zmm25, %%zmm25\n\t"
                     "vpxorq %%zmm26, %%zmm26, %%zmm26\n\tvpxorq %%zmm27, %%zmm27, %%zmm27\n\t"
                     "vpxorq %%zmm28, %%zmm28, %%zmm28\n\tvpxorq %%zmm29, %%zmm29, %%zmm29\n\t"
                     "vpxorq %%zmm30, %%zmm30, %%zmm30\n\tvpxorq %%zmm31, %%zmm31, %%zmm31" ::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                           "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
                           "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",
                           "xmm28", "xmm29", "xmm30", "xmm31");
}

__attribute__((target("avx"))) static void wipe_ymm(void)
{
    __asm__ volatile("vzeroall" ::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                           "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
#endif

static void wipe_vector_registers(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        wipe_zmm();
    else if (__builtin_cpu_supports("avx"))
        wipe_ymm();
#endif
    /* Whatever the processor: zeros take the ways that the bytes took. */
    static const char zeros[512];
    static char volatile sink;
    char copy[sizeof(zeros)];
    for (size_t len = 16; len <= sizeof(copy); len *= 2) {
        memcpy(copy, zeros, len);
        __asm__ volatile("" ::"r"(copy) : "memory");
    }
    sink = copy[0];
    (void)sink;
}

void secret_wipe_traces(void)
{
    sodium_stackzero(STACK_BYTES);
    wipe_vector_registers();
}
