/* What a parameter may be called and hold, and texts with parameters in them. See parameter.h. */
#include "policy/parameter.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "policy/form.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS  "0123456789"

bool policy_is_parameter_name(const char *name)
{
    size_t n = strspn(name, LETTERS DIGITS);
    return n > 0 && n <= POLICY_MAX_PARAMETER && name[n] == '\0' && strchr(LETTERS, name[0]);
}

PolicyParameter *policy_find_parameter(const Policy *policy, Slice name)
{
    for (size_t i = 0; i < policy->n_parameter; i++)
        if (slice_is(name, policy->parameter[i].name))
            return &policy->parameter[i];
    return NULL;
}

static const char *segment_problem(Slice value)
{
    bool dots = true;
    if (value.len == 0 || value.len > POLICY_MAX_VALUE_BYTES)
        return "is empty, or longer than 255 bytes";
    if (!text_is_utf8(value))
        return "is not UTF-8";
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c < ' ' || c == 0x7F || strchr("*/%\\;?#{}", c))
            return "is one segment of a path, literally: it cannot have * / % \\ ; ? # { } or control "
                   "characters";
        dots &= c == '.';
    }
    return dots ? "is nothing but dots" : NULL;
}

const char *policy_value_problem(PolicyClass kind, const char *value)
{
    if (kind == POLICY_CLASS_NUMBER && value[strspn(value, DIGITS)])
        return "is a number";
    if (kind == POLICY_CLASS_NAME && value[strspn(value, LETTERS DIGITS "._-")])
        return "is a name: letters, digits, '.', '_' and '-'";
    const char *problem = NULL;
    size_t parts = 0;
    for (Slice part, rest = slice_of(value); !problem;) {
        bool more = slice_cut(rest, '/', &part, &rest) && kind == POLICY_CLASS_PATH;
        problem = segment_problem(kind == POLICY_CLASS_PATH ? part : slice_of(value));
        if (!more)
            break;
        if (++parts == POLICY_MAX_SEGMENTS)
            problem = "has too many parts";
    }
    return problem;
}

bool policy_next_parameter(Slice text, size_t *at, Slice *ret_name)
{
    for (; *at < text.len; (*at)++) {
        size_t n = 0;
        while (text.ptr[*at] == '{' && *at + 1 + n < text.len && text.ptr[*at + 1 + n] &&
               strchr(LETTERS DIGITS, text.ptr[*at + 1 + n]))
            n++;
        if (n == 0 || *at + 1 + n == text.len || text.ptr[*at + 1 + n] != '}')
            continue;
        *ret_name = (Slice){text.ptr + *at + 1, n};
        *at += n + 2;
        return true;
    }
    return false;
}

const char *policy_template_problem(const Policy *policy, Slice path, Slice *ret_name)
{
    Slice rest = path, segment;
    *ret_name = (Slice){"", 0};
    for (bool more = true; more;) {
        more = slice_cut(rest, '/', &segment, &rest);
        if (!memchr(segment.ptr, '{', segment.len) && !memchr(segment.ptr, '}', segment.len))
            continue;
        size_t at = 0;
        if (!policy_next_parameter(segment, &at, ret_name) || ret_name->len + 2 != segment.len)
            return "has braces that are not a whole segment: a parameter is one, as in /repos/{owner}";
        if (!policy_find_parameter(policy, *ret_name))
            return "names a parameter that the policy does not declare under 'parameters'";
    }
    return NULL;
}

/* What stands for a parameter in a test. */
static const char *sample_of(const PolicyParameter *parameter)
{
    return !parameter->value || strcmp(parameter->value, POLICY_ANY) == 0 ? parameter->name
                                                                          : parameter->value;
}

/* In a path a value is in the one form that requests have; in GraphQL it is as it is. */
static char *fill(const Policy *bound, Slice text, bool path, bool strings)
{
    CLEANUP_BUF Buf out = BUF_INIT(2 * POLICY_MAX_BYTES);
    bool in_string = false;
    int r = 0;
    for (size_t i = 0; i < text.len && r == 0;) {
        size_t at = i;
        Slice name;
        in_string ^= text.ptr[i] == '"';
        const PolicyParameter *parameter = NULL;
        if (text.ptr[i] == '{' && (in_string || !strings) && policy_next_parameter(text, &at, &name) &&
            at == i + name.len + 2)
            parameter = policy_find_parameter(bound, name);
        if (!parameter) {
            r = buf_append(&out, text.ptr + i++, 1);
            continue;
        }
        CLEANUP_MEM char *segment = path ? policy_value_segment(sample_of(parameter)) : NULL;
        r = buf_append_text(&out, path ? segment : sample_of(parameter));
        i = at;
    }
    return mem_strdup(r ? "" : buf_text(&out));
}

char *policy_fill_path(const Policy *bound, const char *path)
{
    return fill(bound, slice_of(path), true, false);
}

char *policy_fill_strings(const Policy *bound, const char *document)
{
    return fill(bound, slice_of(document), false, true);
}
