/* What providers tell of a token, and one that they have made: whatever the answer, what is taken is
 * printable, sorted and bounded, and a token is not wider than itself. */
#include "rotate/account.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const Account *account)
{
    char wider[256];
    if (account_differs(account, account) || account_wider(account, account, wider))
        abort();
    if (account->n_scope > ACCOUNT_SCOPES)
        abort();
    for (size_t i = 1; i < account->n_scope; i++)
        if (strcmp(account->scope[i - 1], account->scope[i]) >= 0)
            abort();
    for (const char *p = account->identity; *p; p++)
        if ((unsigned char)*p < ' ')
            abort();
}

static void check_made(const Rotation *rotation, Slice body)
{
    Sealed *made = NULL;
    Fault fault = {""};
    int r = account_read_made(rotation, body, &made, &fault);
    if ((r == 0) != (made != NULL) || (r != 0) != (fault.text[0] != 0))
        abort();
    secret_free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const Rotation rotation = {.account = (char *)"/a",
                               .identity = (char *)"user.email",
                               .scopes = (char *)"scopes",
                               .scopes_header = (char *)"",
                               .expires = (char *)"expires_at",
                               .retire = (char *)"",
                               .renew_token = (char *)"token"};
    static bool started;
    if (!started && secret_init(256u << 10, NULL))
        abort();
    started = true;
    Account account;
    Slice body = {(const char *)data, size};
    check_made(&rotation, body);
    CLEANUP_MEM char *header = mem_dup(data, size);
    account_read(&rotation, body, NULL, &account);
    check(&account);
    account_done(&account);
    account_read(&rotation, body, header, &account);
    check(&account);
    account_done(&account);
    return 0;
}
