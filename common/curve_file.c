#include "common/curve_file.h"

#include "common/assert.h"
#include "common/file.h"
#include "common/limits.h"

#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

/* ---- reading ---- */

/* Whether nobody else can read it. */
static bool is_closed(const struct stat *file) {
    mode_t others = file->st_uid == geteuid() ? S_IRWXG | S_IRWXO : S_IWGRP | S_IXGRP | S_IRWXO;
    return (file->st_mode & others) == 0;
}

/* Reads a file. One with nothing but a key in it, as a container's secret may be, has a public one.
 * The caller wipes ret_keys if it has no use for the secret. */
static enum rp_err read_file(const char *path, struct rp_curve_keys *ret_keys,
                             struct stat *ret_stat, char *ret_why, size_t why_size) {
    char why[RP_CURVE_WHY_SIZE];
    struct rp_buf text;
    rp_buf_init(&text, RP_CURVE_FILE_BYTES_MAX);
    enum rp_err err = rp_file_read(path, &text, ret_stat, why, sizeof why);
    if (err == RP_OK &&
        rp_curve_key_parse(rp_bytes_trim(rp_buf_bytes(&text)), &ret_keys->public_key) != RP_OK) {
        err = rp_curve_keys_parse(rp_buf_bytes(&text), ret_keys, why, sizeof why);
    }
    if (text.data != NULL) {
        explicit_bzero(text.data, text.capacity);
    }
    rp_buf_done(&text);
    if (err != RP_OK) {
        snprintf(ret_why, why_size, "%s: %s", path, why);
    }
    return err;
}

/* RP_OK, or what is wrong with a file that can be read. */
static enum rp_err check_keys(const char *path, const struct rp_curve_keys *keys,
                              const struct stat *file, char *ret_why, size_t why_size) {
    if (!rp_curve_key_is_set(&keys->secret_key)) {
        snprintf(ret_why, why_size,
                 "%s: there is no line `secret = KEY`; the file with both keys is wanted, not the "
                 "one that ends in .pub",
                 path);
        return RP_E_INVALID;
    }
    if (!is_closed(file)) {
        snprintf(ret_why, why_size,
                 "%s: its mode is %04o, so that others have access to a secret key: chmod 600 it "
                 "(a mounted secret: give it the mode 0400, or 0440 and our group)",
                 path, (unsigned) (file->st_mode & 07777));
        return RP_E_INVALID;
    }
    char of_secret[RP_CURVE_KEY_LEN + 1];
    if (zmq_curve_public(of_secret, keys->secret_key.text) != 0) {
        snprintf(ret_why, why_size, "%s: %s", path,
                 zmq_has("curve") ? zmq_strerror(zmq_errno())
                                  : "this system's libzmq was built without CURVE");
        return RP_E_INVALID;
    }
    if (strcmp(of_secret, keys->public_key.text) != 0) {
        snprintf(ret_why, why_size, "%s: the two keys do not belong together", path);
        return RP_E_INVALID;
    }
    return RP_OK;
}

enum rp_err rp_curve_read_keys(const char *path, struct rp_curve_keys *ret_keys, char *ret_why,
                               size_t why_size) {
    struct rp_curve_keys keys = {.public_key.text = ""};
    struct stat file;
    enum rp_err err = read_file(path, &keys, &file, ret_why, why_size);
    if (err == RP_OK) {
        err = check_keys(path, &keys, &file, ret_why, why_size);
    }
    if (err == RP_OK) {
        *ret_keys = keys;
    }
    explicit_bzero(&keys, sizeof keys);
    return err;
}

enum rp_err rp_curve_read_public(const char *key_or_path, struct rp_curve_key *ret_key,
                                 char *ret_why, size_t why_size) {
    if (rp_curve_key_parse(rp_bytes_str(key_or_path), ret_key) == RP_OK) {
        return RP_OK;
    }
    struct rp_curve_keys keys = {.public_key.text = ""};
    struct stat file;
    enum rp_err err = read_file(key_or_path, &keys, &file, ret_why, why_size);
    if (err == RP_OK && rp_curve_key_is_set(&keys.secret_key)) {
        snprintf(ret_why, why_size,
                 "%s: it has a peer's secret key, which belongs to that peer alone; take its file "
                 "that ends in .pub",
                 key_or_path);
        err = RP_E_INVALID;
    }
    if (err == RP_OK) {
        *ret_key = keys.public_key;
    }
    explicit_bzero(&keys, sizeof keys);
    return err;
}

/* ---- sockets ---- */

static void set_key(void *socket, int option, const struct rp_curve_key *key) {
    int rc = zmq_setsockopt(socket, option, key->text, sizeof key->text);
    RP_ASSERT(rc == 0);
}

void rp_curve_set_client(void *socket, const struct rp_curve_keys *own,
                         const struct rp_curve_key *server) {
    set_key(socket, ZMQ_CURVE_SERVERKEY, server);
    set_key(socket, ZMQ_CURVE_PUBLICKEY, &own->public_key);
    set_key(socket, ZMQ_CURVE_SECRETKEY, &own->secret_key);
}

void rp_curve_set_server(void *socket, const struct rp_curve_keys *own) {
    static const char domain[] = "reprise"; /* with one, a client is never taken unasked */
    int is_server = 1;
    int rc = zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &is_server, sizeof is_server);
    RP_ASSERT(rc == 0);
    set_key(socket, ZMQ_CURVE_SECRETKEY, &own->secret_key);
    rc = zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, sizeof domain - 1);
    RP_ASSERT(rc == 0);
}
