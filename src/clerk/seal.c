/* Heads of the audit as rows. See seal.h. */
#include "clerk/seal.h"

#include "base/clock.h"
#include "base/text.h"

#include <sodium.h>

const char *seal_head_text(const ClerkSeal *seal, char out[static SEAL_HEX])
{
    text_hex(out, seal->head, sizeof(seal->head));
    return out;
}

static void copy(char *to, size_t size, Slice from)
{
    size_t len = from.len < size ? from.len : size - 1;
    memcpy(to, from.ptr, len);
    to[len] = '\0';
}

int seal_each(const SealRow *row, SinkSeal *each, void *userdata)
{
    ClerkSeal seal = {.number = row->number};
    const Slice head = row->text[1];
    size_t len = 0;
    if (sodium_hex2bin(seal.head, sizeof(seal.head), head.ptr, head.len, NULL, &len, NULL) != 0 ||
        len != sizeof(seal.head))
        memset(seal.head, 0, sizeof(seal.head));
    copy(seal.installation, sizeof(seal.installation), row->text[0]);
    copy(seal.retriever, sizeof(seal.retriever), row->text[2]);
    copy(seal.run, sizeof(seal.run), row->text[3]);
    if (clock_parse(row->text[4], &seal.time))
        seal.time = 0;
    return each(userdata, &seal);
}
