/* The list of keys that may connect: what is taken, what is refused, who is found in it. */
#include "broker/allow.h"

#include "broker/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define KEY_1 "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define KEY_2 "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
#define KEY_3 "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

static struct rp_allow *parse(const char *text) {
    struct rp_allow *allow = NULL;
    char why[128] = "";
    assert_int_equal(rp_allow_parse(rp_bytes_str(text), &allow, why, sizeof why), RP_OK);
    return allow;
}

static const struct rp_allow_entry *find(const struct rp_allow *allow, const char *text) {
    struct rp_curve_key key;
    assert_int_equal(rp_curve_key_parse(rp_bytes_str(text), &key), RP_OK);
    return rp_allow_find(allow, &key);
}

static void test_keys_are_found_with_role_and_name(void **state) {
    (void) state;
    struct rp_allow *allow = parse("# who may connect\n"
                                   "gateway eu-1 " KEY_1 "\n"
                                   "\n"
                                   "  worker\tchat#1   " KEY_2 "  \r\n"
                                   "any eu-1 " KEY_3);
    assert_int_equal(rp_allow_count(allow), 3);
    assert_int_equal(find(allow, KEY_1)->roles, RP_CORE_GATEWAY);
    assert_string_equal(find(allow, KEY_1)->name, "eu-1");
    assert_int_equal(find(allow, KEY_2)->roles, RP_CORE_WORKER);
    assert_string_equal(find(allow, KEY_2)->name, "chat#1");
    assert_int_equal(find(allow, KEY_3)->roles, RP_CORE_GATEWAY | RP_CORE_WORKER);
    assert_string_equal(find(allow, KEY_3)->name, "eu-1"); /* a second key of the same */
    assert_null(find(allow, "0000000000000000000000000000000000000000"));
    rp_allow_free(allow);
}

static void test_an_empty_list_has_nobody(void **state) {
    (void) state;
    static const char *const texts[] = {"", "\n", "# nobody\n", " \t \n\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rp_allow *allow = parse(texts[i]);
        assert_int_equal(rp_allow_count(allow), 0);
        assert_null(find(allow, KEY_1));
        assert_null(rp_allow_find_text(allow, RP_BYTES_LIT("gateway eu-1 " KEY_1)));
        rp_allow_free(allow);
    }
}

static void test_wrong_lists_are_refused_and_say_where(void **state) {
    (void) state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"eu-1 " KEY_1, "line 1: expected `gateway NAME KEY`"},
        {"Gateway eu-1 " KEY_1, "line 1: expected `gateway NAME KEY`"},
        {KEY_1, "line 1: expected `gateway NAME KEY`"},
        {"\n\ngateway", "line 3: expected a name"},
        {"gateway caf\xc3\xa9 " KEY_1, "line 1: expected a name"},
        {"gateway a123456789b123456789c123456789d123456789e123456789f123456789gh123 " KEY_1,
         "line 1: expected a name"},
        {"gateway " KEY_1, "line 1: expected a key of 40 characters"},
        {"gateway eu-1 short", "line 1: expected a key of 40 characters"},
        {"gateway eu-1 " KEY_1 "0", "line 1: expected a key of 40 characters"},
        {"gateway eu 1 " KEY_1, "line 1: expected a key of 40 characters"},
        {"gateway eu-1 " KEY_1 " # mine", "line 1: expected nothing after the key"},
        {"gateway eu-1 " KEY_1 "\n# x\nworker w " KEY_1 "\n",
         "line 3: the key is in line 1 already"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_allow *allow = NULL;
        char why[128] = "";
        enum rp_err err = rp_allow_parse(rp_bytes_str(cases[i].text), &allow, why, sizeof why);
        assert_int_equal(err, RP_E_INVALID);
        assert_null(allow);
        assert_memory_equal(why, cases[i].why, strlen(cases[i].why));
    }
}

/* A link lives as long as its very entry: same key, same name, same role. */
static void test_texts_are_of_one_entry(void **state) {
    (void) state;
    struct rp_allow *allow = parse("gateway eu-1 " KEY_1 "\nworker chat " KEY_2 "\n");
    char text[RP_ALLOW_TEXT_SIZE];
    rp_allow_text(find(allow, KEY_2), text);
    assert_string_equal(text, "worker chat " KEY_2);
    assert_ptr_equal(rp_allow_find_text(allow, rp_bytes_str(text)), find(allow, KEY_2));
    static const char *const others[] = {
        "",
        "worker",
        KEY_2,
        "gateway chat " KEY_2,
        "any chat " KEY_2,
        "worker chat2 " KEY_2,
        "worker chat  " KEY_2,
        "worker chat " KEY_1,
        "worker chat " KEY_3,
        "worker chat " KEY_2 " ",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_null(rp_allow_find_text(allow, rp_bytes_str(others[i])));
    }
    rp_allow_free(allow);
}

/* As many keys as there may be: all are found, one more is refused. */
static void test_the_list_has_a_maximum(void **state) {
    (void) state;
    struct rp_buf text;
    rp_buf_init(&text, RP_ALLOW_FILE_BYTES_MAX);
    for (unsigned i = 0; i < RP_ALLOW_KEYS_MAX; i++) {
        /* scattered, so that sorting has something to do */
        assert_int_equal(rp_buf_printf(&text, "gateway g%u %040u\n", i, i * 7919 % 65536), RP_OK);
    }
    struct rp_allow *allow = NULL;
    char why[128];
    enum rp_err err = rp_allow_parse(rp_buf_bytes(&text), &allow, why, sizeof why);
    assert_int_equal(err, RP_OK);
    for (unsigned i = 0; i < RP_ALLOW_KEYS_MAX; i++) {
        char key[RP_CURVE_KEY_LEN + 1], name[8];
        snprintf(key, sizeof key, "%040u", i * 7919 % 65536);
        snprintf(name, sizeof name, "g%u", i);
        assert_string_equal(find(allow, key)->name, name);
    }
    rp_allow_free(allow);
    assert_int_equal(rp_buf_put_str(&text, "gateway more " KEY_1 "\n"), RP_OK);
    assert_int_equal(rp_allow_parse(rp_buf_bytes(&text), &allow, why, sizeof why), RP_E_INVALID);
    assert_string_equal(why, "line 4097: more than 4096 keys");
    rp_buf_done(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_found_with_role_and_name),
        cmocka_unit_test(test_an_empty_list_has_nobody),
        cmocka_unit_test(test_wrong_lists_are_refused_and_say_where),
        cmocka_unit_test(test_texts_are_of_one_entry),
        cmocka_unit_test(test_the_list_has_a_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
