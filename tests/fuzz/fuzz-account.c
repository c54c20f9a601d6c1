/* What providers tell of a token: whatever the answer, what is taken is printable, sorted and bounded, and a
 * token is not wider than itself. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const Rotation rotation = {.account = (char *)"/a",
                               .identity = (char *)"user.email",
                               .scopes = (char *)"scopes",
                               .scopes_header = (char *)"",
                               .expires = (char *)"expires_at",
                               .retire = (char *)""};
    Account account;
    Slice body = {(const char *)data, size};
    CLEANUP_MEM char *header = mem_dup(data, size);
    account_read(&rotation, body, NULL, &account);
    check(&account);
    account_done(&account);
    account_read(&rotation, body, header, &account);
    check(&account);
    account_done(&account);
    return 0;
}
