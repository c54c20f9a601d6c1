/* Clocks that differ. A certificate that is not yet valid, or no more, is judged by this machine's clock:
 * when that is wrong, whoever reads the sentence shall not look for the fault at the certificate. Servers say
 * their own clock beside each answer (Date).
 */
#pragma once

#include "base/slice.h"

#include <openssl/x509.h>

#define SKEW_MOST 60000000 /* us: more than an answer's way takes, and what nobody's certificate minds */
#define SKEW_TEXT 256

/* The last server that said its clock. All 0: none has. */
typedef struct Skew {
    char of[160]; /* "Vault at vault.example" */
    int64_t us;   /* its clock less ours */
    bool known;
} Skew;

/* date: its clock, wall us; 0: it does not say. */
void skew_note(Skew *skew, const char *of, int64_t date);
bool skew_matters(const Skew *skew);
/* "this machine's clock is 1d 2h behind that of Vault at vault.example": only when it matters. */
char *skew_text(char out[static SKEW_TEXT], const Skew *skew);

/* When a certificate that was not verified is valid; all 0: nothing was wrong with that. */
typedef struct Validity {
    int64_t from, until; /* wall us */
} Validity;

/* In a callback of SSL_set_verify(): of the certificate at which the verification has stopped. */
void validity_note(Validity *validity, X509_STORE_CTX *verifying);
/* What to do about it: ": it is valid from ... on, and this machine's clock says ...; ...". "" of all 0. */
char *validity_text(char out[static 2 * SKEW_TEXT], const Validity *validity, const Skew *skew);
