/* One line per decision on standard error, control characters escaped, in one write:
 *   purser-keeper: warning: the sentence
 * Never given a secret. Program code logs once, where the decision is made; library folders do not log.
 */
#pragma once

#include "base/result.h"

typedef enum LogLevel { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG } LogLevel;

void log_open(const char *program, LogLevel most); /* the name is kept, not copied */
void log_first_error_to(int fd); /* the sentence of the first error goes there too: once, without a newline */
void log_line(LogLevel level, const char *fmt, ...) FORMAT(2, 3);

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)
