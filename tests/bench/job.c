#include "tests/bench/job.h"

#include "common/assert.h"
#include "tests/bench/message.h"

#include <errno.h>
#include <inttypes.h>

enum {
    OPENING_MAX = 256, /* connections on their way; the servers' accept queues are longer */
    GATHER_MS_MAX = 60000,
};

bool rp_job_check_ack(const struct rp_crowd_event *ack, struct rp_result *r) {
    bool ok = rp_bytes_starts_with(ack->payload, RP_BYTES_LIT("[{\"ok\":true"));
    if (!ok) {
        rp_result_fail(r, "client %zu was refused: %.*s", ack->client, RP_BYTES_FMT(ack->payload));
    }
    return ok;
}

void rp_job_fail_closed(const struct rp_crowd_event *closed, struct rp_result *r) {
    rp_result_fail(r, "client %zu: %.*s", closed->client, RP_BYTES_FMT(closed->payload));
}

struct rp_bytes rp_job_publish_text(struct rp_job_text *out, const char *event, const char *room,
                                    size_t number, const struct rp_message *m) {
    char message[RP_MESSAGE_BYTES];
    rp_message_write(message, m);
    int n = snprintf(out->text, sizeof out->text, "[\"%s\",\"%s-%zu\",\"msg\",%.*s]", event, room,
                     number, RP_MESSAGE_BYTES, message);
    RP_ASSERT(n > 0 && (size_t) n < sizeof out->text);
    return rp_bytes(out->text, (size_t) n);
}

static void join(struct rp_crowd *crowd, size_t client, size_t room) {
    char text[64];
    int n = snprintf(text, sizeof text, "[\"join\",\"bench-%zu\"]", room);
    rp_crowd_send(crowd, client, RP_BYTES_LIT("421"), rp_bytes(text, (size_t) n));
}

/* Takes what has come and returns how many clients are done. */
static uint64_t take_news(struct rp_crowd *crowd, const struct rp_job_gathering *gathering,
                          struct rp_result *r) {
    struct rp_crowd_event event;
    uint64_t done = 0;
    while (rp_result_is_fine(r) && rp_crowd_next(crowd, &event)) {
        switch (event.what) {
        case RP_CROWD_READY:
            if (gathering->room_members > 0) {
                join(crowd, event.client, event.client / gathering->room_members);
            } else {
                done++;
            }
            break;
        case RP_CROWD_ACK:
            done += rp_job_check_ack(&event, r);
            break;
        case RP_CROWD_EVENT:
            rp_result_fail(r, "client %zu got an event before anything was published",
                           event.client);
            break;
        case RP_CROWD_CLOSED:
            rp_job_fail_closed(&event, r);
            break;
        }
    }
    return done;
}

static void gather(struct rp_crowd *crowd, const struct rp_job_gathering *gathering,
                   struct rp_result *r) {
    uint64_t opened = 0, done = 0;
    uint64_t end_ns = rp_crowd_now_ns() + GATHER_MS_MAX * (uint64_t) RP_JOB_MS_NS;
    while (done < gathering->clients && rp_result_is_fine(r)) {
        while (opened < gathering->clients && opened - done < OPENING_MAX) {
            if (rp_crowd_open(crowd) != RP_OK) {
                rp_result_fail(r, "cannot connect client %" PRIu64 ": %s", opened, strerror(errno));
                return;
            }
            opened++;
        }
        rp_crowd_wait(crowd, end_ns);
        done += take_news(crowd, gathering, r);
        if (rp_crowd_now_ns() >= end_ns) {
            rp_result_fail(r, "only %" PRIu64 " of %" PRIu64 " clients could connect and join",
                           done, gathering->clients);
        }
    }
}

struct rp_crowd *rp_job_gather(const struct rp_job_settings *s,
                               const struct rp_job_gathering *gathering, struct rp_result *r) {
    struct rp_crowd *crowd;
    enum rp_err err = rp_crowd_new(&s->gateways, gathering->clients, &crowd);
    if (err != RP_OK) {
        rp_result_fail(r, "%s",
                       err == RP_E_TOO_BIG
                           ? "the limit of open files (ulimit -Hn) is too low for so many "
                             "connections"
                           : strerror(errno));
        return NULL;
    }
    gather(crowd, gathering, r);
    return rp_result_is_fine(r) ? crowd : rp_crowd_free(crowd);
}
