/* Private to sandbox/: what happens on a forbidden call. trap-kill.c: the process dies by SIGSYS. trap-tell.c
 * (-Dseccomp_trap=true, for developers): it says which call it was and ends with status 159. */
#pragma once

#include <stdint.h>

uint32_t trap_action(void); /* for seccomp_init(); installs what it needs */
