/* The database credential, as the keeper sends it (IPC_CREDENTIAL): the stored token's bytes.
 *
 * Either the password as it is, and the user stands in the DSN; or a JSON object {"username": "...",
 * "password": "..."} as Vault's database engine and most secret stores have it. A password that begins with
 * '{' must be written as JSON. No NUL byte. The one copy lies in a CredentialBytes, which its owner wipes.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "ipc/channel.h"

#define CREDENTIAL_PATIENCE_MS 60000 /* the keeper may have to ask a store */

typedef struct Credential {
    Buf user; /* empty: the DSN's */
    Buf password;
} Credential;

/* Waits for the keeper's answer. CLERK_E_OUTAGE, _REFUSED, _SCHEMA and a sentence, never with the credential
 * in it. */
int credential_receive(const IpcPeer *keeper, Credential *ret_credential, Fault *fault) MUST_USE;

int credential_parse(Slice bytes, Credential *ret_credential, Fault *fault) MUST_USE;

void credential_wipe(Credential *credential);
