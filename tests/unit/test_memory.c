/* tests/unit/test_memory.c — common/memory, on trees of files as the kernel shows them. */
#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/reprise-memory-XXXXXX";

/* Writes a file below the top, with the folders it needs. */
static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", top, name);
    for (char *slash = strchr(path + sizeof top, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void) mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static uint64_t limit(void) {
    char group[256], mount[256];
    snprintf(group, sizeof group, "%s/group", top);
    snprintf(mount, sizeof mount, "%s/mount", top);
    return rp_memory_limit(group, mount);
}

static int setup(void **state) {
    (void) state;
    memcpy(top + sizeof top - 7, "XXXXXX", 6);
    return mkdtemp(top) == NULL;
}

static int teardown(void **state) {
    (void) state;
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s", top);
    return system(command);
}

static void test_nobody_tells(void **state) {
    (void) state;
    assert_true(limit() == UINT64_MAX);
    static const char *const odd[] = {
        "",       "\n\n",     "0",         "0:",      "0::",           "::",
        ":::\n:", "4:memory", "4:memory:", "0::/a/b", "4:memory:/a/b", "x\n0::no slash"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        put("group", odd[i]);
        assert_true(limit() == UINT64_MAX);
    }
}

static void test_version_2(void **state) {
    (void) state;
    put("group", "0::/\n"); /* in a container with a view of its own */
    put("mount/memory.max", "536870912\n");
    put("mount/memory.high", "max\n");
    assert_int_equal(limit(), 536870912);
    put("mount/memory.max", "max\n");
    assert_true(limit() == UINT64_MAX);
    put("mount/memory.high", "1000000\n");
    assert_int_equal(limit(), 1000000);
    put("mount/memory.high", "1000000 \n"); /* not what the kernel writes */
    assert_true(limit() == UINT64_MAX);
}

static void test_the_least_of_all_groups_above(void **state) {
    (void) state;
    put("group", "0::/system.slice/reprise-gateway.slice/reprise-gateway@3000.service\n");
    put("mount/system.slice/reprise-gateway.slice/reprise-gateway@3000.service/memory.max",
        "max\n");
    assert_true(limit() == UINT64_MAX);
    put("mount/system.slice/memory.max", "3000000000\n");
    assert_true(limit() == 3000000000);
    put("mount/system.slice/reprise-gateway.slice/memory.high", "2000000000\n");
    assert_int_equal(limit(), 2000000000);
    put("mount/system.slice/reprise-gateway.slice/reprise-gateway@3000.service/memory.max",
        "5000000\n");
    assert_int_equal(limit(), 5000000);
}

static void test_version_1(void **state) {
    (void) state;
    put("group",
        "9:name=systemd:/docker/id\n8:pids:/docker/id\n4:memory:/docker/id\n0::/docker/id\n");
    put("mount/memory/memory.limit_in_bytes", "314572800\n"); /* the group's own, in a container */
    assert_int_equal(limit(), 314572800);
    put("mount/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_true(limit() == UINT64_MAX);
    put("mount/memory/docker/id/memory.limit_in_bytes", "1048576\n");
    assert_int_equal(limit(), 1048576);
}

/* More than a page, and not "nobody tells". */
static void test_the_machine_has_some(void **state) {
    (void) state;
    assert_true(rp_memory_of_machine() >= 16 << 20);
    assert_true(rp_memory_of_machine() < UINT64_MAX >> 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody_tells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_least_of_all_groups_above, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_1, setup, teardown),
        cmocka_unit_test(test_the_machine_has_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
