/* tests/unit/test_sio.c — proto/sio: packets taken apart as the reference decoder does, and
 * written. Each input is given in a piece of memory of exactly its size, so that a sanitizer sees
 * reads past it. */
#include "proto/sio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void assert_bytes(struct rp_bytes actual, const char *expected) {
    if (!rp_bytes_eq_str(actual, expected)) {
        fail_msg("got %.*s instead of %s", RP_BYTES_FMT(actual), expected);
    }
}

static uint8_t *exact_copy(struct rp_bytes text) {
    uint8_t *copy = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(copy);
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    return copy;
}

enum { NO_ID = -1 };

static const struct {
    const char *text;
    enum rp_sio_type type;
    const char *nsp;
    int64_t id;
    uint32_t attachments;
    const char *payload;
} valid[] = {
    {"0", RP_SIO_CONNECT, "/", NO_ID, 0, ""},
    {"0{}", RP_SIO_CONNECT, "/", NO_ID, 0, "{}"},
    {"0{\"pid\":\"a\",\"offset\":\"1-k7f3\"}", RP_SIO_CONNECT, "/", NO_ID, 0,
     "{\"pid\":\"a\",\"offset\":\"1-k7f3\"}"},
    {"0/admin,", RP_SIO_CONNECT, "/admin", NO_ID, 0, ""},
    {"0/admin", RP_SIO_CONNECT, "/admin", NO_ID, 0, ""},
    {"0/admin,{\"token\":\"123\"}", RP_SIO_CONNECT, "/admin", NO_ID, 0, "{\"token\":\"123\"}"},
    {"0/,{}", RP_SIO_CONNECT, "/", NO_ID, 0, "{}"},
    {"0/a?token=1,{}", RP_SIO_CONNECT, "/a?token=1", NO_ID, 0, "{}"},
    {"0/a/b c-7", RP_SIO_CONNECT, "/a/b c-7", NO_ID, 0, ""},
    {"0/{}", RP_SIO_CONNECT, "/{}", NO_ID, 0, ""},
    {"0{} \n", RP_SIO_CONNECT, "/", NO_ID, 0, "{}"},
    {"1", RP_SIO_DISCONNECT, "/", NO_ID, 0, ""},
    {"1/admin,", RP_SIO_DISCONNECT, "/admin", NO_ID, 0, ""},
    {"1/admin", RP_SIO_DISCONNECT, "/admin", NO_ID, 0, ""},
    {"2[\"a\"]", RP_SIO_EVENT, "/", NO_ID, 0, "[\"a\"]"},
    {"2[\"\"]", RP_SIO_EVENT, "/", NO_ID, 0, "[\"\"]"},
    {"20[\"a\"]", RP_SIO_EVENT, "/", 0, 0, "[\"a\"]"},
    {"212[\"a\",1,{\"b\":[2]}]", RP_SIO_EVENT, "/", 12, 0, "[\"a\",1,{\"b\":[2]}]"},
    {"2/admin,456[\"project:delete\",123]", RP_SIO_EVENT, "/admin", 456, 0,
     "[\"project:delete\",123]"},
    {"29007199254740991[\"a\"]", RP_SIO_EVENT, "/", (int64_t) RP_SIO_ID_MAX, 0, "[\"a\"]"},
    {"2[ \"a\" , 1 ]\t", RP_SIO_EVENT, "/", NO_ID, 0, "[ \"a\" , 1 ]"},
    {"2[\"connected\"]", RP_SIO_EVENT, "/", NO_ID, 0, "[\"connected\"]"},
    {"2[\"Connect\"]", RP_SIO_EVENT, "/", NO_ID, 0, "[\"Connect\"]"},
    {"2[\"newlistener\"]", RP_SIO_EVENT, "/", NO_ID, 0, "[\"newlistener\"]"},
    {"30[]", RP_SIO_ACK, "/", 0, 0, "[]"},
    {"3/admin,13[\"bar\"]", RP_SIO_ACK, "/admin", 13, 0, "[\"bar\"]"},
    {"31[1,2]", RP_SIO_ACK, "/", 1, 0, "[1,2]"},
    {"31[\"connect\"]", RP_SIO_ACK, "/", 1, 0, "[\"connect\"]"},
    {"4{\"message\":\"no\"}", RP_SIO_CONNECT_ERROR, "/", NO_ID, 0, "{\"message\":\"no\"}"},
    {"4/admin,\"no\"", RP_SIO_CONNECT_ERROR, "/admin", NO_ID, 0, "\"no\""},
    {"51-[\"a\",{\"_placeholder\":true,\"num\":0}]", RP_SIO_BINARY_EVENT, "/", NO_ID, 1,
     "[\"a\",{\"_placeholder\":true,\"num\":0}]"},
    {"510-/admin,7[\"a\"]", RP_SIO_BINARY_EVENT, "/admin", 7, 10, "[\"a\"]"},
    {"62-/admin,456[1]", RP_SIO_BINARY_ACK, "/admin", 456, 2, "[1]"},
    {"61-0[]", RP_SIO_BINARY_ACK, "/", 0, 1, "[]"},
};

static void test_packets_are_taken_apart(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        struct rp_bytes text = rp_bytes_str(valid[i].text);
        uint8_t *copy = exact_copy(text);
        struct rp_sio_packet p;
        enum rp_err err = rp_sio_parse(rp_bytes(copy, text.len), &p);
        if (err != RP_OK) {
            fail_msg("%s: %s", valid[i].text, rp_strerror(err));
        }
        assert_int_equal(p.type, valid[i].type);
        assert_bytes(p.nsp, valid[i].nsp);
        assert_int_equal(p.has_id, valid[i].id != NO_ID);
        assert_int_equal(p.id, p.has_id ? (uint64_t) valid[i].id : 0);
        assert_int_equal(p.attachments, valid[i].attachments);
        assert_bytes(p.payload, valid[i].payload);
        free(copy);
    }
}

static void test_truncated_packets_never_read_past_the_end(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        struct rp_bytes text = rp_bytes_str(valid[i].text);
        bool needs_payload = valid[i].type >= RP_SIO_EVENT;
        size_t payload_end = (size_t) (strrchr(valid[i].text, '\0') - valid[i].text);
        while (payload_end > 0 && strchr(" \n\t", valid[i].text[payload_end - 1]) != NULL) {
            payload_end--;
        }
        for (size_t len = 0; len < text.len; len++) {
            uint8_t *copy = exact_copy(rp_bytes(text.data, len));
            struct rp_sio_packet p;
            enum rp_err err = rp_sio_parse(rp_bytes(copy, len), &p);
            if (len == 0 || (needs_payload && len < payload_end)) {
                assert_int_equal(err, RP_E_PROTOCOL);
            }
            free(copy);
        }
    }
}

static void assert_refused(const char *text, enum rp_err expected) {
    struct rp_bytes view = rp_bytes_str(text);
    uint8_t *copy = exact_copy(view);
    struct rp_sio_packet p = {.type = RP_SIO_BINARY_ACK, .id = 77};
    enum rp_err err = rp_sio_parse(rp_bytes(copy, view.len), &p);
    if (err != expected) {
        fail_msg("%s: %s", text, rp_strerror(err));
    }
    assert_int_equal(p.id, 77); /* untouched */
    free(copy);
}

static void test_malformed_packets_are_refused(void **state) {
    (void) state;
    static const char *const malformed[] = {
        /* types */
        "", "7", "7[\"a\"]", "8", "9{}", "a", " 0", "-1", "[\"a\"]", "/", "/admin,", "\"2\"",
        "+2[\"a\"]", "\x80", "x2[\"a\"]", "999",
        /* CONNECT */
        "0null", "0[]", "0[{}]", "0\"x\"", "01", "00{}", "05{}", "0true", "0{", "0{}}", "0{}{}",
        "0{} x", "0 ", "0 {}", "0/admin,null", "0/admin,[]", "0/admin,5{}", "0/admin, {}", "0,",
        "0,{}", "0admin", "0{\"a\":}", "0-", "01-{}", "0/admin,/x,", "0{\"sid\":undefined}",
        /* DISCONNECT */
        "1{}", "1[]", "1null", "11", "1\"\"", "1/admin,{}", "1/admin,1", "1 ", "1,", "1false",
        /* EVENT */
        "2", "21", "2/admin", "2/admin,", "2/admin,1", "2{}", "2null", "2\"a\"", "2[]", "2[ ]",
        "2[1]", "2[null]", "2[true]", "2[[\"a\"]]", "2[{}]", "2[{\"a\":1}]", "2[1,\"a\"]",
        "2[\"a\"", "2\"a\"]", "2[\"a\"]]", "2[\"a\"][]", "2[\"a\"]1", "2[\"a\"]x", "2[\"a\",]",
        "2[,\"a\"]", "2[\"a\" 1]", "2[\"a\",undefined]", "2['a']", "2[a]", "2 [\"a\"]",
        "2\t1[\"a\"]", "21 [\"a\"]", "2-1[\"a\"]", "2+1[\"a\"]", "21.5[\"a\"]", "21e1[\"a\"]",
        "2007[\"a\"]", "200[\"a\"]", "2,1[\"a\"]", "21,[\"a\"]", "21-[\"a\"]", "2admin,[\"a\"]",
        "2/admin[\"a\"]", "2/admin[\"a\",\"b\"]", "2/admin,/other,[\"a\"]", "21/admin,[\"a\"]",
        "2[\"a\n\"]", "2[\"a\\x\"]", "2[\"a\",01]", "2[\"a\",NaN]", "2[\"a\",{b:1}]",
        "2\xef\xbb\xbf[\"a\"]", "20x1[\"a\"]", "2[\"connect\"]", "2[\"connect_error\"]",
        "2[\"disconnect\",1]", "21[\"disconnecting\"]", "2[\"newListener\"]",
        "2[\"removeListener\"]", "2/admin,[\"connect\"]", "2[ \"connect\" ]",
        "2[\"\\u0063onnect\"]", "2[\"dis\\u0063onnect\"]", "2[\"new\\u004cistener\"]",
        /* ACK */
        "3", "31", "3[]", "3[1]", "3/admin,", "3/admin,[]", "3/admin,1", "31{}", "31null",
        "31\"a\"", "311", "31[", "31[1", "31[1,]", "31[]]", "31[] 2", "31 []", "301[]", "3-1[]",
        "31-[]", "3/admin1[]",
        /* CONNECT_ERROR */
        "4", "4null", "4[]", "41", "41{}", "4true", "4{", "4\"", "4/admin,", "4/admin,[]", "4 {}",
        /* BINARY_EVENT, BINARY_ACK */
        "5", "5-", "51", "51-", "51[\"a\"]", "5[\"a\"]", "5-[\"a\"]", "50-[\"a\"]", "501-[\"a\"]",
        "5+1-[\"a\"]", "5-1-[\"a\"]", "51.0-[\"a\"]", "51e0-[\"a\"]", "50x1-[\"a\"]", "5 1-[\"a\"]",
        "51 -[\"a\"]", "51--[\"a\"]", "51-1-[\"a\"]", "51-{}", "51-[]", "51-[1]",
        "51-[\"connect\"]", "5/admin,1-[\"a\"]", "5/a-[\"a\"]", "51/admin,[\"a\"]", "5a-[\"a\"]",
        "51-/admin,", "51-2", "51-002[\"a\"]", "6", "6-", "61-", "61-[]", "60-1[]", "61-1",
        "61-1{}", "61[]", "61-/admin,[]", "61-1[1", "6[]", "61-null"};
    for (size_t i = 0; i < COUNT(malformed); i++) {
        assert_refused(malformed[i], RP_E_PROTOCOL);
    }
    /* NUL is a byte like others */
    struct rp_sio_packet p;
    assert_int_equal(rp_sio_parse(RP_BYTES_LIT("2[\"a\"]\0"), &p), RP_E_PROTOCOL);
    assert_int_equal(rp_sio_parse(RP_BYTES_LIT("2\0[\"a\"]"), &p), RP_E_PROTOCOL);
    assert_int_equal(rp_sio_parse(RP_BYTES_LIT("\0"), &p), RP_E_PROTOCOL);
    assert_int_equal(rp_sio_parse((struct rp_bytes){0}, &p), RP_E_PROTOCOL);
}

static void test_limits_are_kept(void **state) {
    (void) state;
    static const char *const too_big[] = {"511-[\"a\"]",
                                          "5999999999-[\"a\"]",
                                          "599999999999999999999999-",
                                          "5100",
                                          "611-1[]",
                                          "518446744073709551617-[\"a\"]",
                                          "29007199254740992[\"a\"]",
                                          "218446744073709551617[\"a\"]",
                                          "2999999999999999999999999999999",
                                          "39007199254740992[]",
                                          "6118446744073709551616-1[]"};
    for (size_t i = 0; i < COUNT(too_big); i++) {
        assert_refused(too_big[i], RP_E_TOO_BIG);
    }
    char text[2 * RP_SIO_NSP_BYTES_MAX];
    for (int over = 0; over <= 1; over++) {
        char nsp[RP_SIO_NSP_BYTES_MAX + 2] = "/";
        memset(nsp + 1, 'n', (size_t) (RP_SIO_NSP_BYTES_MAX - 1 + over));
        static const char *const around[][2] = {{"0", ""}, {"0", ","}, {"2", ",[\"a\"]"}};
        for (size_t i = 0; i < COUNT(around); i++) {
            snprintf(text, sizeof text, "%s%s%s", around[i][0], nsp, around[i][1]);
            struct rp_sio_packet p;
            assert_int_equal(rp_sio_parse(rp_bytes_str(text), &p), over ? RP_E_TOO_BIG : RP_OK);
            assert_true(over || rp_bytes_eq_str(p.nsp, nsp));
        }
        assert_int_equal(rp_sio_nsp_valid(rp_bytes_str(nsp)), !over);
    }
    enum { DEEP = 100000 };
    char *deep = malloc(DEEP + 1);
    assert_non_null(deep);
    memset(deep, '[', DEEP);
    deep[0] = '2';
    deep[DEEP] = '\0';
    assert_refused(deep, RP_E_TOO_BIG);
    free(deep);
}

static void test_nsp_valid_is_what_can_be_written(void **state) {
    (void) state;
    assert_true(rp_sio_nsp_valid(rp_bytes_str("/")));
    assert_true(rp_sio_nsp_valid(rp_bytes_str("/a/b?c")));
    assert_false(rp_sio_nsp_valid((struct rp_bytes){0}));
    assert_false(rp_sio_nsp_valid(rp_bytes_str("a")));
    assert_false(rp_sio_nsp_valid(rp_bytes_str("/a,b")));
}

static void test_reserved_names(void **state) {
    (void) state;
    static const char *const reserved[] = {"connect",       "connect_error", "disconnect",
                                           "disconnecting", "newListener",   "removeListener"};
    for (size_t i = 0; i < COUNT(reserved); i++) {
        struct rp_bytes name = rp_bytes_str(reserved[i]);
        assert_true(rp_sio_name_reserved(name));
        assert_false(rp_sio_name_reserved(rp_bytes(name.data, name.len - 1)));
        assert_false(rp_sio_name_reserved(rp_bytes(name.data, name.len + 1))); /* with its NUL */
    }
    assert_false(rp_sio_name_reserved((struct rp_bytes){0}));
    assert_false(rp_sio_name_reserved(rp_bytes_str("message")));
    assert_false(rp_sio_name_reserved(rp_bytes_str("error")));
}

static struct rp_sio_packet parse(const char *text) {
    struct rp_sio_packet p;
    assert_int_equal(rp_sio_parse(rp_bytes_str(text), &p), RP_OK);
    return p;
}

static void test_arguments_keep_their_bytes(void **state) {
    (void) state;
    struct rp_sio_packet p = parse("27[\"publish\",\"lobby\", \"msg\" ,{\"a\": 1.0},  [\"]\"]\n]");
    struct rp_sio_args args = rp_sio_args(p.payload);
    static const char *const expected[] = {"\"lobby\"", "\"msg\"", "{\"a\": 1.0}", "[\"]\"]"};
    struct rp_bytes arg;
    assert_bytes(args.name, "\"publish\"");
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_true(rp_sio_args_next(&args, &arg));
        assert_bytes(arg, expected[i]);
    }
    assert_false(rp_sio_args_next(&args, &arg));

    args = rp_sio_args(parse("2[\"a\"]").payload);
    assert_bytes(args.name, "\"a\"");
    assert_int_equal(args.iter.rest.len, 0);
    assert_false(rp_sio_args_next(&args, &arg));
}

static void test_rest_is_everything_from_an_index_on(void **state) {
    (void) state;
    static const struct {
        const char *text;
        size_t k;
        const char *rest;
    } table[] = {
        {"2[\"publish\",\"lobby\",\"msg\",{\"a\":1},2]", 3, "{\"a\":1},2"},
        {"2[\"publish\",\"lobby\",\"msg\",{\"a\":1},2]", 4, "2"},
        {"2[\"publish\",\"lobby\",\"msg\",{\"a\":1},2]", 5, ""},
        {"2[\"publish\",\"lobby\",\"msg\",{\"a\":1},2]", 99, ""},
        {"2[\"publish\",\"lobby\",\"msg\",{\"a\":1},2]", 0,
         "\"publish\",\"lobby\",\"msg\",{\"a\":1},2"},
        {"2[\"a\"]", 1, ""},
        {"2[ \"a\" ,  1 , 2.50\t]", 1, "1 , 2.50"},
        {"31[]", 0, ""},
        {"31[ 1,{} ]", 0, "1,{}"},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_bytes(rp_sio_rest(parse(table[i].text).payload, table[i].k), table[i].rest);
    }
    assert_int_equal(rp_sio_rest((struct rp_bytes){0}, 0).len, 0);
}

/* One call of a writer; all of them are tried with too little room, too. */
struct writing {
    enum rp_sio_type type;
    const char *nsp, *first, *second; /* sid, pid; message, data; -, args */
    uint64_t id;
    const char *expected;
    size_t attachments_count;
};

static enum rp_err write_packet(struct rp_buf *out, const struct writing *w) {
    struct rp_bytes nsp = rp_bytes_str(w->nsp);
    struct rp_bytes first = rp_bytes_str(w->first), second = rp_bytes_str(w->second);
    switch (w->type) {
    case RP_SIO_CONNECT:
        return rp_sio_put_connect(out, nsp, first, second);
    case RP_SIO_CONNECT_ERROR:
        return rp_sio_put_connect_error(out, nsp, first, second);
    case RP_SIO_DISCONNECT:
        return rp_sio_put_disconnect(out, nsp);
    case RP_SIO_BINARY_ACK:
        return rp_sio_put_binary_ack(out, nsp, w->id, second, w->attachments_count);
    default:
        return rp_sio_put_ack(out, nsp, w->id, second);
    }
}

static const struct writing writings[] = {
    {RP_SIO_CONNECT, "/", "oSO0OpakMV_3jnilAAAA", NULL, 0, "40{\"sid\":\"oSO0OpakMV_3jnilAAAA\"}",
     0},
    {RP_SIO_CONNECT, NULL, "s", "p", 0, "40{\"sid\":\"s\",\"pid\":\"p\"}", 0},
    {RP_SIO_CONNECT, "/admin", "s\"", "p\n", 0, "40/admin,{\"sid\":\"s\\\"\",\"pid\":\"p\\n\"}", 0},
    {RP_SIO_CONNECT_ERROR, "/", "Not \"you\"", NULL, 0, "44{\"message\":\"Not \\\"you\\\"\"}", 0},
    {RP_SIO_CONNECT_ERROR, "/x", "Invalid namespace", NULL, 0,
     "44/x,{\"message\":\"Invalid namespace\"}", 0},
    {RP_SIO_CONNECT_ERROR, "/x", "no", "{\"code\":1}", 0,
     "44/x,{\"message\":\"no\",\"data\":{\"code\":1}}", 0},
    {RP_SIO_DISCONNECT, "/", NULL, NULL, 0, "41", 0},
    {RP_SIO_DISCONNECT, "/admin", NULL, NULL, 0, "41/admin,", 0},
    {RP_SIO_ACK, "/", NULL, NULL, 0, "430[]", 0},
    {RP_SIO_ACK, "/", NULL, "{\"ok\":true}", 12, "4312[{\"ok\":true}]", 0},
    {RP_SIO_ACK, "/admin", NULL, "1,\"b\"", RP_SIO_ID_MAX, "43/admin,9007199254740991[1,\"b\"]", 0},
    {RP_SIO_BINARY_ACK, "/", NULL, "{\"_placeholder\":true,\"num\":0}", 7,
     "461-7[{\"_placeholder\":true,\"num\":0}]", 1},
    {RP_SIO_BINARY_ACK, "/admin", NULL, "1", 0, "4610-/admin,0[1]", 10},
};

static void test_packets_are_written(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(writings); i++) {
        const char *expected = writings[i].expected;
        for (size_t room = 0; room <= strlen(expected); room++) {
            struct rp_buf out;
            rp_buf_init(&out, 2 + room);
            assert_int_equal(rp_buf_put_str(&out, "##"), RP_OK);
            enum rp_err err = write_packet(&out, &writings[i]);
            if (room < strlen(expected)) {
                assert_int_equal(err, RP_E_FULL);
                assert_bytes(rp_buf_bytes(&out), "##");
            } else {
                assert_int_equal(err, RP_OK);
                assert_bytes(rp_bytes_skip(rp_buf_bytes(&out), 2), expected);
            }
            rp_buf_done(&out);
        }
        struct rp_sio_packet p = parse(expected + 1);
        assert_int_equal(p.type, writings[i].type);
        assert_bytes(p.nsp, writings[i].nsp != NULL ? writings[i].nsp : "/");
        assert_int_equal(p.id, writings[i].id);
        assert_int_equal(p.attachments, writings[i].attachments_count);
    }
}

static void test_binary_ack_of_nothing_is_an_ack(void **state) {
    (void) state;
    struct rp_buf out;
    rp_buf_init(&out, 100);
    assert_int_equal(rp_sio_put_binary_ack(&out, (struct rp_bytes){0}, 7, RP_BYTES_LIT("1"), 0),
                     RP_OK);
    assert_bytes(rp_buf_bytes(&out), "437[1]");
    rp_buf_done(&out);
}

static void test_events_are_written_in_place(void **state) {
    (void) state;
    static const struct {
        const char *nsp, *name, *args, *offset, *expected;
        size_t attachments_count;
        bool has_id;
        uint64_t id;
    } table[] = {
        {NULL, "a", NULL, NULL, "42[\"a\"]", 0, false, 0},
        {"/", "msg", "1", NULL, "42[\"msg\",1]", 0, false, 0},
        {"/", "msg", NULL, "18734-k7f3", "42[\"msg\",\"18734-k7f3\"]", 0, false, 0},
        {"/", "msg", "{\"a\": 1},2", "18734-k7f3", "42[\"msg\",{\"a\": 1},2,\"18734-k7f3\"]", 0,
         false, 0},
        {"/admin", "say \"hi\"\n", "\"x\"", "7.18-k7f3",
         "42/admin,[\"say \\\"hi\\\"\\n\",\"x\",\"7.18-k7f3\"]", 0, false, 0},
        {"/admin", "", NULL, NULL, "42/admin,[\"\"]", 0, false, 0},
        {"/", "a", "1", NULL, "451-[\"a\",1]", 1, false, 0},
        {"/admin", "a", "1", "7-k7f3", "4510-/admin,[\"a\",1,\"7-k7f3\"]", 10, false, 0},
        {"/", "a", "1", NULL, "420[\"a\",1]", 0, true, 0},
        {"/", "a", NULL, NULL, "429007199254740991[\"a\"]", 0, true, RP_SIO_ID_MAX},
        {"/admin", "a", "1", NULL, "42/admin,10[\"a\",1]", 0, true, 10},
        {"/", "a", "1", NULL, "452-7[\"a\",1]", 2, true, 7},
        {"/admin", "a", "1", NULL, "4510-/admin,99[\"a\",1]", 10, true, 99},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_sio_event e = {.has_id = table[i].has_id,
                                 .id = table[i].id,
                                 .nsp = rp_bytes_str(table[i].nsp),
                                 .name = rp_bytes_str(table[i].name),
                                 .args = rp_bytes_str(table[i].args),
                                 .offset = rp_bytes_str(table[i].offset),
                                 .attachments_count = table[i].attachments_count};
        size_t len = strlen(table[i].expected);
        assert_int_equal(rp_sio_event_len(&e), len);
        uint8_t *place = malloc(len);
        assert_non_null(place);
        assert_ptr_equal(rp_sio_event_write(place, &e), place + len);
        assert_bytes(rp_bytes(place, len), table[i].expected);
        free(place);
        struct rp_sio_packet p = parse(table[i].expected + 1);
        assert_int_equal(p.type, e.attachments_count > 0 ? RP_SIO_BINARY_EVENT : RP_SIO_EVENT);
        assert_int_equal(p.attachments, e.attachments_count);
        assert_int_equal(p.has_id, e.has_id);
        assert_int_equal(p.id, e.id);
        assert_true(rp_bytes_starts_with(rp_sio_rest(p.payload, 1), e.args));
    }
}

#define PLACEHOLDER(num) "{\"_placeholder\":true,\"num\":" #num "}"

static void test_placeholders_must_name_attachments(void **state) {
    (void) state;
    static const struct {
        const char *payload;
        size_t attachments_min, attachments_max; /* with so many it is valid */
    } table[] = {
        {"[\"a\"]", 0, 10},
        {"[\"a\"," PLACEHOLDER(0) "]", 1, 10},
        {"[\"a\"," PLACEHOLDER(1) "," PLACEHOLDER(0) "]", 2, 10},
        {"[\"a\"," PLACEHOLDER(9) "]", 10, 10},
        {"[\"a\",{\"b\":[[" PLACEHOLDER(1) "]],\"c\":" PLACEHOLDER(2) "}]", 3, 10},
        {"[\"a\",{\"num\":0,\"x\":[1],\"_placeholder\":true}]", 1, 10},
        {"[\"a\",{\"n\\u0075m\":0,\"\\u005fplaceholder\" : true }]", 1, 10},
        {"[\"a\",{\"_placeholder\":true,\"num\":1e0}]", 2, 10},
        /* none of these is a placeholder */
        {"[\"a\",{\"_placeholder\":false,\"num\":77}]", 0, 10},
        {"[\"a\",{\"_placeholder\":1,\"num\":77}]", 0, 10},
        {"[\"a\",{\"_placeholder\":\"true\",\"num\":77}]", 0, 10},
        {"[\"a\",{\"_placeholder\":[true],\"num\":77}]", 0, 10},
        {"[\"a\",{\"placeholder\":true,\"num\":77}]", 0, 10},
        {"[\"a\",[\"_placeholder\",true,\"num\",77]]", 0, 10},
        {"[\"a\",{\"x\":{\"_placeholder\":0},\"num\":77}]", 0, 10},
        /* of two the last counts */
        {"[\"a\",{\"_placeholder\":true,\"num\":77,\"_placeholder\":null}]", 0, 10},
        {"[\"a\",{\"_placeholder\":true,\"num\":77,\"num\":0}]", 1, 10},
        /* never valid */
        {"[\"a\"," PLACEHOLDER(10) "]", 1, 0},
        {"[\"a\"," PLACEHOLDER(0) "," PLACEHOLDER(0) "]", 1, 0},
        {"[\"a\"," PLACEHOLDER(-1) "]", 1, 0},
        {"[\"a\"," PLACEHOLDER(-0) "]", 1, 0},
        {"[\"a\"," PLACEHOLDER(0.5) "]", 1, 0},
        {"[\"a\"," PLACEHOLDER("0") "]", 1, 0},
        {"[\"a\"," PLACEHOLDER(null) "]", 1, 0},
        {"[\"a\"," PLACEHOLDER([0]) "]", 1, 0},
        {"[\"a\"," PLACEHOLDER({"num" : 0}) "]", 1, 0},
        {"[\"a\"," PLACEHOLDER(1e99) "]", 1, 0},
        {"[\"a\"," PLACEHOLDER(18446744073709551616) "]", 1, 0},
        {"[\"a\",{\"_placeholder\":true}]", 1, 0},
        {"[\"a\",{\"num\":0,\"_placeholder\":true,\"num\":\"\"}]", 1, 0},
        {"[\"a\",{\"_placeholder\":true,\"num\":0,\"x\":" PLACEHOLDER(0) "}]", 1, 0},
        {"[\"a\",{\"_placeholder\":true,\"x\":{\"num\":0}}]", 1, 0},
        {"[\"a\"", 1, 0},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        for (size_t count = 0; count <= RP_SIO_ATTACHMENTS_MAX + 1; count++) {
            bool valid = rp_sio_placeholders_valid(rp_bytes_str(table[i].payload), count);
            if (valid != (count >= table[i].attachments_min && count <= table[i].attachments_max)) {
                fail_msg("%s with %zu attachments", table[i].payload, count);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets_are_taken_apart),
        cmocka_unit_test(test_truncated_packets_never_read_past_the_end),
        cmocka_unit_test(test_malformed_packets_are_refused),
        cmocka_unit_test(test_limits_are_kept),
        cmocka_unit_test(test_nsp_valid_is_what_can_be_written),
        cmocka_unit_test(test_reserved_names),
        cmocka_unit_test(test_arguments_keep_their_bytes),
        cmocka_unit_test(test_rest_is_everything_from_an_index_on),
        cmocka_unit_test(test_packets_are_written),
        cmocka_unit_test(test_binary_ack_of_nothing_is_an_ack),
        cmocka_unit_test(test_events_are_written_in_place),
        cmocka_unit_test(test_placeholders_must_name_attachments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
