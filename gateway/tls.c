#include "gateway/tls.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/buf.h"
#include "common/limits.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct rp_tls {
    SSL_CTX *context; /* sessions have references of their own */
    int64_t expires_s;
    char *certificate_file, *key_file;
};

struct rp_tls_session {
    SSL *ssl;
    struct rp_buf kept; /* taken, and not taken by the socket yet. Empty and without memory most of
                           the time */
    bool starved;       /* what OpenSSL has read is no whole record */
    bool broken;        /* nothing more can be written */
    bool read_wants_write, write_wants_read;
};

/* ---- the certificate ---- */

/* Forward secrecy and authenticated encryption only; all of TLS 1.3 is that. */
static const char ciphers_1_2[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
static const unsigned char protocols[] = "\x08http/1.1";
static const unsigned char session_context[] = "reprise";

static int pick_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                         const unsigned char *offered, unsigned offered_len, void *arg) {
    (void) ssl;
    (void) arg;
    unsigned char *picked; /* SSL_select_next_proto was made before const was */
    if (SSL_select_next_proto(&picked, ret_len, protocols, sizeof protocols - 1, offered,
                              offered_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *ret_name = picked;
    return SSL_TLSEXT_ERR_OK;
}

/* Without it OpenSSL would ask at the terminal. */
static int refuse_passphrase(char *ret_text, int size, int is_writing, void *arg) {
    (void) ret_text;
    (void) size;
    (void) is_writing;
    (void) arg;
    return -1;
}

static SSL_CTX *make_context(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    RP_ASSERT(context != NULL);
    bool ok =
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(context, ciphers_1_2) == 1 &&
        SSL_CTX_set_session_id_context(context, session_context, sizeof session_context - 1) == 1;
    RP_ASSERT(ok);
    /* an end without close_notify is no news: HTTP and WebSocket know where their messages end */
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets cost us no memory */
    SSL_CTX_set_read_ahead(context, 1);                          /* header and record in one read */
    SSL_CTX_set_alpn_select_cb(context, pick_protocol, NULL);
    SSL_CTX_set_default_passwd_cb(context, refuse_passphrase);
    return context;
}

/* Says that a file is not what was expected, and what OpenSSL complains of: its first error is what
 * it met, the last is who passed that on. */
static enum rp_err explain(const char *file, const char *expected, char *ret_why, size_t why_size) {
    unsigned long met = ERR_peek_error();
    ERR_clear_error();
    if (ERR_SYSTEM_ERROR(met)) {
        snprintf(ret_why, why_size, "%s: %s", file, strerror(ERR_GET_REASON(met)));
        return RP_E_IO;
    }
    const char *reason = ERR_reason_error_string(met);
    snprintf(ret_why, why_size, "%s: %s: %s", file, expected,
             reason != NULL ? reason : "cannot be used");
    return RP_E_INVALID;
}

/* Whether the key was read, and is another certificate's. */
static bool is_mismatch(unsigned long error) {
    int reason = ERR_GET_REASON(error);
    return ERR_GET_LIB(error) == ERR_LIB_X509 &&
           (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH);
}

static enum rp_err read_key(const struct rp_tls *t, SSL_CTX *context, char *ret_why,
                            size_t why_size) {
    bool is_read = SSL_CTX_use_PrivateKey_file(context, t->key_file, SSL_FILETYPE_PEM) == 1;
    if (is_read && SSL_CTX_check_private_key(context) == 1) {
        return RP_OK;
    }
    if (!is_read && !is_mismatch(ERR_peek_last_error())) {
        return explain(t->key_file, "no usable private key (PEM, without a passphrase)", ret_why,
                       why_size);
    }
    ERR_clear_error();
    snprintf(ret_why, why_size, "%s: not the key of the certificate in %s", t->key_file,
             t->certificate_file);
    return RP_E_INVALID;
}

static int64_t expiry_of(const SSL_CTX *context) {
    struct tm end;
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1) {
        return INT64_MAX;
    }
    return (int64_t) timegm(&end);
}

enum rp_err rp_tls_reload(struct rp_tls *t, char *ret_why, size_t why_size) {
    SSL_CTX *context = make_context();
    enum rp_err err = RP_OK;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, t->certificate_file) != 1) {
        err = explain(t->certificate_file, "no usable certificate (PEM)", ret_why, why_size);
    } else {
        err = read_key(t, context, ret_why, why_size);
    }
    if (err != RP_OK) {
        SSL_CTX_free(context);
        return err;
    }
    SSL_CTX_free(t->context);
    t->context = context;
    t->expires_s = expiry_of(context);
    return RP_OK;
}

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(rp_alloc(size), text, size);
}

enum rp_err rp_tls_new(const char *certificate_file, const char *key_file, char *ret_why,
                       size_t why_size, struct rp_tls **ret_tls) {
    struct rp_tls *t = RP_NEW(struct rp_tls);
    t->certificate_file = copy_text(certificate_file);
    t->key_file = copy_text(key_file);
    enum rp_err err = rp_tls_reload(t, ret_why, why_size);
    if (err != RP_OK) {
        rp_tls_free(t);
        return err;
    }
    *ret_tls = t;
    return RP_OK;
}

struct rp_tls *rp_tls_free(struct rp_tls *t) {
    if (t != NULL) {
        SSL_CTX_free(t->context);
        free(t->certificate_file);
        free(t->key_file);
        free(t);
    }
    return NULL;
}

int64_t rp_tls_expires_s(const struct rp_tls *t) {
    return t->expires_s;
}

/* ---- one connection ---- */

struct rp_tls_session *rp_tls_session_new(struct rp_tls *t, int fd) {
    struct rp_tls_session *s = RP_NEW(struct rp_tls_session);
    s->ssl = SSL_new(t->context);
    RP_ASSERT(s->ssl != NULL); /* only memory can be wanting, here and next */
    int rc = SSL_set_fd(s->ssl, fd);
    RP_ASSERT(rc == 1);
    SSL_set_accept_state(s->ssl);
    rp_buf_init(&s->kept, RP_TLS_RECORD_BYTES);
    return s;
}

struct rp_tls_session *rp_tls_session_free(struct rp_tls_session *s) {
    if (s != NULL) {
        SSL_free(s->ssl);
        rp_buf_done(&s->kept);
        free(s);
    }
    return NULL;
}

/* What a call that did not succeed (rc) means. *ret_other_way: it waits for the direction that it
 * is not about. */
static enum rp_err judge(struct rp_tls_session *s, int rc, int other_way, bool *ret_other_way) {
    int error = SSL_get_error(s->ssl, rc);
    *ret_other_way = error == other_way;
    switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return RP_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return RP_E_CLOSED;
    default:
        s->broken = true;
        return error == SSL_ERROR_SSL ? RP_E_PROTOCOL : RP_E_IO;
    }
}

enum rp_err rp_tls_session_handshake(struct rp_tls_session *s) {
    ERR_clear_error();
    int rc = SSL_do_handshake(s->ssl);
    if (rc == 1) {
        s->read_wants_write = false;
        return RP_OK;
    }
    enum rp_err err = judge(s, rc, SSL_ERROR_WANT_WRITE, &s->read_wants_write);
    int reason = ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    if (err == RP_E_PROTOCOL &&
        (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST)) {
        return RP_E_UNSUPPORTED;
    }
    return err == RP_AGAIN ? err : RP_E_PROTOCOL;
}

enum rp_err rp_tls_session_read(struct rp_tls_session *s, uint8_t *ret_data, size_t size,
                                size_t *ret_len) {
    ERR_clear_error();
    int rc = SSL_read_ex(s->ssl, ret_data, size, ret_len);
    if (rc == 1) {
        s->starved = s->read_wants_write = false;
        return RP_OK;
    }
    enum rp_err err = judge(s, rc, SSL_ERROR_WANT_WRITE, &s->read_wants_write);
    s->starved = true;
    ERR_clear_error();
    return err;
}

bool rp_tls_session_has_input(const struct rp_tls_session *s) {
    return !s->starved && (SSL_pending(s->ssl) > 0 || SSL_has_pending(s->ssl) == 1);
}

/* Writes from the front of *data. */
static enum rp_err write_some(struct rp_tls_session *s, struct rp_bytes *data) {
    s->write_wants_read = false;
    while (data->len > 0) {
        size_t written;
        ERR_clear_error();
        int rc = SSL_write_ex(s->ssl, data->data, data->len, &written);
        if (rc != 1) {
            enum rp_err err = judge(s, rc, SSL_ERROR_WANT_READ, &s->write_wants_read);
            ERR_clear_error();
            return err == RP_AGAIN ? RP_AGAIN : RP_E_IO;
        }
        *data = rp_bytes_skip(*data, written);
    }
    return RP_OK;
}

/* What is kept is a copy, for OpenSSL holds a record it has begun, and must be called with the same
 * bytes again, while the core may drop what it has queued (a client that is closed). */
enum rp_err rp_tls_session_write(struct rp_tls_session *s, struct rp_bytes data) {
    RP_ASSERT(s->kept.len == 0 && data.len <= RP_TLS_RECORD_BYTES);
    enum rp_err err = write_some(s, &data);
    if (err == RP_AGAIN) {
        err = rp_buf_put(&s->kept, data);
        RP_ASSERT(err == RP_OK);
    }
    return err;
}

bool rp_tls_session_has_output(const struct rp_tls_session *s) {
    return s->kept.len > 0;
}

enum rp_err rp_tls_session_flush(struct rp_tls_session *s) {
    struct rp_bytes left = rp_buf_bytes(&s->kept);
    enum rp_err err = write_some(s, &left);
    rp_buf_consume(&s->kept, s->kept.len - left.len);
    if (s->kept.len == 0) {
        rp_buf_release(&s->kept);
    }
    return err;
}

bool rp_tls_session_read_wants_write(const struct rp_tls_session *s) {
    return s->read_wants_write;
}

bool rp_tls_session_write_wants_read(const struct rp_tls_session *s) {
    return s->write_wants_read;
}

void rp_tls_session_end(struct rp_tls_session *s) {
    if (!s->broken && SSL_is_init_finished(s->ssl)) {
        ERR_clear_error();
        (void) SSL_shutdown(s->ssl); /* what it answers is about the peer's end */
        ERR_clear_error();
    }
}
