/* Connecting to PostgreSQL safely, and what its answers mean. See postgres.h. */
#include "clerk/postgres.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

#define MIN_VERSION  120000
#define SYSTEM_ROOTS "/etc/ssl/certs/ca-certificates.crt"
#define NOWHERE      "/nonexistent/purser" /* a file of the user's home that libpq would otherwise look for */

static const char session[] = "SET client_min_messages = warning; SET TIME ZONE 'UTC'; SET lock_timeout = "
                              "'60s'; SET statement_timeout = '10min';"
                              "SET idle_in_transaction_session_timeout = '10min';"
                              /* What was reported as loaded must be there after the server's crash. */
                              "SELECT set_config('synchronous_commit', 'on', false) WHERE "
                              "current_setting('synchronous_commit') = 'off'";

static bool is_local(const char *host)
{
    return !*host || *host == '/' || *host == '@' || strcmp(host, "localhost") == 0 ||
           strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

/* `hosts` is a list with commas; NULL is none. */
static bool all_local(const char *hosts)
{
    bool local = true;
    for (Slice one, rest = slice_of(hosts); hosts && local && rest.len;) {
        slice_cut(rest, ',', &one, &rest);
        char host[256];
        snprintf(host, sizeof(host), "%.*s", (int)one.len, one.ptr);
        local = one.len < sizeof(host) && is_local(host);
    }
    return local;
}

static const char *option(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

typedef struct Keywords {
    const char *keyword[32], *value[32];
    size_t n;
} Keywords;

static void put(Keywords *keywords, const char *keyword, const char *value)
{
    keywords->keyword[keywords->n] = keyword;
    keywords->value[keywords->n++] = value;
}

/* What stands before the DSN gives way to it; what stands behind does not. */
static int build(Postgres *postgres, Keywords *keywords, Fault *fault)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(postgres->setup->dsn, &why);
    if (!options) {
        fault_set(fault, 0, "sink.postgres.dsn: %s", why ? why : "cannot be read");
        PQfreemem(why);
        return CLERK_E_SCHEMA;
    }
    bool local = all_local(option(options, "host")) && all_local(option(options, "hostaddr"));
    bool password = option(options, "password") != NULL;
    /* libpq verifies whenever it finds roots, also where the DSN says `require`, which means: only encrypt.
     */
    const char *mode = option(options, "sslmode");
    bool verify = mode ? strncmp(mode, "verify-", 7) == 0 : !local;
    PQconninfoFree(options);
    if (password)
        return fault_set(
            fault, CLERK_E_SCHEMA,
            "sink.postgres.dsn holds a password: put it into the keyring (purser token set NAME) and name "
            "it under sink.postgres.credentialFrom");
    put(keywords, "sslmode", local ? "prefer" : "verify-full");
    put(keywords, "sslrootcert", verify ? SYSTEM_ROOTS : NOWHERE);
    put(keywords, "sslcert", NOWHERE);
    put(keywords, "sslkey", NOWHERE);
    put(keywords, "sslcrl", NOWHERE);
    put(keywords, "gssencmode", "disable");
    put(keywords, "connect_timeout", "10");
    put(keywords, "application_name", "purser");
    put(keywords, "keepalives_idle", "30");
    put(keywords, "keepalives_interval", "10");
    put(keywords, "keepalives_count", "3");
    put(keywords, "tcp_user_timeout", "60000");
    put(keywords, "dbname", postgres->setup->dsn);
    put(keywords, "passfile", NOWHERE);
    put(keywords, "client_encoding", "UTF8");
    return 0;
}

static void quiet(void *userdata, const PGresult *notice)
{
    (void)userdata, (void)notice;
}

static int open_first(Postgres *postgres, Fault *fault)
{
    Keywords keywords = {.n = 0};
    Credential credential = {{0}};
    int r = build(postgres, &keywords, fault);
    if (!r && postgres->credential)
        r = postgres->credential(postgres->userdata, &credential, fault);
    if (r)
        return r;
    if (credential.user.len)
        put(&keywords, "user", buf_text(&credential.user));
    if (credential.password.len)
        put(&keywords, "password", buf_text(&credential.password));
    put(&keywords, NULL, NULL);
    postgres->connection = PQconnectdbParams(keywords.keyword, keywords.value, 1);
    postgres->credential = NULL; /* libpq has its copy, and uses it again in PQreset() */
    credential_wipe(&credential);
    if (!postgres->connection)
        return fault_set(fault, CLERK_E_OUTAGE, "no memory to connect to PostgreSQL");
    PQsetNoticeReceiver(postgres->connection, quiet, NULL);
    return 0;
}

/* libpq tells the SQLSTATE of a connection that was not made only in its words, and there only if it was told
 * to before: when it has a connection, so from the second try on. */
static void connect_again(PGconn *connection)
{
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    PQreset(connection);
}

/* "connection to server at ... failed: FATAL:  the words" */
static bool server_spoke(const char *message)
{
    return strstr(message, "failed: ") && strstr(message, ":  ");
}

/* Where the SQLSTATE stands in "...: FATAL:  28P01: the words"; NULL. */
static char *find_state(char *line)
{
    for (char *at = line; (at = strstr(at, ":  ")); at += 3)
        if (strspn(at + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && at[8] == ':' && at[9] == ' ')
            return at + 3;
    return NULL;
}

/* Whether the next try would be told the same: who we are, that this database is not there, or a certificate.
 * Whatever else it is may pass: not there yet, starting up, no connection left. */
static bool is_lasting(const char *line, const char *state)
{
    static const char *const class[] = {"28", "3D", "42", "0A"};
    for (size_t i = 0; state && i < COUNT_OF(class); i++)
        if (strncmp(state, class[i], 2) == 0)
            return true;
    return !state && (strstr(line, "certificate") || strstr(line, "does not support SSL") ||
                      strstr(line, "no password supplied"));
}

/* One line for each address that was tried: all must be of that kind. */
static int explain_connecting(const Postgres *postgres, Fault *fault)
{
    char message[1500], words[400] = "";
    size_t n = 0, tried = 0, lasting = 0;
    snprintf(message, sizeof(message), "%s", PQerrorMessage(postgres->connection));
    for (char *rest = message, *line; (line = strsep(&rest, "\n"));) {
        char *state = find_state(line);
        if (!*line || strncmp(line, "LOCATION:  ", 11) == 0)
            continue;
        if (strstr(line, "failed: ") || state) {
            tried++;
            lasting += is_lasting(line, state);
        }
        if (state)
            memmove(state, state + 7, strlen(state + 7) + 1);
        n += (size_t)snprintf(words + n, sizeof(words) - n, "%s%s", n ? " " : "", line);
        n = n < sizeof(words) ? n : sizeof(words) - 1;
    }
    return fault_set(fault, tried && lasting == tried ? CLERK_E_REFUSED : CLERK_E_OUTAGE,
                     "%s: connecting: %s", postgres_server(postgres), words);
}

int postgres_connect(Postgres *postgres, Fault *fault)
{
    PGconn *connection = postgres->connection;
    if (connection && PQstatus(connection) == CONNECTION_OK &&
        PQtransactionStatus(connection) == PQTRANS_IDLE) {
        /* An idle connection learns of the server's end only by asking. */
        PGresult *result = PQexec(connection, "SELECT 1");
        bool alive = PQresultStatus(result) == PGRES_TUPLES_OK;
        PQclear(result);
        if (alive)
            return 0;
    }
    if (connection) {
        connect_again(connection);
    } else {
        int r = open_first(postgres, fault);
        if (r)
            return r;
        connection = postgres->connection;
        if (PQstatus(connection) != CONNECTION_OK && server_spoke(PQerrorMessage(connection)))
            connect_again(connection);
    }
    if (PQstatus(connection) != CONNECTION_OK)
        return explain_connecting(postgres, fault);
    if (PQserverVersion(connection) < MIN_VERSION)
        return fault_set(fault, CLERK_E_SCHEMA, "%s has version %d; purser needs PostgreSQL 12 or newer",
                         postgres_server(postgres), PQserverVersion(connection) / 10000);
    const char *encoding = PQparameterStatus(connection, "server_encoding");
    if (!encoding || strcmp(encoding, "UTF8") != 0)
        return fault_set(fault, CLERK_E_SCHEMA, "%s: the database's encoding is %s, and purser needs UTF8",
                         postgres_server(postgres), encoding ? encoding : "unknown");
    return postgres_run(postgres, session, "starting a session", fault);
}

void postgres_disconnect(Postgres *postgres)
{
    PQfinish(postgres->connection);
    postgres->connection = NULL;
}

const char *postgres_server(const Postgres *postgres)
{
    static char text[512];
    PGconn *connection = postgres->connection;
    const char *host = connection ? PQhost(connection) : NULL,
               *database = connection ? PQdb(connection) : NULL;
    snprintf(text, sizeof(text), "PostgreSQL at %s, database %s", host && *host ? host : "its unix socket",
             database && *database ? database : "?");
    return text;
}

bool postgres_state_is(const PGresult *result, const char *sqlstate)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state && strncmp(state, sqlstate, strlen(sqlstate)) == 0;
}

bool postgres_worth_retrying(const PGresult *result)
{
    return postgres_state_is(result, "40001") || postgres_state_is(result, "40P01");
}

int postgres_failed(const Postgres *postgres, const PGresult *result, const char *what, Fault *fault)
{
    const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    char words[400];
    snprintf(words, sizeof(words), "%s", message ? message : PQerrorMessage(postgres->connection));
    size_t n = strlen(words);
    while (n && words[n - 1] == '\n')
        words[--n] = '\0';
    for (char *line; (line = strchr(words, '\n'));)
        *line = ' ';
    const char *server = postgres_server(postgres);
    if (PQstatus(postgres->connection) != CONNECTION_OK || !result)
        return fault_set(fault, CLERK_E_OUTAGE, "%s: %s: %s", server, what, words);
    if (postgres_state_is(result, "53100"))
        return fault_set(fault, CLERK_E_FULL,
                         "%s: no room left on its disk (%s); make room, then run purser ingest", server,
                         what);
    if (postgres_state_is(result, "42501"))
        return fault_set(fault, CLERK_E_SCHEMA,
                         "%s: %s: %s; `purser schema --sql` prints the roles and grants that purser needs",
                         server, what, words);
    if (postgres_state_is(result, "42") || postgres_state_is(result, "25006"))
        return fault_set(fault, CLERK_E_SCHEMA, "%s: %s: %s", server, what, words);
    if (postgres_state_is(result, SQLSTATE_UNIQUE))
        return fault_set(fault, CLERK_E_OUTAGE, "%s: %s: another purser has just loaded the same; try again",
                         server, what);
    if (postgres_state_is(result, "22") || postgres_state_is(result, "54"))
        return fault_set(fault, CLERK_E_DATA, "%s: %s: %s", server, what, words);
    return fault_set(fault, CLERK_E_OUTAGE, "%s: %s: %s", server, what, words);
}

int postgres_run(const Postgres *postgres, const char *sql, const char *what, Fault *fault)
{
    CLEANUP_RESULT PGresult *result = PQexec(postgres->connection, sql);
    ExecStatusType status = PQresultStatus(result);
    bool committed = strcmp(sql, "COMMIT") != 0 || strcmp(PQcmdStatus(result), "COMMIT") == 0;
    if ((status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) && committed)
        return 0;
    return postgres_failed(postgres, result, what, fault);
}

int postgres_query(const Postgres *postgres, const char *sql, const char *const *parameter, int n_parameter,
                   const char *what, PGresult **ret_result, Fault *fault)
{
    PGresult *result = PQexecParams(postgres->connection, sql, n_parameter, NULL, parameter, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        *ret_result = result;
        return 0;
    }
    int r = postgres_failed(postgres, result, what, fault);
    PQclear(result);
    return r;
}

int postgres_query_i64(const Postgres *postgres, const char *sql, const char *const *parameter,
                       int n_parameter, const char *what, int64_t *ret_value, Fault *fault)
{
    CLEANUP_RESULT PGresult *result = NULL;
    int r = postgres_query(postgres, sql, parameter, n_parameter, what, &result, fault);
    if (r)
        return r;
    *ret_value = PQntuples(result) ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    return 0;
}

int postgres_run_with_role(const Postgres *postgres, const char *prefix, const char *role, const char *what,
                           Fault *fault)
{
    CLEANUP_MEM char *sql = NULL;
    char *quoted = PQescapeIdentifier(postgres->connection, role, strlen(role));
    if (!quoted)
        return postgres_failed(postgres, NULL, what, fault);
    sql = mem_printf("%s %s", prefix, quoted);
    PQfreemem(quoted);
    return postgres_run(postgres, sql, what, fault);
}
