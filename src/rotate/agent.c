/* Speaking to the purser that runs here. See agent.h. */
#include "rotate/agent.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "rotate/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>

#define POLL_US    5000
#define LOCK_TRIES 200 /* of POLL_US: the supervisor looks at the lock for a moment */

struct Agent {
    char *ask, *said;
    int fd;
    uint64_t number;
};

static int open_ask(Agent *agent, Fault *fault)
{
    agent->fd = open(agent->ask, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = agent->fd < 0 ? -errno : -EWOULDBLOCK;
    for (int i = 0; r == -EWOULDBLOCK && i < LOCK_TRIES; i++) {
        r = flock(agent->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
        if (r)
            usleep(POLL_US);
    }
    return r ? fault_set(fault, r, "%s cannot be locked: %s", agent->ask, strerror(-r)) : 0;
}

int agent_open(const RotateSetup *setup, Agent **ret_agent, Fault *fault)
{
    *ret_agent = NULL;
    if (!settle_purser_runs(setup))
        return 0;
    Agent *agent = MEM_NEW(Agent);
    *agent = (Agent){.ask = mem_printf("%s/rotate/%s.ask", setup->state, setup->source.source.name),
                     .said = mem_printf("%s/rotate/%s.said", setup->state, setup->source.source.name),
                     .fd = -1};
    randombytes_buf(&agent->number, sizeof(agent->number));
    int r = open_ask(agent, fault);
    if (r)
        agent_close(agent);
    else
        *ret_agent = agent;
    return r;
}

/* What the other has said to this question: one of AGENT_SAYS_..., or -1. */
static int hear(const Agent *agent)
{
    CLEANUP_BUF Buf text = BUF_INIT(256);
    AgentLine line;
    if (io_read_file(AT_FDCWD, agent->said, &text) != 0 || agent_line_get(buf_slice(&text), &line) ||
        line.number != agent->number || line.word < AGENT_SAYS_HEARD)
        return -1;
    return (int)line.word;
}

int agent_ask(Agent *agent, AgentWord word, Fault *fault)
{
    char text[AGENT_LINE + 1];
    int said = -1;
    agent->number++;
    agent_line_put(&(AgentLine){agent->number, word}, text);
    if (pwrite(agent->fd, text, AGENT_LINE, 0) != AGENT_LINE)
        return fault_set(fault, -errno, "%s cannot be written: %s", agent->ask, strerror(errno));
    int64_t began = clock_mono();
    for (;;) {
        said = hear(agent);
        int64_t waited = clock_mono() - began;
        if (said == AGENT_SAYS_DONE)
            return 0;
        if (said == AGENT_SAYS_FAILED)
            return fault_set(fault, -EIO, "the purser that runs here could not do it; its own log says why");
        if (waited > (said < 0 ? AGENT_HEARD : AGENT_ANSWER))
            return fault_set(fault, -ENOTCONN, "the purser that runs here does not answer");
        usleep(POLL_US);
    }
}

Agent *agent_close(Agent *agent)
{
    if (!agent)
        return NULL;
    if (agent->fd >= 0) {
        unlink(agent->ask);
        unlink(agent->said);
    }
    fd_close(&agent->fd);
    mem_free(agent->ask);
    mem_free(agent->said);
    mem_free(agent);
    return NULL;
}
