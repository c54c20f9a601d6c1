/* A policy's text: what is read goes over the wire and comes back deciding the same; and bytes that never
 * were a policy are refused there. */
#include "policy/policy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const Policy *a, const Policy *b)
{
    static const char *const path[] = {"/", "/a", "/a/b", "/a/b/", "/repos/x/y/actions/runs", "/A/secrets"};
    for (uint32_t method = 1; method <= 512; method <<= 1)
        for (size_t i = 0; i < COUNT_OF(path); i++)
            if (policy_decide(a, method, (Slice){"", 0}, slice_of(path[i])).rule !=
                policy_decide(b, method, (Slice){"", 0}, slice_of(path[i])).rule)
                abort();
}

static void try_wire(const uint8_t *data, size_t size)
{
    Policy *policy = NULL;
    WireReader reader = WIRE_READER(data, size);
    if (policy_get(&reader, &policy) == 0)
        check_same(policy, policy);
    policy_free(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char room[POLICY_MAX_PACKED];
    Policy *policy = NULL, *back = NULL;
    Fault fault = {""};
    try_wire(data, size);
    if (policy_parse("fuzz.yaml", (Slice){(const char *)data, size}, &policy, &fault)) {
        if (policy || !fault.text[0])
            abort();
        return 0;
    }
    if (policy_run_tests(policy, &fault) && !fault.text[0])
        abort();
    WireWriter writer = WIRE_WRITER(room);
    policy_put(policy, &writer);
    WireReader reader = WIRE_READER(room, writer.len);
    if (writer.failed || policy_get(&reader, &back) || wire_finish(&reader))
        abort();
    check_same(policy, back);
    policy_free(back);
    policy_free(policy);
    return 0;
}
