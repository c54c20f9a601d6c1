/* The state folder, and what a run has in it. Made and opened by the supervisor alone; roles are handed
 * descriptors.
 *
 *   STATE/lock            one supervisor at a time
 *   STATE/users           which user id a retriever has (root only)
 *   STATE/keyring*        sealed tokens and their key
 *   STATE/audit/          audit.ndjson, and the files before it (audit-files.h)
 *   STATE/sink/           purser.db, the default sink (the clerk's user)
 *   STATE/envs/NAME-HASH  prepared environments, and NAME-HASH.ready
 *   STATE/runs/ID/        run.json, log, script/ (a copy), work/ (its HOME), out/ ($OUTPUTDIR)
 *   RUNTIME/N/            http and run: the sockets of a run (short paths; gone with the process)
 *   MEMORY/tN/            tokens that are revealed to the run, a file each: MEMORY is RUNTIME, where that is
 *                         memory (a tmpfs), else a folder of /dev/shm
 */
#pragma once

#include "base/buf.h"
#include "supervisor/users.h"

typedef struct State {
    char *path;
    int fd, runs_fd, envs_fd;
    int lock_fd;
    int audit_fd;          /* where the audit's lines go instead of STATE/audit/; -1: nowhere else */
    const char *audit_key; /* path of its key; NULL: STATE/audit.key. Borrowed */
    char runtime[64];      /* "" until state_runtime() */
    char memory[64];       /* "" until state_memory() */
} State;

#define STATE_NONE ((State){.fd = -1, .runs_fd = -1, .envs_fd = -1, .lock_fd = -1, .audit_fd = -1})

/* Makes what is missing; -errno with a sentence, also when another's process could not reach its run's folder
 * (a parent that is closed to other users while purser runs as root). */
int state_open(const char *path, State *ret_state, Fault *fault) MUST_USE;
int state_lock(State *state, Fault *fault) MUST_USE; /* -EBUSY: another purser works here, named by its pid */
bool state_is_used(const State *state);              /* whether a purser works here now */
int state_runtime(State *state, Fault *fault) MUST_USE; /* the short folder for sockets */
const char *state_runtime_base(void);                   /* in which it is made */
int state_memory(State *state, Fault *fault) MUST_USE;  /* after state_runtime(): the folder for tokens */
bool state_is_memory(const char *path);                 /* what lies there lies on no disk */
void state_close(State *state);                         /* removes both, files of the latter overwritten */

typedef struct RunFolder {
    char path[1200]; /* STATE/runs/ID */
    int fd;
    int out_fd;       /* O_PATH-free directory descriptor of out/ */
    int log_fd;       /* append */
    char sockets[96]; /* RUNTIME/N */
    char tokens[96];  /* MEMORY/tN; "": none is revealed */
} RunFolder;

#define RUN_FOLDER_NONE ((RunFolder){.fd = -1, .out_fd = -1, .log_fd = -1})

/* Makes STATE/runs/ID with work/ and out/ of that user, or (collect) opens what is there. */
int run_folder_open(State *state, const char *id, const UserId *user, bool collect, RunFolder *ret_folder,
                    Fault *fault) MUST_USE;
/* In a pod: makes STATE/runs/ID for run.json alone. */
int run_folder_open_bare(State *state, const char *id, RunFolder *ret_folder, Fault *fault) MUST_USE;
/* Copies the regular files of `from` (at most 1,000, 64 MiB, 4 deep) into script/, readable by everyone. */
int run_folder_copy_script(RunFolder *folder, const char *from, Fault *fault) MUST_USE;
/* Listening sockets of this user in RUNTIME/N: stream and seqpacket. */
int run_folder_listen(State *state, RunFolder *folder, unsigned n, const UserId *user, int *ret_http,
                      int *ret_run, Fault *fault) MUST_USE;
/* The same in a folder that another container has too, for any user there; type: SOCK_STREAM, SOCK_SEQPACKET.
 */
int run_folder_listen_shared(const char *folder, const char *name, int type, int *ret_fd,
                             Fault *fault) MUST_USE;
/* An empty file in MEMORY/tN for a token that is revealed: mode 0400, this user's, open for writing. In a pod
 * (folder->tokens is set already): in that folder, for any user of the container that shares it. */
int run_folder_reveal(State *state, RunFolder *folder, unsigned n, const UserId *user, const char *source,
                      int *ret_fd, Fault *fault) MUST_USE;
void run_folder_end_reveal(RunFolder *folder); /* overwrites and removes them */
void run_folder_close(RunFolder *folder);
/* Removes work/, script/ and (unless it is kept) out/; log and run.json stay until pruned. */
void run_folder_clean(RunFolder *folder, bool keep_output);

/* Writes a small file whole: temporary, fsync, rename. */
int state_write(int dir_fd, const char *name, Slice text, mode_t mode) MUST_USE;

/* Removes a tree, however deep it is, without ever following a link. -errno of the first failure; what can go
 * goes. */
int tree_remove(int dir_fd, const char *name) MUST_USE;
/* The same; what is in its plain files is overwritten first. */
int tree_wipe(int dir_fd, const char *name) MUST_USE;
