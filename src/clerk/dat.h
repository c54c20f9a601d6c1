/* A .dat file: one number, and nothing else but white space around it. The metric's name is the file's path
 * without
 * ".dat", whatever it is made of; its time is the end of the run's window. "No data" is never 0: an empty
 * file, text, nan, inf, a number that a double cannot hold, two numbers are refused.
 */
#pragma once

#include "clerk/row.h"

#define DAT_MAX_BYTES 4096

/* `path` is UTF-8 (load.c escapes what is not). -EINVAL and a sentence. */
int dat_parse(Slice path, Slice content, Row *row, Fault *fault) MUST_USE;
