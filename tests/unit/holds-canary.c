/* Not a test: the process that test-traces.c starts and searches. It handles a secret as the keeper does,
 * with the libraries' own copies (libc's stdio, OpenSSL's buffers, growing blocks), seals it, gives
 * everything back, says "ready" and waits to be looked at. argv[1]: "clean", or the guard that is left out:
 * "no-wipe".
 */
#include "base/buf.h"
#include "base/mem.h"
#include "secret/scrub.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <stdio.h>

static void through_openssl(Slice token)
{
    BIO *memory = BIO_push(BIO_new(BIO_f_base64()), BIO_new(BIO_s_mem()));
    BIO_write(memory, token.ptr, (int)token.len);
    if (BIO_flush(memory) != 1)
        _exit(3);
    char back[512];
    while (BIO_read(memory, back, sizeof(back)) > 0)
        ;
    explicit_bzero(back, sizeof(back));
    BIO_free_all(memory);
}

static void through_libc(Slice token)
{
    char *text = NULL, *line = NULL;
    size_t len = 0, room = 0;
    FILE *stream = open_memstream(&text, &len);
    for (int i = 0; i < 40; i++) /* the block grows and moves */
        fprintf(stream, "Authorization: Bearer %.*s\r\n", (int)token.len, token.ptr);
    fclose(stream);
    stream = fmemopen(text, len, "r");
    while (getline(&line, &room, stream) > 0)
        ;
    fclose(stream);
    free(line);
    free(text);
}

static void through_the_scrubber(Slice token)
{
    ScrubForms *forms;
    Scrub *scrub = scrub_new();
    Slice out;
    unsigned hits = 0;
    char *answer = mem_printf("{\"echo\": \"%.*s\"}", (int)token.len, token.ptr);
    if (scrub_forms_new(token, &forms))
        _exit(3);
    scrub_begin(scrub, forms);
    size_t half = strlen(answer) / 2; /* the first piece ends inside of it */
    if (scrub_piece(scrub, answer, half, false, &out, &hits) ||
        scrub_piece(scrub, answer + half, strlen(answer + half), true, &out, &hits) || hits != 1)
        _exit(3);
    mem_free(answer);
    scrub_begin(scrub, NULL); /* kept, as a connection keeps it */
}

/* A frame of its own, which is gone when the traces are wiped. */
__attribute__((noinline)) static int take_token(Sealed **ret_sealed)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len = getline(&line, &room, stdin);
    if (len < 2)
        return -1;
    Slice token = {line, (size_t)len - 1};
    through_libc(token);
    through_openssl(token);
    through_the_scrubber(token);
    int r = secret_seal(token, ret_sealed);
    char last[64];
    memcpy(last, token.ptr, sizeof(last)); /* in vector registers now */
    __asm__ volatile("" ::"r"(last) : "memory");
    free(line);
    return r;
}

int main(int argc, char **argv)
{
    Sealed *sealed;
    char room[256];
    if (argc != 2 || secret_init(128u << 10, NULL) || take_token(&sealed))
        return 2;
    fclose(stdin);
    if (secret_open(sealed, room, sizeof(room)))
        return 2;
    explicit_bzero(room, sizeof(room));
    if (strcmp(argv[1], "no-wipe") != 0)
        secret_wipe_traces();
    ssize_t ignored = write(STDOUT_FILENO, "ready\n", 6);
    (void)ignored;
    pause();
    return 0;
}
