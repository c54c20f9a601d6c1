/* When a retriever runs next by its cron line, and when a token is rotated. */
#pragma once

#include "config/config.h"

/* Wall us, jitter included; 0: never by itself. The configuration was checked, so the line is known to be
 * sound. */
int64_t next_run(const Retriever *retriever, int64_t after);
/* The last time at or before `now` at which it should have run (jitter included); 0: never. */
int64_t due_run(const Retriever *retriever, int64_t now);
/* When `purser schedule` rotates a source's token next; 0: never by itself. */
int64_t next_rotation(const Source *source, int64_t after);
