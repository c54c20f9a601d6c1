/* The supervisor's side of the keeper: starting it with its part of the configuration, opening and closing
 * runs. */
#pragma once

#include "ipc/keeper.h"
#include "purser/paths.h"
#include "purser/role.h"
#include "purser/state.h"

typedef struct KeeperLink {
    Role role;
    bool *found;     /* per source: its token was found */
    char **sentence; /* per source: why not, or "" */
    size_t n_source;
} KeeperLink;

#define KEEPER_NONE ((KeeperLink){.role = ROLE_NONE})

/* Starts it and waits until it is locked in (at most 60 s: a passphrase is stretched on purpose).
 * used: per source, whether some run may use it. Missing tokens are not a failure: see found. */
int keeper_start(const Config *config, const Paths *paths, State *state, const bool *used,
                 KeeperLink *ret_keeper, Fault *fault) MUST_USE;
void keeper_stop(KeeperLink *keeper);

/* Tells the keeper about a run; the descriptors (the keeper's end of the gate's channel, the files of
 * revealed tokens) stay the caller's. */
int keeper_run_open(KeeperLink *keeper, const KeeperRun *run, const int *fd, size_t n_fd,
                    Fault *fault) MUST_USE;
int keeper_run_close(KeeperLink *keeper, const char *run, Fault *fault) MUST_USE;

/* Has the keeper send the credential to a clerk; clerk_fd stays the caller's. */
int keeper_send_credential(KeeperLink *keeper, const TokenRef *ref, int clerk_fd, Fault *fault) MUST_USE;

/* A read-only descriptor of the public roots: site.caFile, or the system's bundle. -errno with a sentence. */
int open_public_roots(const Config *config, int *ret_fd, Fault *fault) MUST_USE;
