/* A run's .ndjson file from anywhere: it loads, or becomes dead letters, and every row is one that a database
 * may be given. */
#include "load-bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return load_bytes("out/name.ndjson", data, size);
}
