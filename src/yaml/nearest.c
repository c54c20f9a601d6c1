/* "did you mean": the word with the smallest edit distance (neighbours swapped counts as one). See field.h.
 */
#include "yaml/field.h"

#include <ctype.h>

#define LONGEST 40

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[3][LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
    }
    return row[n % 3][m];
}

const char *yaml_nearest(const char *written, const char *const *word, size_t n_word)
{
    size_t best = 1 + strlen(written) / 3;
    const char *nearest = NULL;
    for (size_t i = 0; i < n_word; i++) {
        size_t d = distance(written, word[i]);
        if (d <= best && d < strlen(word[i])) {
            nearest = word[i];
            best = d ? d - 1 : 0;
        }
    }
    return nearest;
}
