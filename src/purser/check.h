/* Everything that can be known before anything runs: configuration, policies and their tests, ways out,
 * stores, tokens, the database. For `purser check` and `purser init`. */
#pragma once

#include "purser/select.h"
#include "supervisor/session.h"

typedef struct CheckFinding {
    const char *what; /* "configuration", "policy", "token", "database", "way out" */
    char *name;
    bool sound, warning;
    char *sentence;
} CheckFinding;

typedef struct Check {
    Session *session;
    const Selection *selection;
    bool migrates;    /* the database's schema is brought up to date, not only looked at */
    bool until_fault; /* the first thing that is not sound ends it */
    int64_t until;    /* mono us: until then a database that is away for a moment is asked again */
    CheckFinding *finding;
    size_t n;
    int status; /* an exit status: of the first thing that is not sound */
} Check;

/* Locks the state folder, starts a keeper and a clerk, and no script. */
void check_all(Check *check);
void check_done(Check *check);
