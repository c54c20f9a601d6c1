/* The chain itself: hashing lines, and reading a file of them from its start or its end. */
#pragma once

#include "base/fault.h"
#include "base/slice.h"

#define AUDIT_HASH 32
#define AUDIT_HEX  (2 * AUDIT_HASH + 1)

typedef struct AuditHash {
    unsigned char bytes[AUDIT_HASH];
} AuditHash;

/* Of a line without its newline. */
void audit_hash(const char *line, size_t len, AuditHash *ret_hash);
const char *audit_hash_text(const AuditHash *hash, char out[static AUDIT_HEX]);

typedef struct AuditChain {
    uint64_t number; /* of the next record */
    AuditHash last;  /* of the last line; zeros at the start */
    bool unfinished; /* the last line has no newline: a crash cut it off */
} AuditChain;

#define AUDIT_CHAIN_START ((AuditChain){.number = 1})

/* Where a file's chain stands, from its last lines alone. */
int audit_chain_read_end(int fd, AuditChain *ret_chain) MUST_USE;
