/* docs/refusals.md and the keeper's table say the same: every code, with its status, and no other. */
#include "base/buf.h"
#include "base/io.h"
#include "keeper/refusal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool in_table(Slice text, const RefusalKind *kind)
{
    char row[64];
    int len = snprintf(row, sizeof(row), "\n| `%s` | %u | ", kind->code, kind->status);
    return memmem(text.ptr, text.len, row, (size_t)len) != NULL;
}

static void the_documentation_lists_every_code_with_its_status(void **state)
{
    (void)state;
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    assert_int_equal(io_read_file(AT_FDCWD, SOURCE_ROOT "/docs/refusals.md", &text), 0);
    for (int i = REFUSAL_NONE + 1; i < REFUSAL_COUNT; i++)
        if (!in_table(buf_slice(&text), refusal_kind((Refusal)i)))
            fail_msg("docs/refusals.md has no row `%s` with status %u", refusal_kind((Refusal)i)->code,
                     refusal_kind((Refusal)i)->status);
}

static void the_documentation_lists_no_code_that_does_not_exist(void **state)
{
    (void)state;
    CLEANUP_BUF Buf text = BUF_INIT(1u << 20);
    assert_int_equal(io_read_file(AT_FDCWD, SOURCE_ROOT "/docs/refusals.md", &text), 0);
    const char *at = strstr(buf_text(&text), "## Decided by the keeper");
    assert_non_null(at);
    const char *end = strstr(at + 4, "\n## ");
    int rows = 0;
    while ((at = strstr(at, "\n| `")) && (!end || at < end))
        rows++, at++;
    assert_int_equal(rows, REFUSAL_COUNT - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documentation_lists_every_code_with_its_status),
        cmocka_unit_test(the_documentation_lists_no_code_that_does_not_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
