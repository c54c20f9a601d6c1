/* What a provider has told of a token. See known.h. */
#include "rotate/known.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>

void known_write(const RotateSetup *setup, const Account *account)
{
    CLEANUP_BUF Buf text = BUF_INIT(8192);
    JsonWriter json = JSON_WRITER(&text);
    CLEANUP_MEM char *folder = mem_printf("%s/rotate", setup->state);
    CLEANUP_MEM char *name = mem_printf("%s.json", setup->source.source.name);
    json_object_begin(&json, NULL);
    json_text(&json, "source", setup->source.source.name);
    json_time(&json, "asked", clock_wall());
    json_text(&json, "account", account->identity[0] ? account->identity : NULL);
    json_time(&json, "expires", account->expires);
    json_object_end(&json);
    CLEANUP_FD int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = dir < 0 ? -errno : json_finish(&json);
    r = r ? r : io_replace(dir, name, buf_slice(&text), 0600);
    if (r)
        log_warning("what the provider tells of the token cannot be kept in %s/%s: %s", folder, name,
                    strerror(-r));
}
