/* The script's environment. See environment.h. */
#include "runner/environment.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

static void drop(char *entry)
{
    explicit_bzero(entry, strlen(entry));
    mem_free(entry);
}

void environment_done(Environment *environment)
{
    for (size_t i = 0; i < environment->n; i++)
        drop(environment->entry[i]);
    *environment = (Environment){.n = 0};
}

static char **find(const Environment *environment, Slice name)
{
    for (size_t i = 0; i < environment->n; i++)
        if (strncmp(environment->entry[i], name.ptr, name.len) == 0 && environment->entry[i][name.len] == '=')
            return (char **)&environment->entry[i];
    return NULL;
}

int environment_set(Environment *environment, Slice name, Slice value)
{
    if (name.len == 0 || memchr(name.ptr, '=', name.len) || memchr(name.ptr, '\0', name.len) ||
        memchr(value.ptr, '\0', value.len))
        return -EINVAL;
    char **place = find(environment, name);
    if (!place && environment->n == ENVIRONMENT_MAX)
        return -ENOBUFS;
    char *entry = mem_new(1, name.len + value.len + 2);
    memcpy(entry, name.ptr, name.len);
    entry[name.len] = '=';
    memcpy(entry + name.len + 1, value.ptr, value.len);
    if (place)
        drop(*place);
    else
        place = &environment->entry[environment->n++];
    *place = entry;
    return 0;
}

int environment_set_text(Environment *environment, const char *name, const char *value)
{
    return environment_set(environment, slice_of(name), slice_of(value));
}

const char *environment_get(const Environment *environment, const char *name)
{
    char **place = find(environment, slice_of(name));
    return place ? *place + strlen(name) + 1 : NULL;
}

typedef struct Pair {
    const char *name, *value;
} Pair;

static int set_all(Environment *environment, const Pair *pair, size_t n)
{
    int r = 0;
    for (size_t i = 0; !r && i < n; i++)
        r = environment_set_text(environment, pair[i].name, pair[i].value);
    return r;
}

int environment_set_usual(Environment *environment, const char *name)
{
    const Pair usual[] = {{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                          {"LANG", "C.UTF-8"},
                          {"USER", name},
                          {"LOGNAME", name},
                          {"PYTHONUNBUFFERED", "1"},
                          {"PYTHONDONTWRITEBYTECODE", "1"}};
    return set_all(environment, usual, COUNT_OF(usual));
}

int environment_set_folders(Environment *environment, const char *scratch, const char *output_dir,
                            const char *venv)
{
    CLEANUP_MEM char *temporary = mem_printf("%s/tmp", scratch);
    const Pair folder[] = {{"HOME", scratch},
                           {"PWD", scratch},
                           {"TMPDIR", temporary},
                           {"OUTPUTDIR", output_dir},
                           {"VIRTUAL_ENV", venv}};
    int r = set_all(environment, folder, COUNT_OF(folder) - (venv ? 0 : 1));
    if (r || !venv)
        return r;
    CLEANUP_MEM char *path = mem_printf("%s/bin:%s", venv, environment_get(environment, "PATH"));
    return environment_set_text(environment, "PATH", path);
}

int environment_add_program(Environment *environment, const char *path)
{
    const char *slash = strrchr(path, '/'), *folders = environment_get(environment, "PATH");
    if (path[0] != '/' || !folders)
        return -EINVAL;
    CLEANUP_MEM char *all = mem_printf("%s:%.*s", folders, (int)(slash > path ? slash - path : 1), path);
    return environment_set_text(environment, "PATH", all);
}

int environment_set_trust(Environment *environment, const char *bundle)
{
    const Pair trust[] = {
        {"SSL_CERT_FILE", bundle},  {"REQUESTS_CA_BUNDLE", bundle},  {"CURL_CA_BUNDLE", bundle},
        {"GIT_SSL_CAINFO", bundle}, {"NODE_EXTRA_CA_CERTS", bundle}, {"AWS_CA_BUNDLE", bundle},
        {"PIP_CERT", bundle},       {"NODE_USE_ENV_PROXY", "1"}};
    return set_all(environment, trust, COUNT_OF(trust));
}
