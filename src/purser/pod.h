/* What the commands of a pod share: `purser init`, `agent` and `ready`. */
#pragma once

#include "supervisor/session.h"

#include <event2/util.h>

/* Standard output for the audit alone; whatever else is printed goes to standard error from here on. */
int pod_take_stdout(void);

/* Whether the sink outlives the pod; says so where it does not. */
bool pod_check_sink(const Session *session);

/* The socket by which `purser ready` sees that an agent is there: STATE/ready. */
int pod_ready_listen(const State *state, int *ret_fd, Fault *fault) MUST_USE;
void pod_ready_answer(evutil_socket_t listener, short what, void *context); /* of libevent */
int pod_ready_ask(const char *state_path, Fault *fault) MUST_USE;

/* What `kubectl describe` shows of a container that has ended: from here on the first error goes to
 * $PURSER_TERMINATION_LOG, or to the pod's own place for it, as well. */
void pod_tell_end(void);
