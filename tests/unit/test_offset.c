/* tests/unit/test_offset.c — proto/offset: what an offset may look like. */
#include "proto/offset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void expect(const char *text, uint64_t pos, uint64_t seq, const char *tag) {
    struct rp_offset offset;
    assert_int_equal(rp_offset_parse(rp_bytes_str(text), &offset), RP_OK);
    assert_int_equal(offset.pos, pos);
    assert_int_equal(offset.seq, seq);
    assert_true(rp_bytes_eq_str(offset.tag, tag));
    char space[RP_OFFSET_BYTES_MAX];
    assert_true(rp_bytes_eq_str(rp_offset_write(&offset, space), text));
}

static void test_offsets_are_read_and_written(void **state) {
    (void) state;
    expect("0-aaaa", 0, 0, "aaaa");
    expect("18734-k7f3", 18734, 18734, "k7f3");
    expect("20.17-k7f3", 20, 17, "k7f3");
    expect("18446744073709551615-0123456789abcdef", UINT64_MAX, UINT64_MAX, "0123456789abcdef");
    expect("18446744073709551615.18446744073709551614-0123456789abcdef", UINT64_MAX, UINT64_MAX - 1,
           "0123456789abcdef");
}

static void test_what_is_no_offset_is_refused(void **state) {
    (void) state;
    static const char *const texts[] = {
        "",
        "-",
        "1",
        "1-",
        "-aaaa",
        "1-aaa",
        "1-AAAA",
        "1-aaaa ",
        " 1-aaaa",
        "01-aaaa",
        "+1-aaaa",
        "1.-aaaa",
        ".1-aaaa",
        "1.2.3-aaaa",
        "1--aaaa",
        "1-aaaa-aaaa",
        "1.02-aaaa",
        "x-aaaa",
        "1-aaaa.aaa",
        "1e3-aaaa",
        "1-a\303\244aa",
        "18446744073709551616-aaaa",
        "1-0123456789abcdefg",
        "000000000000000000000000000000000000000000000000000000000000000001-aaaa",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct rp_offset offset;
        assert_int_equal(rp_offset_parse(rp_bytes_str(texts[i]), &offset), RP_E_INVALID);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_are_read_and_written),
        cmocka_unit_test(test_what_is_no_offset_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
