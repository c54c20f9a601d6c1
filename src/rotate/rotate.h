/* A rotation, carried out: the plan's steps, each on record before it is taken. */
#pragma once

#include "ipc/rotate.h"

/* An exit status; has said what it did, or why not. */
int rotate_run(const RotateSetup *setup, const unsigned char key[static 32]);
/* The sink's credential, of Vault's database engine; --dry-run too. */
int rotate_database(const RotateSetup *setup, const unsigned char key[static 32]);
/* `purser revoke`. */
int rotate_revoke(const RotateSetup *setup, const unsigned char key[static 32]);
/* --status and --dry-run: change nothing. */
int rotate_status(const RotateSetup *setup, const unsigned char key[static 32]);
int rotate_dry_run(const RotateSetup *setup);
