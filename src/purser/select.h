/* Which retrievers a command is about: those named, or all. And which sources those may use. */
#pragma once

#include "purser/command.h"
#include "supervisor/paths.h"

typedef struct Selection {
    bool *retriever; /* one per retriever of the configuration */
    bool *source;    /* one per source: some selected retriever is granted it */
    size_t n;        /* selected retrievers */
} Selection;

/* EXIT_USAGE after naming a retriever that does not exist, or -1. */
int select_retrievers(const Config *config, const Invocation *invocation, Selection *ret_selection);
void select_done(Selection *selection);
