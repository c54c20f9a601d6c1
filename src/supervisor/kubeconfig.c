/* A kubeconfig. See kubeconfig.h. */
#include "supervisor/kubeconfig.h"

#include "base/io.h"
#include "base/mem.h"
#include "ipc/keeper.h"
#include "supervisor/process.h"
#include "yaml/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define MAX_KUBECONFIG (1u << 20)

/* The entry of a list whose `name` this is, and in it the mapping `key`. */
static const YamlNode *named(const YamlNode *root, const char *list, const char *name, const char *key)
{
    const YamlNode *entries = yaml_get(root, list);
    for (size_t i = 0; entries && entries->kind == YAML_LIST && i < entries->n_child; i++) {
        const YamlNode *entry = entries->child[i], *own = NULL;
        if (entry->kind == YAML_MAP)
            own = yaml_get(entry, "name");
        if (own && own->kind == YAML_TEXT && strcmp(own->text, name) == 0)
            return yaml_get(entry, key);
    }
    return NULL;
}

static const char *text_of(const YamlNode *map, const char *key)
{
    const YamlNode *node = map && map->kind == YAML_MAP ? yaml_get(map, key) : NULL;
    return node && node->kind == YAML_TEXT ? node->text : "";
}

static bool has(const YamlNode *map, const char *key)
{
    return map && map->kind == YAML_MAP && yaml_get(map, key);
}

typedef struct Kubeconfig {
    YamlDoc *doc;
    const YamlNode *context, *cluster, *user;
} Kubeconfig;

static int find_context(const KubernetesConfig *config, Kubeconfig *file, Fault *fault)
{
    const YamlNode *root = file->doc->root;
    const char *name = config->context[0] ? config->context : text_of(root, "current-context");
    file->context = named(root, "contexts", name, "context");
    file->cluster = named(root, "clusters", text_of(file->context, "cluster"), "cluster");
    file->user = named(root, "users", text_of(file->context, "user"), "user");
    if (file->cluster && file->user)
        return 0;
    return fault_set(fault, -EINVAL,
                     "the kubeconfig %s has no context \"%s\" with a cluster and a user; say which by "
                     "`kubernetes: {context: ...}`",
                     config->kubeconfig, name);
}

static int refuse_programs(const KubernetesConfig *config, const Kubeconfig *file, Fault *fault)
{
    const char *problem =
        has(file->user, "exec") || has(file->user, "auth-provider")
            ? "logs in by starting a program (an exec plugin), and purser's keeper starts none"
        : has(file->user, "username") ? "logs in by a password, which no API server takes any more"
                                      : NULL;
    if (problem)
        return fault_set(
            fault, -EINVAL,
            "the kubeconfig %s %s: name a user with a client certificate or a token, as `kubectl create "
            "token` makes one",
            config->kubeconfig, problem);
    if (strcmp(text_of(file->cluster, "insecure-skip-tls-verify"), "true") == 0)
        return fault_set(
            fault, -EINVAL,
            "the kubeconfig %s says insecure-skip-tls-verify: purser never sends a token to a server that "
            "it has not verified; name its CA",
            config->kubeconfig);
    return 0;
}

/* NULL with a sentence. */
static int open_kubeconfig(const KubernetesConfig *config, Kubeconfig *ret_file, Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_KUBECONFIG);
    Kubeconfig file = {0};
    int r = io_read_file(AT_FDCWD, config->kubeconfig, &text);
    if (r)
        return fault_set(fault, r, "the kubeconfig %s cannot be read: %s", config->kubeconfig, strerror(-r));
    r = yaml_doc_read(config->kubeconfig, buf_slice(&text), MAX_KUBECONFIG, &file.doc, fault);
    if (r == 0 && (!file.doc->root || file.doc->root->kind != YAML_MAP))
        r = fault_set(fault, -EINVAL, "%s is no kubeconfig", config->kubeconfig);
    if (r == 0)
        r = find_context(config, &file, fault);
    if (r == 0)
        r = refuse_programs(config, &file, fault);
    *ret_file = file;
    return r;
}

static char *beside(const KubernetesConfig *config, const char *path)
{
    const char *slash = strrchr(config->kubeconfig, '/');
    if (*path == '/' || !slash)
        return mem_strdup(path);
    return mem_printf("%.*s/%s", (int)(slash - config->kubeconfig), config->kubeconfig, path);
}

/* `key` names a file, `key`-data is the text itself. */
static void take_file(const KubernetesConfig *config, const YamlNode *map, const char *key, char **at)
{
    char data[64];
    snprintf(data, sizeof(data), "%s-data", key);
    mem_free(*at);
    *at = text_of(map, data)[0]  ? mem_printf(KUBECONFIG_PART "%s", data)
          : text_of(map, key)[0] ? beside(config, text_of(map, key))
                                 : mem_strdup("");
}

static int describe(const KubernetesConfig *config, const Kubeconfig *file, WireWriter *wire, Fault *fault)
{
    KubernetesConfig said = *config;
    char *ca = NULL, *cert = NULL, *key = NULL;
    take_file(config, file->cluster, "certificate-authority", &ca);
    take_file(config, file->user, "client-certificate", &cert);
    take_file(config, file->user, "client-key", &key);
    said.ca_file = ca, said.cert_file = cert, said.key_file = key;
    said.server_name = (char *)text_of(file->cluster, "tls-server-name");
    if (!config->space[0])
        said.space = (char *)(text_of(file->context, "namespace")[0] ? text_of(file->context, "namespace")
                                                                     : "default");
    said.token = token_ref_new();
    if (text_of(file->user, "token")[0] || text_of(file->user, "tokenFile")[0]) {
        said.token.kind = STORE_FILE;
        mem_free(said.token.name);
        said.token.name = text_of(file->user, "token")[0] ? mem_strdup(KUBECONFIG_PART "token")
                                                          : beside(config, text_of(file->user, "tokenFile"));
    }
    int r = origin_parse(slice_of(text_of(file->cluster, "server")), &said.origin, fault);
    if (r)
        return fault_prefix(fault, r, "the `server` of the kubeconfig %s", config->kubeconfig);
    if (said.token.kind == STORE_NONE && !cert[0])
        return fault_set(fault, -EINVAL,
                         "the user of the kubeconfig %s has neither a client certificate nor a token",
                         config->kubeconfig);
    keeper_kubernetes_put(&said, wire);
    return wire->failed ? fault_set(fault, -E2BIG, "the kubeconfig %s is too long", config->kubeconfig) : 0;
}

/* In the child: what goes to `out`. Status 0, or 1 with a sentence there. */
static int child_describe(const KubernetesConfig *config, int out)
{
    static unsigned char bytes[IPC_MAX_PAYLOAD];
    WireWriter wire = WIRE_WRITER(bytes);
    Kubeconfig file = {0};
    Fault fault = {""};
    int r = open_kubeconfig(config, &file, &fault);
    r = r ? r : describe(config, &file, &wire, &fault);
    if (r == 0)
        return io_write_all(out, bytes, wire.len) ? 2 : 0;
    return io_write_all(out, fault.text, strlen(fault.text)) ? 2 : 1;
}

static int write_part(const Kubeconfig *file, const char *part, int out)
{
    const YamlNode *map = strncmp(part, "certificate-authority", 21) == 0 ? file->cluster : file->user;
    const char *text = text_of(map, part);
    size_t len = strlen(text), used = 0;
    if (strcmp(part, "token") == 0)
        return io_write_all(out, text, len);
    CLEANUP_MEM char *plain = mem_new(len + 1, 1);
    if (sodium_base642bin((unsigned char *)plain, len + 1, text, len, "\r\n ", &used, NULL,
                          sodium_base64_VARIANT_ORIGINAL))
        return -EINVAL;
    return io_write_all(out, plain, used);
}

static int child_part(const KubernetesConfig *config, const char *part, int out)
{
    Kubeconfig file = {0};
    Fault fault = {""};
    int r = open_kubeconfig(config, &file, &fault);
    return r || write_part(&file, part, out) ? 1 : 0;
}

/* A memory file that a child has filled; *ret_status is the child's. */
static int fill_in_child(const KubernetesConfig *config, const char *part, int *ret_fd, int *ret_status)
{
    CLEANUP_FD int fd = memfd_create("kubeconfig", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    pid_t pid = process_fork();
    if (pid == 0)
        _exit(part ? child_part(config, part, fd) : child_describe(config, fd));
    if (pid < 0)
        return -errno;
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || lseek(fd, 0, SEEK_SET) < 0)
        return -EIO;
    *ret_status = WEXITSTATUS(status);
    *ret_fd = fd_steal(&fd);
    return 0;
}

int kubeconfig_open(const KubernetesConfig *kubernetes, const char *part)
{
    int fd = -1, status = 1;
    int r = fill_in_child(kubernetes, part, &fd, &status);
    if (r == 0 && status == 0)
        return fd;
    fd_close(&fd);
    return r ? r : -EINVAL;
}

int kubeconfig_take(KubernetesConfig *kubernetes, Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(IPC_MAX_PAYLOAD);
    CLEANUP_FD int fd = -1;
    int status = 1;
    if (!kubernetes->kubeconfig[0])
        return 0;
    int r = fill_in_child(kubernetes, NULL, &fd, &status);
    r = r ? r : io_read_all(fd, &text);
    if (r)
        return fault_set(fault, r, "the kubeconfig %s cannot be read: %s", kubernetes->kubeconfig,
                         strerror(-r));
    if (status)
        return fault_set(fault, -EINVAL, "%s", buf_text(&text));
    WireReader wire = WIRE_READER(text.data, text.len);
    KubernetesConfig said;
    if (keeper_kubernetes_get(&wire, &said))
        return fault_set(fault, -EINVAL, "the kubeconfig %s cannot be used", kubernetes->kubeconfig);
    said.kubeconfig = STEAL(kubernetes->kubeconfig);
    said.context = STEAL(kubernetes->context);
    kubernetes_config_done(kubernetes);
    *kubernetes = said;
    return 0;
}
