/* Runs a fuzz target on each file of a folder, so that its corpus is a regression test without libFuzzer. */
#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    unsigned seen = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (!folder) {
        perror(argv[1]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        CLEANUP_BUF Buf bytes = BUF_INIT(16u << 20);
        if (entry->d_type != DT_REG)
            continue;
        if (io_read_file(dirfd(folder), entry->d_name, &bytes)) {
            fprintf(stderr, "cannot read %s\n", entry->d_name);
            return 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)buf_slice(&bytes).ptr, bytes.len);
        seen++;
    }
    closedir(folder);
    printf("%u inputs\n", seen);
    return seen ? 0 : 1;
}
