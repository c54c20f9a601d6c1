/* The supervisor's part in revealing a token: it makes the file and hands it to the keeper; it never reads
 * it. See keeper/reveal.h.
 */
#pragma once

#include "supervisor/run.h"

/* Whether this grant's policy reveals its source's token, and the path at which the script will find it. */
bool reveal_is_granted(const Run *run, const GrantRef *grant);
void reveal_path(const Run *run, uint32_t source, char out[static 256]);

/* A file for each token that the run's policies reveal, in the order of message->reveal, which is filled in.
 * The caller closes them. -errno with a sentence. */
int reveal_files(Run *run, unsigned n, KeeperRun *message, int *ret_file, Fault *fault) MUST_USE;
