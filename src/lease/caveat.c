/* Caveats: reading them, and asking them. See caveat.h. */
#include "lease/caveat.h"

#include "base/clock.h"
#include "base/text.h"
#include "graphql/graphql.h"
#include "policy/form.h"

typedef int ReadValue(const char *value, Caveat *caveat);

static int read_expires(const char *value, Caveat *caveat)
{
    Slice text = slice_of(value);
    if (!slice_ends(text, "Z") || clock_parse(text, &caveat->expires) != 0)
        return CAVEAT_E_VALUE;
    return 0;
}

static int read_host(const char *value, Caveat *caveat)
{
    caveat->value = value;
    return text_is_host(slice_of(value)) ? 0 : CAVEAT_E_VALUE;
}

typedef uint32_t BitOf(Slice word);

/* "GET,HEAD": each word once or more, none empty. */
static int read_set(const char *value, BitOf *bit_of, uint32_t *ret_set)
{
    Slice word, rest = slice_of(value);
    uint32_t set = 0;
    bool more;
    do {
        more = slice_cut(rest, ',', &word, &rest);
        uint32_t bit = bit_of(word);
        if (!bit)
            return CAVEAT_E_VALUE;
        set |= bit;
    } while (more);
    *ret_set = set;
    return 0;
}

static int read_method(const char *value, Caveat *caveat)
{
    return read_set(value, policy_method, &caveat->set);
}

static int read_path(const char *value, Caveat *caveat)
{
    caveat->value = value;
    return policy_path_problem(slice_of(value)) ? CAVEAT_E_VALUE : 0;
}

static uint32_t operation(Slice word)
{
    return slice_is(word, "query") ? GRAPHQL_QUERY : slice_is(word, "mutation") ? GRAPHQL_MUTATION : 0;
}

static int read_graphql(const char *value, Caveat *caveat)
{
    caveat->set = 0;
    return slice_is(slice_of(value), "none") ? 0 : read_set(value, operation, &caveat->set);
}

static int read_number(const char *value, Caveat *caveat)
{
    return text_parse_u64(slice_of(value), INT64_MAX, &caveat->number) ? CAVEAT_E_VALUE : 0;
}

static const struct {
    const char *text, *value;
    ReadValue *read;
} words[CAVEAT_WORDS] = {
    [CAVEAT_EXPIRES] = {"expires", "a time in UTC, as in 2026-01-02T03:04:05Z", read_expires},
    [CAVEAT_HOST] = {"host", "a host name in lower case, as in api.github.com", read_host},
    [CAVEAT_METHOD] = {"method", "methods that a policy can name, as in GET,HEAD", read_method},
    [CAVEAT_PATH] = {"path", "a path pattern as in a policy's rules, as in /repos/acme/**", read_path},
    [CAVEAT_GRAPHQL] = {"graphql", "query, mutation, both (query,mutation) or none", read_graphql},
    [CAVEAT_REQUESTS] = {"requests", "a number of requests", read_number},
    [CAVEAT_BYTES] = {"bytes", "a number of bytes", read_number},
};

int caveat_parse(const char *text, Caveat *ret_caveat)
{
    Slice word, value;
    if (!slice_cut(slice_of(text), '=', &word, &value))
        return CAVEAT_E_UNKNOWN;
    for (CaveatWord i = 0; i < CAVEAT_WORDS; i++) {
        Caveat caveat = {.word = i, .value = ""};
        if (!slice_is(word, words[i].text))
            continue;
        int r = words[i].read(value.ptr, &caveat);
        if (!r)
            *ret_caveat = caveat;
        return r;
    }
    return CAVEAT_E_UNKNOWN;
}

const char *caveat_word_text(CaveatWord word)
{
    return words[word].text;
}

const char *caveat_value_text(CaveatWord word)
{
    return words[word].value;
}

bool caveat_allows(const Caveat *caveat, const CaveatUse *use)
{
    switch (caveat->word) {
    case CAVEAT_EXPIRES:
        return use->wall < caveat->expires;
    case CAVEAT_HOST:
        return slice_is(slice_of(use->host), caveat->value);
    case CAVEAT_METHOD:
        return use->methods && (use->methods & ~caveat->set) == 0;
    case CAVEAT_PATH:
        return !use->graphql && policy_path_matches(caveat->value, use->path);
    case CAVEAT_GRAPHQL:
        return !use->graphql || (use->operations && (use->operations & ~caveat->set) == 0);
    case CAVEAT_REQUESTS:
    case CAVEAT_BYTES:
        return true;
    case CAVEAT_WORDS:
        break;
    }
    return false;
}
