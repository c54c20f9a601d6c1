/* A target's form is its own form again, and has none of what was to be refused. Also authorities. */
#include "http/credential.h"
#include "http/target.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(Slice path)
{
    static const char *const never[] = {"//",  "/./", "/../", "%2F", "%5C", "%00",
                                        "%3B", ";",   "\\",   "%2E", "%7E"};
    if (path.len == 0 || path.ptr[0] != '/' || slice_ends(path, "/.") || slice_ends(path, "/.."))
        abort();
    for (size_t i = 0; i < COUNT_OF(never); i++)
        if (memmem(path.ptr, path.len, never[i], strlen(never[i])))
            abort();
}

static void check_query(Slice query)
{
    for (Slice parameter, name, value; query.len;) {
        slice_cut(query, '&', &parameter, &query);
        slice_cut(parameter, '=', &name, &value);
        if (parameter.len == 0 || http_is_credential_parameter(name))
            abort();
    }
}

static void check_authority(Slice raw)
{
    char host[254], lower[254];
    uint16_t port, same;
    Fault fault = {""};
    if (target_parse_authority(raw, 443, host, &port, &fault)) {
        if (!fault.text[0])
            abort();
        return;
    }
    if (port == 0 || host[0] == '\0')
        abort();
    if (!strchr(host, ':') && (target_parse_authority(slice_of(host), port, lower, &same, &fault) ||
                               strcmp(host, lower) || same != port))
        abort();
}

/* Where encoded slashes are taken, only they differ; and none is next to nothing, or to dots. */
static void check_slashes(Slice raw, const Target *strict)
{
    static Target once, twice, plain;
    Fault fault = {""};
    if (target_normalise_slashes(raw, &once, &fault)) {
        if (strict)
            abort();
        return;
    }
    if (strict && (once.len != strict->len || memcmp(once.text, strict->text, once.len) != 0))
        abort();
    if (!strict && !target_has_slashes(target_path(&once)))
        abort();
    if (target_normalise_slashes((Slice){once.text, once.len}, &twice, &fault) || once.len != twice.len ||
        memcmp(once.text, twice.text, once.len) != 0)
        abort();
    size_t n = 0;
    for (size_t i = 0; i < once.path_len; i++) {
        bool slash = memcmp(once.text + i, "%2F", 3) == 0;
        twice.text[n++] = slash ? '/' : once.text[i];
        i += slash ? 2 : 0;
    }
    if (target_normalise((Slice){twice.text, n}, &plain, &fault))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Target once, twice;
    Slice raw = {(const char *)data, size};
    Fault fault = {""};
    check_authority(raw);
    if (target_normalise(raw, &once, &fault)) {
        if (!fault.text[0])
            abort();
        check_slashes(raw, NULL);
        return 0;
    }
    check_slashes(raw, &once);
    if (once.len > HTTP_MAX_TARGET || strlen(once.text) != once.len)
        abort();
    for (size_t i = 0; i < once.len; i++)
        if (once.text[i] <= ' ' || once.text[i] >= 0x7F || once.text[i] == '#')
            abort();
    check_path(target_path(&once));
    check_query(target_query(&once));
    if (target_normalise((Slice){once.text, once.len}, &twice, &fault) || once.len != twice.len ||
        once.path_len != twice.path_len || memcmp(once.text, twice.text, once.len) != 0)
        abort();
    return 0;
}
