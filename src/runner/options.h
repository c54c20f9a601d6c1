/* The command line of purser-exec. In a pod, where nobody writes these flags, most come from the defaults
 * (pod.h). */
#pragma once

#include "base/slice.h"

#define OPTIONS_MAX_LIST 32

typedef enum RunnerMode { RUNNER_RUN, RUNNER_COLLECT, RUNNER_PREPARE } RunnerMode;

typedef struct Options {
    RunnerMode mode;
    const char *socket; /* the run's seqpacket socket; default $PURSER_RUN_SOCKET, /run/purser/run */
    const char *name;   /* printed before each line; default $PURSER_RETRIEVER, "script" */
    const char *scratch, *output_dir;
    int output_fd, log_fd; /* -1: none */
    const char *purser;    /* the program, for the script's own use; NULL: it is not there */
    const char *env_dir;   /* virtual environment: read by a run, built by --prepare */
    const char *read[OPTIONS_MAX_LIST];
    size_t n_read;
    uint64_t memory, processes; /* 0: no limit of ours */
    bool own_uid;               /* no other process has this user id: files are kept apart by it */
    bool no_connect_limit, no_file_limit;
    bool walls_optional; /* `sandbox: {required: false}` */
    bool pod;            /* the main process of a container: no --socket was given */
    uint64_t wait;       /* s: for a gate that is not there yet */
    const char *requirements, *python, *package_index, *proxy, *ca_file;
    const char *pass[OPTIONS_MAX_LIST]; /* variables of the preparation's environment */
    size_t n_pass;
    char **command;
} Options;

/* 0; 1 after --help or --version; -EINVAL after saying what is wrong. */
int options_parse(int argc, char **argv, Options *ret_options) MUST_USE;
