/* Building a retriever's virtual environment: before any lease exists, without a lease, proxy key or CA of
 * purser's. */
#pragma once

#include "runner/options.h"
#include "runner/output.h"

/* The site's own package index and proxy, as its administrator has set them for pip: passed on by name. */
#define PREPARE_PASSED                                                                                       \
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONFIG_FILE", "PIP_CERT",                 \
        "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_NO_INDEX", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",    \
        "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"

/* The exit status: 0 when the environment is whole. */
int prepare(const Options *options, int signal_fd, OutputSink *sink) MUST_USE;
