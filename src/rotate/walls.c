/* purser-rotate locks itself in. See walls.h. */
#include "rotate/walls.h"

#include "base/log.h"
#include "base/mem.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <sys/stat.h>

#define MOST_PATHS 24

typedef struct Paths {
    char *path[MOST_PATHS];
    size_t n;
} Paths;

/* What is inherited lies in memory, and is nowhere else. */
static bool is_inherited(const char *path)
{
    return strncmp(path, "/proc/self/fd/", 14) == 0;
}

static void add(Paths *paths, const char *path)
{
    if (path && *path == '/' && !is_inherited(path) && paths->n < MOST_PATHS)
        paths->path[paths->n++] = mem_strdup(path);
}

static void add_folder(Paths *paths, const char *file)
{
    const char *slash = file && *file == '/' && !is_inherited(file) ? strrchr(file, '/') : NULL;
    if (!slash || paths->n == MOST_PATHS)
        return;
    paths->path[paths->n++] = slash == file ? mem_strdup("/") : mem_dup(file, (size_t)(slash - file));
}

static void done(Paths *paths)
{
    for (size_t i = 0; i < paths->n; i++)
        mem_free(paths->path[i]);
}

/* Where the token lies, and the journal. */
static void collect_written(const RotateSetup *setup, const char *journal, Paths *paths)
{
    const TokenRef *token = &setup->source.source.token;
    add(paths, journal);
    if (token->kind == STORE_FILE)
        add_folder(paths, token->name);
    if (token->kind != STORE_KEYRING)
        return;
    add_folder(paths, setup->keyring);
    if (!setup->passphrase) /* what a rekey left is mended */
        add_folder(paths, setup->key_file);
}

static void collect_read(const RotateSetup *setup, Paths *paths)
{
    const VaultConfig *vault = &setup->vault;
    const KubernetesConfig *kubernetes = &setup->kubernetes;
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    add(paths, setup->state);
    add(paths, setup->roots);
    add(paths, setup->source.source.ca_file);
    add(paths, setup->minted.mint ? setup->minted.mint->ca_file : NULL);
    add(paths, setup->vault_token);
    add(paths, credentials);
    if (vault->configured) {
        add(paths, vault->ca_file);
        add(paths, vault->cert_file);
        add(paths, vault->key_file);
    }
    if (setup->vault_auth)
        add_folder(paths, vault->secret.name); /* a projected one is a link to where it is now */
    if (kubernetes->configured) {
        add(paths, kubernetes->ca_file);
        add(paths, kubernetes->cert_file);
        add(paths, kubernetes->key_file);
        add_folder(paths, kubernetes->token.name); /* such a link too */
    }
}

int walls_enter(const RotateSetup *setup, Fault *fault)
{
    static Ports ports;
    CLEANUP_MEM char *journal = mem_printf("%s/rotate", setup->state);
    CLEANUP(done) Paths written = {0};
    CLEANUP(done) Paths read = {0};
    if (mkdir(journal, 0700) < 0 && errno != EEXIST)
        return fault_set(fault, -errno, "the folder %s cannot be made: %s", journal, strerror(errno));
    collect_written(setup, journal, &written);
    collect_read(setup, &read);
    ports_add_source(&ports, &setup->source.source, &setup->minted);
    ports_add(&ports, port_at_end(setup->proxy));
    if (setup->vault.configured)
        ports_add(&ports, setup->vault.origin.port);
    if (setup->kubernetes.configured)
        ports_add(&ports, setup->kubernetes.origin.port);
    SandboxSpec spec = {.role = SANDBOX_ROTATE,
                        .optional = setup->sandbox_optional,
                        .connect_port = ports.port,
                        .n_connect_port = ports.n,
                        .read_path = (const char *const *)read.path,
                        .n_read_path = read.n,
                        .write_path = (const char *const *)written.path,
                        .n_write_path = written.n};
    int r = sandbox_enter(&spec, fault);
    if (r != SANDBOX_E_PARTIAL)
        return r;
    log_warning("%s", fault->text);
    return 0;
}
