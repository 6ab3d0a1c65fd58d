/* cli/cmd_keygen.c — reprise keygen FILE: a new pair of keys for the links. What is in the files is
 * in common/curve_key.h.
 *
 * The secret never has a wider mode than 0600, not for a moment, and a file that is there is never
 * half replaced: it is made beside it and renamed. */
#include "cli/command.h"
#include "common/curve_key.h"
#include "common/limits.h"
#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { TEXT_BYTES_MAX = 4096, OUTPUT_BYTES_MAX = 64 << 10 };

struct request {
    const char *file; /* as it was given */
    bool force, json;
    char public_file[PATH_MAX];
};

/* ---- the command line ---- */

static enum rp_cli_status read_arguments(int argc, char **argv, struct request *r) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--force") == 0) {
            r->force = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            r->json = true;
        } else if (argv[i][0] == '-') {
            return rp_command_usage("keygen", "unknown option", argv[i]);
        } else if (r->file != NULL) {
            return rp_command_usage("keygen", "expected one file, there is another one", argv[i]);
        } else {
            r->file = argv[i];
        }
    }
    if (r->file == NULL || r->file[0] == '\0') {
        return rp_command_usage("keygen", "expected the name of the file to write", NULL);
    }
    if (r->json && !rp_bytes_is_utf8(rp_bytes_str(r->file))) {
        return rp_command_usage("keygen", "with --json the name of the file must be UTF-8", NULL);
    }
    int len = snprintf(r->public_file, sizeof r->public_file, "%s.pub", r->file);
    if (len < 0 || (size_t) len >= sizeof r->public_file) {
        return rp_command_usage("keygen", "the name of the file is too long", NULL);
    }
    return RP_CLI_OK;
}

/* ---- files ---- */

static enum rp_cli_status complain(const char *what, const char *file, const char *why) {
    fprintf(stderr, "reprise keygen: %s %s: %s\n", what, file, why);
    return RP_CLI_FAILED;
}

static bool write_all(int fd, struct rp_bytes bytes) {
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        bytes = rp_bytes_skip(bytes, n > 0 ? (size_t) n : 0);
    }
    return fsync(fd) == 0;
}

/* Makes a file that is not there yet; false: errno says why, and nothing is left behind. */
static bool make_file(const char *path, mode_t mode, struct rp_bytes bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return false;
    }
    bool ok = write_all(fd, bytes);
    int error = errno;
    ok = close(fd) == 0 && ok;
    if (!ok) {
        unlink(path);
        errno = error;
    }
    return ok;
}

static bool replace_file(const char *path, mode_t mode, struct rp_bytes bytes) {
    char beside[PATH_MAX];
    int len = snprintf(beside, sizeof beside, "%s.new-%ld", path, (long) getpid());
    if (len < 0 || (size_t) len >= sizeof beside) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!make_file(beside, mode, bytes)) {
        return false;
    }
    if (rename(beside, path) != 0) {
        int error = errno;
        unlink(beside);
        errno = error;
        return false;
    }
    return true;
}

static enum rp_cli_status put_file(const struct request *r, const char *path, mode_t mode,
                                   const struct rp_curve_keys *keys) {
    struct rp_buf text;
    rp_buf_init(&text, TEXT_BYTES_MAX);
    enum rp_err err = rp_curve_keys_put(&text, keys);
    enum rp_cli_status status = RP_CLI_OK;
    if (err != RP_OK) {
        status = complain("cannot write", path, rp_strerror(err));
    } else if (!(r->force ? replace_file : make_file)(path, mode, rp_buf_bytes(&text))) {
        const char *why = errno == EEXIST ? "it is there already; --force replaces it, and what "
                                            "uses the keys in it must get the new ones"
                                          : strerror(errno);
        status = complain("cannot write", path, why);
    }
    if (text.data != NULL) {
        explicit_bzero(text.data, text.capacity);
    }
    rp_buf_done(&text);
    return status;
}

/* Without --force neither file is touched if one is there. */
static enum rp_cli_status put_files(const struct request *r, const struct rp_curve_keys *keys) {
    struct rp_curve_keys public_only = {.public_key = keys->public_key};
    enum rp_cli_status status = put_file(r, r->file, 0600, keys);
    if (status == RP_CLI_OK) {
        status = put_file(r, r->public_file, 0644, &public_only);
        if (status != RP_CLI_OK && !r->force) {
            unlink(r->file); /* we have just made it */
        }
    }
    return status;
}

/* ---- telling ---- */

/* What the key may be called in the list: the file's name without folders and ".key". */
static void name_of(const char *file, char ret_name[RP_ALLOW_NAME_BYTES_MAX + 1]) {
    const char *slash = strrchr(file, '/');
    const char *base = slash != NULL ? slash + 1 : file;
    size_t len = strlen(base), suffix = strlen(".key");
    if (len > suffix && strcmp(base + len - suffix, ".key") == 0) {
        len -= suffix;
    }
    len = len < RP_ALLOW_NAME_BYTES_MAX ? len : RP_ALLOW_NAME_BYTES_MAX;
    for (size_t i = 0; i < len; i++) {
        ret_name[i] = base[i] > ' ' && base[i] <= '~' ? base[i] : '-';
    }
    ret_name[len] = '\0';
}

static void tell_text(const struct request *r, const struct rp_curve_key *key) {
    char name[RP_ALLOW_NAME_BYTES_MAX + 1];
    name_of(r->file, name);
    printf("Wrote %s (both keys; keep it secret) and %s (the public key).\n"
           "Public key: %s\n"
           "Line for the broker's --allow (write worker or any, if it is to be that):\n"
           "gateway %s %s\n",
           r->file, r->public_file, key->text, name, key->text);
}

static enum rp_err put_member(struct rp_buf *out, const char *name, const char *value) {
    enum rp_err err = rp_buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
    return err == RP_OK ? rp_json_put_string(out, rp_bytes_str(value)) : err;
}

static enum rp_cli_status tell_json(const struct request *r, const struct rp_curve_key *key) {
    char name[RP_ALLOW_NAME_BYTES_MAX + 1], line[128];
    name_of(r->file, name);
    snprintf(line, sizeof line, "gateway %s %s", name, key->text);
    struct rp_buf out;
    rp_buf_init(&out, OUTPUT_BYTES_MAX);
    enum rp_err err = rp_buf_put_str(&out, "{");
    err = err == RP_OK ? put_member(&out, "public", key->text) : err;
    err = err == RP_OK ? put_member(&out, "file", r->file) : err;
    err = err == RP_OK ? put_member(&out, "public_file", r->public_file) : err;
    err = err == RP_OK ? put_member(&out, "allow", line) : err;
    err = err == RP_OK ? rp_buf_put_str(&out, "}\n") : err;
    if (err == RP_OK) {
        printf("%.*s", RP_BYTES_FMT(rp_buf_bytes(&out)));
    }
    rp_buf_done(&out);
    return err == RP_OK ? RP_CLI_OK : complain("cannot print", r->file, rp_strerror(err));
}

enum rp_cli_status rp_cmd_keygen(int argc, char **argv) {
    struct request r = {.file = NULL};
    struct rp_curve_keys keys = {.public_key.text = ""};
    enum rp_cli_status status = read_arguments(argc, argv, &r);
    if (status != RP_CLI_OK) {
        return status;
    }
    if (zmq_curve_keypair(keys.public_key.text, keys.secret_key.text) != 0) {
        return complain("cannot make keys for", r.file,
                        zmq_has("curve") ? zmq_strerror(zmq_errno())
                                         : "this system's libzmq was built without CURVE");
    }
    status = put_files(&r, &keys);
    explicit_bzero(&keys.secret_key, sizeof keys.secret_key);
    if (status == RP_CLI_OK && r.json) {
        status = tell_json(&r, &keys.public_key);
    } else if (status == RP_CLI_OK) {
        tell_text(&r, &keys.public_key);
    }
    return status;
}
