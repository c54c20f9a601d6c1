/* Handing over to purser-rotate, which `purser rotate` and `purser revoke` become. */
#pragma once

#include "ipc/rotate.h"
#include "supervisor/session.h"

/* file: of --file, or NULL. `said` is what the command line said; the rest comes from the configuration.
 * Returns only when it could not: an exit status, after saying why. */
int rotate_hand_over(const char *file, const char *source, const KubernetesLogin *login,
                     const RotateSetup *said);

/* One that is not waited for. `said->tells`: *ret_result_fd yields "WORD SENTENCE\n" at its end.
 * `said->unattended`: it has no standard input, and its steps are not shown. -errno with a sentence. */
typedef struct RotateChild {
    pid_t pid;
    int result_fd; /* -1: none */
} RotateChild;
int rotate_start(const Session *session, const Source *source, const RotateSetup *said,
                 RotateChild *ret_child, Fault *fault) MUST_USE;

/* What it has said, once it has ended: "rotated", "young", "failed", ... and a sentence. Closes the
 * descriptor. */
typedef struct RotateResult {
    char word[16];
    char sentence[1024];
} RotateResult;
void rotate_result(RotateChild *child, RotateResult *ret_result);

/* `purser rotate --all`: each source after the other. An exit status. */
int rotate_all(const char *file, const KubernetesLogin *login, const RotateSetup *said);

/* Whether `purser rotate` could get a new token without a person. */
bool rotate_has_origin(const Source *source, const RotateSetup *said);
/* What of a source is rotated: its token, or the private key that a GitHub App's is minted with. */
const TokenRef *rotate_kept(const Source *source);
