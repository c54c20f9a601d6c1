/* Building a retriever's virtual environment: before any lease exists, without a lease, proxy key or CA of
 * purser's. */
#pragma once

#include "runner/options.h"
#include "runner/output.h"

/* The exit status: 0 when the environment is whole. */
int prepare(const Options *options, int signal_fd, OutputSink *sink) MUST_USE;
