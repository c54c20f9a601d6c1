/* What the parts of the reader share: texts, paths, notes. See parse.h. */
#include "config/parse.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

void put_text(char **at, const char *text)
{
    char *fresh = mem_strdup(text);
    mem_free(*at);
    *at = fresh;
}

void path_resolve(const Loader *loader, char **path)
{
    if ((*path)[0] == '\0' || (*path)[0] == '/')
        return;
    char *absolute = mem_printf("%s/%s", loader->config->directory, *path);
    mem_free(*path);
    *path = absolute;
}

void add_note(Loader *loader, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (loader->config->n_note < 1024)
        MEM_PUSH(loader->config->note, loader->config->n_note, mem_strdup(text));
}
