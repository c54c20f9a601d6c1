/* A file with one number. See dat.h. */
#include "clerk/dat.h"

#include <errno.h>

static Slice trim(Slice text)
{
    static const char space[] = " \t\r\n";
    while (text.len && text.ptr[0] && strchr(space, text.ptr[0]))
        text.ptr++, text.len--;
    while (text.len && text.ptr[text.len - 1] && strchr(space, text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static bool has_space(Slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == ' ' || text.ptr[i] == '\n' || text.ptr[i] == '\t')
            return true;
    return false;
}

int dat_parse(Slice path, Slice content, Row *row, Fault *fault)
{
    Input name = {.kind = INPUT_TEXT, .text = {path.ptr, path.len - strlen(".dat")}};
    Input value = {.kind = INPUT_REAL};
    if (content.len > DAT_MAX_BYTES)
        return fault_set(fault, -EINVAL, "%zu bytes where one number is wanted", content.len);
    Slice number = trim(content);
    if (number.len == 0)
        return fault_set(fault, -EINVAL, "it is empty: no number, which is not the same as 0");
    int r = row_parse_real(number, &value.real);
    if (r == -ERANGE)
        return fault_set(fault, -EINVAL, "a number outside what a double holds");
    if (r && has_space(number))
        return fault_set(fault, -EINVAL, "more than one number, or text: one number is wanted");
    if (r)
        return fault_set(fault, -EINVAL, "not a number");
    row_begin(row, &table_list[TABLE_METRIC]);
    r = row_set(row, row_column_of(row, SLICE_LITERAL("name"), 1), &name, fault);
    if (!r)
        r = row_set(row, row_column_of(row, SLICE_LITERAL("value"), 4), &value, fault);
    return r ? r : row_finish(row, (Slice){"", 0}, fault);
}
