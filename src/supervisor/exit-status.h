/* What every command of purser's ends with; see `purser help`. */
#pragma once

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1, /* something that was asked for did not work: a run failed, a check found a fault */
    EXIT_USAGE = 2,
    EXIT_CONFIG = 3, /* purser.yaml, a policy, a script: must be mended before anything can start */
    EXIT_SINK = 4,   /* the database cannot be reached or used */
    EXIT_TOKEN = 5,  /* a token is missing, or its store cannot be opened */
};
