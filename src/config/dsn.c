/* Whether a PostgreSQL connection string, in either of libpq's forms, holds a password. It errs on the side
 * of saying so. See parse.h. */
#include "config/parse.h"

#include <ctype.h>

static bool is_secret_key(Slice key)
{
    return slice_is_nocase(key, "password") || slice_is_nocase(key, "sslpassword") ||
           slice_is_nocase(key, "oauth_client_secret") || memchr(key.ptr, '%', key.len);
}

static bool url_has_password(Slice rest)
{
    Slice before_query, query, pair, key, value;
    slice_cut(rest, '?', &before_query, &query);
    const char *at = memrchr(before_query.ptr, '@', before_query.len);
    if (at && memchr(before_query.ptr, ':', (size_t)(at - before_query.ptr)))
        return true;
    while (query.len) {
        slice_cut(query, '&', &pair, &query);
        slice_cut(pair, '=', &key, &value);
        if (is_secret_key(key))
            return true;
    }
    return false;
}

/* Past one value of the keyword form: quoted, or up to a blank, with backslashes. */
static const char *skip_value(const char *p)
{
    bool quoted = *p == '\'';
    for (p += quoted; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (quoted ? *p == '\'' : isspace((unsigned char)*p))
            return p + 1;
    }
    return p;
}

bool dsn_has_password(const char *dsn)
{
    const char *url = strstr(dsn, "://");
    if (url)
        return url_has_password(slice_of(url + 3));
    for (const char *p = dsn; *p;) {
        while (isspace((unsigned char)*p))
            p++;
        const char *key = p;
        while (*p && *p != '=' && !isspace((unsigned char)*p))
            p++;
        if (is_secret_key((Slice){key, (size_t)(p - key)}))
            return true;
        while (isspace((unsigned char)*p))
            p++;
        if (*p != '=')
            continue;
        p++;
        while (isspace((unsigned char)*p))
            p++;
        p = skip_value(p);
    }
    return false;
}
