/* Keys of the links and their files: what is taken, what is refused, what is written. */
#include "common/curve_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* the two of ZeroMQ RFC 26's appendix, and another one */
#define PUBLIC "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define SECRET "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
#define OTHER "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

static enum rp_err parse(const char *text, struct rp_curve_keys *ret_keys, char ret_why[128]) {
    return rp_curve_keys_parse(rp_bytes_str(text), ret_keys, ret_why, 128);
}

static void test_keys_are_40_characters_of_z85(void **state) {
    (void) state;
    static const struct {
        const char *text;
        bool is_key;
    } cases[] = {
        {PUBLIC, true},
        {SECRET, true},
        {OTHER, true},
        {"0000000000000000000000000000000000000000", true},
        {"%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0", true},  /* all bits set */
        {"%nSc1%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0", false}, /* 2^32 */
        {"000000000000000000000000000000000000####", true},
        {"00000000000000000000000000000000000#####", false},  /* past 2^32 */
        {"0000000000000000000000000000000000000####", false}, /* 41 */
        {"", false},
        {"000000000000000000000000000000000000000", false},
        {"00000000000000000000000000000000000000000", false},
        {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI~", false},
        {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI ", false},
        {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI\"", false},
        {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI\xff", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_curve_key key = {.text = "untouched"};
        enum rp_err err = rp_curve_key_parse(rp_bytes_str(cases[i].text), &key);
        assert_int_equal(err, cases[i].is_key ? RP_OK : RP_E_INVALID);
        assert_string_equal(key.text, cases[i].is_key ? cases[i].text : "untouched");
    }
    struct rp_curve_key key; /* a zero inside is no digit */
    uint8_t zeros[RP_CURVE_KEY_LEN] = {0};
    assert_int_equal(rp_curve_key_parse(rp_bytes(zeros, sizeof zeros), &key), RP_E_INVALID);
}

static void test_files_are_read(void **state) {
    (void) state;
    static const char *const texts[] = {
        "public = " PUBLIC "\nsecret = " SECRET "\n",
        "secret=" SECRET "\npublic=" PUBLIC, /* no end of the last line */
        "# comment\r\n\r\n  public  =  " PUBLIC "  \r\n# public = " OTHER "\r\n\tsecret = " SECRET
        "\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rp_curve_keys keys;
        char why[128] = "";
        assert_int_equal(parse(texts[i], &keys, why), RP_OK);
        assert_string_equal(keys.public_key.text, PUBLIC);
        assert_string_equal(keys.secret_key.text, SECRET);
    }
    struct rp_curve_keys keys;
    char why[128];
    assert_int_equal(parse("public = " PUBLIC "\n", &keys, why), RP_OK);
    assert_false(rp_curve_key_is_set(&keys.secret_key));
}

static void test_wrong_files_are_refused_and_say_where(void **state) {
    (void) state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "there is no line `public = KEY`"},
        {"secret = " SECRET "\n", "there is no line `public = KEY`"},
        {"# only this\npublik = " PUBLIC "\n", "line 2: expected `public = KEY` or `secret = KEY`"},
        {PUBLIC "\n", "line 1: expected `public = KEY` or `secret = KEY`"},
        {"public = " PUBLIC "\n\npublic = " OTHER "\n", "line 3: a second public key"},
        {"secret = " SECRET "\nsecret = " SECRET "\n", "line 2: a second secret key"},
        {"public = " PUBLIC " # mine\n", "line 1: expected " RP_CURVE_KEY_EXPECTED},
        {"public = \"" PUBLIC "\"\n", "line 1: expected " RP_CURVE_KEY_EXPECTED},
        {"public =\n", "line 1: expected " RP_CURVE_KEY_EXPECTED},
        {"public = " PUBLIC "\nsecret = short\n", "line 2: expected " RP_CURVE_KEY_EXPECTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_curve_keys keys;
        char why[128] = "";
        assert_int_equal(parse(cases[i].text, &keys, why), RP_E_INVALID);
        assert_string_equal(why, cases[i].why);
    }
}

static void test_what_is_written_can_be_read(void **state) {
    (void) state;
    for (int with_secret = 0; with_secret < 2; with_secret++) {
        struct rp_curve_keys keys = {.public_key.text = PUBLIC}, again;
        if (with_secret) {
            memcpy(keys.secret_key.text, SECRET, sizeof SECRET);
        }
        struct rp_buf text;
        char why[128];
        rp_buf_init(&text, 4096);
        assert_int_equal(rp_curve_keys_put(&text, &keys), RP_OK);
        assert_int_equal(rp_curve_keys_parse(rp_buf_bytes(&text), &again, why, sizeof why), RP_OK);
        assert_string_equal(again.public_key.text, PUBLIC);
        assert_string_equal(again.secret_key.text, with_secret ? SECRET : "");
        rp_buf_done(&text);
    }
    struct rp_buf small;
    rp_buf_init(&small, 40);
    struct rp_curve_keys keys = {.public_key.text = PUBLIC};
    assert_int_equal(rp_curve_keys_put(&small, &keys), RP_E_FULL);
    rp_buf_done(&small);
}

/* ---- on the disk ---- */

static char path[] = "/tmp/reprise-test-curve-XXXXXX";

static void write_file(const char *text, mode_t mode) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_a_secret_that_others_can_read_is_refused(void **state) {
    (void) state;
    static const struct {
        mode_t mode;
        bool ok;
    } cases[] = {{0600, true},  {0400, true},  {0640, false}, {0604, false},
                 {0644, false}, {0660, false}, {0602, false}, {0610, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_curve_keys keys;
        char why[RP_CURVE_WHY_SIZE] = "";
        write_file("public = " PUBLIC "\nsecret = " SECRET "\n", cases[i].mode);
        enum rp_err err = rp_curve_read_keys(path, &keys, why, sizeof why);
        assert_int_equal(err, cases[i].ok ? RP_OK : RP_E_INVALID);
        if (!cases[i].ok) {
            char mode[8];
            snprintf(mode, sizeof mode, "%04o", (unsigned) cases[i].mode);
            assert_non_null(strstr(why, path));
            assert_non_null(strstr(why, mode));
            assert_non_null(strstr(why, "chmod 600"));
        }
        assert_null(strstr(why, SECRET));
    }
}

/* A secret that is lent to us: only root can make such a file. */
static void test_a_mounted_secret_may_be_readable_for_our_group(void **state) {
    (void) state;
    if (geteuid() != 0) {
        skip();
    }
    struct rp_curve_keys keys;
    char why[RP_CURVE_WHY_SIZE];
    write_file("public = " PUBLIC "\nsecret = " SECRET "\n", 0640);
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(rp_curve_read_keys(path, &keys, why, sizeof why), RP_OK);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(rp_curve_read_keys(path, &keys, why, sizeof why), RP_E_INVALID);
    assert_int_equal(chmod(path, 0660), 0);
    assert_int_equal(rp_curve_read_keys(path, &keys, why, sizeof why), RP_E_INVALID);
    assert_int_equal(chown(path, 0, 0), 0);
}

static void test_unusable_files_say_what_is_wrong(void **state) {
    (void) state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"public = " PUBLIC "\n", "no line `secret = KEY`"},
        {"public = " OTHER "\nsecret = " SECRET "\n", "do not belong together"},
        {"nonsense\n", "line 1: expected"},
    };
    struct rp_curve_keys keys;
    char why[RP_CURVE_WHY_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(cases[i].text, 0600);
        assert_int_equal(rp_curve_read_keys(path, &keys, why, sizeof why), RP_E_INVALID);
        assert_non_null(strstr(why, cases[i].why));
        assert_non_null(strstr(why, path));
    }
    assert_int_equal(rp_curve_read_keys("/nowhere/key", &keys, why, sizeof why), RP_E_IO);
    assert_string_equal(why, "/nowhere/key: No such file or directory");
    assert_int_equal(rp_curve_read_keys("/tmp", &keys, why, sizeof why), RP_E_IO);
    assert_string_equal(why, "/tmp: not a regular file");
    assert_int_equal(rp_curve_read_keys("/dev/zero", &keys, why, sizeof why), RP_E_IO);
    static char large[(16 << 10) + 2];
    memset(large, '#', sizeof large - 1);
    write_file(large, 0600);
    assert_int_equal(rp_curve_read_keys(path, &keys, why, sizeof why), RP_E_TOO_BIG);
}

static void test_a_peers_key_is_a_key_or_a_file(void **state) {
    (void) state;
    struct rp_curve_key key;
    char why[RP_CURVE_WHY_SIZE];
    assert_int_equal(rp_curve_read_public(PUBLIC, &key, why, sizeof why), RP_OK);
    assert_string_equal(key.text, PUBLIC);
    write_file("public = " OTHER "\n", 0644); /* it is no secret */
    assert_int_equal(rp_curve_read_public(path, &key, why, sizeof why), RP_OK);
    assert_string_equal(key.text, OTHER);
    write_file("public = " PUBLIC "\nsecret = " SECRET "\n", 0600);
    assert_int_equal(rp_curve_read_public(path, &key, why, sizeof why), RP_E_INVALID);
    assert_non_null(strstr(why, ".pub"));
    assert_int_equal(rp_curve_read_public("short", &key, why, sizeof why), RP_E_IO);
}

static int make_path(void **state) {
    (void) state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
    (void) state;
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_40_characters_of_z85),
        cmocka_unit_test(test_files_are_read),
        cmocka_unit_test(test_wrong_files_are_refused_and_say_where),
        cmocka_unit_test(test_what_is_written_can_be_read),
        cmocka_unit_test(test_a_secret_that_others_can_read_is_refused),
        cmocka_unit_test(test_a_mounted_secret_may_be_readable_for_our_group),
        cmocka_unit_test(test_unusable_files_say_what_is_wrong),
        cmocka_unit_test(test_a_peers_key_is_a_key_or_a_file),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
