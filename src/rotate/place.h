/* Where a token is kept, as a rotation needs it: read, stage both, replace the current one by one of the two,
 * tidy up; and one rotation at a time. Each write is whole or not at all, and on the disk when it returns. A
 * driver is one file. Runs in purser-rotate.
 */
#pragma once

#include "base/clock.h"
#include "ipc/rotate.h"
#include "rotate/plan.h"
#include "store/mark.h"
#include "store/store.h"

typedef struct Place Place;

typedef struct PlaceFound {
    Sealed *current;   /* NULL: there is none */
    Sealed *staged[2]; /* by RotateToken; the old one alone: it is being revoked */
    char **host;       /* where the current one may be sent; n_host 0: not restricted */
    size_t n_host;
    int64_t set; /* wall us; 0: not known */
} PlaceFound;

typedef struct PlaceDriver {
    /* One rotation at a time: -EBUSY, and who holds it for how long. Ends with the process, or with free().
     */
    int (*lock)(Place *place, Fault *fault);
    void (*beat)(
        Place *place); /* says that this one still lives, a few times a minute; NULL: the kernel knows */
    int (*look)(Place *place, PlaceFound *ret_found, Fault *fault);
    int (*stage)(Place *place, const Sealed *old, const Sealed *fresh, Fault *fault);
    /* -ESTALE with a sentence when the current one is neither of the two. */
    int (*put)(Place *place, RotateToken which, Fault *fault);
    int (*clear)(Place *place, Fault *fault);
    /* The current one is given out no more; it stays staged as the old one, where nothing was staged. */
    int (*withdraw)(Place *place, Fault *fault);
    int (*may_write)(Place *place, Fault *fault); /* for --dry-run: changes nothing */
    /* Where others share the store, the journal lies beside the lock; NULL both where not. tell(): the whole
     * of it, which is there when it returns; hear(): without taking the lock, into place->story and
     * place->held_by. */
    int (*tell)(Place *place, Slice story, Fault *fault);
    int (*hear)(Place *place, Fault *fault);
    Place *(*free)(Place *place);
} PlaceDriver;

/* A driver's own state begins with this. */
struct Place {
    const PlaceDriver *driver;
    char *label;     /* "the keyring's entry github" */
    char *lock_path; /* beside the token, for place_flock() */
    int lock_fd;
    char *holder;  /* of a lock in the store: this process; NULL: it is the kernel's */
    Buf story;     /* the journal in the store, as lock() or hear() found it, or as it was told */
    char *held_by; /* as hear() found it; NULL: nobody */
};

#define PLACE_STORY_MAX (64u << 10)

/* All borrowed. -errno or STORE_E_ with a sentence. */
int place_open(const RotateSetup *setup, Place **ret_place, Fault *fault) MUST_USE;
int place_flock(Place *place, Fault *fault) MUST_USE; /* the lock of places on this machine */
Place *place_free(Place *place);                      /* takes NULL, returns NULL */

void place_found_done(PlaceFound *found);
/* What withdraw() leaves in the place of the current token, of which there must be one. */
int place_mark(const PlaceFound *found, int64_t now, char out[static MARK_TEXT], Fault *fault) MUST_USE;
int place_stale(const Place *place, Fault *fault); /* -ESTALE and its sentence */
/* What is current, as the plan has it. */
RotateCurrent place_current(const PlaceFound *found);
static inline bool place_is_staged(const PlaceFound *found)
{
    return found->staged[ROTATE_OLD] && found->staged[ROTATE_NEW];
}

/* A lock that lies in the store is a holder's name, who says every so often that he lives. */
#define PLACE_BEAT_US  (10L * CLOCK_SECOND)
#define PLACE_STALE_US (60L * CLOCK_SECOND) /* one that has not been heard of for so long is dead */

typedef struct PlaceHolder {
    const char *name;    /* printable */
    int64_t since, beat; /* wall us, by the store's clock, as is: */
    int64_t now;
} PlaceHolder;

void place_take_story(Place *place, const char *text); /* NULL: none; longer than it may be: none */
char *place_holder(void);                              /* this process: "process 12 on host (7)" */
bool place_may_take_over(const RotateSetup *setup, const PlaceHolder *holder);
/* Whoever goes on with what another process has begun has that one's writes fail first: it may stand still in
 * the middle of one, or may have got no answer to one that is under way still. `held`: it holds the lock;
 * `staged`: whether it has let it go or not. */
bool place_must_fence(const RotateSetup *setup, bool held, bool staged);
int place_held(const Place *place, const PlaceHolder *holder, Fault *fault); /* -EBUSY and its sentence */
/* -ESTALE and its sentence; by "": it has ended. */
int place_taken_over(const Place *place, const char *by, Fault *fault);

/* The drivers; setup->source.source.token is theirs. */
int place_keyring_open(const RotateSetup *setup, Place **ret_place, Fault *fault) MUST_USE;
int place_vault_open(const RotateSetup *setup, Place **ret_place, Fault *fault) MUST_USE;
int place_kubernetes_open(const RotateSetup *setup, Place **ret_place, Fault *fault) MUST_USE;
int place_file_open(const RotateSetup *setup, Place **ret_place, Fault *fault) MUST_USE;
