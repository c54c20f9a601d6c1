/* set, list, remove, ask-passphrase. See commands.h. */
#include "token/commands.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/keyring-format.h"
#include "token/key.h"
#include "token/prompt.h"
#include "token/take.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PASSPHRASE_FD 3

static int no_memory(Fault *fault)
{
    return fault_set(fault, -ENOMEM, "the locked memory is used up");
}

static bool keyring_exists(const TokenOptions *options)
{
    return access(options->path, F_OK) == 0 || errno != ENOENT;
}

/* The folder that the keyring lies in, for its owner alone. */
static int make_folder(const char *path, Fault *fault)
{
    CLEANUP_MEM char *folder = mem_strdup(path);
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return 0;
    *slash = '\0';
    if (mkdir(folder, 0700) == 0 || errno == EEXIST)
        return 0;
    return fault_set(fault, -errno, "the keyring's folder %s cannot be made: %s", folder, strerror(errno));
}

typedef struct Setting {
    const TokenOptions *options;
    Sealed *token; /* moves into the keyring */
    bool replaced;
    size_t n_host;
} Setting;

/* Of a revocation: another token is one that may be given out; the same is not. */
static int forget_mark(Keyring *keyring, const char *name, Fault *fault)
{
    StoredToken token = {0};
    CLEANUP_MEM char *mark = keyring_mark_name(name);
    int r = keyring_take(keyring, name, &token, fault);
    stored_token_done(&token);
    if (r == 0)
        keyring_remove(keyring, mark);
    return r;
}

static int put_token(Keyring *keyring, void *context, Fault *fault)
{
    Setting *setting = context;
    const TokenOptions *options = setting->options;
    const KeyringEntry *old = keyring_find(keyring, options->name);
    if (!old && keyring->n_entry == KEYRING_MAX_ENTRIES)
        return fault_set(fault, -E2BIG, "a keyring holds %d tokens at most", KEYRING_MAX_ENTRIES);
    KeyringEntry entry = {.name = mem_strdup(options->name), .token = setting->token, .set = clock_wall()};
    setting->token = NULL;
    for (size_t i = 0; i < options->n_host; i++)
        MEM_PUSH(entry.host, entry.n_host, mem_strdup(options->host[i]));
    for (size_t i = 0; old && options->n_host == 0 && i < old->n_host;
         i++) /* replacing a token widens nothing */
        MEM_PUSH(entry.host, entry.n_host, mem_strdup(old->host[i]));
    setting->replaced = old;
    setting->n_host = entry.n_host;
    keyring_put(keyring, entry);
    return forget_mark(keyring, options->name, fault);
}

static int update(const TokenOptions *options, KeyringChange *change, void *context, Fault *fault)
{
    KeyringKey key;
    int r = token_key_open(options, !keyring_exists(options), &key, fault);
    if (r)
        return r;
    r = keyring_update(options->path, &key, change, context, fault);
    fd_close(&key.fd);
    return r;
}

int token_set(const TokenOptions *options, Fault *fault)
{
    Setting setting = {.options = options};
    int r = make_folder(options->path, fault);
    CLEANUP_MEM char *question = mem_printf("Token \"%s\" (not shown): ", options->name);
    if (r == 0)
        r = token_take(options->name, question, &setting.token, fault);
    if (r)
        return r;
    size_t bytes = secret_len(setting.token);
    r = update(options, put_token, &setting, fault);
    secret_free(setting.token);
    if (r)
        return r;
    printf("%s token \"%s\" (%zu bytes) in %s\n", setting.replaced ? "replaced" : "set", options->name, bytes,
           options->path);
    if (setting.n_host == 0)
        printf("it may go to any host that a source names; --host HOST binds it\n");
    return 0;
}

static int drop_token(Keyring *keyring, void *context, Fault *fault)
{
    const TokenOptions *options = context;
    if (!keyring_remove(keyring, options->name))
        return fault_set(fault, STORE_E_ABSENT, "the keyring %s has no token \"%s\"", options->path,
                         options->name);
    return 0;
}

int token_remove(const TokenOptions *options, Fault *fault)
{
    if (!keyring_exists(options))
        return fault_set(fault, STORE_E_ABSENT, "there is no keyring at %s", options->path);
    int r = update(options, drop_token, (void *)(uintptr_t)options, fault);
    if (r == 0)
        printf("removed token \"%s\" from %s\n", options->name, options->path);
    return r;
}

static int print_json(const Keyring *keyring, Fault *fault)
{
    CLEANUP_BUF Buf out = BUF_INIT(16u << 20);
    JsonWriter json = JSON_WRITER(&out);
    json_array_begin(&json, NULL);
    for (size_t i = 0; i < keyring->n_entry; i++) {
        const KeyringEntry *entry = &keyring->entry[i];
        if (keyring_is_mark(entry->name))
            continue;
        json_object_begin(&json, NULL);
        json_text(&json, "name", entry->name);
        json_array_begin(&json, "hosts");
        for (size_t k = 0; k < entry->n_host; k++)
            json_text(&json, NULL, entry->host[k]);
        json_array_end(&json);
        json_time(&json, "set", entry->set);
        json_u64(&json, "bytes", secret_len(entry->token));
        json_object_end(&json);
    }
    json_array_end(&json);
    int r = json_finish(&json);
    if (r)
        return fault_set(fault, r, "the list cannot be written: %s", strerror(-r));
    puts(buf_text(&out));
    return 0;
}

static void print_table(const Keyring *keyring)
{
    char time[CLOCK_TEXT], age[24];
    int64_t now = clock_wall();
    printf("%-24s %-36s %-27s %s\n", "NAME", "SET", "HOSTS", "BYTES");
    for (size_t i = 0; i < keyring->n_entry; i++) {
        const KeyringEntry *entry = &keyring->entry[i];
        if (keyring_is_mark(entry->name))
            continue;
        CLEANUP_BUF Buf hosts = BUF_INIT(64u << 10);
        for (size_t k = 0; k < entry->n_host; k++)
            if (buf_printf(&hosts, "%s%s", k ? "," : "", entry->host[k]))
                break;
        text_human_duration(age, now > entry->set ? (uint64_t)(now - entry->set) : 0);
        CLEANUP_MEM char *set =
            mem_printf("%s (%s ago)", clock_format(time, entry->set - entry->set % CLOCK_SECOND), age);
        printf("%-24s %-36s %-27s %zu\n", entry->name, set, hosts.len ? buf_text(&hosts) : "any",
               secret_len(entry->token));
    }
}

static int read_keyring(const TokenOptions *options, Keyring **ret_keyring, Fault *fault)
{
    KeyringKey key;
    CLEANUP_FD int fd = open(options->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *ret_keyring = MEM_NEW(Keyring);
        return 0;
    }
    if (fd < 0)
        return fault_set(fault, -errno, "the keyring %s cannot be opened: %s", options->path,
                         strerror(errno));
    int r = token_key_open(options, false, &key, fault);
    if (r)
        return r;
    r = keyring_read(options->path, fd, &key, ret_keyring, fault);
    fd_close(&key.fd);
    return r;
}

int token_list(const TokenOptions *options, Fault *fault)
{
    Keyring *keyring = NULL;
    int r = read_keyring(options, &keyring, fault);
    if (r)
        return r;
    if (options->json)
        r = print_json(keyring, fault);
    else if (keyring->n_entry == 0)
        printf("no tokens in %s; `purser token set NAME` puts one there\n", options->path);
    else
        print_table(keyring);
    keyring_free(keyring);
    return r;
}

int token_mend_key(const TokenOptions *options, Fault *fault)
{
    return options->passphrase || !options->key_file || !keyring_exists(options)
               ? 0
               : keyring_mend_key(options->path, options->key_file, fault);
}

/* A passphrase that is asked for twice, or a new key file in the place of the old one. */
int token_rekey(const TokenOptions *options, Fault *fault)
{
    KeyringKey old = {.fd = -1}, fresh = {.fd = -1};
    if (!keyring_exists(options))
        return fault_set(fault, STORE_E_ABSENT, "there is no keyring at %s", options->path);
    if (!options->passphrase && getenv("CREDENTIALS_DIRECTORY"))
        return fault_set(fault, -ENOTSUP,
                         "the key is systemd's (CREDENTIALS_DIRECTORY), where purser cannot put another: say "
                         "--key-file and run this outside of the service, then encrypt the new key for it");
    int r = token_key_open(options, false, &old, fault);
    if (r == 0 && options->passphrase)
        r = token_key_open(options, true, &fresh, fault);
    r = r ? r
          : keyring_rekey(options->path, &old, options->passphrase ? &fresh : NULL, options->key_file, fault);
    fd_close(&old.fd);
    fd_close(&fresh.fd);
    if (r)
        return r;
    if (options->passphrase)
        printf("%s has another passphrase. A purser that runs keeps its tokens for an hour: start it again\n",
               options->path);
    else
        printf("%s has another key, %s. Copies of the two from before still open each other\n", options->path,
               options->key_file);
    return 0;
}

int token_ask_passphrase(const TokenOptions *options, Fault *fault)
{
    (void)options;
    size_t len = 0;
    if (fcntl(PASSPHRASE_FD, F_GETFD) < 0)
        return fault_set(fault, -EINVAL, "ask-passphrase is for purser itself: it writes to descriptor 3");
    char *said = secret_alloc(KEYRING_MAX_PASSPHRASE);
    if (!said)
        return no_memory(fault);
    int r = prompt_passphrase(false, said, KEYRING_MAX_PASSPHRASE, &len, fault);
    if (r == 0 && (r = io_write_all(PASSPHRASE_FD, said, len)) != 0)
        fault_set(fault, r, "nobody takes the passphrase: %s", strerror(-r));
    secret_release(said, KEYRING_MAX_PASSPHRASE);
    return r;
}
