/* `token:` of a source and `credentialFrom:` of the sink: which secret in which store. See parse.h. No
 * message repeats a value from here, since people paste tokens into the wrong place. */
#include "config/parse.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>

typedef struct TokenText {
    char *keyring, *file, *secret_name;
    const YamlNode *kubernetes, *vault, *secret_value, *github_app, *oauth2, *token_request;
} TokenText;

typedef struct Place {
    char *name, *key, *space;
    uint32_t version;
    uint64_t wrap;
} Place;

typedef struct PlaceKind {
    StoreKind kind;
    const char *store, *name_key;
    size_t n_field; /* of read_place's table */
} PlaceKind;

static const PlaceKind in_kubernetes = {STORE_KUBERNETES, "kubernetes", "secretName", 3};
static const PlaceKind in_vault = {STORE_VAULT, "vault", "path", 5};

/* What is looked for where nothing is said: a token; for a database a user and a password, or a password. */
static const char *default_key(const PlaceKind *place, bool database, bool short_form)
{
    if (place->kind == STORE_VAULT && (database || short_form))
        return "";
    return database ? "password" : "token";
}

static void take_place(const PlaceKind *kind, const Place *place, bool database, bool short_form,
                       TokenRef *token)
{
    token->kind = kind->kind;
    put_text(&token->name, place->name);
    put_text(&token->key, place->key ? place->key : default_key(kind, database, short_form));
    put_text(&token->space, place->space ? place->space : "");
    token->version = place->version;
    token->wrap = (uint32_t)(place->wrap / 1000000);
}

static int read_place(Loader *loader, const YamlNode *node, const PlaceKind *kind, bool database,
                      TokenRef *token)
{
    const YamlField field[] = {
        {.key = kind->name_key,
         .as = YAML_AS_TEXT,
         .offset = offsetof(Place, name),
         .most = 512,
         .required = true},
        YAML_FIELD(Place, "key", YAML_AS_TEXT, key, .most = 253),
        YAML_FIELD(Place, "namespace", YAML_AS_TEXT, space, .most = 253),
        YAML_FIELD(Place, "version", YAML_AS_U32, version),
        YAML_FIELD(Place, "wrap", YAML_AS_DURATION, wrap),
    };
    Place place = {0};
    bool short_form = node->kind == YAML_TEXT;
    int r = short_form
                ? yaml_read_text(loader->doc, node, kind->store, 512, &place.name, loader->fault)
                : yaml_read_map(loader->doc, node, kind->store, field, kind->n_field, &place, loader->fault);
    if (!r && place.wrap && (place.wrap < 5000000 || place.wrap > 3600000000ull))
        r = yaml_fault(loader->doc, yaml_get(node, "wrap"), loader->fault,
                       "'wrap' is how long the wrapped answer may be unwrapped, from 5s to 1h");
    if (!r)
        take_place(kind, &place, database, short_form, token);
    mem_free(place.name);
    mem_free(place.key);
    mem_free(place.space);
    return r;
}

static int refuse_value(Loader *loader, const YamlNode *node, const TokenText *text, const char *owner)
{
    return yaml_fault(
        loader->doc, node, loader->fault,
        "a token must not stand in a file; take 'secretValue' out (and the token out of the file's "
        "history: replace it at the provider), then put it into the keyring: purser token set %s",
        text->secret_name ? text->secret_name : owner);
}

static int set_keyring(Loader *loader, const YamlNode *node, const char *name, TokenRef *token)
{
    if (!text_is_name(slice_of(name)))
        return yaml_fault(
            loader->doc, node, loader->fault,
            "a keyring entry's name is 1 to 63 of a-z, 0-9, '.', '_' and '-'; this names the entry "
            "('purser token set NAME'), it is not the token");
    token->kind = STORE_KEYRING;
    put_text(&token->name, name);
    return 0;
}

static int fill_token(Loader *loader, const YamlNode *node, const TokenText *text, const char *key,
                      const char *owner, TokenRef *token)
{
    bool database = strcmp(key, "credentialFrom") == 0;
    int n = !!text->keyring + !!text->file + !!text->secret_name + !!text->kubernetes + !!text->vault +
            !!text->github_app + !!text->oauth2 + !!text->token_request;
    if (text->secret_value && !(text->secret_value->kind == YAML_NULL ||
                                (text->secret_value->kind == YAML_TEXT && !text->secret_value->text[0])))
        return refuse_value(loader, text->secret_value, text, owner);
    if (n != 1)
        return yaml_fault(loader->doc, node, loader->fault,
                          "'%s' names %s: one of keyring, file, secretName, kubernetes and vault, or of "
                          "githubApp, oauth2 and "
                          "kubernetesTokenRequest; for example "
                          "'%s: {keyring: %s}'",
                          key, n ? "more than one place" : "no place", key, owner);
    if (text->keyring)
        return set_keyring(loader, yaml_get(node, "keyring"), text->keyring, token);
    if (text->kubernetes)
        return read_place(loader, text->kubernetes, &in_kubernetes, database, token);
    if (text->vault)
        return read_place(loader, text->vault, &in_vault, database, token);
    if (text->github_app)
        return parse_mint(loader, text->github_app, STORE_GITHUB_APP, token);
    if (text->oauth2)
        return parse_mint(loader, text->oauth2, STORE_OAUTH2, token);
    if (text->token_request)
        return parse_mint(loader, text->token_request, STORE_TOKEN_REQUEST, token);
    if (text->secret_name) {
        int r = set_keyring(loader, yaml_get(node, "secretName"), text->secret_name, token);
        if (!r)
            add_note(loader, "line %u: on one machine '%s: {secretName: %s}' is the keyring's entry %s.",
                     node->line, key, text->secret_name, text->secret_name);
        return r;
    }
    token->kind = STORE_FILE;
    put_text(&token->name, text->file);
    path_resolve(loader, &token->name);
    return 0;
}

int parse_token(Loader *loader, const YamlNode *node, const char *key, const char *owner, TokenRef *token)
{
    static const YamlField field[] = {
        YAML_FIELD(TokenText, "keyring", YAML_AS_TEXT, keyring, .most = 253),
        YAML_FIELD(TokenText, "file", YAML_AS_TEXT, file),
        YAML_FIELD(TokenText, "secretName", YAML_AS_TEXT, secret_name, .most = 253),
        YAML_FIELD(TokenText, "secretValue", YAML_AS_NODE, secret_value),
        YAML_FIELD(TokenText, "kubernetes", YAML_AS_NODE, kubernetes),
        YAML_FIELD(TokenText, "vault", YAML_AS_NODE, vault),
        YAML_FIELD(TokenText, "githubApp", YAML_AS_NODE, github_app),
        YAML_FIELD(TokenText, "oauth2", YAML_AS_NODE, oauth2),
        YAML_FIELD(TokenText, "kubernetesTokenRequest", YAML_AS_NODE, token_request),
    };
    if (node->kind == YAML_TEXT)
        return yaml_fault(
            loader->doc, node, loader->fault,
            "'%s' says where the token is kept, as in '%s: {keyring: %s}'; a token itself must not stand in "
            "a file: purser token set %s",
            key, key, owner, owner);
    TokenText text = {0};
    int r = YAML_READ_MAP(loader->doc, node, key, field, &text, loader->fault);
    if (!r)
        r = fill_token(loader, node, &text, key, owner, token);
    mem_free(text.keyring);
    mem_free(text.file);
    mem_free(text.secret_name);
    return r;
}
