/* The entries of a keyring, and the store driver over them. The file is keyring-file.c's business. See
 * keyring.h. */
#include "store/keyring.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/mark.h"

#include <errno.h>

static void entry_done(KeyringEntry *entry)
{
    mem_free(entry->name);
    secret_free(entry->token);
    mem_free_strings(entry->host, entry->n_host);
}

KeyringEntry *keyring_find(const Keyring *keyring, const char *name)
{
    for (size_t i = 0; i < keyring->n_entry; i++)
        if (strcmp(keyring->entry[i].name, name) == 0)
            return &keyring->entry[i];
    return NULL;
}

void keyring_put(Keyring *keyring, KeyringEntry entry)
{
    KeyringEntry *old = keyring_find(keyring, entry.name);
    if (old) {
        entry_done(old);
        *old = entry;
        return;
    }
    MEM_PUSH(keyring->entry, keyring->n_entry, entry);
    size_t at = keyring->n_entry - 1;
    for (; at && strcmp(keyring->entry[at - 1].name, entry.name) > 0; at--)
        keyring->entry[at] = keyring->entry[at - 1];
    keyring->entry[at] = entry;
}

bool keyring_remove(Keyring *keyring, const char *name)
{
    KeyringEntry *entry = keyring_find(keyring, name);
    if (!entry)
        return false;
    entry_done(entry);
    size_t at = (size_t)(entry - keyring->entry);
    memmove(entry, entry + 1, (--keyring->n_entry - at) * sizeof(*entry));
    return true;
}

Keyring *keyring_free(Keyring *keyring)
{
    if (!keyring)
        return NULL;
    for (size_t i = 0; i < keyring->n_entry; i++)
        entry_done(&keyring->entry[i]);
    mem_free(keyring->entry);
    mem_free(keyring);
    return NULL;
}

char *keyring_mark_name(const char *name)
{
    return mem_printf("%s~revoked", name);
}

bool keyring_is_mark(const char *name)
{
    const char *tail = strrchr(name, '~');
    return tail && strcmp(tail, "~revoked") == 0;
}

/* entry NULL: there is none. A mark of another token says nothing of this one. */
static int check_mark(const Keyring *keyring, const char *name, const KeyringEntry *entry, Fault *fault)
{
    CLEANUP_MEM char *mark_name = keyring_mark_name(name);
    const KeyringEntry *marked = keyring_find(keyring, mark_name);
    char text[MARK_TEXT];
    size_t len = marked ? secret_len(marked->token) : 0;
    Mark mark;
    if (!marked || len >= sizeof(text) || secret_open(marked->token, text, sizeof(text)) ||
        mark_parse((Slice){text, len}, &mark) || (entry && !mark_means(&mark, entry->token)))
        return 0;
    return mark_refuse(&mark, name, fault);
}

int keyring_take(const Keyring *keyring, const char *name, StoredToken *ret_token, Fault *fault)
{
    const KeyringEntry *entry = keyring_find(keyring, name);
    int r = check_mark(keyring, name, entry, fault);
    if (r)
        return r;
    if (!entry)
        return fault_set(fault, STORE_E_ABSENT,
                         "the keyring has no token \"%s\": put it there with "
                         "`purser token set %s`",
                         name, name);
    StoredToken token = {.token = secret_dup(entry->token), .fetched = clock_wall(), .set = entry->set};
    for (size_t i = 0; i < entry->n_host; i++)
        MEM_PUSH(token.host, token.n_host, mem_strdup(entry->host[i]));
    *ret_token = token;
    return 0;
}
