/* purser.yaml: what a good one becomes, and what is said about each bad one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char folder[] = "/tmp/test-config-XXXXXX";
static const ConfigPaths paths = {.policy_dir = SOURCE_ROOT "/policy", .default_state = "/var/lib/purser"};

#define APP    "sources:\n- {name: x, provider: github, token: {githubApp: "
#define OAUTH  "sources:\n- {name: x, provider: github, token: {oauth2: "
#define GITHUB "sources:\n- {name: github, provider: github, token: {keyring: github}}\n"
#define GOOD   GITHUB "retrievers:\n- name: r\n  script: {name: r.py}\n  sources: [github]\n"

static int parse(const char *text, Config **ret_config, Fault *fault)
{
    CLEANUP_MEM char *path = mem_printf("%s/purser.yaml", folder);
    return config_parse(path, slice_of(text), &paths, ret_config, fault);
}

static Config *good(const char *text)
{
    Config *config = NULL;
    Fault fault = {""};
    if (parse(text, &config, &fault))
        fail_msg("%s\n  says: %s", text, fault.text);
    return config;
}

static void write_file(const char *name, const char *text)
{
    CLEANUP_MEM char *path = mem_printf("%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    (void)state;
    static const char *const sub[] = {"files", "files/r", "files/githubber", "policy"};
    if (!mkdtemp(folder))
        return -1;
    for (size_t i = 0; i < COUNT_OF(sub); i++) {
        CLEANUP_MEM char *path = mem_printf("%s/%s", folder, sub[i]);
        if (mkdir(path, 0700))
            return -1;
    }
    write_file("files/r/r.py", "print()\n");
    write_file("files/githubber/githubber.py", "print()\n");
    write_file("files/githubber/requirements.txt", "PyGithub\n");
    write_file("policy/own.yaml", "policy: own\nallow:\n- {method: GET, path: /x}\n");
    write_file("policy/with.yaml",
               "policy: with\nparameters: {owner: {}, repo: {default: '*', class: name}}\n"
               "allow:\n- {method: GET, path: '/{owner}/{repo}'}\n");
    write_file("policy/other.yaml", "policy: own\nallow: []\n");
    write_file("policy/fails.yaml", "policy: fails\nallow: []\ntests:\n- {request: GET /x, expect: allow}\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    CLEANUP_MEM char *command = mem_printf("rm -rf %s", folder);
    return system(command);
}

static void the_first_charts_values_are_read_unchanged(void **state)
{
    (void)state;
    Config *config =
        good("schedule: '*/10 * * * *'\n"
             "sources:\n- name: github\n  apiUrl: https://api.github.com\n"
             "  token: {secretName: github-token}\n"
             "retrievers:\n- name: githubber\n  image: {name: python, tag: '3.12'}\n"
             "  env:\n  - {name: REPO, value: linkerd/linkerd2}\n"
             "  - name: MY_TOKEN\n    valueFrom: {secretKeyRef: {name: github-token, key: token}}\n"
             "  script: {name: githubber.py, secret: {name: scripts}, mountPath: /scripts}\n"
             "  resources: {limits: {memory: 64Mi}}\n");
    const Retriever *r = &config->retriever[0];
    assert_string_equal(r->schedule, "*/10 * * * *");
    assert_int_equal(config->source[0].token.kind, STORE_KEYRING);
    assert_string_equal(config->source[0].token.name, "github-token");
    assert_int_equal(r->n_grant, 1);
    assert_string_equal(config->policy[r->grant[0].policy]->name, "github-actions-read");
    assert_int_equal(r->env[0].source, -1);
    assert_int_equal(r->env[1].source, 0);
    assert_string_equal(r->env[1].value, "");
    assert_non_null(strstr(r->script_path, "/files/githubber/githubber.py"));
    assert_non_null(strstr(r->requirements, "/files/githubber/requirements.txt"));
    assert_int_equal(config->n_note, 6);
    config_free(config);
}

static void what_is_left_out_has_its_default(void **state)
{
    (void)state;
    Config *config = good(GOOD);
    const Source *s = &config->source[0];
    const Retriever *r = &config->retriever[0];
    assert_string_equal(s->api.host, "api.github.com");
    assert_string_equal(s->graphql_path, "/graphql");
    assert_int_equal(s->graphql_host, 0);
    assert_string_equal(s->token_env[1], "GH_TOKEN");
    assert_int_equal(s->auth.scheme, AUTH_BEARER);
    assert_string_equal(s->connect_to, "");
    assert_string_equal(r->schedule, "");
    assert_string_equal(r->requirements, "");
    assert_int_equal(r->time_limit, 1800000000);
    assert_int_equal(r->output_bytes, 256u << 20);
    assert_int_equal(config->sink.kind, SINK_SQLITE);
    assert_string_equal(config->sink.path, "/var/lib/purser/sink/purser.db");
    assert_string_equal(config->keyring.key_file, "/var/lib/purser/keyring.key");
    assert_false(config->sandbox_optional);
    assert_int_equal(config_find_source(config, "github"), 0);
    assert_int_equal(config_find_retriever(config, "github"), -1);
    config_free(config);
}

static void every_key_of_the_design_is_read(void **state)
{
    (void)state;
    Config *config = good("state: st\ntimeZone: Europe/Berlin\n"
                          "sources:\n- {name: ghe, provider: github, apiUrl: 'https://ghe.example/api/v3', "
                          "token: {vault: {path: secret/x, key: t}},\n"
                          "   connectTo: '127.0.0.1:8443', caFile: ca.pem, allowPrivateAddresses: "
                          "[127.0.0.0/8, '::1'], tokenEnv: [MINE, GH_TOKEN]}\n"
                          "- {name: ci, apiUrl: 'http://127.0.0.1:81/x', allowPrivateAddresses: [127.0.0.1], "
                          "auth: {header: X-Key}, policy: own,\n"
                          "   token: {file: tok}}\n- {name: j, provider: jenkins, apiUrl: "
                          "'https://j.example', auth: {basic: bob}, token: {kubernetes: {secretName: j}}}\n"
                          "retrievers:\n- {name: r, command: [/bin/true, -x], sources: [ghe, ci, j], policy: "
                          "{j: own}, schedule: '@daily', egress: ['f.example', 'g.example:8443'],\n"
                          "   limits: {time: 5m, grace: 1s, outputBytes: 1MiB, outputFiles: 3, memory: 1GiB, "
                          "processes: 9}, window: {first: 30d}, jitter: 0}\n"
                          "- {name: s, command: [x], sources: [], schedule: never}\n"
                          "sink: {postgres: {dsn: 'host=db dbname=ci', credentialFrom: {vault: "
                          "database/creds/purser}, ownerRole: o, readerRole: g, migrate: false}}\n"
                          "site: {proxy: 'http://proxy.example:3128', noProxy: [.example], caFile: /c.pem, "
                          "packageIndex: 'https://pypi.example/simple'}\n"
                          "retain: {rows: 0, deadLetters: 1d, outputs: 2d, environments: 3d, audit: "
                          "4d}\nkeyring: {path: kr, passphrase: true}\nsandbox: {required: false}\n");
    const Source *s = config->source;
    const Retriever *r = config->retriever;
    assert_string_equal(s[0].graphql_path, "/api/graphql");
    assert_int_equal(s[0].graphql_host, 0);
    assert_int_equal(s[0].token.kind, STORE_VAULT);
    assert_int_equal(s[0].n_token_env, 3);
    assert_int_equal(s[0].n_allow_private, 2);
    assert_non_null(strstr(s[0].ca_file, folder));
    assert_int_equal(s[1].token.kind, STORE_FILE);
    assert_string_equal(s[1].auth.header, "X-Key");
    assert_string_equal(s[2].auth.user, "bob");
    assert_int_equal(s[2].token.kind, STORE_KUBERNETES);
    assert_int_equal(config->n_policy, 2);
    assert_string_equal(config->policy[r[0].grant[2].policy]->name, "own");
    assert_int_equal(r[0].n_command, 2);
    assert_int_equal(r[0].egress[1].port, 8443);
    assert_int_equal(r[0].time_limit, 300000000);
    assert_int_equal(r[0].jitter, 0);
    assert_string_equal(r[0].time_zone, "Europe/Berlin");
    assert_int_equal(r[1].n_grant, 0);
    assert_string_equal(r[1].schedule, "");
    assert_string_equal(config->sink.credential.name, "database/creds/purser");
    assert_false(config->sink.migrate);
    assert_int_equal(config->retain.dead_letters, UINT64_C(86400000000));
    assert_true(config->keyring.passphrase && config->sandbox_optional);
    config_free(config);
}

static void bad_input_is_refused_with_its_place_and_the_way_out(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
#include "config-refusals.inc"
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Config *config = NULL;
        Fault fault = {""};
        if (parse(bad[i].text, &config, &fault) != -EINVAL)
            fail_msg("accepted: %s", bad[i].text);
        assert_null(config);
        if (!strstr(fault.text, bad[i].says))
            fail_msg("%s\n  says: %s", bad[i].text, fault.text);
        assert_null(strstr(fault.text, "S3CRET"));
        assert_int_equal(strncmp(fault.text, folder, strlen(folder)), 0);
    }
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    Config *config = NULL;
    Fault fault = {""};
    CLEANUP_MEM char *huge = mem_printf("%s/huge.yaml", folder);
    assert_int_equal(config_load("/nowhere/purser.yaml", &paths, &config, &fault), -ENOENT);
    assert_string_equal(fault.text, "there is no configuration file /nowhere/purser.yaml");
    assert_int_equal(config_load(folder, &paths, &config, &fault), -EINVAL);
    write_file("huge.yaml", "x");
    assert_int_equal(truncate(huge, INT64_C(1) << 30), 0);
    assert_int_equal(config_load(huge, &paths, &config, &fault), -EFBIG);
    assert_non_null(strstr(fault.text, "larger than 1024 KiB"));
}

static void every_provider_of_ours_can_be_used(void **state)
{
    (void)state;
    static const char *const name[] = {"github", "gitlab", "buildkite", "circleci", "jenkins", "drone"};
    for (size_t i = 0; i < COUNT_OF(name); i++) {
        bool own_url = i >= 4, basic = i == 4;
        CLEANUP_MEM char *text =
            mem_printf("sources:\n- {name: x, provider: %s, token: {keyring: x}%s%s}\n", name[i],
                       own_url ? ", apiUrl: 'https://ci.example'" : "", basic ? ", auth: {basic: bob}" : "");
        Config *config = good(text);
        assert_true(config->source[0].n_token_env > 0);
        assert_true(config->source[0].policy[0] != '\0');
        assert_int_equal(config->source[0].probe[0], '/');
        config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_charts_values_are_read_unchanged),
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(every_key_of_the_design_is_read),
        cmocka_unit_test(bad_input_is_refused_with_its_place_and_the_way_out),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(every_provider_of_ours_can_be_used),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
