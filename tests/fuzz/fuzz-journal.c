/* Journals of rotations: no bytes but those that journal_add() makes with the key are one, and each line that
 * is taken comes out as it went in. */
#include "base/mem.h"
#include "rotate/journal.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(Slice text, const JournalLine *line)
{
    char time[CLOCK_TEXT], mac[AUDIT_HEX];
    CLEANUP_MEM char *again =
        mem_printf("%llu %s %s %s %.*s", (unsigned long long)line->number, clock_format(time, line->time),
                   line->step, audit_mac_text(&line->mac, mac), (int)line->detail.len, line->detail.ptr);
    if (!slice_is(text, again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char key[AUDIT_KEY] = "a key that no input has";
    Slice text = {(const char *)data, size}, one, rest = text;
    JournalEnd end;
    Fault fault;
    if (journal_read("github", text, key, NULL, NULL, &end, &fault) == 0 &&
        (end.number || end.open || end.whole))
        abort();
    bool more = size > 0;
    while (more) {
        JournalLine line;
        more = slice_cut(rest, '\n', &one, &rest);
        if (journal_parse(one, &line) == 0)
            check_again(one, &line);
    }
    return 0;
}
