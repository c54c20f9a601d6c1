/* What a provider tells of a token. See account.h. */
#include "rotate/account.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/answer.h"

#include <stdio.h>

/* "user.email": a member of a member. NULL: it is not there. */
static const json_t *find(const json_t *json, const char *key)
{
    Slice word, rest = slice_of(key);
    for (bool more = true; json && more;) {
        more = slice_cut(rest, '.', &word, &rest);
        CLEANUP_MEM char *name = mem_dup(word.ptr, word.len);
        json = json_object_get(json, name);
    }
    return json;
}

static void add_scope(Account *account, Slice word)
{
    if (!word.len || word.len > 100 || account->n_scope == ACCOUNT_SCOPES)
        return;
    char text[401];
    text_escape(text, sizeof(text), word.ptr, word.len);
    size_t at = 0;
    while (at < account->n_scope && strcmp(account->scope[at], text) < 0)
        at++;
    if (at < account->n_scope && strcmp(account->scope[at], text) == 0)
        return;
    memmove(&account->scope[at + 1], &account->scope[at],
            (account->n_scope - at) * sizeof(account->scope[0]));
    account->scope[at] = mem_strdup(text);
    account->n_scope++;
}

/* Words with commas or spaces between them. */
static void add_words(Account *account, Slice text)
{
    size_t from = 0;
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] != ',' && text.ptr[i] != ' ')
            continue;
        add_scope(account, (Slice){text.ptr + from, i - from});
        from = i + 1;
    }
    account->tells_scopes = true;
}

static void take_scopes(Account *account, const json_t *scopes)
{
    if (json_is_string(scopes))
        add_words(account, (Slice){json_string_value(scopes), json_string_length(scopes)});
    if (!json_is_array(scopes))
        return;
    for (size_t i = 0; i < json_array_size(scopes); i++) {
        const json_t *scope = json_array_get(scopes, i);
        if (json_is_string(scope))
            add_scope(account, (Slice){json_string_value(scope), json_string_length(scope)});
    }
    account->tells_scopes = true;
}

static void take_identity(Account *account, const json_t *identity)
{
    if (json_is_integer(identity))
        snprintf(account->identity, sizeof(account->identity), "%lld",
                 (long long)json_integer_value(identity));
    else if (json_is_string(identity))
        text_escape(account->identity, sizeof(account->identity), json_string_value(identity),
                    json_string_length(identity));
}

/* A time, or a day: then its beginning. */
static int64_t take_time(const json_t *time)
{
    int64_t at = 0;
    if (!json_is_string(time))
        return 0;
    Slice text = {json_string_value(time), json_string_length(time)};
    CLEANUP_MEM char *day = mem_printf("%.*sT00:00:00Z", text.len == 10 ? 10 : 0, text.ptr);
    if (clock_parse(text, &at) && clock_parse(slice_of(day), &at))
        return 0;
    return at;
}

void account_read(const Rotation *rotation, Slice body, const char *header, Account *ret_account)
{
    *ret_account = (Account){0};
    CLEANUP_JSON json_t *json = answer_json(body);
    if (json && rotation->identity[0])
        take_identity(ret_account, find(json, rotation->identity));
    if (json && rotation->scopes[0])
        take_scopes(ret_account, find(json, rotation->scopes));
    if (header)
        add_words(ret_account, slice_of(header));
    if (json && rotation->expires[0])
        ret_account->expires = take_time(find(json, rotation->expires));
}

int account_read_made(const Rotation *rotation, Slice body, Sealed **ret_token, Fault *fault)
{
    CLEANUP_JSON json_t *json = answer_json(body);
    const char *text = answer_text(json, rotation->renew_token);
    return text ? store_seal("the new token", slice_of(text), false, ret_token, fault)
                : fault_set(fault, STORE_E_DAMAGED, "the answer holds no new token");
}

void account_done(Account *account)
{
    for (size_t i = 0; i < account->n_scope; i++)
        mem_free(account->scope[i]);
    *account = (Account){0};
}

bool account_differs(const Account *old, const Account *fresh)
{
    return old->identity[0] && fresh->identity[0] && strcmp(old->identity, fresh->identity) != 0;
}

bool account_has(const Account *account, Slice scope)
{
    for (size_t i = 0; i < account->n_scope; i++)
        if (slice_is(scope, account->scope[i]))
            return true;
    return false;
}

bool account_wider(const Account *old, const Account *fresh, char out[static 256])
{
    size_t n = 0;
    bool wider = false;
    out[0] = 0;
    for (size_t i = 0; old->tells_scopes && i < fresh->n_scope; i++) {
        if (account_has(old, slice_of(fresh->scope[i])))
            continue;
        if (n < 255)
            n += (size_t)snprintf(out + n, 256 - n, "%s%s", wider ? ", " : "", fresh->scope[i]);
        wider = true;
    }
    return wider;
}
