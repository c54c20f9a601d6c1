/* The files that the keeper was told of: token files, service-account tokens, CA bundles, client keys. It
 * opens none itself. Each came as a descriptor at set-up; one that is wanted again is asked for again, so
 * that a file which was replaced (kubelet's symlink swap, a rename) is seen as it is now, also where the
 * keeper's user may not open it.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

#include <event2/event.h>

#define STORE_FILES_PATIENCE_S 5

typedef struct StoreFiles StoreFiles;

/* fd: the callee's own; -1: `fault` says why. */
typedef void StoreFileDone(void *context, int fd, const Fault *fault);
typedef void StoreFilesAsk(void *context, uint32_t index);

StoreFiles *store_files_new(struct event_base *base, StoreFilesAsk *ask, void *context);
StoreFiles *store_files_free(StoreFiles *files);

/* What the supervisor sent: at set-up in order, later in answer to ask(). Takes the descriptor over. -EPROTO.
 */
int store_files_give(StoreFiles *files, uint32_t index, const char *path, int fd, int error) MUST_USE;

/* Calls done() at once with the descriptor of set-up, the first time; later when the supervisor has answered.
 */
void store_files_open(StoreFiles *files, const char *path, StoreFileDone *done, void *context);

/* Reads one whole file; it must be a regular one, and fit. -errno with a sentence. Closes fd. */
int store_file_read(const char *path, int fd, Buf *buf, Fault *fault) MUST_USE;
