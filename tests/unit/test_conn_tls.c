/* Connections over TLS: the same as in clear text, through every size of read and write, and what
 * goes wrong before there is any HTTP. The client's end is OpenSSL's, too. */
#include "tests/unit/conn_fixture.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>

static char directory[64], certificate[128], key[128], other_key[128];
static SSL_CTX *client_context;
static SSL *client;

/* ---- certificates ---- */

static EVP_PKEY *write_key(const char *name) {
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    FILE *file = fopen(name, "w");
    assert_true(pkey != NULL && file != NULL);
    assert_int_equal(PEM_write_PrivateKey(file, pkey, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    return pkey;
}

static void write_certificate(const char *name, EVP_PKEY *pkey, long serial) {
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, pkey);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *) "test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, x), 1);
    fclose(file);
    X509_free(x);
}

static int group_setup(void **state) {
    (void) state;
    strcpy(directory, "/tmp/reprise-tls-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(certificate, sizeof certificate, "%s/cert.pem", directory);
    snprintf(key, sizeof key, "%s/key.pem", directory);
    snprintf(other_key, sizeof other_key, "%s/other.pem", directory);
    EVP_PKEY *pkey = write_key(key);
    write_certificate(certificate, pkey, 1);
    EVP_PKEY_free(pkey);
    EVP_PKEY_free(write_key(other_key));
    client_context = SSL_CTX_new(TLS_client_method());
    return 0;
}

static int group_teardown(void **state) {
    (void) state;
    SSL_CTX_free(client_context);
    unlink(certificate);
    unlink(key);
    unlink(other_key);
    return rmdir(directory);
}

/* ---- the client's end ---- */

static void connect_tls(void) {
    SSL_free(client);
    connect_client();
    client = SSL_new(client_context);
    SSL_set_fd(client, world.fd);
    SSL_set_connect_state(client);
    SSL_set_mode(client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void shake_hands(void) {
    connect_tls();
    for (int i = 0; i < 10 && SSL_do_handshake(client) != 1; i++) {
        turn();
    }
    assert_true(SSL_is_init_finished(client));
}

static bool receive_tls(void) {
    uint8_t *place = rp_buf_reserve(&world.got, 1 << 16);
    assert_non_null(place);
    int len = SSL_read(client, place, 1 << 16);
    world.got.len += len > 0 ? (size_t) len : 0;
    world.ended = world.ended || (SSL_get_shutdown(client) & SSL_RECEIVED_SHUTDOWN) != 0;
    return len > 0;
}

static void settle_tls(void) {
    for (int quiet = 0; quiet < 8; quiet++) {
        turn();
        if (receive_tls()) {
            quiet = 0;
        }
    }
}

static void say_tls(struct rp_bytes bytes) {
    for (int i = 0; i < 10000 && bytes.len > 0; i++) {
        int len = SSL_write(client, bytes.data, (int) bytes.len);
        bytes = rp_bytes_skip(bytes, len > 0 ? (size_t) len : 0);
        turn();
        receive_tls();
    }
    assert_int_equal(bytes.len, 0);
}

static void expect_tls(const char *request, const char *start, const char *end) {
    rp_buf_clear(&world.got);
    say_tls(rp_bytes_str(request));
    settle_tls();
    if (strncmp(got(), start, strlen(start)) != 0 || strstr(got(), end) == NULL) {
        fail_msg("not '%s … %s' but: %s", start, end, got());
    }
    rp_buf_clear(&world.got);
}

static int setup(void **state) {
    (void) state;
    char why[256];
    assert_int_equal(rp_tls_new(certificate, key, why, sizeof why, &world.tls), RP_OK);
    world_open();
    world.kind.tls = true;
    return 0;
}

static int teardown(void **state) {
    (void) state;
    SSL_free(client);
    client = NULL;
    ERR_clear_error();
    world_close();
    world.tls = rp_tls_free(world.tls);
    return 0;
}

static const struct rp_conns_stats *stats(void) {
    return rp_conns_stats(world.conns);
}

/* ---- tests ---- */

static void test_requests_follow_one_another(void **state) {
    (void) state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        SSL_CTX_set_max_proto_version(client_context, versions[i]);
        shake_hands();
        assert_int_equal(SSL_version(client), versions[i]);
        expect_tls(OPEN, OK, "0{}");
        expect_tls("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 ", "not_found");
        expect_tls("GET /whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", OK, "unix");
        assert_true(world.ended); /* with close_notify */
    }
    SSL_CTX_set_max_proto_version(client_context, 0);
    assert_int_equal(stats()->tls_handshakes, 2);
    assert_int_equal(stats()->tls_failed, 0);
}

static void test_large_answers_come_whole(void **state) {
    (void) state;
    static uint8_t large[3 << 20];
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = (uint8_t) (i * 2654435761u >> 13);
    }
    shake_hands();
    say_tls(rp_bytes_str(GET));
    settle_tls();
    core_answer(200, rp_bytes(large, sizeof large));
    turn();
    turn(); /* the socket is full, and a record is kept */
    settle_tls();
    assert_true(world.got.len > sizeof large);
    assert_memory_equal(world.got.data + world.got.len - sizeof large, large, sizeof large);
    assert_int_equal(core.delivered, 1);
    expect_tls(OPEN, OK, "0{}");
}

/* What OpenSSL has read already is not waited for at the socket. */
static void test_a_burst_of_requests_is_answered(void **state) {
    (void) state;
    struct rp_buf burst;
    rp_buf_init(&burst, OUTPUT_MAX);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(rp_buf_put_str(&burst, OPEN), RP_OK);
    }
    shake_hands();
    for (size_t i = 0; i < burst.len; i += 1000) { /* many small records */
        size_t len = burst.len - i < 1000 ? burst.len - i : 1000;
        assert_int_equal(SSL_write(client, burst.data + i, (int) len), (int) len);
    }
    for (int i = 0; i < 1000 && count_of("0{}") < 300; i++) {
        turn();
        receive_tls();
    }
    assert_int_equal(count_of("0{}"), 300);
    rp_buf_done(&burst);
}

/* The core drops what it has queued when it closes a wire, also what OpenSSL has begun to write. */
static void test_a_websocket_that_is_closed_amid_a_record_ends_well(void **state) {
    (void) state;
    static uint8_t noise[1 << 20];
    shake_hands();
    expect_tls(UPGRADE("", ""), "HTTP/1.1 101 ", "\r\n\r\n");
    for (int i = 0; i < 4; i++) {
        rp_gateway_put_frame(NULL, core.wire,
                             rp_ws_frame(RP_WS_BINARY, rp_bytes(noise, sizeof noise)));
    }
    turn();
    turn();
    size_t left = core.wire->out.len;
    assert_true(left > 1 << 20);
    rp_buf_clear(&core.wire->out);
    assert_int_equal(rp_buf_put_str(&core.wire->out, "the end"), RP_OK);
    core.wire->closing = core.wire->dirty = true;
    settle_tls();
    assert_true(world.ended);
    assert_memory_equal(world.got.data + world.got.len - 7, "the end", 7);
    for (size_t i = 10; i < world.got.len - 7; i++) {
        assert_int_equal(world.got.data[i], 0);
    }
    assert_int_equal(world.got.len - 7, 4 * (sizeof noise + 10) - left);
}

static void test_websockets_echo_messages_of_any_size(void **state) {
    (void) state;
    static const uint8_t mask[4] = {9, 8, 7, 6};
    uint8_t frame[PAYLOAD_MAX + RP_WS_HEADER_MAX];
    shake_hands();
    expect_tls(UPGRADE("", ""), "HTTP/1.1 101 ", "\r\n\r\n");
    for (size_t len = 0; len <= PAYLOAD_MAX; len += 97) {
        size_t head = rp_ws_header_masked(frame, RP_WS_BINARY, len, mask);
        memset(frame + head, 'x', len);
        rp_ws_mask(frame + head, len, mask, 0);
        rp_buf_clear(&world.got);
        say_tls(rp_bytes(frame, head + len));
        settle_tls();
        assert_int_equal(world.got.len, head - 4 + len);
    }
}

static void test_plain_http_is_told_what_to_do(void **state) {
    (void) state;
    connect_client();
    say_text(OPEN);
    expect_answer("HTTP/1.1 400 ", "https://");
    assert_true(world.ended);
    assert_int_equal(stats()->tls_failed, 1);
}

static void test_what_is_no_handshake_is_closed(void **state) {
    (void) state;
    connect_client();
    say(RP_BYTES_LIT("\x16\x03\x01\x00\x05hello, this is no hello"));
    settle();
    assert_true(world.ended);
    connect_client();
    say_text("\x16\x03");
    settle();
    assert_false(world.ended);
    world.later_ms = 5001;
    settle();
    assert_true(world.ended);
    assert_int_equal(stats()->tls_failed, 2);
}

static void test_only_http_1_1_is_agreed(void **state) {
    (void) state;
    static const unsigned char both[] = "\x02h2\x08http/1.1", h2[] = "\x02h2";
    const unsigned char *name;
    unsigned len;
    connect_tls();
    SSL_set_alpn_protos(client, both, sizeof both - 1);
    for (int i = 0; i < 10 && SSL_do_handshake(client) != 1; i++) {
        turn();
    }
    SSL_get0_alpn_selected(client, &name, &len);
    assert_true(rp_bytes_eq_str(rp_bytes(name, len), "http/1.1"));
    connect_tls();
    SSL_set_alpn_protos(client, h2, sizeof h2 - 1);
    for (int i = 0; i < 10 && SSL_do_handshake(client) != 1; i++) {
        turn();
    }
    assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()),
                     SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
}

static void test_handshakes_are_bounded_by_a_turn(void **state) {
    (void) state;
    SSL *clients[4];
    int fds[4];
    for (int i = 0; i < 4; i++) { /* connections_max is 2: the others are refused, over TLS */
        connect_tls();
        clients[i] = client;
        fds[i] = world.fd;
        client = NULL;
        world.fd = -1;
    }
    for (int turns = 0; turns < 20; turns++) {
        for (int i = 0; i < 4; i++) {
            SSL_do_handshake(clients[i]);
        }
        turn();
    }
    for (int i = 0; i < 4; i++) {
        char text[64] = "";
        assert_true(SSL_is_init_finished(clients[i]));
        assert_true((SSL_read(clients[i], text, sizeof text - 1) > 0) == (i >= 2));
        assert_true(i < 2 || strncmp(text, "HTTP/1.1 503 ", 13) == 0);
        SSL_free(clients[i]);
        close(fds[i]);
    }
}

static void test_a_proxy_header_comes_before_tls(void **state) {
    (void) state;
    static const char header[] =
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\x0A\1\2\3\x7F\0\0\1\x12\x34\0\x50";
    world.kind.proxy = true;
    connect_tls();
    say(rp_bytes(header, 20));
    say(rp_bytes(header + 20, sizeof header - 1 - 20));
    for (int i = 0; i < 10 && SSL_do_handshake(client) != 1; i++) {
        turn();
    }
    expect_tls("GET /whoami HTTP/1.1\r\nHost: a\r\n\r\n", OK, "\"10.1.2.3\"");
}

/* ---- the certificate ---- */

static void test_files_that_are_wrong_are_named(void **state) {
    (void) state;
    struct rp_tls *t;
    char why[256], missing[160];
    snprintf(missing, sizeof missing, "%s/missing.pem", directory);
    const struct {
        const char *certificate, *key, *named;
        enum rp_err err;
    } cases[] = {
        {missing, key, missing, RP_E_IO},
        {certificate, missing, missing, RP_E_IO},
        {key, key, key, RP_E_INVALID},
        {certificate, certificate, certificate, RP_E_INVALID},
        {certificate, other_key, other_key, RP_E_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(rp_tls_new(cases[i].certificate, cases[i].key, why, sizeof why, &t),
                         cases[i].err);
        assert_memory_equal(why, cases[i].named, strlen(cases[i].named));
        assert_true(strlen(why) > strlen(cases[i].named) + 5);
    }
}

static void test_a_certificate_is_read_again(void **state) {
    (void) state;
    char why[256];
    shake_hands();
    FILE *file = fopen(certificate, "w");
    fputs("nothing\n", file);
    fclose(file);
    int64_t expires_s = rp_tls_expires_s(world.tls);
    assert_true(expires_s > 1500000000);
    assert_int_equal(rp_tls_reload(world.tls, why, sizeof why), RP_E_INVALID);
    assert_int_equal(rp_tls_expires_s(world.tls), expires_s);
    expect_tls(OPEN, OK, "0{}");
    shake_hands(); /* what was good stays */
    EVP_PKEY *pkey = write_key(key);
    write_certificate(certificate, pkey, 2);
    EVP_PKEY_free(pkey);
    assert_int_equal(rp_tls_reload(world.tls, why, sizeof why), RP_OK);
    expect_tls(OPEN, OK, "0{}"); /* with the old one */
    shake_hands();
    X509 *x = SSL_get1_peer_certificate(client);
    assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(x)), 2);
    X509_free(x);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_requests_follow_one_another),
        TEST(test_large_answers_come_whole),
        TEST(test_a_burst_of_requests_is_answered),
        TEST(test_a_websocket_that_is_closed_amid_a_record_ends_well),
        TEST(test_websockets_echo_messages_of_any_size),
        TEST(test_plain_http_is_told_what_to_do),
        TEST(test_what_is_no_handshake_is_closed),
        TEST(test_only_http_1_1_is_agreed),
        TEST(test_handshakes_are_bounded_by_a_turn),
        TEST(test_a_proxy_header_comes_before_tls),
        TEST(test_files_that_are_wrong_are_named),
        TEST(test_a_certificate_is_read_again),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
