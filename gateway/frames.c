#include "gateway/frames.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "common/limits.h"
#include "proto/attachments.h"
#include "proto/deflate.h"

/* What a server's header says (RFC 6455 5.2): never masked. */
struct rp_frame rp_frame_of(struct rp_bytes frames) {
    const uint8_t *at = frames.data;
    RP_ASSERT(frames.len >= 2 && (at[1] & 0x80) == 0);
    size_t len = at[1], header = 2, more = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (more > 0) {
        RP_ASSERT(frames.len >= header + more);
        len = 0;
        for (size_t i = 0; i < more; i++) {
            len = len << 8 | at[header + i];
        }
        header += more;
    }
    RP_ASSERT(len <= frames.len - header);
    return (struct rp_frame){
        .kind = at[0] & 0x0F, .payload = rp_bytes(at + header, len), .len = header + len};
}

static size_t framed_len(size_t payload_len) {
    uint8_t header[RP_WS_HEADER_MAX];
    return rp_ws_header(header, RP_WS_BINARY, payload_len) + payload_len;
}

static uint8_t *write_frame(uint8_t *at, enum rp_ws_kind kind, struct rp_bytes payload) {
    uint8_t header[RP_WS_HEADER_MAX];
    size_t len = rp_ws_header(header, kind, payload.len);
    memcpy(at, header, len);
    if (payload.len > 0) {
        memcpy(at + len, payload.data, payload.len);
    }
    return at + len + payload.len;
}

static bool next_attachment(struct rp_bytes *packed, struct rp_bytes *ret_attachment) {
    return packed->len > 0 && rp_attachments_next(packed, ret_attachment) == RP_OK;
}

struct rp_blob *rp_frames_new(struct rp_bytes text, struct rp_bytes attachments) {
    struct rp_bytes in = attachments, attachment;
    size_t len = framed_len(text.len);
    while (next_attachment(&in, &attachment)) {
        len += framed_len(attachment.len);
    }
    struct rp_blob *blob = rp_blob_new(len);
    uint8_t *at = write_frame(blob->data, RP_WS_TEXT, text);
    while (next_attachment(&attachments, &attachment)) {
        at = write_frame(at, RP_WS_BINARY, attachment);
    }
    RP_ASSERT(at == blob->data + blob->len);
    return blob;
}

/* ---- permessage-deflate ---- */

/* Appends a frame compressed; false: it would not become smaller. */
static bool put_deflated(struct rp_buf *out, struct rp_deflate *deflate, const struct rp_frame *f) {
    struct rp_buf packed;
    rp_buf_init(&packed, f->payload.len);
    bool smaller = rp_deflate_message(deflate, f->payload, &packed) == RP_OK;
    if (smaller) {
        uint8_t header[RP_WS_HEADER_MAX];
        size_t len = rp_ws_header_deflated(header, f->kind, packed.len);
        enum rp_err err = rp_buf_put(out, rp_bytes(header, len));
        err = err ? err : rp_buf_put(out, rp_buf_bytes(&packed));
        RP_ASSERT(err == RP_OK);
    }
    rp_buf_done(&packed);
    return smaller;
}

static struct rp_blob *make_twin(const struct rp_blob *blob, struct rp_deflate *deflate,
                                 size_t bytes_min) {
    struct rp_buf out;
    rp_buf_init(&out, blob->len + RP_WS_HEADER_MAX);
    struct rp_bytes in = rp_blob_bytes(blob);
    while (in.len > 0) {
        struct rp_frame f = rp_frame_of(in);
        bool is_data = f.kind == RP_WS_TEXT || f.kind == RP_WS_BINARY;
        if (!is_data || f.payload.len < bytes_min || !put_deflated(&out, deflate, &f)) {
            enum rp_err err = rp_buf_put(&out, rp_bytes(in.data, f.len));
            RP_ASSERT(err == RP_OK);
        }
        in = rp_bytes_skip(in, f.len);
    }
    struct rp_blob *twin = NULL;
    if (out.len < blob->len) {
        twin = rp_blob_new(out.len);
        memcpy(twin->data, out.data, out.len);
    }
    rp_buf_done(&out);
    return twin;
}

struct rp_blob *rp_frames_deflated(struct rp_blob *blob, struct rp_deflate *deflate,
                                   size_t bytes_min) {
    if (blob->len < bytes_min || blob->no_twin) {
        return blob;
    }
    if (blob->twin == NULL) {
        blob->twin = make_twin(blob, deflate, bytes_min);
        blob->no_twin = blob->twin == NULL;
    }
    struct rp_blob *twin = blob->twin != NULL ? rp_blob_ref(blob->twin) : blob;
    if (twin != blob) {
        rp_blob_unref(blob);
    }
    return twin;
}
