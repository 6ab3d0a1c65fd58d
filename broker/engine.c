#include "broker/engine.h"

#include "broker/room_key.h"

#include "common/alloc.h"

#include <stdlib.h>

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
    rp_room_key_copy(border->data, room, nsp, &border->room, &border->nsp);
    return border;
}
