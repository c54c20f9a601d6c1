/* purser policy list: purser's own policies, and those beside purser.yaml. */
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "policy/list.h"
#include "purser/command.h"
#include "purser/policy-commands.h"
#include "supervisor/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>

typedef struct Listed {
    char **name, **own; /* sorted; own: those beside purser.yaml, which come first */
    size_t n, n_own;
} Listed;

static void read_folder(const char *path, char ***ret_list, size_t *ret_n)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        Slice file = slice_of(entry->d_name);
        if (slice_ends(file, ".yaml") && file.ptr[0] != '.')
            MEM_PUSH(*ret_list, *ret_n, mem_dup(file.ptr, file.len - 5));
    }
    if (dir)
        closedir(dir);
    policy_list_sort(*ret_list, *ret_n);
}

static void json_one(JsonWriter *json, const char *file, const Policy *policy, bool own)
{
    json_object_begin(json, NULL);
    json_text(json, "policy", policy->name);
    json_text(json, "file", file);
    json_bool(json, "own", own);
    json_u64(json, "rules", policy->n_rule);
    json_u64(json, "tests", policy->n_test);
    json_text(json, "documentation", policy->documentation);
    json_array_begin(json, "parameters");
    for (size_t i = 0; i < policy->n_parameter; i++) {
        json_object_begin(json, NULL);
        json_text(json, "name", policy->parameter[i].name);
        json_text(json, "default", policy->parameter[i].fallback);
        json_object_end(json);
    }
    json_array_end(json);
    json_object_end(json);
}

static void print_one(const Policy *policy, bool own)
{
    printf("%-28s %5zu %5zu  %-4s", policy->name, policy->n_rule, policy->n_test, own ? "own" : "");
    for (size_t i = 0; i < policy->n_parameter; i++)
        printf("%s%s%s", i ? ", " : "  ", policy->parameter[i].name,
               policy->parameter[i].fallback ? "" : " (needed)");
    printf("\n");
}

static int list_folder(const char *folder, char *const *name, size_t n, bool own, const Listed *listed,
                       JsonWriter *json)
{
    int status = EXIT_OK;
    for (size_t i = 0; i < n; i++) {
        Policy *policy = NULL;
        CLEANUP_MEM char *file = mem_printf("%s/%s.yaml", folder, name[i]);
        if (!own && policy_list_find(listed->own, listed->n_own, slice_of(name[i]), false) >= 0)
            continue;
        if (policy_read_file(file, &policy) >= 0)
            status = EXIT_CONFIG;
        else if (json)
            json_one(json, file, policy, own);
        else
            print_one(policy, own);
        policy_free(policy);
    }
    return status;
}

int policy_list_run(const Invocation *invocation)
{
    CLEANUP_BUF Buf text = BUF_INIT(8u << 20);
    JsonWriter json = JSON_WRITER(&text);
    bool as_json = policy_option(invocation, "json") != NULL;
    Paths paths;
    Fault fault = {0};
    Listed listed = {0};
    if (invocation->n_argument > 1) {
        log_error("purser policy list takes no further words.");
        return EXIT_USAGE;
    }
    if (paths_find(&paths, &fault)) {
        log_error("%s", fault.text);
        return EXIT_FAILED;
    }
    const char *config =
        policy_option(invocation, "file") ? policy_option(invocation, "file") : paths_usual_config();
    CLEANUP_MEM char *beside = mem_strdup(config ? config : ".");
    CLEANUP_MEM char *folder = mem_printf("%s/policy", config ? dirname(beside) : ".");
    read_folder(folder, &listed.own, &listed.n_own);
    read_folder(paths.policy, &listed.name, &listed.n);
    if (as_json)
        json_array_begin(&json, NULL);
    else
        printf("%-28s %5s %5s  %-4s  %s\n", "POLICY", "RULES", "TESTS", "", "PARAMETERS");
    int status = list_folder(folder, listed.own, listed.n_own, true, &listed, as_json ? &json : NULL);
    int other = list_folder(paths.policy, listed.name, listed.n, false, &listed, as_json ? &json : NULL);
    if (as_json) {
        json_array_end(&json);
        status = status ? status : print_json(&json);
    }
    mem_free_strings(listed.name, listed.n);
    mem_free_strings(listed.own, listed.n_own);
    return status ? status : other;
}
