/* Sentences for what libyaml refuses. See problem.h. libyaml's own words are for people who know its scanner;
 * the commonest causes (a tab, a stray colon, a missing quote) are named instead. */
#include "yaml/problem.h"

#include "base/text.h"

#include <errno.h>

/* Line and column, from 1, of a byte offset. */
static void place_of(Slice text, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < offset && i < text.len; i++) {
        if (text.ptr[i] == '\n')
            line++, column = 1;
        else if (((unsigned char)text.ptr[i] & 0xC0) != 0x80)
            column++;
    }
    *ret_line = line;
    *ret_column = column;
}

/* The line with that number, from 0. */
static Slice line_of(Slice text, size_t number)
{
    Slice line = {"", 0};
    for (size_t i = 0; i <= number; i++)
        if (!slice_cut(text, '\n', &line, &text) && i < number)
            return (Slice){"", 0};
    return line;
}

/* Where the first byte that is not UTF-8 stands. */
static size_t first_bad_byte(Slice text)
{
    size_t low = 0, high = text.len; /* [0, low) is fine but for a sequence cut off at its end */
    while (high - low > 4) {
        size_t middle = low + (high - low) / 2;
        while (middle > low && ((unsigned char)text.ptr[middle] & 0xC0) == 0x80)
            middle--;
        if (middle == low)
            break;
        if (text_is_utf8((Slice){text.ptr + low, middle - low}))
            low = middle;
        else
            high = middle;
    }
    while (low < high) {
        size_t step = 1;
        while (step < 4 && low + step < text.len && ((unsigned char)text.ptr[low + step] & 0xC0) == 0x80)
            step++;
        if (!text_is_utf8((Slice){text.ptr + low, step}))
            return low;
        low += step;
    }
    return low;
}

int yaml_text_problem(const char *file, Slice text, size_t max_bytes, Fault *fault)
{
    if (text.len > max_bytes)
        return fault_set(fault, -EFBIG, "%s: the file is larger than %zu KiB, which no such file needs to be",
                         file, max_bytes >> 10);
    unsigned line, column;
    if (!text_is_utf8(text)) {
        place_of(text, first_bad_byte(text), &line, &column);
        return fault_set(fault, -EINVAL, "%s:%u:%u: a byte here is not UTF-8; save the file as UTF-8", file,
                         line, column);
    }
    const char *nul = text.len ? memchr(text.ptr, '\0', text.len) : NULL;
    if (nul) {
        place_of(text, (size_t)(nul - text.ptr), &line, &column);
        return fault_set(fault, -EINVAL, "%s:%u:%u: a NUL byte stands here; this is not a text file", file,
                         line, column);
    }
    return 0;
}

/* The column, from 1, of a tab in the line's indentation; 0: there is none. */
static size_t tab_in_indentation(Slice line)
{
    for (size_t i = 0; i < line.len && (line.ptr[i] == ' ' || line.ptr[i] == '\t' || line.ptr[i] == '-'); i++)
        if (line.ptr[i] == '\t')
            return i + 1;
    return 0;
}

static const char *plainer(const char *problem)
{
    static const struct {
        const char *theirs, *ours;
    } word[] = {
        {"mapping values are not allowed in this context",
         "a ':' stands where none can be; put text that holds ': ' in quotes, or look at the indentation"},
        {"did not find expected key",
         "a key is expected here; look at the indentation of this line and the one before"},
        {"did not find expected '-' indicator",
         "the next item of a list ('- ') is expected here; look at the indentation"},
        {"could not find expected ':'",
         "a ':' is missing after the key that begins here or in the line before"},
        {"found unexpected end of stream", "the file ends inside quotes; a closing quote is missing"},
        {"did not find expected ',' or ']'", "a ',' or the closing ']' is missing"},
        {"did not find expected ',' or '}'", "a ',' or the closing '}' is missing"},
        {"found character that cannot start any token",
         "a word cannot begin with this character; put the text in quotes"},
        {"found undefined tag handle", "tags (!) are not read here"},
    };
    for (size_t i = 0; i < COUNT_OF(word); i++)
        if (strcmp(word[i].theirs, problem) == 0)
            return word[i].ours;
    return problem;
}

int yaml_parser_problem(const char *file, Slice text, const yaml_parser_t *parser, Fault *fault)
{
    const char *problem = parser->problem ? parser->problem : "this is not YAML";
    if (parser->error == YAML_READER_ERROR) {
        unsigned line, column;
        place_of(text, parser->problem_offset, &line, &column);
        return fault_set(fault, -EINVAL, "%s:%u:%u: a control character stands here", file, line, column);
    }
    const yaml_mark_t *mark = &parser->problem_mark;
    size_t tab = 0, at = mark->line;
    for (size_t back = 0; back < 2 && !tab && mark->line >= back; back++) {
        at = mark->line - back;
        tab = tab_in_indentation(line_of(text, at));
    }
    if (tab)
        return fault_set(fault, -EINVAL, "%s:%zu:%zu: a tab is used as indentation here; YAML wants spaces",
                         file, at + 1, tab);
    bool more = parser->context && parser->context_mark.line != mark->line;
    if (more)
        return fault_set(fault, -EINVAL, "%s:%zu:%zu: %s (%s that began in line %zu)", file, mark->line + 1,
                         mark->column + 1, plainer(problem), parser->context, parser->context_mark.line + 1);
    return fault_set(fault, -EINVAL, "%s:%zu:%zu: %s", file, mark->line + 1, mark->column + 1,
                     plainer(problem));
}
