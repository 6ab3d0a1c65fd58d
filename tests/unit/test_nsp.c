/* tests/unit/test_nsp.c — gateway/nsp. */
#include "gateway/nsp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_a_name_is_kept_once_and_while_in_use(void **state) {
    (void) state;
    struct rp_nsps nsps;
    rp_nsps_init(&nsps, (struct rp_hash_key){1, 2});
    char name[] = "/a";
    assert_null(rp_nsp_find(&nsps, RP_BYTES_LIT("/a")));
    struct rp_nsp *a = rp_nsp_ref(&nsps, rp_bytes(name, 2));
    name[1] = 'b'; /* it has a copy */
    struct rp_nsp *b = rp_nsp_ref(&nsps, rp_bytes(name, 2));
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(rp_nsp_find(&nsps, RP_BYTES_LIT("/a")), a);
    assert_ptr_equal(rp_nsp_find(&nsps, RP_BYTES_LIT("/b")), b);
    assert_null(rp_nsp_find(&nsps, RP_BYTES_LIT("/")));
    assert_null(rp_nsp_find(&nsps, RP_BYTES_LIT("/a\0")));
    assert_null(rp_nsp_find(&nsps, RP_BYTES_LIT("")));
    assert_ptr_equal(rp_nsp_ref(&nsps, RP_BYTES_LIT("/a")), a);
    rp_nsp_unref(&nsps, a);
    assert_ptr_equal(rp_nsp_find(&nsps, RP_BYTES_LIT("/a")), a);
    rp_nsp_unref(&nsps, a);
    assert_null(rp_nsp_find(&nsps, RP_BYTES_LIT("/a")));
    rp_nsp_unref(&nsps, b);
    assert_int_equal(nsps.map.count, 0);
    rp_nsps_done(&nsps);
}

static void test_many_names(void **state) {
    (void) state;
    enum { NAMES = 1000 };
    struct rp_nsps nsps;
    struct rp_nsp *all[NAMES];
    char name[300];
    rp_nsps_init(&nsps, (struct rp_hash_key){3, 4});
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "/%0250d", i);
        all[i] = rp_nsp_ref(&nsps, rp_bytes_str(name));
    }
    assert_int_equal(nsps.map.count, NAMES);
    for (int i = NAMES - 1; i >= 0; i--) {
        snprintf(name, sizeof name, "/%0250d", i);
        assert_ptr_equal(rp_nsp_find(&nsps, rp_bytes_str(name)), all[i]);
        rp_nsp_unref(&nsps, all[i]);
        assert_null(rp_nsp_find(&nsps, rp_bytes_str(name)));
    }
    rp_nsps_done(&nsps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_is_kept_once_and_while_in_use),
        cmocka_unit_test(test_many_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
