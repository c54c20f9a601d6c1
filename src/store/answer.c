/* The stores' JSON, what they have in common. See answer.h. */
#include "store/answer.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/mark.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define MAX_DEPTH 64

/* jansson recurses: how deep, a stranger would say. */
static bool is_shallow(Slice body)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < body.len; i++) {
        char c = body.ptr[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > MAX_DEPTH)
            return false;
        else if (!quoted && (c == '}' || c == ']') && depth)
            depth--;
    }
    return true;
}

json_t *answer_json(Slice body)
{
    json_t *json = is_shallow(body) ? json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json && !json_is_object(json)) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

const char *answer_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

uint64_t answer_number(const json_t *object, const char *key, uint64_t most)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value <= 0 ? 0 : (uint64_t)value > most ? most : (uint64_t)value;
}

void answer_error(int status, Slice body, char out[static 256])
{
    CLEANUP_JSON json_t *json = status >= 300 ? answer_json(body) : NULL;
    const char *text = json_string_value(json_array_get(json_object_get(json, "errors"), 0));
    if (!text)
        text = answer_text(json, "message");
    if (!text)
        text = answer_text(json, "error_description");
    if (!text)
        text = answer_text(json, "error");
    Slice line = slice_of(text), first;
    while (line.len && (line.ptr[0] == '\n' || line.ptr[0] == ' '))
        line = (Slice){line.ptr + 1, line.len - 1};
    slice_cut(line, '\n', &first, &line);
    text_escape(out, 256, first.ptr, first.len < 200 ? first.len : 200);
}

static int take_base64(const char *name, const char *text, Sealed **ret_token, Fault *fault)
{
    size_t len = strlen(text), room = len / 4 * 3 + 3, used = 0;
    char *plain = len <= 2 * SECRET_MAX_TOKEN ? secret_alloc(room) : NULL;
    if (!plain)
        return fault_set(fault, STORE_E_BAD_TOKEN, "the token \"%s\" is longer than %u bytes", name,
                         SECRET_MAX_TOKEN);
    int r = sodium_base642bin((unsigned char *)plain, room, text, len, "\r\n", &used, NULL,
                              sodium_base64_VARIANT_ORIGINAL);
    if (r)
        r = fault_set(fault, STORE_E_DAMAGED, "the token \"%s\" is not base64 as a Secret has it", name);
    else
        r = store_seal(name, (Slice){plain, used}, memmem(plain, used, "-----BEGIN ", 11) != NULL, ret_token,
                       fault);
    secret_release(plain, room);
    return r;
}

static int take_value(const char *name, const json_t *value, bool base64, Sealed **ret_token, Fault *fault)
{
    const char *text = json_string_value(value);
    if (!text)
        return fault_set(fault, STORE_E_BAD_TOKEN, "%s is not text", name);
    size_t len = json_string_length(value);
    if (base64)
        return take_base64(name, text, ret_token, fault);
    return store_seal(name, (Slice){text, len}, memmem(text, len, "-----BEGIN ", 11) != NULL, ret_token,
                      fault);
}

int answer_dump(const json_t *json, Buf *out)
{
    char *at;
    size_t len = json ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0;
    int r = len ? buf_reserve(out, len, &at) : -EINVAL;
    if (r)
        return r;
    json_dumpb(json, at, len, JSON_COMPACT);
    buf_commit(out, len);
    return 0;
}

/* {"username": ..., "password": ...}, as the clerk takes it. Not CLEANUP_JSON: `data` lives still. */
static int take_pair(const char *name, const json_t *data, Sealed **ret_token, Fault *fault)
{
    CLEANUP_BUF Buf text = BUF_INIT(2 * SECRET_MAX_TOKEN);
    json_t *pair = json_pack("{s:O, s:O}", "username", json_object_get(data, "username"), "password",
                             json_object_get(data, "password"));
    int r = answer_dump(pair, &text);
    json_decref(pair);
    return r ? fault_set(fault, STORE_E_BAD_TOKEN, "user and password of %s cannot be used", name)
             : store_seal(name, buf_slice(&text), false, ret_token, fault);
}

static void name_keys(const json_t *data, char *out, size_t size)
{
    const char *key;
    json_t *value;
    size_t at = 0;
    *out = 0;
    json_object_foreach((json_t *)data, key, value)
    {
        char safe[64];
        text_escape(safe, sizeof(safe), key, strlen(key) < 40 ? strlen(key) : 40);
        int n = at < size ? snprintf(out + at, size - at, at ? ", %s" : "%s", safe) : 0;
        at += n > 0 ? (size_t)n : 0;
    }
}

static bool is_mark(const char *key)
{
    size_t len = strlen(key), tail = strlen(MARK_SUFFIX);
    return len > tail && strcmp(key + len - tail, MARK_SUFFIX) == 0;
}

/* What a revocation has left beside the key. */
static bool take_mark(const json_t *data, const char *key, bool base64, Mark *ret_mark)
{
    CLEANUP_MEM char *name = mem_printf("%s" MARK_SUFFIX, key);
    const char *text = answer_text(data, name);
    char plain[MARK_TEXT];
    size_t len = 0;
    if (!text || !base64)
        return text && mark_parse(slice_of(text), ret_mark) == 0;
    return sodium_base642bin((unsigned char *)plain, sizeof(plain), text, strlen(text), "\r\n", &len, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           mark_parse((Slice){plain, len}, ret_mark) == 0;
}

static bool holds_no_text(const json_t *data)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)data, key, value)
    {
        if (strcmp(key, "hosts") != 0 && !is_mark(key)) /* not secret */
            return false;
    }
    return true;
}

/* The only mark that there is where no token is left. */
static bool take_only_mark(const json_t *data, bool base64, Mark *ret_mark)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)data, key, value)
    {
        CLEANUP_MEM char *name = is_mark(key) ? mem_dup(key, strlen(key) - strlen(MARK_SUFFIX)) : NULL;
        if (name && take_mark(data, name, base64, ret_mark))
            return true;
    }
    return false;
}

/* Where no key is named: the pair, or the one text there is. */
static int take_whole(const TokenRef *ref, const json_t *data, bool base64, Sealed **ret_token,
                      const char **ret_key, Fault *fault)
{
    const char *key;
    json_t *value, *only = NULL;
    size_t n = 0;
    if (!base64 && answer_text(data, "username") && answer_text(data, "password"))
        return take_pair(ref->name, data, ret_token, fault);
    json_object_foreach((json_t *)data, key, value)
    {
        if (strcmp(key, "hosts") == 0 || is_mark(key) || !json_is_string(value)) /* not secret */
            continue;
        n++;
        if (!only || strcmp(key, "token") == 0) { /* not secret */
            only = value;
            *ret_key = key;
        }
    }
    if (n == 1 || (n && only == json_object_get(data, "token")))
        return take_value(ref->name, only, base64, ret_token, fault);
    char keys[200];
    name_keys(data, keys, sizeof(keys));
    return fault_set(fault, STORE_E_ABSENT, "%s holds more than one text (%s): say which by `key`", ref->name,
                     keys);
}

static void add_host(StoredToken *token, Slice host)
{
    if (host.len && host.len < 254 && token->n_host < CONFIG_MAX_LIST)
        MEM_PUSH(token->host, token->n_host, mem_dup(host.ptr, host.len));
}

static void take_host_words(StoredToken *token, Slice text)
{
    for (Slice word, rest = text; rest.len;) {
        size_t n = 0;
        while (n < rest.len && !strchr(" ,\n\t\r", rest.ptr[n]))
            n++;
        word = (Slice){rest.ptr, n};
        add_host(token, word);
        rest = n < rest.len ? (Slice){rest.ptr + n + 1, rest.len - n - 1} : (Slice){"", 0};
    }
}

static int take_hosts(const TokenRef *ref, const json_t *data, bool base64, StoredToken *token, Fault *fault)
{
    const json_t *hosts = json_object_get(data, "hosts");
    char plain[4096];
    size_t used = 0, n = token->n_host;
    if (!hosts)
        return 0;
    if (json_is_string(hosts) && !base64)
        take_host_words(token, slice_of(json_string_value(hosts)));
    else if (json_is_string(hosts) &&
             sodium_base642bin((unsigned char *)plain, sizeof(plain), json_string_value(hosts),
                               json_string_length(hosts), "\r\n", &used, NULL,
                               sodium_base64_VARIANT_ORIGINAL) == 0)
        take_host_words(token, (Slice){plain, used});
    for (size_t i = 0; i < json_array_size(hosts); i++)
        add_host(token, slice_of(json_string_value(json_array_get(hosts, i))));
    return token->n_host > n
               ? 0
               : fault_set(fault, STORE_E_BAD_TOKEN,
                           "the `hosts` beside the token in %s are no list of hosts", ref->name);
}

int answer_take_token(const TokenRef *ref, const json_t *data, bool base64, StoredToken *ret_token,
                      Fault *fault)
{
    StoredToken token = {.fetched = clock_wall()};
    const char *key = ref->key;
    Mark mark;
    int r;
    if (!json_is_object(data))
        return fault_set(fault, STORE_E_DAMAGED, "%s holds no keys and values", ref->name);
    bool there = key[0] && json_object_get(data, key);
    if (!there && (key[0] ? take_mark(data, key, base64, &mark)
                          : holds_no_text(data) && take_only_mark(data, base64, &mark)))
        return mark_refuse(&mark, ref->name, fault);
    if (!key[0]) {
        r = take_whole(ref, data, base64, &token.token, &key, fault);
    } else if (there) {
        r = take_value(ref->name, json_object_get(data, key), base64, &token.token, fault);
    } else {
        char keys[200];
        name_keys(data, keys, sizeof(keys));
        r = fault_set(fault, STORE_E_ABSENT, "%s has no key \"%s\"; it has: %s", ref->name, key,
                      keys[0] ? keys : "none");
    }
    if (r == 0 && take_mark(data, key, base64, &mark) && mark_means(&mark, token.token))
        r = mark_refuse(&mark, ref->name, fault);
    r = r ? r : take_hosts(ref, data, base64, &token, fault);
    if (r)
        stored_token_done(&token);
    else
        *ret_token = token;
    return r;
}
