/* The purser that runs on this state folder, as a rotation speaks to it. Both are one user's processes,
 * started apart, and the state folder is what they share: purser-rotate writes a question into
 * STATE/rotate/SOURCE.ask, on which it holds a lock as long as it lives; the supervisor is told of the write
 * by the kernel (inotify), asks its keeper (keeper/hold.h) and writes the answer into
 * STATE/rotate/SOURCE.said.
 *
 *   ask    "00c0ffee00c0ffee hold    \n"    16 hexadecimal digits, a word of 8
 *   said   "00c0ffee00c0ffee heard   \n"    at once; then "done" or "failed"
 *
 * When the lock goes, whoever died, the source's requests go on; the keeper's own time ends a hold too.
 */
#pragma once

#include "ipc/rotate.h"

#define AGENT_WORD   8
#define AGENT_LINE   (16 + 1 + AGENT_WORD + 1)
#define AGENT_HEARD  3000000  /* us: nobody who listens takes longer to say so */
#define AGENT_ANSWER 20000000 /* us: the keeper's own bound is half of it */

typedef enum AgentWord {
    AGENT_HOLD,
    AGENT_READ,
    AGENT_GO_ON,
    AGENT_SAYS_HEARD,
    AGENT_SAYS_DONE,
    AGENT_SAYS_FAILED
} AgentWord;

typedef struct AgentLine {
    uint64_t number;
    AgentWord word;
} AgentLine;

void agent_line_put(const AgentLine *line, char out[static AGENT_LINE + 1]);
/* Pure. -EBADMSG: it is none. */
int agent_line_get(Slice text, AgentLine *ret_line) MUST_USE;

typedef struct Agent Agent;

/* *ret_agent NULL: nobody runs there. -errno with a sentence. */
int agent_open(const RotateSetup *setup, Agent **ret_agent, Fault *fault) MUST_USE;
/* Waits for the answer. -ENOTCONN: who runs there does not listen; -EIO: it could not, both with a sentence.
 */
int agent_ask(Agent *agent, AgentWord word, Fault *fault) MUST_USE;
Agent *agent_close(Agent *agent); /* what was held goes on; takes NULL, returns NULL */
