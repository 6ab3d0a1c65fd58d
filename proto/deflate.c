#include "proto/deflate.h"

#include "common/alloc.h"
#include "common/assert.h"

#define ZLIB_CONST
#include <zlib.h>

#include <stdlib.h>

enum format { MESSAGE, GZIP, ZLIB, FORMATS };

/* As deflateInit2 is told them: bits of window (32 KiB), negative without any container around the
 * data, 16 more with gzip's. */
static const struct {
    int window_bits;
    int flush;   /* how the data ends */
    size_t drop; /* bytes at its end that are not sent */
} formats[FORMATS] = {
    [MESSAGE] = {-15, Z_SYNC_FLUSH, 4},
    [GZIP] = {15 + 16, Z_FINISH, 0},
    [ZLIB] = {15, Z_FINISH, 0},
};

enum {
    MEMORY_LEVEL = 8, /* zlib's default */
    CHUNK_BYTES = 16 << 10,
    ROOM_BYTES_LEAST = 512, /* for output, made at a time */
    ROOM_BYTES_MOST = 64 << 10,
    INPUT_BYTES_MAX = 1 << 30, /* zlib counts in 32 bits */
};

struct rp_deflate {
    int level;
    bool deflaters_made[FORMATS];
    bool inflater_made;
    z_stream deflaters[FORMATS];
    z_stream inflater;
    uint8_t chunk[CHUNK_BYTES];
};

/* Our own size, not the peer's: failure aborts, as for every such object. */
static voidpf zlib_alloc(voidpf context, uInt items, uInt size) {
    (void) context;
    return rp_alloc((size_t) items * size);
}

static void zlib_free(voidpf context, voidpf memory) {
    (void) context;
    free(memory);
}

struct rp_deflate *rp_deflate_new(int level) {
    RP_ASSERT(level >= 1 && level <= 9);
    struct rp_deflate *d = RP_NEW(struct rp_deflate);
    d->level = level;
    return d;
}

struct rp_deflate *rp_deflate_free(struct rp_deflate *d) {
    if (d == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < FORMATS; i++) {
        if (d->deflaters_made[i]) {
            deflateEnd(&d->deflaters[i]);
        }
    }
    if (d->inflater_made) {
        inflateEnd(&d->inflater);
    }
    free(d);
    return NULL;
}

/* ---- compressing ---- */

static z_stream *begin_deflate(struct rp_deflate *d, enum format format, struct rp_bytes in) {
    RP_ASSERT(in.len <= INPUT_BYTES_MAX);
    z_stream *z = &d->deflaters[format];
    int result;
    if (d->deflaters_made[format]) {
        result = deflateReset(z);
    } else {
        *z = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free};
        result = deflateInit2(z, d->level, Z_DEFLATED, formats[format].window_bits, MEMORY_LEVEL,
                              Z_DEFAULT_STRATEGY);
        d->deflaters_made[format] = true;
    }
    RP_ASSERT(result == Z_OK);
    z->next_in = in.data;
    z->avail_in = (uInt) in.len;
    return z;
}

/* "If deflate returns with avail_out == 0, this function must be called again" (zlib.h). */
static bool is_done(const z_stream *z, int result) {
    return result == Z_STREAM_END || (z->avail_in == 0 && z->avail_out > 0);
}

/* Chunk by chunk into *out; the newest `drop` bytes stay behind at the chunk's front, and at the
 * end they are dropped. */
static enum rp_err deflate_chunks(struct rp_deflate *d, enum format format, struct rp_bytes in,
                                  struct rp_buf *out) {
    z_stream *z = begin_deflate(d, format, in);
    size_t drop = formats[format].drop, kept = 0;
    for (;;) {
        z->next_out = d->chunk + kept;
        z->avail_out = (uInt) (sizeof d->chunk - kept);
        int result = deflate(z, formats[format].flush);
        RP_ASSERT(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR);
        size_t made = (size_t) (z->next_out - d->chunk);
        RP_ASSERT(made >= drop);
        enum rp_err err = rp_buf_put(out, rp_bytes(d->chunk, made - drop));
        if (err != RP_OK || is_done(z, result)) {
            RP_ASSERT(err != RP_OK || drop == 0 ||
                      memcmp(d->chunk + made - drop, "\0\0\xFF\xFF", drop) == 0);
            return err;
        }
        memmove(d->chunk, d->chunk + made - drop, drop);
        kept = drop;
    }
}

static enum rp_err deflate_or_nothing(struct rp_deflate *d, enum format format, struct rp_bytes in,
                                      struct rp_buf *out) {
    size_t before = out->len;
    enum rp_err err = deflate_chunks(d, format, in, out);
    if (err != RP_OK) {
        out->len = before;
    }
    return err;
}

/* RFC 7692 7.2.1: compress, end with an empty block without compression, drop its last four
 * octets, which are 00 00 FF FF. */
enum rp_err rp_deflate_message(struct rp_deflate *d, struct rp_bytes payload, struct rp_buf *out) {
    return deflate_or_nothing(d, MESSAGE, payload, out);
}

enum rp_err rp_http_compress(struct rp_deflate *d, enum rp_http_coding coding, struct rp_bytes body,
                             struct rp_buf *out) {
    if (coding == RP_HTTP_IDENTITY) {
        return rp_buf_put(out, body);
    }
    return deflate_or_nothing(d, coding == RP_HTTP_GZIP ? GZIP : ZLIB, body, out);
}

/* ---- decompressing ---- */

static z_stream *begin_inflate(struct rp_deflate *d) {
    z_stream *z = &d->inflater;
    int result;
    if (d->inflater_made) {
        result = inflateReset(z);
    } else {
        *z = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free};
        result = inflateInit2(z, formats[MESSAGE].window_bits);
        d->inflater_made = true;
    }
    RP_ASSERT(result == Z_OK);
    return z;
}

/* Points the stream at room for output: in *out as far as its maximum lets, then at *spare, where
 * nothing must be written: a message that just fits still has its last bits to be read. */
static void make_room(z_stream *z, struct rp_bytes in, struct rp_buf *out, uint8_t *spare) {
    size_t room = out->capacity - out->len, left = out->max - out->len;
    if (room == 0) {
        room = in.len < ROOM_BYTES_LEAST ? ROOM_BYTES_LEAST : in.len;
        room = room < left ? room : left;
    }
    room = room < ROOM_BYTES_MOST ? room : ROOM_BYTES_MOST;
    z->next_out = room > 0 ? rp_buf_reserve(out, room) : spare;
    z->avail_out = room > 0 ? (uInt) room : 1;
    RP_ASSERT(z->next_out != NULL);
}

/* All of the input. */
static enum rp_err run_inflate(z_stream *z, struct rp_bytes in, struct rp_buf *out) {
    z->next_in = in.data;
    z->avail_in = (uInt) in.len;
    do {
        uint8_t spare;
        make_room(z, in, out, &spare);
        bool spared = z->next_out == &spare;
        uInt room = z->avail_out;
        int result = inflate(z, Z_SYNC_FLUSH);
        uInt made = room - z->avail_out;
        if (spared && made > 0) {
            return RP_E_TOO_BIG;
        }
        out->len += made;
        if (result == Z_STREAM_END) { /* a final block; another stream may follow (7.2.3.4) */
            result = inflateReset(z);
        }
        if (result != Z_OK && result != Z_BUF_ERROR) {
            return RP_E_PROTOCOL;
        }
    } while (z->avail_in > 0 || z->avail_out == 0);
    return RP_OK;
}

/* Whether the last block ended, and with the last octet: zlib.h of data_type after inflate(), "the
 * number of unused bits … plus 128 if inflate() returned immediately after decoding an end-of-block
 * code". */
static bool is_between_blocks(const z_stream *z) {
    return (z->data_type & 128) != 0 && (z->data_type & 7) == 0;
}

static enum rp_err inflate_whole(struct rp_deflate *d, struct rp_bytes payload,
                                 struct rp_buf *out) {
    z_stream *z = begin_inflate(d);
    enum rp_err err = run_inflate(z, payload, out);
    if (err == RP_OK) {
        err = run_inflate(z, RP_BYTES_LIT("\0\0\xFF\xFF"), out);
    }
    return err == RP_OK && !is_between_blocks(z) ? RP_E_PROTOCOL : err;
}

/* RFC 7692 7.2.2: append 00 00 FF FF, decompress. */
enum rp_err rp_inflate_message(struct rp_deflate *d, struct rp_bytes payload, struct rp_buf *out) {
    RP_ASSERT(payload.len <= INPUT_BYTES_MAX);
    size_t before = out->len;
    enum rp_err err = payload.len > 0 ? inflate_whole(d, payload, out) : RP_OK;
    if (err != RP_OK) {
        out->len = before;
    }
    return err;
}
