/* From the script's start to the end of its last process. */
#pragma once

#include "ipc/run.h"
#include "runner/script.h"

typedef struct SuperviseSpec {
    uint64_t time_limit, grace; /* us; 0: no time limit */
    int gate_fd;                /* its end ends the run; -1: none */
    bool own_uid;
} SuperviseSpec;

/* Before anything is started: signals come as descriptors from here on. */
int supervise_open(int *ret_signal_fd) MUST_USE;

/* While nothing runs: the signal that asks to end, or 0. */
int supervise_told_to_end(int signal_fd);

/* Prints, waits, ends what is left. Fills in exit_status, signal and timed_out; *ret_gate_gone: it was ended
 * because the gate was gone. */
void supervise_script(Script *script, const SuperviseSpec *spec, int signal_fd, OutputSink *sink,
                      RunEnd *ret_end, bool *ret_gate_gone);
