/* Addresses and lists of networks: what is taken, what is refused, what contains what; and random
 * networks against a comparison bit by bit. */
#include "common/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include <cmocka.h>

/* A socket address of a text; "unix" and "other" too. */
static struct sockaddr_storage address(const char *text) {
    struct sockaddr_storage s = {.ss_family = AF_UNSPEC};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = 1234};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = 1234};
    if (strcmp(text, "unix") == 0) {
        s.ss_family = AF_UNIX;
    } else if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&s, &in, sizeof in);
    } else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
        memcpy(&s, &in6, sizeof in6);
    } else {
        assert_string_equal(text, "other");
    }
    return s;
}

static void test_lists_contain_their_addresses(void **state) {
    (void) state;
    static const struct {
        const char *list, *address;
        bool contained;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"127.0.0.1", "::ffff:127.0.0.1", true},
        {"127.0.0.1", "::1", false},
        {"127.0.0.1", "unix", false},
        {"127.0.0.1", "other", false},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"192.168.4.0/22", "192.168.7.255", true},
        {"192.168.4.0/22", "192.168.8.0", false},
        {"10.0.0.2/31", "10.0.0.3", true},
        {"10.0.0.2/31", "10.0.0.4", false},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "1.2.3.4", false},
        {"::/0", "::ffff:1.2.3.4", false},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
        {"::ffff:10.0.0.1", "10.0.0.1", true},
        {"::1", "::1", true},
        {"::1", "::2", false},
        {"fd00::/8", "fdff::1", true},
        {"fd00::/8", "fe00::1", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"127.0.0.1,10.0.0.0/8,::1,fd00::/8", "fd00::2", true},
        {" 127.0.0.1 ,\t::1 ", "::1", true},
        {"unix", "unix", true},
        {"unix", "127.0.0.1", false},
        {"unix", "other", false},
        {"::1,unix", "unix", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_cidrs list;
        struct sockaddr_storage from = address(cases[i].address);
        assert_int_equal(rp_cidrs_parse(cases[i].list, &list), RP_OK);
        assert_null(rp_cidrs_check(cases[i].list));
        if (rp_cidrs_contain(&list, (struct sockaddr *) &from) != cases[i].contained) {
            fail_msg("%s in %s", cases[i].address, cases[i].list);
        }
    }
}

static void test_bad_lists_are_refused(void **state) {
    (void) state;
    static const char *const cases[] = {"",
                                        ",",
                                        "127.0.0.1,",
                                        "127.0.0.1,,::1",
                                        "localhost",
                                        "*",
                                        "UNIX",
                                        "unix/8",
                                        "127.0.0",
                                        "127.0.0.1.2",
                                        "127.0.0.256",
                                        "127.0.0.01",
                                        "127.0.0.1:80",
                                        "[::1]",
                                        "fe80::1%eth0",
                                        "::1::",
                                        "10.0.0.0/",
                                        "10.0.0.0/33",
                                        "10.0.0.0/-1",
                                        "10.0.0.0/08",
                                        "10.0.0.0/8/8",
                                        "10.0.0.0 /8",
                                        "10.0.0.0/ 8",
                                        "/8",
                                        "10.0.0.1/8",
                                        "10.128.0.0/8",
                                        "::/129",
                                        "fd00::1/8",
                                        "::ffff:10.0.0.0/8",
                                        "::ffff:10.0.0.0/95",
                                        "1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rp_cidrs list;
        if (rp_cidrs_parse(cases[i], &list) != RP_E_INVALID) {
            fail_msg("%s", cases[i]);
        }
        assert_string_equal(rp_cidrs_check(cases[i]), RP_CIDRS_EXPECTED);
    }
}

static void test_bound_holds(void **state) {
    (void) state;
    char text[65 * 4 + 1] = "";
    struct rp_cidrs list;
    for (size_t i = 0; i < 65; i++) {
        strcat(text, i == 0 ? "::1" : ",::1");
        assert_int_equal(rp_cidrs_parse(text, &list), i < 64 ? RP_OK : RP_E_TOO_BIG);
    }
    assert_non_null(rp_cidrs_check(text));
}

static void test_empty_list_contains_nothing(void **state) {
    (void) state;
    static const struct rp_cidrs none;
    static const char *const all[] = {"1.2.3.4", "::1", "unix", "other"};
    for (size_t i = 0; i < 4; i++) {
        struct sockaddr_storage from = address(all[i]);
        assert_false(rp_cidrs_contain(&none, (struct sockaddr *) &from));
    }
}

static void test_random_networks_contain_as_defined(void **state) {
    (void) state;
    srand(1);
    size_t found = 0;
    for (int i = 0; i < 20000; i++) {
        unsigned bits = (unsigned) rand() % 33, differs = (unsigned) rand() % 33;
        uint32_t network = bits == 0 ? 0 : (uint32_t) rand() << 1 & UINT32_MAX << (32 - bits);
        uint32_t other = differs == 32 ? network : network ^ 0x80000000u >> differs;
        char text[40];
        snprintf(text, sizeof text, "%u.%u.%u.%u/%u", network >> 24, network >> 16 & 255,
                 network >> 8 & 255, network & 255, bits);
        struct rp_cidrs list;
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(other)};
        assert_int_equal(rp_cidrs_parse(text, &list), RP_OK);
        bool expected = differs >= bits; /* the first bit that differs is behind the prefix */
        assert_int_equal(rp_cidrs_contain(&list, (struct sockaddr *) &in), expected);
        found += expected;
    }
    assert_true(found > 1000 && found < 19000);
}

static void test_addresses_are_written(void **state) {
    (void) state;
    static const struct {
        const char *from, *text;
    } cases[] = {
        {"1.2.3.4", "1.2.3.4"},
        {"::ffff:1.2.3.4", "1.2.3.4"},
        {"FD00::0:1", "fd00::1"},
        {"2001:db8:1111:2222:3333:4444:5555:6666", "2001:db8:1111:2222:3333:4444:5555:6666"},
        {"unix", "unix"},
        {"other", "unknown"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sockaddr_storage from = address(cases[i].from);
        struct rp_ip ip = rp_ip_of((struct sockaddr *) &from), again;
        char text[RP_IP_TEXT_SIZE];
        rp_ip_format(&ip, text);
        assert_string_equal(text, cases[i].text);
        bool number = ip.kind == RP_IP_V4 || ip.kind == RP_IP_V6;
        assert_int_equal(rp_ip_parse(rp_bytes_str(text), &again), number);
        assert_true(!number || rp_ip_eq(&ip, &again));
    }
    struct rp_ip ignored;
    assert_false(rp_ip_parse(RP_BYTES_LIT("1.2.3.4\0"), &ignored));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_contain_their_addresses),
        cmocka_unit_test(test_bad_lists_are_refused),
        cmocka_unit_test(test_bound_holds),
        cmocka_unit_test(test_empty_list_contains_nothing),
        cmocka_unit_test(test_random_networks_contain_as_defined),
        cmocka_unit_test(test_addresses_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
