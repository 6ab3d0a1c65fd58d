#include "tests/sim/tally.h"

#include <stdio.h>

struct line {
    const char *name;
    bool is_group, is_rare;
};

static const struct line lines[] = {
#define GROUP(name) {name, true, false},
#define ITEM(field, name) {name, false, false},
#define RARE(field, name) {name, false, true},
    TALLY(GROUP, ITEM, RARE)
#undef GROUP
#undef ITEM
#undef RARE
};

enum { ITEMS = sizeof(struct tally) / sizeof(uint64_t) };

void tally_add(struct tally *to, const struct tally *from) {
    uint64_t *sum = (uint64_t *) (void *) to;
    const uint64_t *more = (const uint64_t *) (const void *) from;
    for (size_t i = 0; i < ITEMS; i++) {
        sum[i] += more[i];
    }
}

const char *tally_print(const struct tally *t) {
    const uint64_t *count = (const uint64_t *) (const void *) t;
    const char *never = NULL;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (lines[i].is_group) {
            printf("%s%s", i > 0 ? "\n" : "", lines[i].name);
            continue;
        }
        printf("%s %llu %s", lines[i - 1].is_group ? ":" : ",", (unsigned long long) *count,
               lines[i].name);
        never = never == NULL && *count == 0 && !lines[i].is_rare ? lines[i].name : never;
        count++;
    }
    printf("\n");
    return never;
}
