/* Addresses: what is taken, what is refused, and that listening is where it says it is. */
#include "common/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void test_good_addresses_are_split(void **state) {
    (void) state;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:3000", "127.0.0.1", 3000},
        {"localhost:1", "localhost", 1},
        {"a-b.example_x.org:65535", "a-b.example_x.org", 65535},
        {"[::1]:80", "::1", 80},
        {"[::]:80", "::", 80},
        {"*:3000", "", 3000},
        {":3000", "", 3000},
        {"127.0.0.1:0", "127.0.0.1", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_address a;
        assert_int_equal(rp_address_parse(cases[i].text, &a), RP_OK);
        assert_string_equal(a.host, cases[i].host);
        assert_int_equal(a.port, cases[i].port);
        assert_null(rp_address_check(cases[i].text));
    }
}

static void test_bad_addresses_are_refused(void **state) {
    (void) state;
    static const char *const cases[] = {"",
                                        "127.0.0.1",
                                        "3000",
                                        "127.0.0.1:",
                                        "127.0.0.1:65536",
                                        "a:0x50",
                                        "a:-1",
                                        "a:+1",
                                        "a: 1",
                                        "a:1 ",
                                        "::1:80",
                                        "[::1]",
                                        "[::1:80",
                                        "[a]:80",
                                        "[*]:80",
                                        "[]:80",
                                        "a b:80",
                                        "http://a:80",
                                        "a/b:80",
                                        "**:80",
                                        "a:80:90",
                                        "99999999999:99999999999999999999"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_address a;
        assert_int_equal(rp_address_parse(cases[i], &a), RP_E_INVALID);
        assert_string_equal(rp_address_check(cases[i]), RP_ADDRESS_EXPECTED);
        assert_non_null(rp_address_check_or_off(cases[i]));
    }
    char long_name[300];
    memset(long_name, 'a', sizeof long_name);
    strcpy(long_name + RP_ADDRESS_HOST_MAX, ":80");
    struct rp_address a;
    assert_int_equal(rp_address_parse(long_name, &a), RP_OK);
    long_name[RP_ADDRESS_HOST_MAX] = 'a';
    strcpy(long_name + RP_ADDRESS_HOST_MAX + 1, ":80");
    assert_int_equal(rp_address_parse(long_name, &a), RP_E_INVALID);
}

static void test_off_is_taken_only_where_it_may_be(void **state) {
    (void) state;
    assert_null(rp_address_check_or_off("off"));
    assert_non_null(rp_address_check("off"));
}

static void test_listening_is_where_it_says(void **state) {
    (void) state;
    struct rp_address a;
    int fd, second;
    char where[RP_ADDRESS_TEXT_SIZE], why[128] = "";
    assert_int_equal(rp_address_parse("127.0.0.1:0", &a), RP_OK);
    assert_int_equal(rp_address_listen(&a, 4, &fd, why, sizeof why), RP_OK);
    rp_address_of_fd(fd, where, sizeof where);
    assert_memory_equal(where, "127.0.0.1:", 10);
    assert_int_equal(rp_address_parse(where, &a), RP_OK);
    assert_true(a.port > 0);
    assert_int_equal(rp_address_listen(&a, 4, &second, why, sizeof why), RP_E_IO);
    assert_string_equal(why, "Address already in use");
    close(fd);
}

static void test_any_address_takes_ipv4(void **state) {
    (void) state;
    struct rp_address a;
    int fd;
    char where[RP_ADDRESS_TEXT_SIZE], why[128] = "";
    assert_int_equal(rp_address_parse(":0", &a), RP_OK);
    assert_int_equal(rp_address_listen(&a, 4, &fd, why, sizeof why), RP_OK);
    rp_address_of_fd(fd, where, sizeof where);
    assert_int_equal(rp_address_parse(where, &a), RP_OK);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(a.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *) &to, sizeof to), 0);
    close(client);
    close(fd);
}

static void test_addresses_of_peers_read_well(void **state) {
    (void) state;
    char text[RP_ADDRESS_TEXT_SIZE];
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x7F000001)};
    rp_address_format((struct sockaddr *) &in, text, sizeof text);
    assert_string_equal(text, "127.0.0.1:80");
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(81)};
    in6.sin6_addr.s6_addr[15] = 1;
    rp_address_format((struct sockaddr *) &in6, text, sizeof text);
    assert_string_equal(text, "[::1]:81");
    memcpy(in6.sin6_addr.s6_addr + 10, "\xFF\xFF\x0A\x00\x00\x02", 6);
    rp_address_format((struct sockaddr *) &in6, text, sizeof text);
    assert_string_equal(text, "10.0.0.2:81");
}

/* ---- lists and Unix sockets ---- */

static void test_good_lists_are_split(void **state) {
    (void) state;
    static const struct {
        const char *text;
        const char *items[3]; /* as they are written again */
    } cases[] = {
        {"127.0.0.1:1", {"127.0.0.1:1"}},
        {"127.0.0.1:1,[::1]:2", {"127.0.0.1:1", "[::1]:2"}},
        {" *:1 ,\tunix:/run/a b.sock , :3 ", {"*:1", "unix:/run/a b.sock", "*:3"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_addresses a;
        char text[RP_ADDRESS_TEXT_SIZE];
        size_t count = 0;
        assert_int_equal(rp_addresses_parse(cases[i].text, &a), RP_OK);
        assert_null(rp_addresses_check(cases[i].text));
        for (; count < 3 && cases[i].items[count] != NULL; count++) {
            rp_address_text(&a.items[count], text, sizeof text);
            assert_string_equal(text, cases[i].items[count]);
        }
        assert_int_equal(a.count, count);
    }
}

static void test_bad_lists_are_refused(void **state) {
    (void) state;
    static const char *const cases[] = {
        "",
        ",",
        "a:1,",
        ",a:1",
        "a:1,,b:2",
        "a:1 b:2",
        "unix:",
        "unix:",
        "unix:/",
        "unix:a.sock",
        "unix:/a/",
        "off",
        "a:1,unix:/a,b",
        "1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_addresses a;
        assert_int_equal(rp_addresses_parse(cases[i], &a), RP_E_INVALID);
        assert_string_equal(rp_addresses_check(cases[i]), RP_ADDRESSES_EXPECTED);
    }
    char text[200] = "unix:/";
    memset(text + 6, 'a', RP_ADDRESS_PATH_MAX - 1);
    assert_null(rp_addresses_check(text));
    strcat(text, "a");
    assert_non_null(rp_addresses_check(text));
    char long_host[1000];
    memset(long_host, 'a', sizeof long_host);
    strcpy(long_host + sizeof long_host - 3, ":1");
    assert_non_null(rp_addresses_check(long_host));
}

static void test_a_unix_socket_is_made_replaced_and_removed(void **state) {
    (void) state;
    char directory[] = "/tmp/reprise-address-XXXXXX", text[64], why[128] = "";
    struct rp_addresses a;
    int first, second;
    assert_non_null(mkdtemp(directory));
    snprintf(text, sizeof text, "unix:%s/s", directory);
    assert_int_equal(rp_addresses_parse(text, &a), RP_OK);
    const struct rp_address *at = &a.items[0];

    assert_int_equal(rp_address_listen(at, 4, &first, why, sizeof why), RP_OK);
    struct stat file;
    assert_int_equal(stat(at->host, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0660);
    char where[RP_ADDRESS_TEXT_SIZE];
    rp_address_of_fd(first, where, sizeof where);
    assert_string_equal(where, text);
    struct rp_address_file made = rp_address_file(at);

    assert_int_equal(rp_address_listen(at, 4, &second, why, sizeof why), RP_E_IO); /* it lives */
    assert_string_equal(why, "Address already in use");
    close(first);
    assert_int_equal(rp_address_listen(at, 4, &second, why, sizeof why), RP_OK); /* it was stale */
    struct rp_address_file again = rp_address_file(at);
    if (again.inode != made.inode) { /* the file system may use a number again */
        rp_address_remove(at, made);
        assert_int_equal(access(at->host, F_OK), 0);
    }
    rp_address_remove(at, again);
    assert_int_equal(access(at->host, F_OK), -1);
    close(second);

    FILE *other = fopen(at->host, "w"); /* what is no socket is not touched */
    assert_non_null(other);
    fclose(other);
    assert_int_equal(rp_address_listen(at, 4, &second, why, sizeof why), RP_E_IO);
    assert_int_equal(access(at->host, F_OK), 0);
    unlink(at->host);
    rmdir(directory);
    assert_int_equal(rp_address_listen(at, 4, &second, why, sizeof why), RP_E_IO);
    assert_string_equal(why, "No such file or directory");
}

static void test_what_only_this_machine_reaches(void **state) {
    (void) state;
    static const struct {
        const char *endpoint;
        bool local;
    } cases[] = {
        {"tcp://127.0.0.1:5570", true},
        {"tcp://127.255.0.9:1", true},
        {"tcp://localhost:5570", true},
        {"tcp://LocalHost:5570", true},
        {"tcp://[::1]:5570", true},
        {"tcp://[::ffff:127.0.0.1]:5570", true},
        {"ipc:///run/reprise.sock", true},
        {"ipc://broker", true},
        {"tcp://*:5570", false},
        {"tcp://:5570", false},
        {"tcp://0.0.0.0:5570", false},
        {"tcp://[::]:5570", false},
        {"tcp://[::ffff:10.0.0.1]:5570", false},
        {"tcp://10.0.0.1:5570", false},
        {"tcp://128.0.0.1:5570", false},
        {"tcp://lo:5570", false},
        {"tcp://broker.example:5570", false},
        {"tcp://127.0.0.1.example:5570", false},
        {"tcp://localhost.example:5570", false},
        {"tcp://127.1:5570", false},                /* not everybody reads it alike */
        {"tcp://127.0.0.1:0;10.0.0.1:5570", false}, /* ZeroMQ's source;destination */
        {"tcp://127.0.0.1", false},
        {"", false},
        {"inproc://x", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(rp_address_endpoint_is_local(cases[i].endpoint), cases[i].local);
    }
}

static void test_any_is_all_addresses(void **state) {
    (void) state;
    static const struct {
        const char *text;
        bool any;
    } cases[] = {{"*:1", true},
                 {":1", true},
                 {"0.0.0.0:1", true},
                 {"[::]:1", true},
                 {"[0:0::0]:1", true},
                 {"127.0.0.1:1", false},
                 {"[::1]:1", false},
                 {"0.0.0.1:1", false},
                 {"name:1", false},
                 {"unix:/a", false},
                 {"[::ffff:0.0.0.0]:1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_addresses a;
        assert_int_equal(rp_addresses_parse(cases[i].text, &a), RP_OK);
        assert_int_equal(rp_address_is_any(&a.items[0]), cases[i].any);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_addresses_are_split),
        cmocka_unit_test(test_bad_addresses_are_refused),
        cmocka_unit_test(test_off_is_taken_only_where_it_may_be),
        cmocka_unit_test(test_listening_is_where_it_says),
        cmocka_unit_test(test_any_address_takes_ipv4),
        cmocka_unit_test(test_addresses_of_peers_read_well),
        cmocka_unit_test(test_what_only_this_machine_reaches),
        cmocka_unit_test(test_good_lists_are_split),
        cmocka_unit_test(test_bad_lists_are_refused),
        cmocka_unit_test(test_a_unix_socket_is_made_replaced_and_removed),
        cmocka_unit_test(test_any_is_all_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
