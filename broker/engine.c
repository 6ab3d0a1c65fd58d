#include "broker/engine.h"

#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

void rp_engine_page_free(struct rp_engine_page *page) {
    if (page != NULL) {
        for (size_t i = 0; i < page->records_count; i++) {
            rp_record_unref(page->records[i]);
        }
        free(page->records);
        free(page);
    }
}

struct rp_engine_border *rp_engine_border_new(struct rp_bytes nsp, struct rp_bytes room,
                                              uint64_t seq) {
    struct rp_engine_border *border = rp_alloc(sizeof *border + nsp.len + room.len);
    border->seq = seq;
    border->nsp = rp_bytes(border->data, nsp.len);
    border->room = rp_bytes(border->data + nsp.len, room.len);
    if (nsp.len > 0) {
        memcpy(border->data, nsp.data, nsp.len);
    }
    if (room.len > 0) {
        memcpy(border->data + nsp.len, room.data, room.len);
    }
    return border;
}
