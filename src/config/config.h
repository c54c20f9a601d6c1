/* purser.yaml, checked and at rest. Read by the supervisor alone; a role is sent the part that is its
 * business. Every string is owned by the Config and never NULL unless said so; every list has its count
 * beside it. Times are microseconds, sizes bytes.
 *
 * On one machine `token: {secretName: X}`, the first chart's form, means the keyring's entry X, and a note
 * says so; what shall come from a cluster says `kubernetes: {secretName: X, key: K}`. `image`, `resources`,
 * `script.secret` and `script.mountPath` are read and noted. Relative paths (state, caFile, keyring, sink,
 * token files) are taken from the folder of purser.yaml. `policy:` of a retriever is one name, or a mapping
 * from source to name; `schedule: never` takes the top-level default away. A policy's own tests are run when
 * it is loaded. No message repeats a value that could be a secret.
 *
 * An index into config->source or ->policy is a uint32_t.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "policy/policy.h"

#define CONFIG_MAX_BYTES      (1u << 20) /* of purser.yaml */
#define CONFIG_MAX_SOURCES    256
#define CONFIG_MAX_RETRIEVERS 256
#define CONFIG_MAX_LIST       64 /* entries of any shorter list: egress, tokenEnv, env, hosts, ... */
#define CONFIG_MAX_HOSTS      32 /* of one source */
#define CONFIG_MAX_REVEALED   7  /* tokens that one retriever's policies reveal to it */

/* Where an API lives: https://host:port/base. Loopback http is for tests and needs allowPrivateAddresses. */
typedef struct Origin {
    bool tls;
    char *host; /* lower case, no brackets */
    uint16_t port;
    char *base; /* "" or "/api/v3": no slash at the end */
} Origin;

typedef enum StoreKind {
    STORE_NONE,
    STORE_KEYRING,
    STORE_FILE,
    STORE_KUBERNETES,
    STORE_VAULT,
    STORE_GITHUB_APP, /* minted: what is configured is the long-lived part, and where that is kept */
    STORE_OAUTH2,
    STORE_TOKEN_REQUEST,
    STORE_KINDS,
} StoreKind;

/* Which token in which store. */
typedef struct TokenRef {
    StoreKind kind;
    char *name; /* keyring: entry; file: absolute path; kubernetes: Secret; vault: path; minted: for sentences
                 */
    char *key;  /* kubernetes, vault: key in it; "": the whole of it, where it is a user and a password */
    char *space;       /* kubernetes, vault: namespace; "": the store's own */
    uint32_t version;  /* vault, KV 2: pinned; 0: the newest */
    uint32_t wrap;     /* vault: seconds; the answer is asked for wrapped, and unwrapped at once */
    struct Mint *mint; /* NULL: not minted */
} TokenRef;

/* How a token is minted. */
typedef struct Mint {
    char *url;        /* githubApp: of its API; oauth2: tokenUrl; tokenRequest: "" */
    char *id;         /* appId; clientId; service account */
    char *account;    /* installationId; ""; namespace */
    char *scope;      /* permissions, as a JSON object; scope; "" */
    char *ca_file;    /* "" or a PEM bundle to verify `url` with */
    char *connect_to; /* githubApp: as its source's */
    char **list;      /* repositories; ""; audiences */
    size_t n_list;
    bool assertion;  /* oauth2: the secret is a private key, and signs (RFC 7523) */
    uint32_t life;   /* tokenRequest: seconds */
    TokenRef secret; /* private key; client secret or key; STORE_NONE */
} Mint;

TokenRef token_ref_new(void);
TokenRef token_ref_dup(const TokenRef *ref);
bool token_ref_equal(const TokenRef *a, const TokenRef *b);
void token_ref_done(TokenRef *ref);

/* How an API takes its credential. */
typedef enum AuthScheme {
    AUTH_BEARER, /* Authorization: Bearer TOKEN (RFC 6750) */
    AUTH_TOKEN,  /* Authorization: token TOKEN (GitHub's older form) */
    AUTH_BASIC,  /* Authorization: Basic base64(user:TOKEN) (RFC 7617) */
    AUTH_HEADER, /* HEADER: TOKEN */
} AuthScheme;

typedef struct Auth {
    AuthScheme scheme;
    char *user;   /* AUTH_BASIC; else "" */
    char *header; /* AUTH_HEADER; else "" */
} Auth;

typedef struct Cidr {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;        /* of the 128 */
} Cidr;

/* What a host of a source is for. */
typedef enum HostUse {
    HOST_API,      /* the REST API */
    HOST_GRAPHQL,  /* the GraphQL endpoint, where it lies on a host of its own: nothing but the endpoint */
    HOST_RULE,     /* named by the `host` of a policy's rule: reached with the same token */
    HOST_ARTIFACT, /* where the API redirects to for files: GET alone, never with a token */
} HostUse;

/* A host beside that of the REST API. Of HOST_ARTIFACT the name may be a pattern, "*.blob.example": one label
 * in the place of the star. */
typedef struct SourceHost {
    HostUse use;
    Origin origin;
} SourceHost;

/* How a provider's tokens are proven and retired, by calls that a token makes for itself. "" each where there
 * is none. Keys are of the answer, "user.email" for one in an object. */
typedef struct Rotation {
    char *account;       /* a path, read-only: tells whose token it is; works with whatever scopes */
    char *identity;      /* key in the answer: the account */
    char *scopes;        /* key in it: what the token may do, a list or a text */
    char *scopes_header; /* or the answer's header that says it */
    char *expires;       /* key in it: when the token dies by itself */
    char *retire;        /* a path: DELETE retires the token that it is sent with */
    char *renew;         /* a path: POST makes a new token of the one that it is sent with */
    char *renew_token;   /* key in its answer: the new token */
    char *renew_expires; /* key in its question: the day on which the new one dies */
    char *renew_scopes;  /* of these words a token needs one for that, where scopes are told */
    bool renew_overlaps; /* the old one lives on; else it is dead at once */
} Rotation;
#define ROTATION_TEXTS 10

#define ROTATE_PLAN_LIFE (90ull * 86400 * 1000000) /* of a token that the provider makes */

/* How a source's token is replaced without a person: `rotate:` of purser.yaml. */
typedef struct RotatePlan {
    char *schedule;      /* cron expression, for `purser schedule`; "": only when it is said */
    char *time_zone;     /* IANA name; "" for UTC */
    uint64_t older_than; /* us; 0: whatever its age */
    char **command;      /* argv of what prints the new token; n_command 0: none */
    size_t n_command;
    bool from_provider; /* or the provider makes it of the old one (Rotation's renew) */
    bool accept_loss;   /* though both may be lost then */
    char *path;         /* of that call, where it is another than the provider's file says; "" */
    uint64_t life;      /* us: how long such a token lives */
    char *vault_token;  /* a file: with it the token's secret may be written; "" */
} RotatePlan;

/* A provider is one data file, policy/provider/NAME.yaml: what purser knows of one kind of API. */
typedef struct Provider {
    char *name;
    Origin api;        /* default apiUrl; host "" where every installation has its own */
    char *graphql_url; /* "", an absolute URL, or a reference relative to the base: "graphql" beside "/api/v3"
                        */
    Auth auth;
    char **token_env; /* variables in which its clients look for a token: GITHUB_TOKEN, GH_TOKEN */
    size_t n_token_env;
    char *
        *base_env; /* variables in which its clients look for the base URL, for base-URL mode; may be none */
    size_t n_base_env;
    char *policy;         /* name of its read-only metrics policy */
    char **artifact_host; /* where its API redirects to for files: hosts, or "*.suffix" */
    size_t n_artifact_host;
    bool encoded_slash; /* `encodedSlash: segment`: %2F in a path of its API is part of a segment */
    char *probe;        /* path of a cheap read-only call that tells whether a token works; "" if none */
    Rotation rotation;
} Provider;

typedef struct Source {
    char *name;
    char *provider; /* "" when it has none and says `auth:` itself */
    Origin api;
    SourceHost *other; /* its hosts beside api's; a request names a host by source_origin()'s index */
    size_t n_other;
    char *graphql_path;    /* of the GraphQL endpoint, from the root of its host; "" for none */
    uint32_t graphql_host; /* on which host that is */
    bool encoded_slash;    /* see Provider */
    Auth auth;
    TokenRef token;
    char **token_env;
    size_t n_token_env;
    char **base_env; /* GITHUB_API_URL-like names beside <SOURCE>_API_URL */
    size_t n_base_env;
    char *connect_to; /* "" or ADDRESS:PORT to dial instead of what the name resolves to */
    char *ca_file;    /* "" or a PEM bundle to verify this source with, instead of the system's */
    Cidr *allow_private;
    size_t n_allow_private;
    uint64_t per_kilosecond;  /* `rate`: requests per 1,000 s of all its leases together; 0: no limit */
    uint64_t reserve;         /* of the provider's own limit: left for people; */
    uint32_t reserve_percent; /* or this much of it */
    char *policy;             /* the provider's default policy; "" for none */
    char *probe;
    Rotation rotation; /* the provider's */
    RotatePlan plan;   /* the supervisor's alone: not sent to roles */
    unsigned line;     /* in purser.yaml, for messages */
} Source;

/* The host of a source by index: 0 is api, then `other` in its order. The index must be one of
 * source_hosts(). */
static inline size_t source_hosts(const Source *source)
{
    return 1 + source->n_other;
}

static inline const Origin *source_origin(const Source *source, uint32_t host)
{
    return host == 0 ? &source->api : &source->other[host - 1].origin;
}

static inline HostUse source_use(const Source *source, uint32_t host)
{
    return host == 0 ? HOST_API : source->other[host - 1].use;
}

/* Whether a path at this host may have an encoded slash: as one segment it is matched, and as it was matched
 * it is sent. */
static inline bool source_takes_slashes(const Source *source, uint32_t host)
{
    return source->encoded_slash && host < source_hosts(source) && source_use(source, host) == HOST_API;
}

/* Whether `name` is the host, or one that its pattern means. Both in lower case. */
bool host_matches(const char *pattern, Slice name);

typedef struct EnvEntry {
    char *name;
    char *value;
    int32_t
        source; /* >= 0: secretKeyRef of this source's Secret: the variable holds the lease, value is "" */
} EnvEntry;

typedef struct HostPort {
    char *host;
    uint16_t port;
} HostPort;

typedef struct GrantRef {
    uint32_t source;     /* index */
    uint32_t policy;     /* index */
    int64_t audit_until; /* `mode: audit`: wall us, until then what no rule allows passes if it is safe; 0 */
} GrantRef;

typedef struct Retriever {
    char *name;
    char *schedule;     /* cron expression; "" for "only by hand" */
    char *time_zone;    /* IANA name; "" for UTC */
    char *script;       /* file name under files/NAME/; "" when command is given */
    char *script_path;  /* absolute path of it; "" when command is given */
    char *requirements; /* absolute path of its requirements.txt; "" if there is none */
    char **command;     /* argv; n_command is 0 when script is given */
    size_t n_command;
    EnvEntry *env;
    size_t n_env;
    GrantRef *grant; /* one per source it may use */
    size_t n_grant;
    HostPort *egress; /* tunnelled untouched */
    size_t n_egress;
    uint64_t time_limit;   /* default 30m */
    uint64_t grace;        /* from SIGTERM to SIGKILL; default 10s */
    uint64_t jitter;       /* most; default 30s; derived from the name */
    uint64_t first_window; /* PURSER_SINCE of the first run ever: now - this; default 7d */
    uint64_t output_bytes; /* of all files together; default 256MiB */
    uint32_t output_files; /* default 1000 */
    uint64_t memory;       /* bytes; RLIMIT_AS-like; 0: none */
    uint32_t processes;    /* default 256 */
    unsigned line;
} Retriever;

typedef enum SinkKind { SINK_SQLITE, SINK_POSTGRES } SinkKind;

typedef struct Sink {
    SinkKind kind;
    char *path;          /* SQLite file, absolute; default STATE/sink/purser.db */
    char *dsn;           /* PostgreSQL: libpq keywords or URL, without a password */
    TokenRef credential; /* STORE_NONE when the DSN alone is enough (peer, certificate, trust) */
    char *owner_role;    /* owns the schema; "" for the connecting role */
    char *reader_role;   /* is given the views; "": nobody */
    bool migrate;        /* default true */
} Sink;

typedef struct Site {
    char *proxy; /* "" or http://host:port */
    char **no_proxy;
    size_t n_no_proxy;
    char *ca_file;       /* "" for the system's bundle */
    char *package_index; /* "" for pip's default */
} Site;

/* 0 means: keep for ever. Defaults: rows and audit 0, dead letters 90d, outputs and environments 30d. */
typedef struct Retain {
    uint64_t rows, dead_letters, outputs, environments, audit;
} Retain;

typedef struct KeyringConfig {
    char *path;      /* default STATE/keyring */
    char *key_file;  /* default STATE/keyring.key; ignored when passphrase */
    bool passphrase; /* ask for it (terminal) instead of reading a key file */
} KeyringConfig;

/* How long what a store has said is believed. */
typedef struct StoreLife {
    uint64_t refresh;   /* read again after; default 5m */
    uint64_t max_stale; /* used no longer than this without the store's confirming it; default 1h */
    uint64_t spread;    /* first calls are spread over this, by the pod's name; default 5s in a pod, else 0 */
} StoreLife;

#define SPREAD_UNSAID UINT64_MAX

#define PATIENCE (30ull * 1000000) /* of a start, with what does not work at that moment */

typedef enum VaultLogin {
    VAULT_LOGIN_NONE, /* no `auth:` */
    VAULT_LOGIN_TOKEN,
    VAULT_LOGIN_APPROLE,
    VAULT_LOGIN_JWT,
    VAULT_LOGIN_KUBERNETES,
    VAULT_LOGIN_CERT,
} VaultLogin;

/* Vault or OpenBao. What purser.yaml leaves out, the environment may say (VAULT_ADDR and friends). */
typedef struct VaultConfig {
    bool configured;
    char *address;                                      /* as it was written */
    Origin origin;                                      /* host "" when there is no address */
    char *space;                                        /* namespace */
    char *ca_file, *cert_file, *key_file, *server_name; /* "" each */
    bool plain_http;                                    /* `allowPlainHttp: true` */
    StoreLife life;
    VaultLogin login;
    char *mount;     /* of the login: "kubernetes", "approle", ... */
    char *role;      /* kubernetes, jwt; cert: its name, or "" */
    char *role_id;   /* approle */
    char *audience;  /* kubernetes, jwt: what the JWT must be for, alone */
    TokenRef secret; /* token; secret id; JWT */
    bool wrapped;    /* `secret` is a wrapping token */
    char **shown;    /* for `check`: what the environment said, a sentence each */
    size_t n_shown;
} VaultConfig;

/* The API server of a cluster: in a pod its own, by the service account; outside by a kubeconfig. */
typedef struct KubernetesConfig {
    bool configured;
    Origin origin; /* host "" when there is none */
    char *space;   /* namespace of Secrets that say none */
    char *ca_file, *cert_file, *key_file, *server_name;
    TokenRef token; /* of the service account: a file, read again when it is replaced */
    char *kubeconfig, *context;
    StoreLife life;
} KubernetesConfig;

typedef struct Config {
    char *path;      /* of purser.yaml, absolute */
    char *directory; /* that it lies in: files/ and policy/ are looked for here */
    char *state;     /* state folder, absolute; `state:` or the default of this user */
    Source *source;
    size_t n_source;
    Retriever *retriever;
    size_t n_retriever;
    Policy **form; /* policies as their files have them; own ones in DIRECTORY/policy before purser's */
    size_t n_form;
    Policy **policy; /* what they are with some grant's values (policy_bind): what is decided by */
    size_t n_policy;
    Sink sink;
    Site site;
    Retain retain;
    KeyringConfig keyring;
    VaultConfig vault;
    KubernetesConfig kubernetes;
    uint64_t patience;     /* us: so long a store that does not work is waited for at start; 30 s */
    bool sandbox_optional; /* `sandbox: {required: false}` */
    char *audit_key_file;  /* `audit: {keyFile: ...}`; "": STATE/audit.key */
    bool audit_optional;   /* `audit: {onFailure: continue}`: requests go on when they cannot be recorded */
    char **note;           /* what was ignored or mapped on one machine, a sentence each */
    size_t n_note;
} Config;

/* What the file is. */
typedef enum ConfigForm {
    CONFIG_MACHINE, /* purser.yaml */
    CONFIG_POD,     /* purser.yaml; scripts are in the retrievers' own containers, and are not looked for */
    CONFIG_CHART, /* the chart's values: sources and retrievers count, with this machine's keyring and sink */
} ConfigForm;

typedef struct ConfigPaths {
    const char *policy_dir;    /* purser's own policy/, with provider/ in it */
    const char *default_state; /* state folder when the file names none */
    ConfigForm form;
} ConfigPaths;

/* Parses `text` (the file called `path`, absolute). On failure -EINVAL and a sentence that begins
 * "PATH:LINE:COLUMN: ". Reads provider and policy files, and checks that scripts exist. */
int config_parse(const char *path, Slice text, const ConfigPaths *paths, Config **ret_config,
                 Fault *fault) MUST_USE;

/* Reads and parses; -ENOENT, -EACCES, -EFBIG, -EINVAL with a sentence. */
int config_load(const char *path, const ConfigPaths *paths, Config **ret_config, Fault *fault) MUST_USE;

Config *config_free(Config *config);    /* takes NULL, returns NULL */
void rotation_init(Rotation *rotation); /* all "" */
void rotation_copy(Rotation *to, const Rotation *from);
void rotation_done(Rotation *rotation);

/* Looks a variable up: getenv(), or a test's own. */
typedef const char *ConfigEnv(const char *name);

/* Fills in what the environment says of the stores that are used, and checks that they can be reached: for
 * the supervisor, once. -EINVAL with a sentence. */
int config_take_environment(Config *config, ConfigEnv *get, Fault *fault) MUST_USE;
bool config_needs_store(const Config *config, StoreKind kind); /* also for a login, or to mint */
void vault_config_done(VaultConfig *vault);
void kubernetes_config_done(KubernetesConfig *kubernetes);
int vault_set_address(VaultConfig *vault, const char *address, Fault *fault) MUST_USE;

int32_t config_find_source(const Config *config, const char *name);    /* index or -1 */
int32_t config_find_retriever(const Config *config, const char *name); /* index or -1 */

/* "192.0.2.0/24", "::1/128", or an address alone. -EINVAL. */
int cidr_parse(Slice text, Cidr *ret_cidr) MUST_USE;
bool cidr_contains(const Cidr *cidr, const uint8_t address[16]);

/* "https://host[:port][/base]"; -EINVAL with a sentence. */
int origin_parse(Slice url, Origin *ret_origin, Fault *fault) MUST_USE;
/* The same, of a store: plain http also to other machines where that was said in so many words. */
int origin_parse_store(Slice url, bool plain_http, Origin *ret_origin, Fault *fault) MUST_USE;
bool origin_is_loopback(const char *host);
void origin_done(Origin *origin);

/* TCP ports that a role connects to, each once. */
typedef struct Ports {
    uint16_t port[(CONFIG_MAX_HOSTS + 2) * CONFIG_MAX_SOURCES + 512];
    size_t n;
} Ports;

uint16_t port_at_end(const char *address);   /* of ADDRESS:PORT, http://HOST:PORT; 0: there is none */
void ports_add(Ports *ports, uint16_t port); /* 0 is none */
/* Of its hosts, of where it is dialled, and of where `token` is minted. */
void ports_add_source(Ports *ports, const Source *source, const TokenRef *token);
