/* A sentence for a person. See fault.h. */
#include "base/fault.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cut between two characters: what is half a character is no text, and a database takes none of the batch. */
static void fault_put(Fault *fault, const char *raw, int len)
{
    size_t n = text_escape(fault->text, sizeof(fault->text), raw, (size_t)len), end = strlen(fault->text);
    if (n < sizeof(fault->text))
        return;
    if (end > sizeof(fault->text) - sizeof("..."))
        end = sizeof(fault->text) - sizeof("...");
    while (end && ((unsigned char)fault->text[end] & 0xC0) == 0x80)
        end--;
    memcpy(fault->text + end, "...", sizeof("..."));
}

int fault_set(Fault *fault, int code, const char *fmt, ...)
{
    if (!fault)
        return code;
    char raw[sizeof(fault->text) + 8]; /* what is cut here is cut again, between two characters */
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
