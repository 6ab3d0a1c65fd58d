/* common/error.h — one list of results for the whole program.
 *
 * Zero is success. Positive values are normal answers that are not the final one ("more bytes,
 * please"). Negative values are failures of the world: a peer, a disk, a limit. Our own mistakes
 * are assertions. */
#pragma once

#define RP_ERR_LIST(X)                                                                             \
    X(RP_OK, 0, "ok")                                                                              \
    X(RP_MORE, 1, "more input is needed")                                                          \
    X(RP_AGAIN, 2, "not now, try again later")                                                     \
    X(RP_E_PROTOCOL, -1, "protocol error")                                                         \
    X(RP_E_UTF8, -2, "text is not valid UTF-8")                                                    \
    X(RP_E_TOO_BIG, -3, "larger than the limit")                                                   \
    X(RP_E_FULL, -4, "a bounded buffer or table is full")                                          \
    X(RP_E_INVALID, -5, "invalid value")                                                           \
    X(RP_E_NOT_FOUND, -6, "not found")                                                             \
    X(RP_E_VERSION, -7, "version not supported")                                                   \
    X(RP_E_IO, -8, "input/output error")                                                           \
    X(RP_E_CLOSED, -9, "closed")                                                                   \
    X(RP_E_UNSUPPORTED, -10, "not supported")                                                      \
    X(RP_E_LOCKED, -11, "in use by another process")                                               \
    X(RP_E_FOREIGN, -12, "not a Reprise file")                                                     \
    X(RP_E_CORRUPT, -13, "stored data is damaged")                                                 \
    X(RP_E_NO_SPACE, -14, "the log has no room on its disk")                                       \
    X(RP_E_READ_ONLY, -15, "the log's disk or file cannot be written")

enum rp_err {
#define RP_ERR_ENUM(name, value, text) name = value,
    RP_ERR_LIST(RP_ERR_ENUM)
#undef RP_ERR_ENUM
};

#define RP_MUST_USE __attribute__((warn_unused_result))

/* The text of an error, for people. Never NULL; static storage. */
const char *rp_strerror(enum rp_err err);
