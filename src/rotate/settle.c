/* Waiting for agents. See settle.h. */
#include "rotate/settle.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/answer.h"

#include <fcntl.h>
#include <sys/file.h>

#define MAX_TOKENS (1u << 20)
#define POLL_US    200000
#define BEAT_US    (10L * CLOCK_SECOND)

bool settle_purser_runs(const RotateSetup *setup)
{
    CLEANUP_MEM char *path = mem_printf("%s/lock", setup->state);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
}

bool settle_somebody_runs(const RotateSetup *setup)
{
    return setup->shared || settle_purser_runs(setup);
}

uint64_t settle_most(const RotateSetup *setup)
{
    return setup->wait_said ? setup->interval : setup->interval + setup->revealed + SETTLE_MARGIN;
}

bool settle_has_fetched(Slice tokens, const char *source, int64_t since)
{
    CLEANUP_JSON json_t *json = answer_json(tokens);
    const json_t *list = json_object_get(json, "sources");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = answer_text(one, "source"), *fetched = answer_text(one, "fetched");
        int64_t at;
        if (name && fetched && strcmp(name, source) == 0 && clock_parse(slice_of(fetched), &at) == 0 &&
            at > since)
            return true;
    }
    return false;
}

static bool has_said(const RotateSetup *setup, int64_t switched)
{
    CLEANUP_BUF Buf text = BUF_INIT(MAX_TOKENS);
    CLEANUP_MEM char *path = mem_printf("%s/tokens.json", setup->state);
    return io_read_file(AT_FDCWD, path, &text) == 0 &&
           settle_has_fetched(buf_slice(&text), setup->source.source.name, switched);
}

void settle_wait(const RotateSetup *setup, int64_t switched, const Say *say, void (*beat)(void *context),
                 void *context)
{
    int64_t until = clock_mono() + (int64_t)settle_most(setup), now, beaten = clock_mono();
    bool told = setup->wait_said || setup->revealed ||
                setup->shared; /* a run that has the token itself says nothing */
    while ((now = clock_mono()) < until) {
        if (!setup->wait_said && !settle_somebody_runs(setup))
            break;
        if (!told && has_said(setup, switched)) {
            told = true;
            until = now + SETTLE_MARGIN < until ? now + SETTLE_MARGIN : until;
        }
        if (beat && now - beaten > BEAT_US) {
            beaten = now;
            beat(context);
        }
        say_left(say, (uint64_t)(until - now));
        usleep(POLL_US);
    }
    say_left(say, 0);
}
