/* Which retrievers a command is about. See select.h. */
#include "purser/select.h"

#include "base/log.h"
#include "base/mem.h"
#include "purser/command.h"

static void select_one(const Config *config, size_t index, Selection *selection)
{
    const Retriever *retriever = &config->retriever[index];
    if (selection->retriever[index])
        return;
    selection->retriever[index] = true;
    selection->n++;
    for (size_t i = 0; i < retriever->n_grant; i++)
        selection->source[retriever->grant[i].source] = true;
}

int select_retrievers(const Config *config, const Invocation *invocation, Selection *ret_selection)
{
    Selection selection = {MEM_NEW_ARRAY(bool, config->n_retriever), MEM_NEW_ARRAY(bool, config->n_source),
                           0};
    for (int i = 0; i < invocation->n_argument; i++) {
        int32_t index = config_find_retriever(config, invocation->argument[i]);
        if (index < 0) {
            log_error("There is no retriever %s in %s.", invocation->argument[i], config->path);
            select_done(&selection);
            return EXIT_USAGE;
        }
        select_one(config, (size_t)index, &selection);
    }
    for (size_t i = 0; invocation->n_argument == 0 && i < config->n_retriever; i++)
        select_one(config, i, &selection);
    *ret_selection = selection;
    return -1;
}

void select_done(Selection *selection)
{
    mem_free(selection->retriever);
    mem_free(selection->source);
    *selection = (Selection){0};
}
