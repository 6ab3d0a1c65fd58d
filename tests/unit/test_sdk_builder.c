/* tests/unit/test_sdk_builder.c — sdk/builder*: what is written, what is refused, what reads back.
 *
 * The linker sends the library's calls of malloc, calloc and realloc here (--wrap), so that there
 * can be no memory at any of them. */
#include "sdk/reprise_value.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- memory ---- */

static size_t allocations_left = SIZE_MAX; /* until there is none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool may_allocate(void) {
    return allocations_left == SIZE_MAX || (allocations_left > 0 && allocations_left-- > 0);
}

void *__wrap_malloc(size_t size) {
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size) {
    return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *memory, size_t size) {
    return may_allocate() ? __real_realloc(memory, size) : NULL;
}

/* ---- what is expected ---- */

static struct reprise_builder *new_builder(void) {
    struct reprise_builder *b = reprise_builder_new();
    assert_non_null(b);
    return b;
}

static void check_json(struct reprise_builder *b, const char *expected) {
    assert_int_equal(reprise_builder_error(b), REPRISE_OK);
    struct reprise_value v = reprise_builder_value(b);
    assert_int_equal(v.json.len, strlen(expected));
    assert_memory_equal(v.json.data, expected, v.json.len);
    assert_int_equal(reprise_value_check(v), REPRISE_OK);
    assert_int_equal(reprise_builder_count(b), reprise_value_count(v));
}

static void check_error(struct reprise_builder *b, enum reprise_err err) {
    assert_int_equal(reprise_builder_error(b), err);
    assert_int_equal(reprise_value_type(reprise_builder_value(b)), REPRISE_ABSENT);
    reprise_builder_reset(b);
    check_json(b, "[]");
}

static void test_every_kind(void **state) {
    (void) state;
    struct reprise_builder *b = new_builder();
    check_json(b, "[]");
    assert_int_equal(reprise_put_null(b), REPRISE_OK);
    assert_int_equal(reprise_put_bool(b, true), REPRISE_OK);
    assert_int_equal(reprise_put_bool(b, false), REPRISE_OK);
    assert_int_equal(reprise_put_int64(b, INT64_MIN), REPRISE_OK);
    assert_int_equal(reprise_put_uint64(b, UINT64_MAX), REPRISE_OK);
    assert_int_equal(reprise_put_double(b, 0.1), REPRISE_OK);
    assert_int_equal(reprise_put_double(b, (double) NAN), REPRISE_OK);
    assert_int_equal(reprise_put_double(b, (double) -INFINITY), REPRISE_OK);
    assert_int_equal(reprise_put_string(b, "a\"\n\xC3\xA9"), REPRISE_OK);
    assert_int_equal(reprise_put_string(b, NULL), REPRISE_OK);
    assert_int_equal(reprise_put_text(b, "a\0b", 3), REPRISE_OK);
    assert_int_equal(reprise_put_text(b, NULL, 0), REPRISE_OK);
    static const char json[] = " { \"a\" : [ 1.50 , \"\\u0041\" ] } ";
    assert_int_equal(reprise_put_json(b, json, sizeof json - 1), REPRISE_OK);
    check_json(b, "[null,true,false,-9223372036854775808,18446744073709551615,0.1,null,null,"
                  "\"a\\\"\\n\xC3\xA9\",null,\"a\\u0000b\",\"\",{\"a\":[1.50,\"\\u0041\"]}]");
    reprise_builder_free(b);
    reprise_builder_free(NULL);
}

static void test_arrays_and_objects(void **state) {
    (void) state;
    struct reprise_builder *b = new_builder();
    reprise_begin_object(b);
    reprise_put_key(b, "a");
    reprise_begin_array(b);
    reprise_end_array(b);
    reprise_put_key_text(b, "b\"", 2);
    reprise_begin_array(b);
    reprise_put_int64(b, 1);
    reprise_begin_object(b);
    reprise_end_object(b);
    reprise_put_int64(b, 2);
    reprise_end_array(b);
    assert_int_equal(reprise_builder_error(b), REPRISE_E_INVALID); /* not ended */
    assert_int_equal(reprise_put_key(b, "c"), REPRISE_OK);         /* but it does not stick */
    reprise_put_null(b);
    reprise_end_object(b);
    reprise_put_int64(b, 3);
    check_json(b, "[{\"a\":[],\"b\\\"\":[1,{},2],\"c\":null},3]");
    reprise_builder_free(b);
}

static void test_binary_values_are_beside_the_text(void **state) {
    (void) state;
    struct reprise_builder *b = new_builder();
    reprise_put_binary(b, "abc", 3);
    reprise_begin_array(b);
    reprise_put_binary(b, NULL, 0);
    reprise_end_array(b);
    check_json(b, "[{\"_placeholder\":true,\"num\":0},[{\"_placeholder\":true,\"num\":1}]]");
    struct reprise_value v = reprise_builder_value(b);
    assert_int_equal(v.binary.len, 11);
    assert_memory_equal(v.binary.data, "\0\0\0\3abc\0\0\0\0", 11);
    struct reprise_bytes bytes;
    assert_int_equal(reprise_value_binary(reprise_value_at(v, 0), &bytes), REPRISE_OK);
    assert_memory_equal(bytes.data, "abc", 3);
    for (int i = 2; i < 10; i++) {
        assert_int_equal(reprise_put_binary(b, "x", 1), REPRISE_OK);
    }
    assert_int_equal(reprise_put_binary(b, "x", 1), REPRISE_E_FULL);
    check_error(b, REPRISE_E_FULL);
    reprise_builder_free(b);
}

static void test_misuse_sticks(void **state) {
    (void) state;
    struct reprise_builder *b = new_builder();
    assert_int_equal(reprise_put_key(b, "a"), REPRISE_E_INVALID);
    assert_int_equal(reprise_put_int64(b, 1), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    assert_int_equal(reprise_end_array(b), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    reprise_begin_object(b);
    assert_int_equal(reprise_put_int64(b, 1), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    reprise_begin_object(b);
    assert_int_equal(reprise_end_array(b), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    reprise_begin_object(b);
    reprise_put_key(b, "a");
    assert_int_equal(reprise_end_object(b), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    reprise_begin_object(b);
    reprise_put_key(b, "a");
    assert_int_equal(reprise_put_key(b, "b"), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    reprise_begin_array(b);
    assert_int_equal(reprise_put_key(b, "b"), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    assert_int_equal(reprise_put_string(b, "\xFF"), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    assert_int_equal(reprise_put_text(b, NULL, 1), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    assert_int_equal(reprise_put_binary(b, NULL, 1), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    assert_int_equal(reprise_put_value(b, reprise_value_at(reprise_builder_value(b), 0)),
                     REPRISE_E_TYPE);
    check_error(b, REPRISE_E_TYPE);
    reprise_builder_free(b);
}

static void test_no_builder_is_no_memory(void **state) {
    (void) state;
    struct reprise_value v = reprise_value_parse("1", 1);
    assert_int_equal(reprise_put_null(NULL), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_put_bool(NULL, true), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_put_double(NULL, 1), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_put_string(NULL, "a"), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_put_binary(NULL, "a", 1), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_put_json(NULL, "1", 1), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_put_value(NULL, v), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_put_msgpack(NULL, "\1", 1), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_begin_array(NULL), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_end_object(NULL), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_put_key(NULL, "a"), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_put(NULL, "i", 1), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_builder_error(NULL), REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_builder_count(NULL), 0);
    assert_int_equal(reprise_value_type(reprise_builder_value(NULL)), REPRISE_ABSENT);
    reprise_builder_reset(NULL);
}

static void test_nesting_is_bounded(void **state) {
    (void) state;
    struct reprise_builder *b = new_builder();
    for (int i = 0; i < 127; i++) {
        assert_int_equal(reprise_begin_array(b), REPRISE_OK);
    }
    for (int i = 0; i < 127; i++) {
        assert_int_equal(reprise_end_array(b), REPRISE_OK);
    }
    struct reprise_value v = reprise_builder_value(b);
    assert_int_equal(reprise_value_check(v), REPRISE_OK);
    struct reprise_builder *copy = new_builder();
    assert_int_equal(reprise_put_value(copy, reprise_value_at(v, 0)), REPRISE_OK);
    assert_int_equal(reprise_put_value(copy, v), REPRISE_E_FULL);
    check_error(copy, REPRISE_E_FULL);
    void *data = NULL;
    size_t len = 0;
    assert_int_equal(reprise_value_to_msgpack(v, &data, &len), REPRISE_OK);
    assert_int_equal(reprise_put_msgpack(copy, data, len), REPRISE_E_FULL);
    check_error(copy, REPRISE_E_FULL);
    assert_int_equal(reprise_put_msgpack(copy, (char *) data + 1, len - 1), REPRISE_OK);
    assert_int_equal(reprise_builder_error(copy), REPRISE_OK);
    reprise_builder_reset(b);
    for (int i = 0; i < 127; i++) {
        reprise_begin_array(b);
    }
    assert_int_equal(reprise_begin_object(b), REPRISE_E_FULL);
    check_error(b, REPRISE_E_FULL);
    free(data);
    reprise_builder_free(copy);
    reprise_builder_free(b);
}

static void test_size_is_bounded(void **state) {
    (void) state;
    enum { MAX = 16 << 20, HALF = MAX / 2 };
    char *half = calloc(1, HALF + 1);
    assert_non_null(half);
    memset(half, 'x', HALF);
    struct reprise_builder *b = new_builder();
    static const char placeholder[] = "[{\"_placeholder\":true,\"num\":0},\"\"]";
    size_t rest = MAX - HALF - 4 - (sizeof placeholder - 1);
    assert_int_equal(reprise_put_binary(b, half, HALF), REPRISE_OK);
    assert_int_equal(reprise_put_text(b, half, rest), REPRISE_OK);
    struct reprise_value v = reprise_builder_value(b);
    assert_int_equal(v.json.len + v.binary.len, MAX);
    assert_int_equal(reprise_value_check(v), REPRISE_OK);
    assert_int_equal(reprise_begin_array(b), REPRISE_E_FULL);
    check_error(b, REPRISE_E_FULL);
    reprise_put_binary(b, half, HALF);
    assert_int_equal(reprise_put_text(b, half, rest + 1), REPRISE_E_FULL);
    check_error(b, REPRISE_E_FULL);
    reprise_put_text(b, half, HALF);
    assert_int_equal(reprise_put_binary(b, half, HALF), REPRISE_E_FULL);
    check_error(b, REPRISE_E_FULL);
    assert_int_equal(reprise_put_binary(b, half, SIZE_MAX), REPRISE_E_FULL);
    check_error(b, REPRISE_E_FULL);
    assert_int_equal(reprise_put_text(b, half, SIZE_MAX), REPRISE_E_FULL);
    check_error(b, REPRISE_E_FULL);
    free(half);
    reprise_builder_free(b);
}

static void test_look_alikes_are_refused(void **state) {
    (void) state;
    struct reprise_builder *b = new_builder();
    static const char *const refused[] = {
        "{\"_placeholder\":true,\"num\":0}",
        "[[{\"a\":{\"\\u005fplaceholder\": true}}]]",
    };
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        reprise_put_binary(b, "x", 1);
        assert_int_equal(reprise_put_json(b, refused[i], strlen(refused[i])), REPRISE_E_INVALID);
        check_error(b, REPRISE_E_INVALID);
        struct reprise_value v = reprise_value_parse(refused[i], strlen(refused[i]));
        assert_int_equal(reprise_put_value(b, v), REPRISE_E_INVALID);
        check_error(b, REPRISE_E_INVALID);
    }
    assert_int_equal(reprise_put(b, "{_placeholder:b}", true), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    assert_int_equal(reprise_put_msgpack(b, "\x81\xAC_placeholder\xC3", 15), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    assert_int_equal(reprise_put(b, "{_placeholder:b,a:b}[b]", false, true, true), REPRISE_OK);
    check_json(b, "[{\"_placeholder\":false,\"a\":true},[true]]");
    reprise_builder_free(b);
}

static void test_json_is_checked(void **state) {
    (void) state;
    struct reprise_builder *b = new_builder();
    static const char *const refused[] = {"",   " ",  "1 2", "1,2", "[1",       "{\"a\"}", "nul",
                                          "]1", "01", "\"",  "[,]", "\"\xFF\"", "{1:2}",   "[}"};
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        assert_int_equal(reprise_put_json(b, refused[i], strlen(refused[i])), REPRISE_E_INVALID);
        check_error(b, REPRISE_E_INVALID);
    }
    assert_int_equal(reprise_put_json(b, NULL, 0), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    reprise_builder_free(b);
}

static void test_values_are_copied_with_what_is_binary(void **state) {
    (void) state;
    struct reprise_builder *from = new_builder(), *to = new_builder();
    reprise_put(from, "B[B{x:B}]i", "a", (size_t) 1, "bb", (size_t) 2, "ccc", (size_t) 3, 7);
    struct reprise_value v = reprise_builder_value(from);
    reprise_put_binary(to, "first", 5);
    assert_int_equal(reprise_put_value(to, reprise_value_at(v, 1)), REPRISE_OK);
    assert_int_equal(reprise_put_value(to, reprise_value_at(v, 0)), REPRISE_OK);
    assert_int_equal(reprise_put_value(to, reprise_value_at(v, 2)), REPRISE_OK);
    check_json(to,
               "[{\"_placeholder\":true,\"num\":0},[{\"_placeholder\":true,\"num\":1},"
               "{\"x\":{\"_placeholder\":true,\"num\":2}}],{\"_placeholder\":true,\"num\":3},7]");
    v = reprise_builder_value(to);
    assert_int_equal(v.binary.len, 4 * 4 + 5 + 2 + 3 + 1);
    assert_memory_equal(v.binary.data, "\0\0\0\5first\0\0\0\2bb\0\0\0\3ccc\0\0\0\1a", v.binary.len);
    /* what is inside of one that stands for a binary value is not there */
    static const char json[] = "[1,{\"x\":{\"_placeholder\":true,\"num\":1},\"num\":0,"
                               "\"_placeholder\":true},2]";
    v = (struct reprise_value){.json = {.data = json, .len = sizeof json - 1},
                               .binary = {.data = "\0\0\0\1a\0\0\0\1b", .len = 10}};
    reprise_builder_reset(to);
    assert_int_equal(reprise_put_value(to, v), REPRISE_OK);
    check_json(to, "[[1,{\"_placeholder\":true,\"num\":0},2]]");
    assert_int_equal(reprise_builder_value(to).binary.len, 5);
    /* one that stands for none */
    v.binary.len = 5;
    reprise_builder_reset(to);
    v.json = (struct reprise_bytes){.data = "{\"_placeholder\":true,\"num\":1}", .len = 29};
    assert_int_equal(reprise_put_value(to, v), REPRISE_E_INVALID);
    reprise_builder_free(from);
    reprise_builder_free(to);
}

static void test_msgpack_is_taken(void **state) {
    (void) state;
    struct reprise_builder *b = new_builder();
#define PUT(literal) reprise_put_msgpack(b, (literal), sizeof(literal) - 1)
    assert_int_equal(PUT("\xC0"), REPRISE_OK);
    assert_int_equal(PUT("\x93\xC3\xFF\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), REPRISE_OK);
    assert_int_equal(PUT("\x82\xA1"
                         "a\xCB\x3F\xE0\0\0\0\0\0\0\xA1"
                         "b\xC4\1x"),
                     REPRISE_OK);
    assert_int_equal(PUT("\x82\xA1"
                         "u\xD4\0\0\xA1"
                         "d\xD7\0\0\0\0\0\0\0\0\0"),
                     REPRISE_OK);
    assert_int_equal(PUT("\x80"), REPRISE_OK);
    check_json(b, "[null,[true,-1,18446744073709551615],{\"a\":0.5,\"b\":{\"_placeholder\":true,"
                  "\"num\":0}},{\"d\":\"1970-01-01T00:00:00.000Z\"},{}]");
    static const struct {
        const char *data;
        size_t len;
    } refused[] = {{"", 0},     {"\x91", 1},          {"\x81\1\1", 3}, {"\1\1", 2},
                   {"\xC1", 1}, {"\xC7\x01\x05x", 4}, {"\xA1\xFF", 2}, {"\xDD\xFF\xFF\xFF\xFF", 5}};
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        reprise_builder_reset(b);
        assert_int_equal(reprise_put_msgpack(b, refused[i].data, refused[i].len),
                         REPRISE_E_INVALID);
        check_error(b, REPRISE_E_INVALID);
    }
    reprise_builder_free(b);
}

static void test_formats(void **state) {
    (void) state;
    struct reprise_builder *b = new_builder();
    struct reprise_value v = reprise_value_parse("[null]", 6);
    reprise_put(b, "s S i u I U z d b n B j v", "a", "bcd", (size_t) 2, -1, 4000000000u,
                INT64_C(-5000000000), UINT64_MAX, (size_t) 7, 0.5, true, "x", (size_t) 1, "{}", v);
    check_json(b, "[\"a\",\"bc\",-1,4000000000,-5000000000,18446744073709551615,7,0.5,true,null,"
                  "{\"_placeholder\":true,\"num\":0},{},[null]]");
    reprise_builder_reset(b);
    reprise_put(b, "s{x:i,k i, s:{}, k:[[]n],a-b_$9:s}j", "moved", 1, "the key", 2, NULL, NULL);
    check_json(b,
               "[\"moved\",{\"x\":1,\"the key\":2,\"s\":{},\"k\":[[],null],\"a-b_$9\":null},null]");
    reprise_builder_reset(b);
    reprise_put(b, "[{a:");
    reprise_put(b, "i}", 1);
    assert_int_equal(reprise_put(b, "]"), REPRISE_OK);
    check_json(b, "[[{\"a\":1}]]");
    static const char *const refused[] = {"?",     "x",     "}",  "]",    "{n}",     "{a}", "{a:}",
                                          "{a:n]", "[a:n]", "a:", "{:n}", "{a b:n}", ":"};
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        reprise_builder_reset(b);
        assert_int_equal(reprise_put(b, refused[i]), REPRISE_E_INVALID);
        check_error(b, REPRISE_E_INVALID);
    }
    assert_int_equal(reprise_put(b, NULL), REPRISE_E_INVALID);
    check_error(b, REPRISE_E_INVALID);
    reprise_builder_free(b);
}

/* ---- whatever is written reads back ---- */

struct transcript {
    char *text;
    size_t len;
    FILE *file;
};

static void transcript_begin(struct transcript *t) {
    t->file = open_memstream(&t->text, &t->len);
    assert_non_null(t->file);
}

static void transcript_end(struct transcript *t) {
    assert_int_equal(fclose(t->file), 0);
}

static void tell_bytes(FILE *f, char kind, const void *data, size_t len) {
    fprintf(f, "%c%zu:", kind, len);
    fwrite(data, 1, len, f);
}

static void tell_number(FILE *f, double number) {
    if (number == floor(number) && fabs(number) < 9e18) {
        fprintf(f, "i%" PRId64, (int64_t) number);
    } else {
        fprintf(f, "d%a", number);
    }
}

static uint64_t random_next(uint64_t *seed) {
    *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
    return *seed >> 11;
}

static void write_string(struct reprise_builder *b, FILE *f, uint64_t *seed, bool is_key) {
    static const char *const parts[] = {"a",  "\"", "\n",           "\xC3\xA9", "\xF0\x9F\x98\x80",
                                        "\\", "zz", "_placeholder", "\x1F",     "num"};
    char text[128] = "";
    for (size_t n = random_next(seed) % 6; n > 0; n--) {
        strcat(text, parts[random_next(seed) % COUNT_OF(parts)]);
    }
    if (is_key && strcmp(text, "_placeholder") == 0) {
        strcat(text, "!");
    }
    tell_bytes(f, is_key ? 'k' : 's', text, strlen(text));
    if (is_key) {
        reprise_put_key(b, text);
    } else {
        reprise_put_string(b, text);
    }
}

static double random_double(uint64_t *seed) {
    uint64_t bits = random_next(seed) << 11 ^ random_next(seed);
    double number;
    memcpy(&number, &bits, sizeof number);
    number = isfinite(number) ? number : 0.5;
    /* such have zeros for digits that are not needed, and read as that integer */
    number = fabs(number) >= 9e15 && fabs(number) <= 2e19 ? 1.5 : number;
    return number == 0 ? 1 : number;
}

static void write_scalar(struct reprise_builder *b, FILE *f, uint64_t *seed, int *binaries_left) {
    int64_t integer = (int64_t) (random_next(seed) << 11) >> random_next(seed) % 64;
    double number = random_double(seed);
    switch (random_next(seed) % 6) {
    case 0:
        fputc('n', f);
        reprise_put_null(b);
        break;
    case 1:
        fputc(integer > 0 ? 't' : 'f', f);
        reprise_put_bool(b, integer > 0);
        break;
    case 2:
        fprintf(f, "i%" PRId64, integer);
        reprise_put_int64(b, integer);
        break;
    case 3:
        tell_number(f, number);
        reprise_put_double(b, number);
        break;
    case 4:
        if ((*binaries_left)-- > 0) {
            tell_bytes(f, 'B', &integer, (size_t) (integer & 7));
            reprise_put_binary(b, &integer, (size_t) (integer & 7));
            break;
        }
        write_string(b, f, seed, false);
        break;
    default:
        write_string(b, f, seed, false);
        break;
    }
}

static void write_value(struct reprise_builder *b, FILE *f, uint64_t *seed, int *binaries_left,
                        size_t depth) {
    size_t kind = random_next(seed) % (depth < 6 ? 4 : 8);
    if (kind > 1) {
        write_scalar(b, f, seed, binaries_left);
        return;
    }
    fputc(kind == 1 ? '{' : '[', f);
    if (kind == 1) {
        reprise_begin_object(b);
    } else {
        reprise_begin_array(b);
    }
    for (size_t n = random_next(seed) % 5; n > 0; n--) {
        if (kind == 1) {
            write_string(b, f, seed, true);
        }
        write_value(b, f, seed, binaries_left, depth + 1);
    }
    if (kind == 1) {
        reprise_end_object(b);
    } else {
        reprise_end_array(b);
    }
    fputc(kind == 1 ? '}' : ']', f);
}

static void tell_string(FILE *f, char kind, struct reprise_value v) {
    size_t len = 0;
    char *text = reprise_value_strdup(v, &len);
    assert_non_null(text);
    tell_bytes(f, kind, text, len);
    free(text);
}

static void tell_value(FILE *f, struct reprise_value v) {
    struct reprise_bytes bytes;
    int64_t integer;
    double number;
    bool flag;
    struct reprise_iter it = reprise_value_iter(v);
    struct reprise_value key, element;
    enum reprise_type type = reprise_value_type(v);
    switch (type) {
    case REPRISE_NULL:
        fputc('n', f);
        break;
    case REPRISE_BOOL:
        assert_int_equal(reprise_value_bool(v, &flag), REPRISE_OK);
        fputc(flag ? 't' : 'f', f);
        break;
    case REPRISE_NUMBER:
        assert_int_equal(reprise_value_double(v, &number), REPRISE_OK);
        if (reprise_value_int64(v, &integer) == REPRISE_OK) {
            fprintf(f, "i%" PRId64, integer);
        } else {
            tell_number(f, number);
        }
        break;
    case REPRISE_STRING:
        tell_string(f, 's', v);
        break;
    case REPRISE_BINARY:
        assert_int_equal(reprise_value_binary(v, &bytes), REPRISE_OK);
        tell_bytes(f, 'B', bytes.data, bytes.len);
        break;
    case REPRISE_ARRAY:
    case REPRISE_OBJECT:
        fputc(type == REPRISE_OBJECT ? '{' : '[', f);
        while (reprise_iter_next(&it, &key, &element)) {
            if (type == REPRISE_OBJECT) {
                tell_string(f, 'k', key);
            }
            tell_value(f, element);
        }
        fputc(type == REPRISE_OBJECT ? '}' : ']', f);
        break;
    case REPRISE_ABSENT:
        fail();
    }
}

static void check_told(struct reprise_value v, const struct transcript *expected) {
    struct transcript told;
    transcript_begin(&told);
    tell_value(told.file, v);
    transcript_end(&told);
    assert_int_equal(told.len, expected->len);
    assert_memory_equal(told.text, expected->text, told.len);
    free(told.text);
}

static void test_what_is_written_reads_back(void **state) {
    (void) state;
    uint64_t seed = 88172645463325252u;
    struct reprise_builder *b = new_builder(), *again = new_builder();
    for (int round = 0; round < 3000; round++) {
        struct transcript expected;
        int binaries_left = 10;
        reprise_builder_reset(b);
        reprise_builder_reset(again);
        transcript_begin(&expected);
        fputc('[', expected.file);
        for (size_t n = random_next(&seed) % 4; n > 0; n--) {
            write_value(b, expected.file, &seed, &binaries_left, 0);
        }
        fputc(']', expected.file);
        transcript_end(&expected);
        assert_int_equal(reprise_builder_error(b), REPRISE_OK);
        struct reprise_value v = reprise_builder_value(b);
        assert_int_equal(reprise_value_check(v), REPRISE_OK);
        check_told(v, &expected);

        void *data = NULL;
        size_t len = 0;
        assert_int_equal(reprise_put_value(again, v), REPRISE_OK);
        check_told(reprise_value_at(reprise_builder_value(again), 0), &expected);
        assert_int_equal(reprise_value_to_msgpack(v, &data, &len), REPRISE_OK);
        reprise_builder_reset(again);
        assert_int_equal(reprise_put_msgpack(again, data, len), REPRISE_OK);
        check_told(reprise_value_at(reprise_builder_value(again), 0), &expected);
        free(data);
        free(expected.text);
    }
    reprise_builder_free(again);
    reprise_builder_free(b);
}

/* The same, with no memory from the nth time on that it is asked for. */
static bool build_without_memory(size_t allocations) {
    enum { LEN = 3000 };
    static char text[LEN];
    memset(text, '\n', LEN);
    void *data = NULL;
    size_t len = 0;
    allocations_left = allocations;
    struct reprise_builder *b = reprise_builder_new();
    reprise_put(b, "SB{x:S}", text, (size_t) LEN, text, (size_t) LEN, text, (size_t) LEN);
    enum reprise_err err = reprise_builder_error(b);
    struct reprise_value v = reprise_builder_value(b);
    enum reprise_err packed = reprise_value_to_msgpack(v, &data, &len);
    char *string = reprise_value_strdup(reprise_value_at(v, 0), NULL);
    allocations_left = SIZE_MAX;
    bool is_done = err == REPRISE_OK && packed == REPRISE_OK && string != NULL;
    assert_true(err == REPRISE_OK || err == REPRISE_E_NO_MEMORY);
    assert_int_equal(reprise_value_type(v), err == REPRISE_OK ? REPRISE_ARRAY : REPRISE_ABSENT);
    assert_true(packed == REPRISE_OK ||
                packed == (err == REPRISE_OK ? REPRISE_E_NO_MEMORY : REPRISE_E_TYPE));
    free(data);
    free(string);
    reprise_builder_reset(b);
    assert_int_equal(reprise_builder_error(b), b == NULL ? REPRISE_E_NO_MEMORY : REPRISE_OK);
    reprise_builder_free(b);
    return is_done;
}

static void test_no_memory_is_an_answer(void **state) {
    (void) state;
    size_t allocations = 0;
    while (!build_without_memory(allocations)) {
        allocations++;
    }
    assert_in_range(allocations, 6, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_arrays_and_objects),
        cmocka_unit_test(test_binary_values_are_beside_the_text),
        cmocka_unit_test(test_misuse_sticks),
        cmocka_unit_test(test_no_builder_is_no_memory),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_size_is_bounded),
        cmocka_unit_test(test_look_alikes_are_refused),
        cmocka_unit_test(test_json_is_checked),
        cmocka_unit_test(test_values_are_copied_with_what_is_binary),
        cmocka_unit_test(test_msgpack_is_taken),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_what_is_written_reads_back),
        cmocka_unit_test(test_no_memory_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
