/* A sentence for a person. See fault.h. */
#include "base/fault.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fault_put(Fault *fault, const char *raw, int len)
{
    size_t n = text_escape(fault->text, sizeof(fault->text), raw, (size_t)len);
    if (n >= sizeof(fault->text))
        memcpy(fault->text + sizeof(fault->text) - 4, "...", 4);
}

int fault_set(Fault *fault, int code, const char *fmt, ...)
{
    if (!fault)
        return code;
    char raw[sizeof(fault->text)];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(raw, sizeof(raw), fmt, args);
    va_end(args);
    fault_put(fault, raw, n < 0 ? 0 : n >= (int)sizeof(raw) ? (int)sizeof(raw) - 1 : n);
    return code;
}

int fault_prefix(Fault *fault, int code, const char *fmt, ...)
{
    if (!fault)
        return code;
    char raw[2 * sizeof(fault->text) + 2];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(raw, sizeof(fault->text), fmt, args);
    va_end(args);
    if (n < 0)
        n = 0;
    if (n >= (int)sizeof(fault->text))
        n = (int)sizeof(fault->text) - 1;
    int m = snprintf(raw + n, sizeof(raw) - (size_t)n, ": %s", fault->text);
    fault_put(fault, raw, n + (m < 0 ? 0 : m));
    return code;
}
