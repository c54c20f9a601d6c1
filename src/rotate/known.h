/* What a provider has told of the token that is current: STATE/rotate/SOURCE.json, for `purser status`.
 *
 *   {"source":"gitlab","asked":"2026-01-02T03:04:05Z","account":"4","expires":"2027-01-02T00:00:00Z"}
 *
 * `account` and `expires` are null where it does not tell. Nothing secret. Written by purser-rotate.
 */
#pragma once

#include "ipc/rotate.h"
#include "rotate/account.h"

/* Replaced whole; a failure is a warning. */
void known_write(const RotateSetup *setup, const Account *account);
