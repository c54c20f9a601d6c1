/* What a rotation and the purser beside it write for each other: a line that is taken comes out as it went
 * in. */
#include "rotate/agent.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AgentLine line;
    char again[AGENT_LINE + 1];
    if (agent_line_get((Slice){(const char *)data, size}, &line) != 0)
        return 0;
    agent_line_put(&line, again);
    if (size != AGENT_LINE || memcmp(again, data, size) != 0) /* not secret */
        abort();
    return 0;
}
