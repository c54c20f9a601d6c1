/* `auth:` of a source or a provider: bearer, token, {basic: USER}, {header: NAME}. See parse.h. */
#include "config/parse.h"

#include "base/mem.h"

#include <errno.h>

typedef struct AuthText {
    char *basic, *header;
} AuthText;

static bool is_header_name(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= 64 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == n;
}

/* Names that carry something else than a token, or that purser writes itself. */
static bool is_taken_header(const char *name)
{
    static const char *const taken[] = {
        "Host", "Content-Length", "Transfer-Encoding", "Connection",   "Cookie", "Set-Cookie", "Upgrade",
        "TE",   "Trailer",        "Accept-Encoding",   "Content-Type", "Expect", "Range",      "Keep-Alive"};
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        if (slice_is_nocase(slice_of(name), taken[i]))
            return true;
    return slice_starts_nocase(slice_of(name), "Proxy-");
}

static int fill_auth(const YamlDoc *doc, const YamlNode *node, AuthText *text, Auth *auth, Fault *fault)
{
    if (!text->basic == !text->header)
        return yaml_fault(doc, node, fault, "'auth' has either 'basic: USER' or 'header: NAME'");
    if (text->header && (!is_header_name(text->header) || is_taken_header(text->header)))
        return yaml_fault(doc, yaml_get(node, "header"), fault,
                          "'%.80s' cannot be the header that carries a token", text->header);
    if (text->basic && strchr(text->basic, ':'))
        return yaml_fault(doc, yaml_get(node, "basic"), fault,
                          "'basic' is the user name alone, without ':'; the token comes from the store");
    auth->scheme = text->basic ? AUTH_BASIC : AUTH_HEADER;
    put_text(&auth->user, text->basic ? text->basic : "");
    put_text(&auth->header, text->header ? text->header : "");
    return 0;
}

int parse_auth(const YamlDoc *doc, const YamlNode *node, Auth *auth, Fault *fault)
{
    static const YamlField field[] = {
        YAML_FIELD(AuthText, "basic", YAML_AS_TEXT, basic, .most = 256),
        YAML_FIELD(AuthText, "header", YAML_AS_TEXT, header, .most = 64),
    };
    if (node->kind == YAML_TEXT) {
        bool bearer = strcmp(node->text, "bearer") == 0;
        if (!bearer && strcmp(node->text, "token") != 0)
            return yaml_fault(
                doc, node, fault,
                "'auth' is bearer, token, {basic: USER} or {header: NAME}; it says how the API takes a "
                "token, never the token itself");
        auth->scheme = bearer ? AUTH_BEARER : AUTH_TOKEN;
        put_text(&auth->user, "");
        put_text(&auth->header, "");
        return 0;
    }
    AuthText text = {0};
    int r = YAML_READ_MAP(doc, node, "auth", field, &text, fault);
    if (!r)
        r = fill_auth(doc, node, &text, auth, fault);
    mem_free(text.basic);
    mem_free(text.header);
    return r;
}
