/* The chain of lines: each ends in a keyed hash of itself and of the one before it, over all files.
 *
 *   {"n":17, ... ,"mac":"<64 hex>"}      mac = BLAKE2b-256(key, mac of the record before, all up to ,"mac")
 *
 * The key is the installation's, 32 bytes in a file of the state folder: whoever has not got it cannot make a
 * line that fits, nor take one out. The first record of all has 32 zeros before it.
 */
#pragma once

#include "base/clock.h"
#include "base/fault.h"
#include "base/slice.h"

#define AUDIT_KEY          32
#define AUDIT_MAC          32
#define AUDIT_HEX          (2 * AUDIT_MAC + 1)
#define AUDIT_MAX_RECORD   (16u << 10) /* bytes of a line without its newline */
#define AUDIT_INSTALLATION 17          /* room for its name, with its NUL */
#define AUDIT_CHAIN        17          /* room for a pod's chain's name: 16 hex digits */
#define AUDIT_CHAIN_OF     34 /* room for "INSTALLATION-CHAIN", by which the sink knows a pod's heads */

typedef struct AuditMac {
    unsigned char bytes[AUDIT_MAC];
} AuditMac;

/* `previous` and `ret_mac` may be the same. */
void audit_mac(const unsigned char key[AUDIT_KEY], const AuditMac *previous, Slice body, AuditMac *ret_mac);
bool audit_mac_equal(const AuditMac *a, const AuditMac *b);
const char *audit_mac_text(const AuditMac *mac, char out[static AUDIT_HEX]);
int audit_mac_parse(Slice text, AuditMac *ret_mac) MUST_USE; /* -EBADMSG */

/* The installation's name, made of its key and telling nothing of it: pursers that share a sink differ in
 * it. */
const char *audit_installation(const unsigned char key[AUDIT_KEY], char out[static AUDIT_INSTALLATION]);

/* Many pods under one key: each agent has a chain of its own, whose records name it ("chain", behind the
 * time), and which begins at 1. Its key is made of the installation's. `ret_key` may be `key`. */
void audit_chain_key(const unsigned char key[AUDIT_KEY], const char *chain, unsigned char ret_key[AUDIT_KEY]);

/* Reads the key's file: exactly AUDIT_KEY bytes, nobody else's to read; if it is not our own (a mounted
 * Secret), nobody else's to write. -errno with a sentence. */
int audit_key_read(int fd, unsigned char ret_key[AUDIT_KEY], Fault *fault) MUST_USE;

/* A line's ends. */
typedef struct AuditRecord {
    uint64_t number;
    Slice body; /* what the mac is of */
    AuditMac mac;
} AuditRecord;

/* -EBADMSG: it is no record. */
int audit_record_parse(Slice line, AuditRecord *ret_record) MUST_USE;

/* Where the chain stands. */
typedef struct AuditEnd {
    uint64_t number;       /* of the last record; 0: there is none */
    AuditMac last;         /* its mac, or of what a crash left behind it */
    char time[CLOCK_TEXT]; /* its own */
    size_t cut;            /* bytes behind it that are no record: what a crash left of a line */
    bool unfinished;       /* ... without a newline */
} AuditEnd;

/* From the last lines of a file alone (at most AUDIT_TAIL bytes). -EBADMSG: it holds something, but not a
 * record at its end. */
#define AUDIT_TAIL (4 * AUDIT_MAX_RECORD)
int audit_end_read(int fd, const unsigned char key[AUDIT_KEY], AuditEnd *ret_end) MUST_USE;
