/* What places have in common. See place.h. */
#include "rotate/place.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

int place_open(const RotateSetup *setup, Place **ret_place, Fault *fault)
{
    switch (setup->source.source.token.kind) {
    case STORE_KEYRING:
        return place_keyring_open(setup, ret_place, fault);
    case STORE_FILE:
        return place_file_open(setup, ret_place, fault);
    case STORE_VAULT:
        return place_vault_open(setup, ret_place, fault);
    case STORE_KUBERNETES:
        return place_kubernetes_open(setup, ret_place, fault);
    default:
        return fault_set(fault, -ENOTSUP,
                         "purser rotates tokens of the keyring, of files, of Vault's KV and of Kubernetes");
    }
}

/* "PROCESS SINCE\n", as the holder wrote it. */
static int busy(const Place *place, int fd, Fault *fault)
{
    char text[64] = "", age[24] = "an unknown time";
    uint64_t pid = 0, since = 0;
    Slice first, second;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    Slice line = {text, n > 1 ? (size_t)n - 1 : 0};
    int64_t now = clock_wall();
    if (slice_cut(line, ' ', &first, &second) && text_parse_u64(first, INT32_MAX, &pid) == 0 &&
        text_parse_u64(second, INT64_MAX, &since) == 0 && (int64_t)since <= now)
        text_human_duration(age, (uint64_t)now - since);
    return fault_set(fault, -EBUSY, "%s is being rotated by process %llu, for %s: wait for it to end",
                     place->label, (unsigned long long)pid, age);
}

int place_flock(Place *place, Fault *fault)
{
    CLEANUP_FD int fd = open(place->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault_set(fault, -errno, "the lock %s cannot be opened: %s", place->lock_path,
                         strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? busy(place, fd, fault)
                                    : fault_set(fault, -errno, "the lock %s cannot be taken: %s",
                                                place->lock_path, strerror(errno));
    char text[64];
    int n = snprintf(text, sizeof(text), "%d %lld\n", (int)getpid(), (long long)clock_wall());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        return fault_set(fault, -errno, "the lock %s cannot be written: %s", place->lock_path,
                         strerror(errno));
    place->lock_fd = fd_steal(&fd);
    return 0;
}

void place_take_story(Place *place, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    place->story.max = PLACE_STORY_MAX;
    buf_reset(&place->story);
    (void)!buf_append(&place->story, text ? text : "", len);
}

char *place_holder(void)
{
    char host[65] = "";
    if (gethostname(host, sizeof(host) - 1) < 0)
        host[0] = 0;
    return mem_printf("process %d on %s (%lld)", (int)getpid(), host, (long long)(clock_wall() % 1000000007));
}

static int64_t unheard(const PlaceHolder *holder)
{
    return holder->now > holder->beat ? holder->now - holder->beat : 0;
}

static bool goes_on(const RotateSetup *setup)
{
    return setup->act != ROTATE_START || setup->goes_on;
}

bool place_may_take_over(const RotateSetup *setup, const PlaceHolder *holder)
{
    return unheard(holder) > PLACE_STALE_US && goes_on(setup);
}

bool place_must_fence(const RotateSetup *setup, bool held, bool staged)
{
    return held || (staged && goes_on(setup));
}

int place_held(const Place *place, const PlaceHolder *holder, Fault *fault)
{
    char age[24], silent[24];
    bool stale = unheard(holder) > PLACE_STALE_US;
    text_human_duration(age, holder->now > holder->since ? (uint64_t)(holder->now - holder->since) : 0);
    text_human_duration(silent, (uint64_t)unheard(holder));
    return fault_set(fault, -EBUSY, "%s is being rotated by %s, for %s: wait for it to end%s%s%s",
                     place->label, holder->name, age, stale ? "; it has not been heard of for " : "",
                     stale ? silent : "", stale ? ", so --resume or --abort takes over" : "");
}

int place_taken_over(const Place *place, const char *by, Fault *fault)
{
    return fault_set(fault, -ESTALE, "%s: the rotation was taken over%s%s", place->label,
                     *by ? " by " : ", and has ended", by);
}

Place *place_free(Place *place)
{
    if (!place)
        return NULL;
    char *const text[] = {place->label, place->lock_path, place->held_by, place->holder};
    Buf story = place->story;
    fd_close(&place->lock_fd);
    place->driver->free(place);
    for (size_t i = 0; i < COUNT_OF(text); i++)
        mem_free(text[i]);
    buf_done(&story);
    return NULL;
}

void place_found_done(PlaceFound *found)
{
    secret_free(found->current);
    secret_free(found->staged[ROTATE_OLD]);
    secret_free(found->staged[ROTATE_NEW]);
    mem_free_strings(found->host, found->n_host);
    *found = (PlaceFound){0};
}

RotateCurrent place_current(const PlaceFound *found)
{
    return secret_same(found->current, found->staged[ROTATE_NEW])   ? ROTATE_CURRENT_NEW
           : secret_same(found->current, found->staged[ROTATE_OLD]) ? ROTATE_CURRENT_OLD
                                                                    : ROTATE_CURRENT_OTHER;
}

int place_mark(const PlaceFound *found, int64_t now, char out[static MARK_TEXT], Fault *fault)
{
    if (!found->current)
        return fault_set(fault, STORE_E_ABSENT, "there is no token there any more");
    int r = mark_make(found->current, now, out);
    return r ? fault_set(fault, r, "the locked memory is used up") : 0;
}

int place_stale(const Place *place, Fault *fault)
{
    return fault_set(fault, -ESTALE, "%s was changed meanwhile, to neither of the rotation's two tokens",
                     place->label);
}
