/* A Location: what is noted of it is a host as hosts are written and a target in the one form, and the same
 * when it is read again. */
#include "keeper/redirect.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Target target, again;
    static char url[HTTP_MAX_TARGET + 300];
    char host[254], same[254];
    if (size == 0 || !redirect_parse((Slice){(const char *)data, size}, host, &target))
        return 0;
    for (const char *at = host; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            abort();
    if (strchr(host, '@') || strchr(host, '/') || target.text[0] != '/')
        abort();
    bool literal = strchr(host, ':');
    snprintf(url, sizeof(url), "https://%s%s%s%s", literal ? "[" : "", host, literal ? "]" : "", target.text);
    if (!redirect_parse(slice_of(url), same, &again) || strcmp(host, same) != 0 || again.len != target.len ||
        memcmp(again.text, target.text, target.len) != 0)
        abort();
    return 0;
}
