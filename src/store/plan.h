/* When the calls to a store come. Pure arithmetic; durations in microseconds. Everything that many pods would
 * do at the same moment is spread by a seed that is the pod's own (from its name), so that a thousand of
 * them, started by the same full minute, do not arrive together.
 */
#pragma once

#include <stdint.h>

#define PLAN_LOCAL_REFRESH (60ull * 1000000)   /* keyring and token files are read again after */
#define PLAN_LOCAL_STALE   (3600ull * 1000000) /* and used no longer than this when they cannot be */

uint64_t plan_seed(const char *name); /* of a machine or a pod */

/* Delay of the first call, within `spread`. */
uint64_t plan_first(uint64_t seed, uint64_t spread);

/* From a lease's beginning (or renewal) to its renewal: between half and two thirds of its life. */
uint64_t plan_renew(uint64_t seed, unsigned turn, uint64_t life);

/* Until a token that never dies is read again: between four fifths of `refresh` and all of it. */
uint64_t plan_refresh(uint64_t seed, unsigned turn, uint64_t refresh);

/* Until the next try after the nth failure (1: the first): 1 s, 2, 4, ... 60 at most, each between half of it
 * and all of it; never before `retry_after` seconds, of which 300 count. */
uint64_t plan_retry(uint64_t seed, unsigned failures, uint32_t retry_after);
