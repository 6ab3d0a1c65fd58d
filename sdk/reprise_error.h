/* reprise_error.h — what functions of libreprise answer.
 *
 * Zero is success, everything else a failure and negative. No function of the library ends the
 * program because of the world around it: a peer, a limit, the network are answers. */
#ifndef REPRISE_ERROR_H
#define REPRISE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define REPRISE_ERROR_LIST(X)                                                                      \
    X(REPRISE_OK, 0, "ok")                                                                         \
    X(REPRISE_E_TYPE, -1, "the value is of another type, or there is none")                        \
    X(REPRISE_E_RANGE, -2, "the number does not fit")                                              \
    X(REPRISE_E_INVALID, -3, "invalid argument, or malformed data")                                \
    X(REPRISE_E_FULL, -4, "larger than the limit")                                                 \
    X(REPRISE_E_NO_MEMORY, -5, "out of memory")                                                    \
    X(REPRISE_E_GONE, -6, "the socket is not connected any more")                                  \
    X(REPRISE_E_TIMEOUT, -7, "no answer in time")                                                  \
    X(REPRISE_E_LOST, -8, "not known whether it happened: the link was lost")                      \
    X(REPRISE_E_LINK, -9, "no link to the broker")                                                 \
    X(REPRISE_E_THREAD, -10, "called from a thread that does not own the context")                 \
    X(REPRISE_E_REFUSED, -11, "refused by the broker")                                             \
    X(REPRISE_E_CLOSED, -12, "closed")                                                             \
    X(REPRISE_E_BUSY, -13, "too much is under way, try again later")                               \
    X(REPRISE_E_EXISTS, -14, "it is there already")                                                \
    X(REPRISE_E_NOT_FOUND, -15, "not found")                                                       \
    X(REPRISE_E_VERSION, -16, "the broker speaks another version")                                 \
    X(REPRISE_E_SYSTEM, -17, "the system refused; errno says why")
/* clang-format on */

enum reprise_err {
#define REPRISE_ERROR_ENUM(name, value, text) name = value,
    REPRISE_ERROR_LIST(REPRISE_ERROR_ENUM)
#undef REPRISE_ERROR_ENUM
};

/* The text of an error, for people. Never NULL; static storage. Also for numbers that are none. */
const char *reprise_strerror(enum reprise_err err);

#ifdef __cplusplus
}
#endif
#endif
