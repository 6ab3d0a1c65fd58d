/* tests/unit/test_sio_msgpack.c — proto/sio_msgpack against what socket.io-msgpack-parser 3.0.2 and
 * notepack.io 2.2.0 write: the packets in the tables `stock` and `written` are theirs, byte for
 * byte. Each input is given in a piece of memory of exactly its size. */
#include "proto/sio_msgpack.h"

#include "proto/attachments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

struct literal {
    const char *data;
    size_t len;
};

#define B(text)                                                                                    \
    { text, sizeof(text) - 1 }

static struct rp_bytes view(struct literal literal) {
    return rp_bytes(literal.data, literal.len);
}

static void assert_bytes(struct rp_bytes actual, struct rp_bytes expected) {
    if (!rp_bytes_eq(actual, expected)) {
        fail_msg("got %.*s instead of %.*s", RP_BYTES_FMT(actual), RP_BYTES_FMT(expected));
    }
}

enum { NO_ID = -1, ROOM = 1 << 20 };

/* ---- reading ---- */

static const struct stock {
    struct literal message;
    enum rp_sio_type type;
    const char *nsp;
    int64_t id;
    uint32_t attachments_count;
    const char *payload;
    struct literal attachments;
} stock[] = {
    /* clang-format off */
    {B("\202\244type\000\243nsp\241/"), RP_SIO_CONNECT, "/", NO_ID, 0, "", B("")},
    {B("\203\244type\000\244data\324\000\000\243nsp\241/"), RP_SIO_CONNECT, "/", NO_ID, 0, "", B("")},
    {B("\203\244type\000\244data\201\245token\243123\243nsp\246/admin"), RP_SIO_CONNECT, "/admin", NO_ID, 0, "{\"token\":\"123\"}", B("")},
    {B("\202\244type\001\243nsp\246/admin"), RP_SIO_DISCONNECT, "/admin", NO_ID, 0, "", B("")},
    {B("\204\244type\002\244data\223\243msg\001\201\241a\241b\247options\201\250compress\303\243nsp\241/"), RP_SIO_EVENT, "/", NO_ID, 0, "[\"msg\",1,{\"a\":\"b\"}]", B("")},
    {B("\205\244type\002\244data\224\247publish\245lobby\243msg\201\241a\223\001\002\201\241b\300\247options\201\250compress\303\242id\014\243nsp\246/admin"), RP_SIO_EVENT, "/admin", 12, 0, "[\"publish\",\"lobby\",\"msg\",{\"a\":[1,2,{\"b\":null}]}]", B("")},
    {B("\204\244type\003\242id\007\244data\221\201\242ok\303\243nsp\241/"), RP_SIO_ACK, "/", 7, 0, "[{\"ok\":true}]", B("")},
    {B("\204\244type\003\242id\000\244data\220\243nsp\241/"), RP_SIO_ACK, "/", 0, 0, "[]", B("")},
    {B("\203\244type\004\244data\201\247message\242no\243nsp\242/x"), RP_SIO_CONNECT_ERROR, "/x", NO_ID, 0, "{\"message\":\"no\"}", B("")},
    {B("\203\244type\004\244data\242no\243nsp\242/x"), RP_SIO_CONNECT_ERROR, "/x", NO_ID, 0, "\"no\"", B("")},
    {B("\203\244type\002\244data\334\000\025\241n\000\177\314\200\314\377\315\001\000\315\377\377\316\000\001\000\000\316\377\377\377\377\317\000\000\000\001\000\000\000\000\317\000\037\377\377\377\377\377\377\377\340\320\337\320\200\321\377\177\321\200\000\322\377\377\177\377\322\200\000\000\000\323\377\377\377\377\177\377\377\377\323\377\340\000\000\000\000\000\001\243nsp\241/"), RP_SIO_EVENT, "/", NO_ID, 0, "[\"n\",0,127,128,255,256,65535,65536,4294967295,4294967296,9007199254740991,-1,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649,-9007199254740991]", B("")},
    {B("\203\244type\002\244data\231\241f\313\077\340\000\000\000\000\000\000\313\277\271\231\231\231\231\231\232\313>z\327\362\232\274\257H\313@\011!\373TD-\030\313>Z\327\362\232\274\257H\313\177\370\000\000\000\000\000\000\313\177\360\000\000\000\000\000\000\313\377\360\000\000\000\000\000\000\243nsp\241/"), RP_SIO_EVENT, "/", NO_ID, 0, "[\"f\",0.5,-0.1,1e-07,3.141592653589793,2.5e-08,null,null,null]", B("")},
    {B("\203\244type\002\244data\225\241u\324\000\000\201\241a\324\000\000\203\241a\001\241b\324\000\000\241c\002\202\241b\324\000\000\241c\002\243nsp\241/"), RP_SIO_EVENT, "/", NO_ID, 0, "[\"u\",null,{},{\"a\":1,\"c\":2},{\"c\":2}]", B("")},
    {B("\203\244type\002\244data\230\241d\327\000\000\000\000\000\000\000\000\000\327\000\000\000\001\213\317\345h{\327\000\377\377\377\377\377\377\377\377\327\000\377\377\307n9Jt\000\327\000\000\000\346w\322\037\334\000\327\000\000\036\262\010\302\334\000\000\327\000\377\341M\367=$\000\000\243nsp\241/"), RP_SIO_EVENT, "/", NO_ID, 0, "[\"d\",\"1970-01-01T00:00:00.000Z\",\"2023-11-14T22:13:20.123Z\",\"1969-12-31T23:59:59.999Z\",\"-000001-01-01T00:00:00.000Z\",\"+010000-01-01T00:00:00.000Z\",\"+275760-09-13T00:00:00.000Z\",\"-271821-04-20T00:00:00.000Z\"]", B("")},
    {B("\203\244type\002\244data\225\241s\240\244\012\"\\\001\251\303\251\342\202\254\360\237\230\200\331(xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\243nsp\241/"), RP_SIO_EVENT, "/", NO_ID, 0, "[\"s\",\"\",\"\\n\\\"\\\\\\u0001\",\"\303\251\342\202\254\360\237\230\200\",\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]", B("")},
    {B("\203\244type\002\244data\224\241b\304\003\001\002\003\201\241x\221\304\000\307\002\000\011\010\243nsp\241/"), RP_SIO_BINARY_EVENT, "/", NO_ID, 3, "[\"b\",{\"_placeholder\":true,\"num\":0},{\"x\":[{\"_placeholder\":true,\"num\":1}]},{\"_placeholder\":true,\"num\":2}]", B("\000\000\000\003\001\002\003\000\000\000\000\000\000\000\002\011\010")},
    {B("\204\244type\003\242id\007\244data\221\304\002hi\243nsp\246/admin"), RP_SIO_BINARY_ACK, "/admin", 7, 1, "[{\"_placeholder\":true,\"num\":0}]", B("\000\000\000\002hi")},
    {B("\203\244type\002\244data\222\241b\202\254_placeholder\303\243num\007\243nsp\241/"), RP_SIO_EVENT, "/", NO_ID, 0, "[\"b\",{\"_placeholder\":true,\"num\":7}]", B("")},
    {B("\203\244type\002\244data\222\241a\334\000\020\001\001\001\001\001\001\001\001\001\001\001\001\001\001\001\001\243nsp\241/"), RP_SIO_EVENT, "/", NO_ID, 0, "[\"a\",[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]]", B("")},
    /* clang-format on */
};

/* Reads a copy behind what the buffers hold already. The packet's nsp is not valid afterwards. */
static enum rp_err parse(struct rp_bytes message, struct rp_buf *json, struct rp_buf *attachments,
                         const char *nsp, struct rp_sio_packet *ret_packet) {
    uint8_t *copy = malloc(message.len > 0 ? message.len : 1);
    assert_non_null(copy);
    if (message.len > 0) {
        memcpy(copy, message.data, message.len);
    }
    size_t json_before = json->len, attachments_before = attachments->len;
    enum rp_err err =
        rp_sio_msgpack_parse(rp_bytes(copy, message.len), json, attachments, ret_packet);
    if (err == RP_OK && nsp != NULL) {
        assert_bytes(ret_packet->nsp, rp_bytes_str(nsp));
    }
    if (err != RP_OK) {
        assert_int_equal(json->len, json_before);
        assert_int_equal(attachments->len, attachments_before);
    }
    free(copy);
    return err;
}

static void test_stock_packets_are_read(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(stock); i++) {
        struct rp_buf json, attachments;
        rp_buf_init(&json, ROOM);
        rp_buf_init(&attachments, ROOM);
        assert_int_equal(rp_buf_put_str(&json, "##"), RP_OK);
        assert_int_equal(rp_buf_put_str(&attachments, "#"), RP_OK);
        struct rp_sio_packet p;
        enum rp_err err = parse(view(stock[i].message), &json, &attachments, stock[i].nsp, &p);
        if (err != RP_OK) {
            fail_msg("%s: %s", stock[i].payload, rp_strerror(err));
        }
        assert_int_equal(p.type, stock[i].type);
        assert_int_equal(p.has_id, stock[i].id != NO_ID);
        assert_int_equal(p.id, p.has_id ? (uint64_t) stock[i].id : 0);
        assert_int_equal(p.attachments, stock[i].attachments_count);
        assert_bytes(p.payload, rp_bytes_str(stock[i].payload));
        assert_bytes(rp_bytes_skip(rp_buf_bytes(&json), 2), p.payload);
        assert_bytes(rp_bytes_skip(rp_buf_bytes(&attachments), 1), view(stock[i].attachments));
        rp_buf_done(&json);
        rp_buf_done(&attachments);
    }
}

static void test_truncated_and_longer_packets_are_refused(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(stock); i++) {
        struct rp_buf json, attachments;
        rp_buf_init(&json, ROOM);
        rp_buf_init(&attachments, ROOM);
        struct rp_sio_packet p;
        char longer[1000];
        memcpy(longer, stock[i].message.data, stock[i].message.len);
        longer[stock[i].message.len] = '\xc0';
        for (size_t len = 0; len <= stock[i].message.len + 1; len++) {
            enum rp_err err = parse(rp_bytes(longer, len), &json, &attachments, NULL, &p);
            assert_int_equal(err, len == stock[i].message.len ? RP_OK : RP_E_PROTOCOL);
            rp_buf_clear(&json);
            rp_buf_clear(&attachments);
        }
        rp_buf_done(&json);
        rp_buf_done(&attachments);
    }
}

static void test_full_buffers_are_left_as_they_were(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(stock); i++) {
        size_t json_len = strlen(stock[i].payload), packed_len = stock[i].attachments.len;
        for (size_t room = 0; room <= json_len + packed_len; room++) {
            struct rp_buf json, attachments;
            bool is_json_short = room < json_len;
            rp_buf_init(&json, is_json_short ? room : json_len);
            rp_buf_init(&attachments, is_json_short ? packed_len : room - json_len);
            struct rp_sio_packet p;
            enum rp_err err = parse(view(stock[i].message), &json, &attachments, NULL, &p);
            /* members that are undefined are written before they are taken back */
            bool may_fail = room < json_len + packed_len ||
                            strstr(stock[i].payload, "{}") != NULL ||
                            strstr(stock[i].payload, "\"u\"") != NULL;
            assert_true(err == RP_OK ? room == json_len + packed_len
                                     : err == RP_E_FULL && may_fail);
            rp_buf_done(&json);
            rp_buf_done(&attachments);
        }
    }
}

#define EVENT(data)                                                                                \
    "\x83\xa4type\2\xa3nsp\xa1/\xa4"                                                               \
    "data" data
#define NIL "\xc0"

static const struct {
    struct literal message;
    enum rp_err expected;
} refused[] = {
    /* not a map, or not a whole one */
    {B(""), RP_E_PROTOCOL},
    {B("\x93\2\xa1/\xc0"), RP_E_PROTOCOL},
    {B("\xa1x"), RP_E_PROTOCOL},
    {B("\x80"), RP_E_PROTOCOL},
    {B("\xdf\xff\xff\xff\xff\xa4type\0"), RP_E_PROTOCOL},
    {B("\xde\xff\xff\xa4type\0"), RP_E_PROTOCOL},
    {B("\xdf\x7f\xff\xff\xff"), RP_E_PROTOCOL},
    /* fields */
    {B("\x81\xa4type\0"), RP_E_PROTOCOL},
    {B("\x81\xa3nsp\xa1/"), RP_E_PROTOCOL},
    {B("\x82\xa4type\5\xa3nsp\xa1/"), RP_E_PROTOCOL},
    {B("\x83\xa4type\5\xa3nsp\xa1/\xa4"
       "data\x91\xa1"
       "a"),
     RP_E_PROTOCOL},
    {B("\x82\xa4type\xff\xa3nsp\xa1/"), RP_E_PROTOCOL},
    {B("\x82\xa4type\xa1"
       "0\xa3nsp\xa1/"),
     RP_E_PROTOCOL},
    {B("\x82\xa4type\xc0\xa3nsp\xa1/"), RP_E_PROTOCOL},
    {B("\x82\xa4type\0\xa3nsp\xa0"), RP_E_PROTOCOL},
    {B("\x82\xa4type\0\xa3nsp\xa1x"), RP_E_PROTOCOL},
    {B("\x82\xa4type\0\xa3nsp\xa4/a,b"), RP_E_PROTOCOL},
    {B("\x82\xa4type\0\xa3nsp\xc0"), RP_E_PROTOCOL},
    {B("\x82\xa4type\0\xa3nsp\xc4\1/"), RP_E_PROTOCOL},
    {B("\x82\xa4type\0\xa3nsp\x91\xa1/"), RP_E_PROTOCOL},
    {B("\x82\xa4type\0\xa3nsp\xa2/\xff"), RP_E_UTF8},
    {B("\x83\xa4type\0\xa4type\0\xa3nsp\xa1/"), RP_E_PROTOCOL},
    {B("\x83\xa4type\0\xa3nsp\xa1/\xa3nsp\xa1/"), RP_E_PROTOCOL},
    {B("\x84\xa4type\0\xa3nsp\xa1/\xa4"
       "data\xc0\xa4"
       "data\xc0"),
     RP_E_PROTOCOL},
    {B("\x83\xa4type\0\xa3nsp\xa1/\1\1"), RP_E_PROTOCOL},
    {B("\x83\xa4type\0\xa3nsp\xa1/\xc4\1a\1"), RP_E_PROTOCOL},
    {B("\x83\xa4type\0\xa3nsp\xa1/\xa1\xff\1"), RP_E_UTF8},
    {B("\x83\xa4type\0\xa3nsp\xa1/\xa1x\xc1"), RP_E_PROTOCOL},
    {B("\x83\xa4type\0\xa3nsp\xa1/\xa1x\xdd\xff\xff\xff\xff\1"), RP_E_PROTOCOL},
    /* ids */
    {B("\x84\xa4type\2\xa3nsp\xa1/\xa4"
       "data\x91\xa1"
       "a\xa2id\xff"),
     RP_E_PROTOCOL},
    {B("\x84\xa4type\2\xa3nsp\xa1/\xa4"
       "data\x91\xa1"
       "a\xa2id\xa1"
       "1"),
     RP_E_PROTOCOL},
    {B("\x84\xa4type\2\xa3nsp\xa1/\xa4"
       "data\x91\xa1"
       "a\xa2id\xcf\0\x20\0\0\0\0\0\0"),
     RP_E_TOO_BIG},
    {B("\x83\xa4type\0\xa3nsp\xa1/\xa2id\1"), RP_E_PROTOCOL},
    {B("\x83\xa4type\3\xa3nsp\xa1/\xa4"
       "data\x90"),
     RP_E_PROTOCOL},
    /* data of the wrong shape */
    {B("\x83\xa4type\0\xa3nsp\xa1/\xa4"
       "data\x90"),
     RP_E_PROTOCOL},
    {B("\x83\xa4type\0\xa3nsp\xa1/\xa4"
       "data\1"),
     RP_E_PROTOCOL},
    {B("\x83\xa4type\0\xa3nsp\xa1/\xa4"
       "data\x81\xa1t\xc4\1x"),
     RP_E_PROTOCOL},
    {B("\x83\xa4type\1\xa3nsp\xa1/\xa4"
       "data\x80"),
     RP_E_PROTOCOL},
    {B("\x82\xa4type\4\xa3nsp\xa1/"), RP_E_PROTOCOL},
    {B("\x83\xa4type\4\xa3nsp\xa1/\xa4"
       "data\x90"),
     RP_E_PROTOCOL},
    {B("\x82\xa4type\2\xa3nsp\xa1/"), RP_E_PROTOCOL},
    {B(EVENT(NIL)), RP_E_PROTOCOL},
    {B(EVENT("\x80")), RP_E_PROTOCOL},
    {B(EVENT("\x90")), RP_E_PROTOCOL},
    {B(EVENT("\x91\1")), RP_E_PROTOCOL},
    {B(EVENT("\x91\xc0")), RP_E_PROTOCOL},
    {B(EVENT("\x91\xc4\1"
             "a")),
     RP_E_PROTOCOL},
    {B(EVENT("\xc4\1"
             "a")),
     RP_E_PROTOCOL},
    {B(EVENT("\x91\xa7"
             "connect")),
     RP_E_PROTOCOL},
    {B(EVENT("\x91\xa1\x80")), RP_E_UTF8},
    /* values that are none, or announce what is not there */
    {B(EVENT("\x92\xa1"
             "a\xc1")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\xd4\1\0")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\xd5\0\0\0")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\xd6\xff\0\0\0\0")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\xd7\1\0\0\0\0\0\0\0\0")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\xc7\1\1x")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\xc9\xff\xff\xff\xff\0x")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\xc6\xff\xff\xff\xffx")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\xdb\xff\xff\xff\xffx")),
     RP_E_PROTOCOL},
    {B(EVENT("\xdd\xff\xff\xff\xff\xa1"
             "a")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\xdf\x80\0\0\0\xa1"
             "a")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\x81\1\1")),
     RP_E_PROTOCOL},
    {B(EVENT("\x92\xa1"
             "a\x81\xc0\1")),
     RP_E_PROTOCOL},
    /* a written out placeholder beside a real one: past the end, or the same */
    {B(EVENT("\x93\xa1"
             "b\xc4\1x\x82\xac_placeholder\xc3\xa3num\7")),
     RP_E_PROTOCOL},
    {B(EVENT("\x93\xa1"
             "b\xc4\1x\x82\xac_placeholder\xc3\xa3num\0")),
     RP_E_PROTOCOL},
    /* eleven attachments */
    {B(EVENT("\x9c\xa1"
             "b\xc4\0\xc4\0\xc4\0\xc4\0\xc4\0\xc4\0\xc4\0\xc4\0\xc4\0\xc4\0\xc4\0")),
     RP_E_TOO_BIG},
};

static void test_malformed_packets_are_refused(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct rp_buf json, attachments;
        rp_buf_init(&json, ROOM);
        rp_buf_init(&attachments, ROOM);
        struct rp_sio_packet p = {.id = 77};
        enum rp_err err = parse(view(refused[i].message), &json, &attachments, NULL, &p);
        if (err != refused[i].expected) {
            fail_msg("%zu (%.*s): %s", i, RP_BYTES_FMT(view(refused[i].message)), rp_strerror(err));
        }
        assert_int_equal(p.id, 77); /* untouched */
        rp_buf_done(&json);
        rp_buf_done(&attachments);
    }
}

static void assert_reads(struct rp_bytes message, const char *payload) {
    struct rp_buf json, attachments;
    rp_buf_init(&json, ROOM);
    rp_buf_init(&attachments, ROOM);
    struct rp_sio_packet p;
    assert_int_equal(parse(message, &json, &attachments, NULL, &p), RP_OK);
    assert_bytes(p.payload, rp_bytes_str(payload));
    rp_buf_done(&json);
    rp_buf_done(&attachments);
}

/* what the stock encoder does not write, but others may */
static void test_other_encodings_are_read(void **state) {
    (void) state;
    assert_reads(RP_BYTES_LIT("\x83\xa3nsp\xd9\1/\xa4type\xcc\0\xa4"
                              "data\xc0"),
                 "");
    assert_reads(RP_BYTES_LIT("\x84\xa4type\2\xa3nsp\xa1/\xa2id\xc0\xa4"
                              "data\x91\xa1"
                              "a"),
                 "[\"a\"]");
    assert_reads(RP_BYTES_LIT("\x83\xa4type\xd0\2\xa3nsp\xda\0\1/\xa4"
                              "data\xdd\0\0\0\2\xdb\0\0\0\1a\xdf\0\0\0\1\xa1x\xd3\0\0\0\0\0\0\0\5"),
                 "[\"a\",{\"x\":5}]");
    assert_reads(RP_BYTES_LIT(EVENT("\x97\xa1"
                                    "a\xca\x3f\x80\0\0\xca\x3f\xc0\0\0\xcb\x80\0\0\0\0\0\0\0"
                                    "\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xd3\x80\0\0\0\0\0\0\0"
                                    "\xcb\x7e\x37\xe4\x3c\x88\0\x75\x9c")),
                 "[\"a\",1,1.5,-0,18446744073709551615,-9223372036854775808,1e+300]");
    /* a date past the range of dates; undefined first and last */
    assert_reads(RP_BYTES_LIT(EVENT("\x93\xa1"
                                    "a\xd7\0\x7f\xff\xff\xff\xff\xff\xff\xff"
                                    "\xd7\0\x80\0\0\0\0\0\0\0")),
                 "[\"a\",null,null]");
    assert_reads(RP_BYTES_LIT(EVENT("\x92\xa1"
                                    "a\x82\xa1x\1\xa1y\xd4\0\0")),
                 "[\"a\",{\"x\":1}]");
    /* as deep as can be, under a key that nobody knows */
    char deep[100020];
    size_t len = 0;
    memcpy(deep, "\x83\xa4type\0\xa3nsp\xa1/\xa1x", 15);
    for (len = 15; len < sizeof deep - 1; len++) {
        deep[len] = '\x91';
    }
    deep[len++] = '\xc0';
    assert_reads(rp_bytes(deep, len), "");
}

static void test_depth_is_that_of_json(void **state) {
    (void) state;
    for (size_t depth = RP_JSON_DEPTH_MAX; depth <= RP_JSON_DEPTH_MAX + 1; depth++) {
        struct rp_buf message, json, attachments;
        rp_buf_init(&message, ROOM);
        rp_buf_init(&json, ROOM);
        rp_buf_init(&attachments, ROOM);
        assert_int_equal(rp_buf_put(&message, RP_BYTES_LIT(EVENT("\x92\xa1"
                                                                 "a"))),
                         RP_OK);
        for (size_t i = 2; i < depth; i++) {
            assert_int_equal(rp_buf_put_str(&message, "\x91"), RP_OK);
        }
        assert_int_equal(rp_buf_put_str(&message, "\x90"), RP_OK);
        struct rp_sio_packet p;
        enum rp_err err = parse(rp_buf_bytes(&message), &json, &attachments, NULL, &p);
        assert_int_equal(err, depth > RP_JSON_DEPTH_MAX ? RP_E_TOO_BIG : RP_OK);
        struct rp_bytes value;
        assert_true(err != RP_OK || rp_json_whole(p.payload, &value) == RP_OK);
        rp_buf_done(&message);
        rp_buf_done(&json);
        rp_buf_done(&attachments);
    }
}

/* ---- writing ---- */

struct writing {
    enum rp_sio_type type;
    const char *nsp, *first, *second, *offset; /* sid, pid; message, data; name, args; -, args */
    uint64_t id;
    struct literal attachments;
    struct literal expected;
};

static enum rp_err write_packet(struct rp_buf *out, const struct writing *w) {
    struct rp_bytes nsp = rp_bytes_str(w->nsp);
    struct rp_bytes first = rp_bytes_str(w->first), second = rp_bytes_str(w->second);
    switch (w->type) {
    case RP_SIO_CONNECT:
        return rp_sio_msgpack_put_connect(out, nsp, first, second);
    case RP_SIO_CONNECT_ERROR:
        return rp_sio_msgpack_put_connect_error(out, nsp, first, second);
    case RP_SIO_DISCONNECT:
        return rp_sio_msgpack_put_disconnect(out, nsp);
    case RP_SIO_EVENT:
    case RP_SIO_BINARY_EVENT: {
        struct rp_sio_event e = {.has_id = w->id > 0,
                                 .id = w->id,
                                 .nsp = nsp,
                                 .name = first,
                                 .args = second,
                                 .offset = rp_bytes_str(w->offset)};
        return rp_sio_msgpack_put_event(out, &e, view(w->attachments));
    }
    default:
        return rp_sio_msgpack_put_ack(out, nsp, w->id, second, view(w->attachments));
    }
}

#define PLACEHOLDER(num) "{\"_placeholder\":true,\"num\":" #num "}"

static const struct writing written[] = {
    /* clang-format off */
    {RP_SIO_EVENT, "/", "msg", "1,{\"a\":\"b\"}", "18734-k7f3", 0, B(""), B("\203\244type\002\243nsp\241/\244data\224\243msg\001\201\241a\241b\25218734-k7f3")},
    {RP_SIO_EVENT, "/admin", "say \"hi\"", "[],{},null, true ,false,\"\\u00e9\\n\",-5,1.5,300,[1,[2,{\"x\":[3]}]]", NULL, 0, B(""), B("\203\244type\002\243nsp\246/admin\244data\233\250say \"hi\"\220\200\300\303\302\243\303\251\012\373\313\077\370\000\000\000\000\000\000\315\001,\222\001\222\002\201\241x\221\003")},
    {RP_SIO_EVENT, NULL, "a", NULL, NULL, 0, B(""), B("\203\244type\002\243nsp\241/\244data\221\241a")},
    {RP_SIO_EVENT, "/a", "m", "1", NULL, 300, B(""), B("\204\244type\002\243nsp\242/a\242id\315\001,\244data\222\241m\001")},
    {RP_SIO_BINARY_EVENT, "/", "b", PLACEHOLDER(0), NULL, 7, B("\0\0\0\2hi"), B("\204\244type\002\243nsp\241/\242id\007\244data\222\241b\304\002hi")},
    {RP_SIO_ACK, "/", NULL, "{\"ok\":true}", NULL, 12, B(""), B("\204\244type\003\243nsp\241/\242id\014\244data\221\201\242ok\303")},
    {RP_SIO_ACK, "/admin", NULL, NULL, NULL, RP_SIO_ID_MAX, B(""), B("\204\244type\003\243nsp\246/admin\242id\317\000\037\377\377\377\377\377\377\244data\220")},
    {RP_SIO_CONNECT, "/", "oSO0OpakMV_3jnilAAAA", NULL, NULL, 0, B(""), B("\203\244type\000\243nsp\241/\244data\201\243sid\264oSO0OpakMV_3jnilAAAA")},
    {RP_SIO_CONNECT, "/admin", "s", "p", NULL, 0, B(""), B("\203\244type\000\243nsp\246/admin\244data\202\243sid\241s\243pid\241p")},
    {RP_SIO_CONNECT_ERROR, "/x", "no", "{\"code\":1}", NULL, 0, B(""), B("\203\244type\004\243nsp\242/x\244data\202\247message\242no\244data\201\244code\001")},
    {RP_SIO_CONNECT_ERROR, "/x", "no", NULL, NULL, 0, B(""), B("\203\244type\004\243nsp\242/x\244data\201\247message\242no")},
    {RP_SIO_DISCONNECT, "/admin", NULL, NULL, NULL, 0, B(""), B("\202\244type\001\243nsp\246/admin")},
    {RP_SIO_BINARY_EVENT, "/", "b", PLACEHOLDER(0) ",{\"x\":[{\"num\":1,\"y\":[[],{}],\"_placeholder\":true}]}", "1-k7f3", 0, B("\0\0\0\3\1\2\3\0\0\0\0"), B("\203\244type\002\243nsp\241/\244data\224\241b\304\003\001\002\003\201\241x\221\304\000\2461-k7f3")},
    {RP_SIO_BINARY_ACK, "/", NULL, PLACEHOLDER(0), NULL, 1, B("\0\0\0\2hi"), B("\204\244type\003\243nsp\241/\242id\001\244data\221\304\002hi")},
    {RP_SIO_EVENT, "/", "a", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,\"k10\":10,\"k11\":11,\"k12\":12,\"k13\":13,\"k14\":14,\"k15\":15}", NULL, 0, B(""), B("\203\244type\002\243nsp\241/\244data\223\241a\334\000\020\001\001\001\001\001\001\001\001\001\001\001\001\001\001\001\001\336\000\020\242k0\000\242k1\001\242k2\002\242k3\003\242k4\004\242k5\005\242k6\006\242k7\007\242k8\010\242k9\011\243k10\012\243k11\013\243k12\014\243k13\015\243k14\016\243k15\017")},
    /* clang-format on */
};

static void test_packets_are_written_as_the_stock_encoder_does(void **state) {
    (void) state;
    for (size_t i = 0; i < COUNT(written); i++) {
        struct rp_bytes expected = view(written[i].expected);
        for (size_t room = 0; room <= expected.len; room++) {
            struct rp_buf out;
            rp_buf_init(&out, 2 + room);
            assert_int_equal(rp_buf_put_str(&out, "##"), RP_OK);
            enum rp_err err = write_packet(&out, &written[i]);
            assert_int_equal(err, room < expected.len ? RP_E_FULL : RP_OK);
            assert_bytes(rp_bytes_skip(rp_buf_bytes(&out), 2),
                         err == RP_OK ? expected : (struct rp_bytes){0});
            rp_buf_done(&out);
        }
    }
}

/* The msgpack of one argument. */
static void assert_writes(const char *json, struct rp_bytes expected) {
    struct rp_sio_event e = {.name = RP_BYTES_LIT("a"), .args = rp_bytes_str(json)};
    struct rp_buf out;
    rp_buf_init(&out, ROOM);
    assert_int_equal(rp_sio_msgpack_put_event(&out, &e, (struct rp_bytes){0}), RP_OK);
    struct rp_bytes prefix = RP_BYTES_LIT(EVENT("\x92\xa1"
                                                "a"));
    assert_true(rp_bytes_starts_with(rp_buf_bytes(&out), prefix));
    if (!rp_bytes_eq(rp_bytes_skip(rp_buf_bytes(&out), prefix.len), expected)) {
        fail_msg("%s", json);
    }
    rp_buf_done(&out);
}

static void test_scalars_are_written(void **state) {
    (void) state;
    static const struct {
        const char *json;
        struct literal expected;
    } table[] = {
        {"0", B("\0")},
        {"-0", B("\xcb\x80\0\0\0\0\0\0\0")},
        {"1.0", B("\xcb\x3f\xf0\0\0\0\0\0\0")},
        {"1e0", B("\xcb\x3f\xf0\0\0\0\0\0\0")},
        {"1E400", B("\xcb\x7f\xf0\0\0\0\0\0\0")},
        {"18446744073709551615", B("\xcf\xff\xff\xff\xff\xff\xff\xff\xff")},
        {"18446744073709551616", B("\xcb\x43\xf0\0\0\0\0\0\0")},
        {"-9223372036854775808", B("\xd3\x80\0\0\0\0\0\0\0")},
        {"-9223372036854775809", B("\xcb\xc3\xe0\0\0\0\0\0\0")},
        {"-1", B("\xff")},
        {"-129", B("\xd1\xff\x7f")},
        {"\"\"", B("\xa0")},
        {"\"\\ud83d\\ude00\"", B("\xa4\xf0\x9f\x98\x80")},
        {"\"\\ud83dx\\ude00\"", B("\xa7\xef\xbf\xbdx\xef\xbf\xbd")},
        {"{\"\\u0061\":null}", B("\x81\xa1"
                                 "a\xc0")},
        {"{\"_placeholder\":true,\"num\":0}", B("\x82\xac_placeholder\xc3\xa3num\0")},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_writes(table[i].json, view(table[i].expected));
    }
}

static void test_what_cannot_be_written_is_refused(void **state) {
    (void) state;
    static const struct {
        const char *args;
        struct literal attachments;
    } table[] = {
        {"1,", B("")},
        {"[1", B("")},
        {"]", B("")},
        {"1", B("\0\0\0\1")},
        {"1", B("\0\0\0")},
        {PLACEHOLDER(1), B("\0\0\0\0")},
        {PLACEHOLDER(-1), B("\0\0\0\0")},
        {PLACEHOLDER(0) "," PLACEHOLDER(0), B("\0\0\0\0")},
        {"{\"_placeholder\":true}", B("\0\0\0\0")},
        {"1", B("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                "\0\0\0\0\0\0\0\0\0\0\0\0")},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        struct rp_buf out;
        rp_buf_init(&out, ROOM);
        struct rp_sio_event e = {.name = RP_BYTES_LIT("a"), .args = rp_bytes_str(table[i].args)};
        assert_int_equal(rp_sio_msgpack_put_event(&out, &e, view(table[i].attachments)),
                         RP_E_INVALID);
        assert_int_equal(out.len, 0);
        assert_int_equal(rp_sio_msgpack_put_ack(&out, e.nsp, 1, e.args, view(table[i].attachments)),
                         RP_E_INVALID);
        assert_int_equal(out.len, 0);
        rp_buf_done(&out);
    }
    struct rp_buf out;
    rp_buf_init(&out, ROOM);
    assert_int_equal(rp_sio_msgpack_put_connect_error(&out, RP_BYTES_LIT("/"), RP_BYTES_LIT("no"),
                                                      RP_BYTES_LIT("1,2")),
                     RP_E_INVALID);
    rp_buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stock_packets_are_read),
        cmocka_unit_test(test_truncated_and_longer_packets_are_refused),
        cmocka_unit_test(test_full_buffers_are_left_as_they_were),
        cmocka_unit_test(test_malformed_packets_are_refused),
        cmocka_unit_test(test_other_encodings_are_read),
        cmocka_unit_test(test_depth_is_that_of_json),
        cmocka_unit_test(test_packets_are_written_as_the_stock_encoder_does),
        cmocka_unit_test(test_scalars_are_written),
        cmocka_unit_test(test_what_cannot_be_written_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
