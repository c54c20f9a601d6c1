/* The supervisor's side of the keeper: starting it with its part of the configuration, opening and closing
 * runs. */
#pragma once

#include "ipc/keeper.h"
#include "supervisor/paths.h"
#include "supervisor/role.h"
#include "supervisor/state.h"

/* One source's token, as the keeper has told. */
typedef struct KeeperFound {
    bool known; /* false: it is still being fetched */
    KeeperToken token;
} KeeperFound;

typedef struct KeeperLink {
    Role role;
    KeeperFound *found; /* per source */
    size_t n_source;
    const KubernetesConfig *kubernetes;
    char **file; /* that the keeper may ask for anew, by index */
    size_t n_file;
    int wait_ms; /* for its next word, while it waits for a store */
} KeeperLink;

#define KEEPER_NONE ((KeeperLink){.role = ROLE_NONE})

/* Starts it and waits until it is locked in (at most 60 s: a passphrase is stretched on purpose).
 * used: per source, whether some run may use it. Missing tokens are not a failure: see found. Those that come
 * over the network may not be known yet. */
int keeper_start(const Config *config, const Paths *paths, State *state, const bool *used,
                 KeeperLink *ret_keeper, Fault *fault) MUST_USE;
/* The same in two: meanwhile something else can be done. */
int keeper_begin(const Config *config, const Paths *paths, State *state, const bool *used,
                 KeeperLink *ret_keeper, Fault *fault) MUST_USE;
int keeper_await(KeeperLink *keeper, Fault *fault) MUST_USE;
void keeper_stop(KeeperLink *keeper);

/* Waits until how each token stands is known; see role_mind(). */
int keeper_await_tokens(KeeperLink *keeper, Fault *fault) MUST_USE;
/* IPC_KEEPER_TOKEN and IPC_KEEPER_FILE_WANTED, whenever they come; -EPROTO for any other record. */
int keeper_take_record(KeeperLink *keeper, const IpcRecord *record, Fault *fault) MUST_USE;

/* Tells the keeper about a run; the descriptors (the keeper's end of the gate's channel, the files of
 * revealed tokens) stay the caller's. */
int keeper_run_open(KeeperLink *keeper, const KeeperRun *run, const int *fd, size_t n_fd,
                    Fault *fault) MUST_USE;
int keeper_run_close(KeeperLink *keeper, const char *run, Fault *fault) MUST_USE;

/* Puts the audit's file aside when it is time, and tells the keeper in which to go on. */
void keeper_turn_audit(KeeperLink *keeper, const State *state, uint64_t retain);

/* Has the keeper send the credential to a clerk; clerk_fd stays the caller's. */
int keeper_send_credential(KeeperLink *keeper, const TokenRef *ref, int clerk_fd, Fault *fault) MUST_USE;

/* A read-only descriptor of the public roots: site.caFile, or the system's bundle. -errno with a sentence. */
int open_public_roots(const Config *config, int *ret_fd, Fault *fault) MUST_USE;
