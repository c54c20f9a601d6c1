/* The sink's credential, where Vault's database engine makes it: `purser rotate --sink`. Of a static role
 * (static-creds/ROLE) Vault sets another password and keeps it; of a dynamic one (creds/ROLE), which is new
 * for each purser anyway, it sets another root password of the database's connection, known to nobody but
 * Vault from then on. Nothing is staged: Vault writes down what it is about to set, so that a password is
 * never lost; what is true is read from Vault. See rotate.h. */
#include "rotate/rotate-private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "rotate/vault-api.h"

#include <errno.h>
#include <stdio.h>

typedef struct Database {
    Rotating rotating; /* its journal, and what is said; no place */
    VaultApi api;
    bool root;
    char *creds; /* the credential's path: MOUNT/static-creds/ROLE */
    char *role;  /* how Vault has the role: MOUNT/static-roles/ROLE */
    char *call;  /* what rotates: MOUNT/rotate-role/ROLE, MOUNT/rotate-root/CONNECTION */
    Place lock;
} Database;

/* MOUNT/WORD/ROLE, from the end. */
static int find_paths(Database *self, Fault *fault)
{
    const char *path = self->creds, *role = strrchr(path, '/');
    const char *word = role;
    while (word && word > path && word[-1] != '/')
        word--;
    Slice kind = role ? (Slice){word, (size_t)(role - word)} : (Slice){"", 0};
    int mount = role ? (int)(word - path) : 0;
    self->root = slice_is(kind, "creds");
    if (mount < 2 || (!self->root && !slice_is(kind, "static-creds")))
        return fault_set(fault, -EINVAL,
                         "%s is no MOUNT/static-creds/ROLE or MOUNT/creds/ROLE of Vault's database engine",
                         path);
    self->role = mem_printf("%.*s%s%s", mount, path, self->root ? "roles" : "static-roles", role);
    self->call = self->root ? NULL : mem_printf("%.*srotate-role%s", mount, path, role);
    return 0;
}

static int take_role(void *context, const json_t *json, Fault *fault)
{
    Database *self = context;
    const char *name = vault_read_connection(json), *slash = strrchr(self->role, '/');
    if (!name)
        return fault_set(fault, STORE_E_DAMAGED, "Vault does not tell which database %s is of", self->role);
    while (slash > self->role && slash[-1] != '/')
        slash--;
    self->call = mem_printf("%.*srotate-root/%s", (int)(slash - self->role), self->role, name);
    return 0;
}

/* Of a dynamic role: which connection it is of. */
static int find_call(Database *self, Fault *fault)
{
    ApiCall ask = {.method = "GET", .path = self->role, .take = take_role, .context = self};
    if (self->call)
        return 0;
    int r = vault_ask(&self->api, &ask, fault);
    return r || ask.status == 200 ? r : vault_api_refusal(&ask, fault);
}

static int take_credential(void *context, const json_t *json, Fault *fault)
{
    return vault_read_credential(json, context, fault);
}

/* What was made for the proof alone is given back. */
static void give_back(Database *self, const char *lease)
{
    CLEANUP_BUF Buf body = BUF_INIT(1024);
    JsonWriter json = JSON_WRITER(&body);
    Fault why = {""};
    json_object_begin(&json, NULL);
    json_text(&json, "lease_id", lease);
    json_object_end(&json);
    ApiCall ask = {.method = "PUT", .path = "sys/leases/revoke", .body = &body};
    if (json_finish(&json) || vault_ask(&self->api, &ask, &why) || !api_took(&ask))
        log_warning("the credential that was made for the proof lives until its lease ends; %s",
                    why.text[0] ? why.text : ask.said);
}

static int read_credential(Database *self, VaultCredential *ret_credential, Fault *fault)
{
    VaultCredential credential = {0};
    ApiCall ask = {.method = "GET", .path = self->creds, .take = take_credential, .context = &credential};
    int r = vault_ask(&self->api, &ask, fault);
    if (r == 0 && ask.status != 200)
        r = vault_api_refusal(&ask, fault);
    if (credential.lease[0])
        give_back(self, credential.lease);
    if (r) {
        secret_free(credential.password);
        return r;
    }
    *ret_credential = credential;
    return 0;
}

/* An answer may be lost and the password be another one: what is read afterwards tells. */
static int ask_vault(Database *self, Fault *why)
{
    CLEANUP_BUF Buf body = BUF_INIT(8);
    int r = buf_append_text(&body, "{}");
    ApiCall ask = {.method = "POST", .path = self->call, .body = &body};
    r = r ? r : vault_ask(&self->api, &ask, why);
    return r || api_took(&ask) ? r : vault_api_refusal(&ask, why);
}

static int confirm(Database *self, const VaultCredential *before, int asked, const Fault *why, Fault *fault)
{
    Rotating *rotating = &self->rotating;
    VaultCredential after;
    int r = STEP(rotating, "confirm", fault,
                 self->root ? "that Vault still makes credentials" : "that it is another password");
    r = r ? r : read_credential(self, &after, fault);
    if (r)
        return r;
    bool same = !self->root && secret_same(before->password, after.password);
    secret_free(after.password);
    if (same || (self->root && asked))
        return fault_set(fault, asked ? asked : -EAGAIN,
                         "Vault has not set another password%s%s: say it again", asked ? ": " : "",
                         asked ? why->text : "");
    return journal_add(rotating->journal, "end", fault, "another password is set, and Vault has it");
}

static bool is_young(Database *self, const VaultCredential *now)
{
    const RotateSetup *setup = self->rotating.setup;
    char age[24];
    uint64_t old =
        now->rotated && self->api.api.now > now->rotated ? (uint64_t)(self->api.api.now - now->rotated) : 0;
    if (!setup->older_than || !now->rotated || old >= setup->older_than)
        return false;
    say_result(&self->rotating.say, "young", "%s: its password is %s old, so it stays.",
               self->rotating.source, text_human_duration(age, old));
    return true;
}

/* *ret_done: it is rotated; else it is said why not. */
static int rotate(Database *self, bool *ret_done, Fault *fault)
{
    Rotating *rotating = &self->rotating;
    const RotateSetup *setup = rotating->setup;
    VaultCredential before = {0};
    Fault why = {""};
    if (self->root && !setup->accept_loss)
        return fault_set(fault, -EPERM,
                         "%s is of a dynamic role, so this would set another root password of its database's "
                         "connection, which "
                         "nobody but Vault knows then (that user must be Vault's alone): --accept-loss",
                         self->creds);
    int r = self->root ? 0 : read_credential(self, &before, fault);
    if (r || is_young(self, &before)) {
        if (r == 0)
            secret_free(before.password);
        return r;
    }
    r = STEP(rotating, "begin", fault, "%s: %s", self->creds,
             self->root ? "the connection's root" : "a static role");
    r = r ? r : STEP(rotating, "switch", fault, "Vault sets another password: %s", self->call);
    if (r == 0) {
        int asked = ask_vault(self, &why);
        r = confirm(self, &before, asked, &why, fault);
        *ret_done = r == 0;
    }
    secret_free(before.password);
    return r;
}

static int dry_run(Database *self, Fault *fault)
{
    const VaultRight right[] = {
        {"update", self->call}, {"read", self->creds}, {"update", "sys/leases/revoke"}};
    const Say *say = &self->rotating.say;
    int r = vault_may(&self->api, right, self->root ? 3 : 2, fault);
    if (r)
        return r;
    say_step(say, "switch", "Vault would set another password%s: %s",
             self->root ? " of the connection's root" : "", self->call);
    say_step(say, "confirm",
             self->root ? "a credential would be made, and given back" : "the password would be another one");
    say_result(say, "nothing", "Nothing was changed.");
    return 0;
}

static int set_up(Database *self, const unsigned char *key, Fault *fault)
{
    const RotateSetup *setup = self->rotating.setup;
    CLEANUP_MEM char *folder = mem_printf("%s/rotate", setup->state);
    int r = find_paths(self, fault);
    r = r ? r : place_flock(&self->lock, fault);
    r = r ? r : journal_open(folder, self->rotating.source, key, &self->rotating.journal, fault);
    r = r ? r : vault_api_init(&self->api, setup, setup->source.source.token.space, fault);
    return r ? r : find_call(self, fault);
}

int rotate_database(const RotateSetup *setup, const unsigned char key[static 32])
{
    const char *source = setup->source.source.name;
    Database self = {
        .rotating = {.setup = setup, .source = source, .say = {source, setup->json, setup->tells}},
        .creds = setup->source.source.token.name,
        .lock = {.label = (char *)"the sink's credential",
                 .lock_path = mem_printf("%s/rotate/%s.lock", setup->state, source),
                 .lock_fd = -1}};
    Fault fault = {""};
    bool done = false;
    int r = set_up(&self, key, &fault);
    if (r == 0 && setup->act == ROTATE_ABORT)
        r = fault_set(&fault, -EINVAL,
                      "Vault has the password in every case, so there is nothing to go back to: --resume");
    if (r == 0)
        r = setup->act == ROTATE_DRY_RUN ? dry_run(&self, &fault) : rotate(&self, &done, &fault);
    if (r)
        say_failed(&self.rotating.say, fault.text);
    else if (done)
        say_result(&self.rotating.say, "rotated", "%s: Vault has set another password%s.", source,
                   self.root ? " of the connection's root" : ", and hands that out");
    vault_api_done(&self.api);
    journal_free(self.rotating.journal);
    fd_close(&self.lock.lock_fd);
    mem_free(self.lock.lock_path);
    mem_free(self.role);
    mem_free(self.call);
    return r ? 1 : 0;
}
