/* What waits for the audit. See parked.h. */
#include "keeper/parked.h"

#include "base/mem.h"

#define ROOM (4 * IPC_MAX_PAYLOAD)
#define MOST 256

typedef struct ParkedRecord {
    Stream *stream; /* NULL: it has gone */
    size_t at, len;
} ParkedRecord;

struct Parked {
    unsigned char *room;
    size_t used;
    ParkedRecord record[MOST];
    size_t n;
};

Parked *parked_new(void)
{
    Parked *parked = MEM_NEW(Parked);
    parked->room = mem_new(1, ROOM);
    return parked;
}

Parked *parked_free(Parked *parked)
{
    if (!parked)
        return NULL;
    mem_free(parked->room);
    mem_free(parked);
    return NULL;
}

unsigned char *parked_room(Parked *parked)
{
    return parked->n < MOST && ROOM - parked->used >= IPC_MAX_PAYLOAD ? parked->room + parked->used : NULL;
}

bool parked_any(const Parked *parked)
{
    return parked->n > 0;
}

void parked_add(Parked *parked, Stream *stream, size_t len)
{
    parked->record[parked->n++] = (ParkedRecord){stream, parked->used, len};
    parked->used += len;
    stream->parked = true;
}

void parked_forget(Parked *parked, const Stream *stream)
{
    for (size_t i = 0; i < parked->n; i++)
        if (parked->record[i].stream == stream)
            parked->record[i].stream = NULL;
}

void parked_release(Parked *parked, int error)
{
    for (size_t i = 0; i < parked->n; i++) {
        const ParkedRecord *record = &parked->record[i];
        if (record->stream)
            stream_release(record->stream, (Slice){(const char *)parked->room + record->at, record->len},
                           error);
    }
    parked->n = 0;
    parked->used = 0;
}
