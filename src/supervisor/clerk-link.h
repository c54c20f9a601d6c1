/* The supervisor's side of a clerk: started when there is something to read from or load into the sink. */
#pragma once

#include "ipc/clerk.h"
#include "supervisor/keeper-link.h"

/* Starts a clerk and tells it its sink. keeper may be NULL when the sink needs no credential. */
int clerk_start(const Config *config, const Paths *paths, KeeperLink *keeper, Role *ret_clerk,
                Fault *fault) MUST_USE;

/* The same in two steps, so that a clerk is linked and loaded while its starter is busy with others: the
 * process, then what its sink is. */
int clerk_fork(const Config *config, const Paths *paths, Role *ret_clerk, Fault *fault) MUST_USE;
int clerk_tell(const Config *config, KeeperLink *keeper, Role *clerk, Fault *fault) MUST_USE;

/* Called for each record before a command's end. */
typedef void ClerkRecord(const IpcRecord *record, void *context);

/* One command, to its end (at most timeout_ms between records). 0 when the clerk says CLERK_OK; a CLERK_E_
 * value or -errno with a sentence otherwise. */
int clerk_command(Role *clerk, uint16_t type, const WireWriter *payload, const int *fd, size_t n_fd,
                  int timeout_ms, ClerkRecord *on_record, void *context, Fault *fault) MUST_USE;
/* The same in two: meanwhile something else can be done. */
int clerk_begin(Role *clerk, uint16_t type, const WireWriter *payload, const int *fd, size_t n_fd,
                Fault *fault) MUST_USE;
int clerk_await(Role *clerk, int timeout_ms, ClerkRecord *on_record, void *context, Fault *fault) MUST_USE;

/* Whose clerk: purser's own user, or the owner of the folder that an SQLite file of the user's own choice
 * lies in. */
UserId clerk_user(const Config *config);

/* EXIT_SINK, EXIT_FAILED: the exit status that a clerk's answer means. */
int clerk_exit_status(int result);
