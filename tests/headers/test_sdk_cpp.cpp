// tests/headers/test_sdk_cpp.cpp — values are used from C++ as from C.
#include "sdk/reprise_value.h"

#include <cstdio>
#include <cstring>

static bool is_right() {
    reprise_value extra = reprise_value_parse("[true]", 6);
    reprise_builder *b = reprise_builder_new();
    reprise_put(b, "s{x:i}v", "moved", 7, extra);
    const char expected[] = "[\"moved\",{\"x\":7},[true]]";
    reprise_value all = reprise_builder_value(b);
    bool right = all.json.len == std::strlen(expected) &&
                 std::memcmp(all.json.data, expected, all.json.len) == 0 &&
                 reprise_value_is(reprise_value_at(all, 0), "moved") &&
                 reprise_value_int64_or(reprise_value_get(reprise_value_at(all, 1), "x"), 0) == 7 &&
                 reprise_value_type(reprise_value_at(all, 3)) == REPRISE_ABSENT;
    reprise_builder_free(b);
    return right;
}

int main() {
    bool right = is_right();
    std::printf("%s\n", right ? "ok" : reprise_strerror(REPRISE_E_INVALID));
    return right ? 0 : 1;
}
