/* Options: sources and their order, kinds of values, messages, help. */
#include "common/limits.h"
#include "common/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const colours[] = {"red", "green", "blue", NULL};

static const char *check_address(const char *text) {
    return strncmp(text, "tcp://", 6) == 0 ? NULL : "an address tcp://HOST:PORT";
}

/* What the table below fills. */
struct values {
    const char *listen, *dir, *key;
    uint64_t ttl_ms, payload_bytes, retain;
    unsigned colour;
    bool demo;
};

static struct values v;

static const struct rp_option table[] = {
    {.name = "Addresses", .kind = RP_OPTION_GROUP},
    {.name = "listen",
     .kind = RP_OPTION_STRING,
     .text = &v.listen,
     .fallback = "tcp://127.0.0.1:1",
     .value = "ADDRESS",
     .check = check_address,
     .help = "where to listen"},
    {.name = "dir", .kind = RP_OPTION_STRING, .text = &v.dir, .value = "DIR", .help = "files"},
    {.name = "tls-key",
     .kind = RP_OPTION_STRING,
     .text = &v.key,
     .value = "FILE",
     .is_file = true,
     .help = "a key"},
    {.name = "Sizes and times", .kind = RP_OPTION_GROUP},
    {.name = "session-ttl",
     .kind = RP_OPTION_DURATION,
     .number = &v.ttl_ms,
     .fallback = "2h",
     .min = 100,
     .max = 86400000,
     .help = "how long a session lives without a connection, which is a sentence that needs more "
             "than one line of the help text to be told"},
    {.name = "max-payload",
     .kind = RP_OPTION_SIZE,
     .number = &v.payload_bytes,
     .fallback = "1000000",
     .min = 1024,
     .max = 16 << 20,
     .help = "largest message"},
    {.name = "retain-events",
     .kind = RP_OPTION_INTEGER,
     .number = &v.retain,
     .fallback = "all",
     .min = 1,
     .word = "all",
     .word_number = UINT64_MAX,
     .help = "newest events kept"},
    {.name = "colour",
     .kind = RP_OPTION_CHOICE,
     .choice = &v.colour,
     .fallback = "green",
     .choices = colours,
     .help = "paint"},
    {.name = "demo", .kind = RP_OPTION_FLAG, .flag = &v.demo, .help = "show"},
};

enum { ARGS_MAX = 8 };

struct run {
    const char *args[ARGS_MAX]; /* after the program's name */
    const char *environment[ARGS_MAX];
};

/* Parses and leaves the text, terminated, in ret_text; strings of the file live until the next
 * call. */
static enum rp_option_answer parse(const struct run *run, char ret_text[8192]) {
    static struct rp_option_set set;
    rp_option_done(&set);
    set = (struct rp_option_set){.program = "reprise-test",
                                 .summary = "A program that is only made for this test.",
                                 .options = table,
                                 .options_count = sizeof table / sizeof *table};
    char *argv[ARGS_MAX + 2] = {(char *) (uintptr_t) "reprise-test"};
    char *environment[ARGS_MAX + 1] = {0};
    int argc = 1;
    for (int i = 0; i < ARGS_MAX && run->args[i] != NULL; i++) {
        argv[argc++] = (char *) (uintptr_t) run->args[i];
    }
    for (int i = 0; i < ARGS_MAX && run->environment[i] != NULL; i++) {
        environment[i] = (char *) (uintptr_t) run->environment[i];
    }
    struct rp_buf text;
    rp_buf_init(&text, 8191);
    enum rp_option_answer answer = rp_option_parse(&set, argc, argv, environment, &text);
    if (text.len > 0) {
        memcpy(ret_text, text.data, text.len);
    }
    ret_text[text.len] = '\0';
    rp_buf_done(&text);
    if (answer != RP_OPTION_RUN) {
        rp_option_done(&set);
    }
    return answer;
}

static void assert_runs(const struct run *run) {
    char text[8192];
    enum rp_option_answer answer = parse(run, text);
    assert_string_equal(text, "");
    assert_int_equal(answer, RP_OPTION_RUN);
}

static void assert_says(const struct run *run, const char *expected) {
    char text[8192];
    assert_int_equal(parse(run, text), RP_OPTION_WRONG);
    assert_string_equal(text, expected);
}

#define RUN(...) (&(struct run){.args = {__VA_ARGS__}})

static void write_bytes(char path[32], const void *content, size_t len) {
    strcpy(path, "/tmp/test_option_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, len), len);
    close(fd);
}

static void write_file(char path[32], const char *content) {
    write_bytes(path, content, strlen(content));
}

/* Parses with one variable NAME_FILE that names a file with this content. */
static enum rp_option_answer parse_secret(const char *name, const char *content, size_t len,
                                          char ret_text[8192]) {
    char path[32], variable[96];
    write_bytes(path, content, len);
    snprintf(variable, sizeof variable, "%s=%s", name, path);
    enum rp_option_answer answer = parse(&(struct run){.environment = {variable}}, ret_text);
    if (answer == RP_OPTION_WRONG) {
        assert_non_null(strstr(ret_text, name));
        assert_non_null(strstr(ret_text, path));
    }
    unlink(path);
    return answer;
}

static void assert_takes_secret(const char *name, const char *content) {
    char text[8192];
    enum rp_option_answer answer = parse_secret(name, content, strlen(content), text);
    assert_string_equal(text, "");
    assert_int_equal(answer, RP_OPTION_RUN);
}

/* The message says what is expected, and nothing of what is in the file. */
static void assert_refuses_secret(const char *name, const char *content, size_t len,
                                  const char *expected) {
    char text[8192];
    assert_int_equal(parse_secret(name, content, len, text), RP_OPTION_WRONG);
    if (strstr(text, expected) == NULL) {
        fail_msg("%s is not in: %s", expected, text);
    }
    assert_null(strstr(text, "hunter2"));
}

/* ---- values ---- */

static void test_nothing_given_gives_defaults(void **state) {
    (void) state;
    memset(&v, 0xEE, sizeof v);
    assert_runs(&(struct run){.args = {NULL}});
    assert_string_equal(v.listen, "tcp://127.0.0.1:1");
    assert_null(v.dir);
    assert_int_equal(v.ttl_ms, 7200000);
    assert_int_equal(v.payload_bytes, 1000000);
    assert_true(v.retain == UINT64_MAX);
    assert_int_equal(v.colour, 1);
    assert_false(v.demo);
}

static void test_both_spellings_of_a_flag_set_it(void **state) {
    (void) state;
    assert_runs(RUN("--listen", "tcp://a:1", "--dir=/x=y", "--demo", "--colour=blue"));
    assert_string_equal(v.listen, "tcp://a:1");
    assert_string_equal(v.dir, "/x=y");
    assert_true(v.demo);
    assert_int_equal(v.colour, 2);
    assert_runs(RUN("--demo=no", "--colour", "red", "--dir", "-", "--dir", "last"));
    assert_false(v.demo);
    assert_int_equal(v.colour, 0);
    assert_string_equal(v.dir, "last");
}

static void test_durations_take_their_units(void **state) {
    (void) state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"100ms", 100}, {"5s", 5000}, {"3m", 180000}, {"2h", 7200000}, {"1d", 86400000}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_runs(RUN("--session-ttl", good[i].text));
        assert_int_equal(v.ttl_ms, good[i].ms);
    }
    static const char *const bad[] = {"",
                                      "5",
                                      "s",
                                      "-5s",
                                      "+5s",
                                      "5 s",
                                      "5S",
                                      "05s",
                                      "5.5s",
                                      "5sec",
                                      "99ms",
                                      "25h",
                                      "86400001ms",
                                      "0x5s",
                                      "99999999999999999999d",
                                      "18446744073709551615d",
                                      "213503982335d"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char expected[256];
        snprintf(expected, sizeof expected,
                 "--session-ttl \"%s\": expected a duration with its unit, ms s m h or d, between "
                 "100ms and 1d\n",
                 bad[i]);
        assert_says(RUN("--session-ttl", bad[i]), expected);
    }
}

static void test_sizes_take_their_units(void **state) {
    (void) state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"1024", 1024}, {"20k", 20480}, {"20K", 20480}, {"16M", 16 << 20}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_runs(RUN("--max-payload", good[i].text));
        assert_int_equal(v.payload_bytes, good[i].bytes);
    }
    static const char *const bad[] = {"",    "1T", "1G",  "1023",
                                      "17M", "k",  "1kB", "99999999999999999G"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char expected[256];
        snprintf(expected, sizeof expected,
                 "--max-payload \"%s\": expected a size in bytes, or with k M or G, between 1k and "
                 "16M\n",
                 bad[i]);
        assert_says(RUN("--max-payload", bad[i]), expected);
    }
}

static void test_numbers_take_their_word(void **state) {
    (void) state;
    assert_runs(RUN("--retain-events", "1"));
    assert_int_equal(v.retain, 1);
    assert_runs(RUN("--retain-events", "1", "--retain-events", "all"));
    assert_true(v.retain == UINT64_MAX);
    assert_says(RUN("--retain-events", "0"),
                "--retain-events \"0\": expected a number of at least 1, or all\n");
    assert_says(RUN("--retain-events=many"),
                "--retain-events \"many\": expected a number of at least 1, or all\n");
}

static void test_other_kinds_refuse_what_they_do_not_know(void **state) {
    (void) state;
    assert_says(RUN("--colour", "pink"), "--colour \"pink\": expected red, green or blue\n");
    assert_says(RUN("--demo=perhaps"), "--demo \"perhaps\": expected yes or no\n");
    assert_says(RUN("--listen", "x"), "--listen \"x\": expected an address tcp://HOST:PORT\n");
    assert_says(RUN("--dir", ""), "--dir \"\": expected DIR\n");
}

/* ---- names ---- */

static void test_what_is_no_option_is_refused_with_a_hint(void **state) {
    (void) state;
    assert_says(RUN("--nothing-like-it"), "unknown option --nothing-like-it\n");
    assert_says(RUN("--sesion-ttl=5s"),
                "unknown option --sesion-ttl, did you mean --session-ttl?\n");
    assert_says(RUN("--retain", "5"), "unknown option --retain, did you mean --retain-events?\n");
    assert_says(RUN("--Addresses"), "unknown option --Addresses\n");
    assert_says(RUN("stray"), "unexpected argument \"stray\"\n");
    assert_says(RUN("--demo", "yes"), "unexpected argument \"yes\"\n");
    assert_says(RUN("-d"), "unexpected argument \"-d\"\n");
    assert_says(RUN("--"), "unexpected argument \"--\"\n");
    assert_says(RUN("--="), "unknown option --\n");
}

static void test_a_missing_value_is_refused(void **state) {
    (void) state;
    assert_says(RUN("--dir"), "--dir needs a value: DIR\n");
    assert_says(RUN("--colour", "--demo"), "--colour needs a value: red, green or blue\n");
    assert_says(RUN("--config"), "--config needs a value: FILE\n");
}

/* ---- sources ---- */

static void test_flags_win_over_environment_over_file(void **state) {
    (void) state;
    char path[32];
    write_file(path, "# a comment\n\nsession-ttl = 1s\r\n  max-payload=2k  \ncolour = red\n"
                     "demo = on\ndir = a dir = with spaces");
    assert_runs(&(struct run){.args = {"--config", path, "--colour", "blue"},
                              .environment = {"REPRISE_SESSION_TTL=2s", "REPRISE_COLOUR=green",
                                              "REPRISE_SESSION_TTLX=9", "OTHER=1"}});
    assert_int_equal(v.colour, 2);
    assert_int_equal(v.ttl_ms, 2000);
    assert_int_equal(v.payload_bytes, 2048);
    assert_true(v.demo);
    assert_string_equal(v.dir, "a dir = with spaces");
    assert_string_equal(v.listen, "tcp://127.0.0.1:1");

    char variable[64];
    snprintf(variable, sizeof variable, "REPRISE_CONFIG=%s", path);
    assert_runs(&(struct run){.args = {"--demo=0"}, .environment = {variable}});
    assert_int_equal(v.colour, 0);
    assert_int_equal(v.ttl_ms, 1000);
    assert_false(v.demo);
    unlink(path);
}

static void test_an_empty_variable_is_not_set(void **state) {
    (void) state;
    assert_runs(&(struct run){.environment = {"REPRISE_SESSION_TTL=", "REPRISE_CONFIG="}});
    assert_int_equal(v.ttl_ms, 7200000);
}

static void test_a_wrong_variable_is_refused_though_a_flag_overrides_it(void **state) {
    (void) state;
    assert_says(&(struct run){.args = {"--colour", "red"}, .environment = {"REPRISE_COLOUR=pink"}},
                "REPRISE_COLOUR \"pink\" in the environment: expected red, green or blue\n");
}

/* ---- values in files of their own ---- */

static void test_a_value_may_be_in_a_file_of_its_own(void **state) {
    (void) state;
    assert_takes_secret("REPRISE_DIR_FILE", "/a = # dir\n");
    assert_string_equal(v.dir, "/a = # dir");
    assert_takes_secret("REPRISE_DIR_FILE", " kept as it is \r\n\n");
    assert_string_equal(v.dir, " kept as it is ");
    assert_takes_secret("REPRISE_SESSION_TTL_FILE", "5s");
    assert_int_equal(v.ttl_ms, 5000);
    assert_takes_secret("REPRISE_MAX_PAYLOAD_FILE", "2k\n");
    assert_int_equal(v.payload_bytes, 2048);
    assert_takes_secret("REPRISE_RETAIN_EVENTS_FILE", "all\n");
    assert_true(v.retain == UINT64_MAX);
    assert_takes_secret("REPRISE_COLOUR_FILE", "blue\n");
    assert_int_equal(v.colour, 2);
    assert_takes_secret("REPRISE_DEMO_FILE", "on\n");
    assert_true(v.demo);
}

static void test_a_value_of_a_file_may_be_as_long_as_the_limit(void **state) {
    (void) state;
    char *long_value = malloc(RP_OPTION_FILE_BYTES_MAX + 1);
    assert_non_null(long_value);
    memset(long_value, 'x', RP_OPTION_FILE_BYTES_MAX);
    long_value[RP_OPTION_FILE_BYTES_MAX] = '\0';
    assert_takes_secret("REPRISE_DIR_FILE", long_value);
    assert_string_equal(v.dir, long_value);
    long_value[RP_OPTION_FILE_BYTES_MAX] = 'x';
    assert_refuses_secret("REPRISE_DIR_FILE", long_value, RP_OPTION_FILE_BYTES_MAX + 1,
                          "larger than the maximum");
    free(long_value);
}

static void test_what_is_in_a_file_is_not_repeated(void **state) {
    (void) state;
    static const struct {
        const char *name, *content;
        size_t len;
        const char *expected;
    } cases[] = {
        {"REPRISE_SESSION_TTL_FILE", "hunter2", 7, "expected a duration"},
        {"REPRISE_COLOUR_FILE", "hunter2\n", 8, "expected red, green or blue"},
        {"REPRISE_LISTEN_FILE", "hunter2\n", 8, "expected an address tcp://HOST:PORT"},
        {"REPRISE_DIR_FILE", "hunter2\nhunter2", 15, "more than one line"},
        {"REPRISE_DIR_FILE", "hunter2\rhunter2", 15, "more than one line"},
        {"REPRISE_DIR_FILE", "hunter2\0x", 9, "not a text file"},
        {"REPRISE_DIR_FILE", "\n\n", 2, "it is empty"},
        {"REPRISE_DIR_FILE", "", 0, "it is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_refuses_secret(cases[i].name, cases[i].content, cases[i].len, cases[i].expected);
    }
}

static void test_a_file_that_cannot_be_read_is_refused_though_a_flag_overrides_it(void **state) {
    (void) state;
    assert_says(
        &(struct run){.args = {"--dir", "x"}, .environment = {"REPRISE_DIR_FILE=/no/such/file"}},
        "REPRISE_DIR_FILE in the environment: cannot take a value from /no/such/file: No "
        "such file or directory\n");
    assert_says(&(struct run){.environment = {"REPRISE_DIR_FILE=/tmp"}},
                "REPRISE_DIR_FILE in the environment: cannot take a value from /tmp: not a regular "
                "file\n");
}

static void test_the_name_of_a_file_is_not_looked_into(void **state) {
    (void) state;
    assert_runs(&(struct run){.environment = {"REPRISE_TLS_KEY_FILE=/no/such/key"}});
    assert_string_equal(v.key, "/no/such/key");
    char path[32], variable[64];
    write_file(path, "colour = red\n");
    snprintf(variable, sizeof variable, "REPRISE_CONFIG_FILE=%s", path);
    assert_runs(&(struct run){.environment = {variable}});
    assert_int_equal(v.colour, 0);
    unlink(path);
}

static void test_both_variables_of_an_option_are_one_too_many(void **state) {
    (void) state;
    assert_says(
        &(struct run){.environment = {"REPRISE_DIR=x", "REPRISE_DIR_FILE=/no/such/file"}},
        "REPRISE_DIR and REPRISE_DIR_FILE are both set in the environment: expected one of them\n");
    assert_says(
        &(struct run){.environment = {"REPRISE_TLS_KEY=x", "REPRISE_TLS_KEY_FILE=x"}},
        "REPRISE_TLS_KEY and REPRISE_TLS_KEY_FILE are both set in the environment: expected "
        "one of them\n");
    assert_says(&(struct run){.environment = {"REPRISE_CONFIG=x", "REPRISE_CONFIG_FILE=x"}},
                "REPRISE_CONFIG and REPRISE_CONFIG_FILE are both set in the environment: expected "
                "one of them\n");
    assert_runs(&(struct run){.environment = {"REPRISE_DIR=x", "REPRISE_DIR_FILE="}});
    assert_string_equal(v.dir, "x");
}

static void test_a_flag_wins_over_the_file_of_a_value(void **state) {
    (void) state;
    char path[32], variable[64];
    write_file(path, "blue");
    snprintf(variable, sizeof variable, "REPRISE_COLOUR_FILE=%s", path);
    assert_runs(&(struct run){.args = {"--colour", "red"}, .environment = {variable}});
    assert_int_equal(v.colour, 0);
    unlink(path);
}

/* ---- the file ---- */

static void test_a_wrong_line_of_the_file_is_refused_with_its_number(void **state) {
    (void) state;
    static const char *const cases[][2] = {
        {"demo = yes\n\ncolour = pink\n", "3: colour \"pink\": expected red, green or blue\n"},
        {"demo\n", "1: \"demo\": expected a line `option = value`\n"},
        {"dmo = yes\n", "1: unknown option dmo, did you mean demo?\n"},
        {"config = x\n", "1: unknown option config\n"},
        {" = 5\n", "1: unknown option \n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[32], expected[256];
        write_file(path, cases[i][0]);
        snprintf(expected, sizeof expected, "%s:%s", path, cases[i][1]);
        assert_says(RUN("--config", path), expected);
        unlink(path);
    }
    assert_says(RUN("--config=/no/such/file"),
                "cannot read /no/such/file: No such file or directory\n");
    assert_says(RUN("--config=/tmp"), "cannot read /tmp: Is a directory\n");
}

/* ---- help ---- */

static void test_help_tells_every_option_within_the_width(void **state) {
    (void) state;
    char text[8192];
    assert_int_equal(parse(RUN("--colour", "pink", "--help"), text), RP_OPTION_TOLD);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bool is_group = table[i].kind == RP_OPTION_GROUP;
        char expected[64];
        snprintf(expected, sizeof expected, is_group ? "\n%s\n" : "\n  --%s", table[i].name);
        assert_non_null(strstr(text, expected));
    }
    assert_non_null(strstr(text, "--colour red|green|blue     paint [green]\n"));
    assert_non_null(
        strstr(text, "--listen ADDRESS            where to listen [tcp://127.0.0.1:1]\n"));
    assert_non_null(strstr(text, "  --demo                      show\n"));
    assert_non_null(strstr(text, "--config FILE"));
    assert_non_null(strstr(text, "--version"));
    assert_non_null(strstr(text, "REPRISE_"));
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 92);
    }
}

static void test_version_is_name_and_number(void **state) {
    (void) state;
    char text[8192];
    assert_int_equal(parse(RUN("--version"), text), RP_OPTION_TOLD);
    assert_string_equal(text, "reprise-test " RP_VERSION "\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_given_gives_defaults),
        cmocka_unit_test(test_both_spellings_of_a_flag_set_it),
        cmocka_unit_test(test_durations_take_their_units),
        cmocka_unit_test(test_sizes_take_their_units),
        cmocka_unit_test(test_numbers_take_their_word),
        cmocka_unit_test(test_other_kinds_refuse_what_they_do_not_know),
        cmocka_unit_test(test_what_is_no_option_is_refused_with_a_hint),
        cmocka_unit_test(test_a_missing_value_is_refused),
        cmocka_unit_test(test_flags_win_over_environment_over_file),
        cmocka_unit_test(test_an_empty_variable_is_not_set),
        cmocka_unit_test(test_a_wrong_variable_is_refused_though_a_flag_overrides_it),
        cmocka_unit_test(test_a_value_may_be_in_a_file_of_its_own),
        cmocka_unit_test(test_a_value_of_a_file_may_be_as_long_as_the_limit),
        cmocka_unit_test(test_what_is_in_a_file_is_not_repeated),
        cmocka_unit_test(test_a_file_that_cannot_be_read_is_refused_though_a_flag_overrides_it),
        cmocka_unit_test(test_the_name_of_a_file_is_not_looked_into),
        cmocka_unit_test(test_both_variables_of_an_option_are_one_too_many),
        cmocka_unit_test(test_a_flag_wins_over_the_file_of_a_value),
        cmocka_unit_test(test_a_wrong_line_of_the_file_is_refused_with_its_number),
        cmocka_unit_test(test_help_tells_every_option_within_the_width),
        cmocka_unit_test(test_version_is_name_and_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
