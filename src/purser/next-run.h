/* When a retriever runs next by its cron line. */
#pragma once

#include "config/config.h"

/* Wall us, jitter included; 0: never by itself. The configuration was checked, so the line is known to be
 * sound. */
int64_t next_run(const Retriever *retriever, int64_t after);
/* The last time at or before `now` at which it should have run (jitter included); 0: never. */
int64_t due_run(const Retriever *retriever, int64_t now);
