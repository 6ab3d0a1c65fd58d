/* proto/msgpack_item.h — msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md) taken
 * apart one value at a time, of an array or map its header alone; for proto/sio_msgpack_read.c and
 * the values of sdk/.
 *
 * msgpack-c, which writes ours, would make a tree of a whole message, and take memory for as many
 * elements as an array announces. Here nothing is allocated and nothing recurses. The ext types are
 * those of the npm package notepack.io. */
#pragma once

#include "common/bytes.h"
#include "common/error.h"

enum rp_msgpack_kind {
    RP_MSGPACK_NIL,
    RP_MSGPACK_UNDEFINED,
    RP_MSGPACK_BOOL,
    RP_MSGPACK_UINT,
    RP_MSGPACK_INT, /* negative */
    RP_MSGPACK_FLOAT,
    RP_MSGPACK_STRING,
    RP_MSGPACK_BINARY,
    RP_MSGPACK_DATE,
    RP_MSGPACK_ARRAY, /* count elements follow */
    RP_MSGPACK_MAP,   /* count keys, each with its value, follow */
};

struct rp_msgpack_item {
    enum rp_msgpack_kind kind;
    union {
        bool flag;
        uint64_t uint;
        int64_t sint; /* milliseconds of a date */
        double real;
        struct rp_bytes bytes; /* of a string or binary, borrowed */
        uint64_t count;
    } as;
};

/* Takes the next value, or the header of an array or map, off the front of *in. An array or map
 * that announces more than *in has bytes for is refused here; a count can be trusted so far.
 *   RP_E_PROTOCOL   cut off, or nothing that we know
 *   RP_E_UTF8       a string that is not */
RP_MUST_USE enum rp_err rp_msgpack_take(struct rp_bytes *in, struct rp_msgpack_item *ret_item);
/* The same for the key of a map, which must be a string. */
RP_MUST_USE enum rp_err rp_msgpack_take_key(struct rp_bytes *in, struct rp_bytes *ret_key);
/* Takes a whole value, however deep. */
RP_MUST_USE enum rp_err rp_msgpack_skip(struct rp_bytes *in);

/* A date as Date.toJSON writes it, or false where that is null: past the range of dates. */
enum { RP_MSGPACK_DATE_BYTES = 80 };
bool rp_msgpack_date_text(int64_t ms, char text[RP_MSGPACK_DATE_BYTES]);
