/* gateway/frames.h — the WebSocket frames that a blob of output is made of: one packet for a client
 * is one blob, whatever the transport; a WebSocket writes it as it is, long-polling and relays take
 * it apart. */
#pragma once

#include "common/blob.h"
#include "proto/ws.h"

struct rp_deflate;

/* A frame of our own making. */
struct rp_frame {
    enum rp_ws_kind kind;
    struct rp_bytes payload; /* borrowed; of a CLOSE: two bytes of code and the reason */
    size_t len;              /* with its header */
};

/* The frame at the beginning of a view that begins with one. */
struct rp_frame rp_frame_of(struct rp_bytes frames);

/* The text and the packed attachments of a packet as one blob. Gives it. */
struct rp_blob *rp_frames_new(struct rp_bytes text, struct rp_bytes attachments);

/* The same blob with its frames of at least bytes_min bytes compressed; kept with it for the next
 * one who asks. Takes a reference and gives one; the blob itself if nothing is gained. */
struct rp_blob *rp_frames_deflated(struct rp_blob *blob, struct rp_deflate *deflate,
                                   size_t bytes_min);
