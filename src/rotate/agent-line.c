/* A question and its answer as a line. See agent.h. */
#include "rotate/agent.h"

#include <errno.h>
#include <stdio.h>

static const char *const words[] = {"hold", "read", "go-on", "heard", "done", "failed"};

void agent_line_put(const AgentLine *line, char out[static AGENT_LINE + 1])
{
    snprintf(out, AGENT_LINE + 1, "%016llx %-8s\n", (unsigned long long)line->number, words[line->word]);
}

int agent_line_get(Slice text, AgentLine *ret_line)
{
    AgentLine line = {0};
    if (text.len != AGENT_LINE || text.ptr[16] != ' ' || text.ptr[AGENT_LINE - 1] != '\n')
        return -EBADMSG;
    for (size_t i = 0; i < 16; i++) {
        char c = text.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return -EBADMSG;
        line.number = line.number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        char word[AGENT_WORD + 1];
        snprintf(word, sizeof(word), "%-8s", words[i]);
        if (memcmp(word, text.ptr + 17, AGENT_WORD) == 0) { /* not secret */
            line.word = (AgentWord)i;
            *ret_line = line;
            return 0;
        }
    }
    return -EBADMSG;
}
