#include "broker/engine.h"

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
