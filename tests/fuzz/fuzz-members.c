/* A line from anywhere, member by member, against jansson, which reads it as a whole: both take it or
 * neither, and both have the same in it. */
#include "clerk/members.h"
#include "json/arena.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLD(condition) ((condition) ? (void)0 : abort())

static json_t *value_of(const Member *member)
{
    const Input *input = &member->input;
    if (member->value)
        return json_incref(member->value);
    HOLD(!member->null && (input->kind == INPUT_INT || input->kind == INPUT_TEXT));
    return input->kind == INPUT_INT ? json_integer(input->integer)
                                    : json_stringn(input->text.ptr, input->text.len);
}

/* NULL: it is no object, or has a key twice. */
static json_t *read_members(Slice line)
{
    Members members = MEMBERS_OF(line);
    Member member;
    json_t *object = json_object();
    int r;
    while (!(r = members_next(&members, &member))) {
        if (json_object_getn(object, member.key.ptr, member.key.len))
            return NULL;
        HOLD(json_object_setn_new(object, member.key.ptr, member.key.len, value_of(&member)) == 0);
    }
    HOLD(r == -ENODATA || r == -EINVAL);
    return r == -ENODATA ? object : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool once;
    if (!once)
        json_arena_install(128u << 20);
    once = true;
    json_arena_reset();
    Slice line = {(const char *)data, size};
    json_error_t error;
    json_t *ours = read_members(line);
    if (memchr(line.ptr, '\0', line.len)) { /* which jansson passes over behind a number */
        HOLD(!ours);
        return 0;
    }
    json_t *whole = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, &error);
    if (!whole && json_error_code(&error) == json_error_stack_overflow)
        return 0; /* it counts the object itself as one */
    HOLD(json_is_object(whole) ? json_equal(ours, whole) : !ours);
    return 0;
}
