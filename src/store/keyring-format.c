/* A keyring's bytes, read and written. See keyring-format.h. */
#include "store/keyring-format.h"

#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"

#include <errno.h>

#define MAGIC          "purser-keyring-1\n"
#define MAGIC_ANY      "purser-keyring-"
#define MAGIC_LEN      (sizeof(MAGIC) - 1)
#define HASH_LEN       crypto_generichash_BYTES
#define STREAM_LEN     crypto_secretstream_xchacha20poly1305_HEADERBYTES
#define SEAL_LEN       crypto_secretstream_xchacha20poly1305_ABYTES
#define TAG_FINAL      crypto_secretstream_xchacha20poly1305_TAG_FINAL
#define MAX_NAME       67u /* with the end of a staged one */
#define MAX_HOST       253u
#define MAX_PLAIN      (SECRET_MAX_TOKEN + CONFIG_MAX_LIST * (MAX_HOST + 4) + MAX_NAME + 64)
#define MAX_OPERATIONS 16u
#define MAX_MEMORY     (1u << 30)

/* The secret half of the work, in the arena. */
typedef struct Work {
    crypto_secretstream_xchacha20poly1305_state stream;
    unsigned char plain[MAX_PLAIN];
} Work;

static int out_of_arena(Fault *fault)
{
    return fault_set(fault, -ENOMEM, "the locked memory is used up");
}

static int damaged(const char *path, const char *how, Fault *fault)
{
    return fault_set(fault, STORE_E_DAMAGED,
                     "the keyring %s is damaged: %s; restore it from a copy, or remove it and "
                     "set its tokens again",
                     path, how);
}

void keyring_lock_new(KeyringLock *ret_lock, bool passphrase)
{
    *ret_lock = (KeyringLock){.passphrase = passphrase};
    if (!passphrase)
        return;
    ret_lock->operations = crypto_pwhash_OPSLIMIT_MODERATE;
    ret_lock->memory = crypto_pwhash_MEMLIMIT_MODERATE;
    randombytes_buf(ret_lock->salt, sizeof(ret_lock->salt));
}

void keyring_lock_done(KeyringLock *lock)
{
    secret_release(STEAL(lock->key), KEYRING_KEY_BYTES);
}

int keyring_lock_derive(KeyringLock *lock, Slice said, Fault *fault)
{
    if (!lock->passphrase && said.len != KEYRING_KEY_BYTES)
        return fault_set(fault, STORE_E_DENIED,
                         "the keyring's key has %zu bytes instead of %d: this is not its key "
                         "file",
                         said.len, KEYRING_KEY_BYTES);
    if (lock->passphrase && said.len == 0)
        return fault_set(fault, STORE_E_DENIED, "the passphrase is empty");
    unsigned char *key = secret_alloc(KEYRING_KEY_BYTES);
    if (!key)
        return out_of_arena(fault);
    if (!lock->passphrase) {
        memcpy(key, said.ptr, KEYRING_KEY_BYTES);
    } else if (crypto_pwhash(key, KEYRING_KEY_BYTES, said.ptr, said.len, lock->salt, lock->operations,
                             (size_t)lock->memory, crypto_pwhash_ALG_ARGON2ID13) != 0) {
        secret_release(key, KEYRING_KEY_BYTES);
        return fault_set(fault, -ENOMEM,
                         "%llu MiB of memory are needed to open a keyring with a passphrase, and this "
                         "process cannot have them",
                         (unsigned long long)lock->memory >> 20);
    }
    lock->key = key;
    return 0;
}

static bool hash_fits(Slice file)
{
    unsigned char hash[HASH_LEN];
    size_t len = file.len - HASH_LEN;
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)file.ptr, len, NULL, 0);
    return sodium_memcmp(hash, file.ptr + len, sizeof(hash)) == 0;
}

/* Reads the head and leaves the reader behind it, at the stream's header. */
static int read_head(const char *path, Slice file, WireReader *ret_wire, KeyringLock *ret_lock, Fault *fault)
{
    if (file.len == 0)
        return damaged(path, "it is empty", fault);
    if (!slice_starts(file, MAGIC)) {
        if (slice_starts(file, MAGIC_ANY))
            return fault_set(fault, STORE_E_DAMAGED,
                             "the keyring %s was written by another version of purser, or its "
                             "first bytes are damaged",
                             path);
        return fault_set(fault, STORE_E_DAMAGED,
                         "%s is not a keyring of purser, or its first bytes are damaged", path);
    }
    if (file.len < MAGIC_LEN + 1 + STREAM_LEN + HASH_LEN || !hash_fits(file))
        return damaged(path, "it is cut off, or bytes of it were altered", fault);
    KeyringLock lock = {0};
    WireReader wire = WIRE_READER(file.ptr + MAGIC_LEN, file.len - MAGIC_LEN - HASH_LEN);
    uint8_t kind = wire_get_u8(&wire);
    lock.passphrase = kind == 'P';
    if (lock.passphrase) {
        lock.operations = wire_get_u64(&wire);
        lock.memory = wire_get_u64(&wire);
        for (size_t i = 0; i < sizeof(lock.salt); i++)
            lock.salt[i] = wire_get_u8(&wire);
        if (lock.operations < crypto_pwhash_OPSLIMIT_MIN || lock.operations > MAX_OPERATIONS ||
            lock.memory < crypto_pwhash_MEMLIMIT_MIN || lock.memory > MAX_MEMORY)
            return damaged(path, "the cost of its passphrase is out of bounds", fault);
    }
    if ((kind != 'K' && kind != 'P') || wire.failed || wire.len - wire.at < STREAM_LEN)
        return damaged(path, "its head is not one that purser writes", fault);
    *ret_wire = wire;
    *ret_lock = lock;
    return 0;
}

int keyring_format_head(const char *path, Slice file, KeyringLock *ret_lock, Fault *fault)
{
    WireReader wire;
    return read_head(path, file, &wire, ret_lock, fault);
}

/* The next message, opened into work->plain. */
static int open_message(Work *work, WireReader *wire, Slice head, size_t *ret_len, bool *ret_final)
{
    unsigned char tag;
    unsigned long long len;
    Slice sealed = wire_get_slice(wire, MAX_PLAIN + SEAL_LEN);
    if (wire->failed || sealed.len < SEAL_LEN)
        return -EBADMSG;
    if (crypto_secretstream_xchacha20poly1305_pull(&work->stream, work->plain, &len, &tag,
                                                   (const unsigned char *)sealed.ptr, sealed.len,
                                                   (const unsigned char *)head.ptr, head.len) != 0)
        return -EBADMSG;
    *ret_len = (size_t)len;
    *ret_final = tag == TAG_FINAL;
    return 0;
}

/* A name that a person gave, or NAME~new, NAME~old and NAME~revoked: a rotation's two tokens, and a
 * revocation's mark, which no person can name. */
static bool is_entry_name(Slice name)
{
    Slice head, end;
    if (slice_cut(name, '~', &head, &end) && !slice_is(end, "new") && !slice_is(end, "old") &&
        !slice_is(end, "revoked"))
        return false;
    return text_is_name(head);
}

static int decode_entry(Slice plain, KeyringEntry *ret_entry)
{
    WireReader wire = WIRE_READER(plain.ptr, plain.len);
    Slice name = wire_get_slice(&wire, MAX_NAME);
    int64_t set = wire_get_i64(&wire);
    size_t n_host = wire_get_u16(&wire);
    KeyringEntry entry = {.set = set};
    if (wire.failed || n_host > CONFIG_MAX_LIST || !is_entry_name(name))
        return -EBADMSG;
    for (size_t i = 0; i < n_host; i++)
        MEM_PUSH(entry.host, entry.n_host, wire_dup_text(&wire, MAX_HOST));
    Slice token = wire_get_slice(&wire, SECRET_MAX_TOKEN);
    if (wire_finish(&wire) || store_seal("", token, store_has_lines(token), &entry.token, NULL) ||
        secret_len(entry.token) != token.len) {
        secret_free(entry.token);
        mem_free_strings(entry.host, entry.n_host);
        return -EBADMSG;
    }
    entry.name = mem_dup(name.ptr, name.len);
    *ret_entry = entry;
    return 0;
}

static int open_messages(Work *work, WireReader *wire, Slice head, Keyring *keyring)
{
    size_t len;
    bool final;
    int r = open_message(work, wire, head, &len, &final);
    if (r)
        return STORE_E_DENIED; /* the hash was right, so the key is not */
    WireReader first = WIRE_READER(work->plain, len);
    uint32_t count = wire_get_u32(&first);
    if (wire_finish(&first) || count > KEYRING_MAX_ENTRIES || final != (count == 0))
        return -EBADMSG;
    for (uint32_t i = 0; i < count; i++) {
        KeyringEntry entry;
        r = open_message(work, wire, (Slice){"", 0}, &len, &final);
        if (r || final != (i + 1 == count) || decode_entry((Slice){(char *)work->plain, len}, &entry))
            return -EBADMSG;
        keyring_put(keyring, entry);
        if (keyring->n_entry != i + 1)
            return -EBADMSG; /* a name twice */
    }
    return wire_finish(wire);
}

int keyring_format_open(const char *path, Slice file, const KeyringLock *lock, Keyring **ret_keyring,
                        Fault *fault)
{
    WireReader wire = {0};
    KeyringLock written = {0};
    int r = read_head(path, file, &wire, &written, fault);
    if (r)
        return r;
    Work *work = secret_alloc(sizeof(Work));
    if (!work)
        return out_of_arena(fault);
    Keyring *keyring = MEM_NEW(Keyring);
    Slice head = {file.ptr, MAGIC_LEN + wire.at};
    crypto_secretstream_xchacha20poly1305_init_pull(&work->stream, wire.data + wire.at, lock->key);
    wire.at += STREAM_LEN;
    r = open_messages(work, &wire, head, keyring);
    secret_release(work, sizeof(Work));
    if (r == 0) {
        *ret_keyring = keyring;
        return 0;
    }
    keyring_free(keyring);
    if (r == STORE_E_DENIED)
        return fault_set(fault, r, "the keyring %s does not open: the %s is wrong", path,
                         lock->passphrase ? "passphrase" : "key file");
    return damaged(path, "its entries were altered", fault);
}

static int seal_message(Work *work, size_t len, Slice head, bool final, Buf *out)
{
    uint32_t sealed_len = (uint32_t)(len + SEAL_LEN);
    char *at;
    int r = buf_append(out, &sealed_len, sizeof(sealed_len));
    if (r == 0)
        r = buf_reserve(out, sealed_len, &at);
    if (r)
        return r;
    crypto_secretstream_xchacha20poly1305_push(&work->stream, (unsigned char *)at, NULL, work->plain, len,
                                               (const unsigned char *)head.ptr, head.len,
                                               final ? TAG_FINAL : 0);
    buf_commit(out, sealed_len);
    return 0;
}

static int seal_entry(Work *work, const KeyringEntry *entry, bool final, Buf *out)
{
    WireWriter wire = WIRE_WRITER(work->plain);
    wire_put_text(&wire, entry->name);
    wire_put_i64(&wire, entry->set);
    wire_put_u16(&wire, (uint16_t)entry->n_host);
    for (size_t i = 0; i < entry->n_host; i++)
        wire_put_text(&wire, entry->host[i]);
    uint32_t len = (uint32_t)secret_len(entry->token);
    wire_put_u32(&wire, len); /* as wire_put_slice(), but opened into its place */
    if (wire.failed || wire.room - wire.len < len || entry->n_host > CONFIG_MAX_LIST)
        return -E2BIG;
    int r = secret_open(entry->token, (char *)work->plain + wire.len, len);
    return r ? r : seal_message(work, wire.len + len, (Slice){"", 0}, final, out);
}

static int seal_all(Work *work, const Keyring *keyring, const KeyringLock *lock, Buf *out)
{
    unsigned char head[64], stream[STREAM_LEN], hash[HASH_LEN];
    WireWriter wire = WIRE_WRITER(head);
    wire_put_u8(&wire, lock->passphrase ? 'P' : 'K');
    if (lock->passphrase) {
        wire_put_u64(&wire, lock->operations);
        wire_put_u64(&wire, lock->memory);
        for (size_t i = 0; i < sizeof(lock->salt); i++)
            wire_put_u8(&wire, lock->salt[i]);
    }
    crypto_secretstream_xchacha20poly1305_init_push(&work->stream, stream, lock->key);
    int r = buf_append_text(out, MAGIC);
    if (r == 0)
        r = buf_append(out, head, wire.len);
    if (r == 0)
        r = buf_append(out, stream, sizeof(stream));
    if (r)
        return r;
    char bound[sizeof(MAGIC) + sizeof(head)]; /* a copy: sealing may move the Buf */
    size_t n_bound = out->len - sizeof(stream);
    memcpy(bound, out->data, n_bound);
    uint32_t count = (uint32_t)keyring->n_entry;
    memcpy(work->plain, &count, sizeof(count));
    r = seal_message(work, sizeof(count), (Slice){bound, n_bound}, count == 0, out);
    for (size_t i = 0; i < count && r == 0; i++)
        r = seal_entry(work, &keyring->entry[i], i + 1 == count, out);
    if (r)
        return r;
    crypto_generichash(hash, sizeof(hash), (unsigned char *)out->data, out->len, NULL, 0);
    return buf_append(out, hash, sizeof(hash));
}

int keyring_format_seal(const Keyring *keyring, const KeyringLock *lock, Buf *out, Fault *fault)
{
    if (keyring->n_entry > KEYRING_MAX_ENTRIES)
        return fault_set(fault, -E2BIG, "a keyring holds %d tokens at most", KEYRING_MAX_ENTRIES);
    Work *work = secret_alloc(sizeof(Work));
    if (!work)
        return out_of_arena(fault);
    int r = seal_all(work, keyring, lock, out);
    secret_release(work, sizeof(Work));
    if (r == -ENOBUFS || r == -E2BIG)
        return fault_set(fault, -E2BIG, "a keyring is %u MiB large at most", KEYRING_MAX_FILE >> 20);
    return r ? fault_set(fault, r, "the keyring cannot be sealed: %s", strerror(-r)) : 0;
}
