/* Opens any bytes as a keyring, with the key that two seeds of the corpus were sealed with: those two open,
 * and nothing else ever does, also not with the hash at the end made anew. */
#include "base/mem.h"
#include "store/keyring-format.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HASH 32

/* The first bytes of BLAKE2b-256 of corpus/keyring/two-entries and no-entry. */
static const unsigned char genuine[][8] = {
    {0xd7, 0xef, 0x9b, 0x48, 0x15, 0xc6, 0x38, 0x89},
    {0x8a, 0xd4, 0xd9, 0x9e, 0x09, 0x6a, 0x53, 0x85},
};

static bool is_genuine(Slice file)
{
    unsigned char hash[HASH];
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)file.ptr, file.len, NULL, 0);
    for (size_t i = 0; i < COUNT_OF(genuine); i++)
        if (memcmp(hash, genuine[i], sizeof(genuine[i])) == 0)
            return true;
    return false;
}

static void try_open(Slice file)
{
    char said[KEYRING_KEY_BYTES];
    KeyringLock lock;
    Keyring *keyring = NULL;
    Fault fault = {""};
    int r = keyring_format_head("fuzz", file, &lock, &fault);
    if (r == 0 && lock.passphrase)
        return; /* its key costs most of a second: the messages are the same */
    if (r == 0) {
        memset(said, 'k', sizeof(said));
        if (keyring_lock_derive(&lock, (Slice){said, sizeof(said)}, &fault))
            abort();
        r = keyring_format_open("fuzz", file, &lock, &keyring, &fault);
        keyring_lock_done(&lock);
        keyring_free(keyring);
    }
    if ((r == 0) != is_genuine(file) || (r != 0) != (fault.text[0] != '\0'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started && secret_init(128u << 10, NULL))
        abort();
    started = true;
    try_open((Slice){(const char *)data, size});
    if (size < HASH)
        return 0;
    CLEANUP_MEM char *copy = mem_dup(data, size);
    crypto_generichash((unsigned char *)copy + size - HASH, HASH, data, size - HASH, NULL, 0);
    try_open((Slice){copy, size});
    return 0;
}
