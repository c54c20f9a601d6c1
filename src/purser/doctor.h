/* Which protections hold on this machine, each proven by trying, and whether what purser needs is there. For
 * `purser doctor` and `purser init`. */
#pragma once

#include "sandbox/sandbox.h"
#include "supervisor/paths.h"

/* The configuration says what is needed; without one, what a plain one would need is. */
typedef struct Doctor {
    const Config *config; /* NULL: there is none */
    Paths paths;
    SandboxReport report;
} Doctor;

/* Tries everything. `sockets`: also the folder that runs' sockets lie in where there is no pod. */
int doctor_look(Doctor *doctor, bool sockets) MUST_USE;

bool doctor_needs(const Doctor *doctor, const SandboxFinding *finding);
/* The first finding that is needed and missing; NULL: all that is needed holds. */
const SandboxFinding *doctor_missing(const Doctor *doctor);
