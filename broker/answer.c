/* broker/answer.c — requests that are answered by reading: history, presence, and whether a
 * returning session's events are still there.
 *
 * An answer under way belongs to the link it was asked on. If the link is lost it is dropped, and
 * the gateway asks again. */
#include "broker/state.h"

#include "common/alloc.h"
#include "common/base64.h"
#include "proto/attachments.h"
#include "proto/json.h"

#include <stdlib.h>

struct rp_answer {
    struct rp_list node;         /* in peer->answers */
    struct rp_list waiting_node; /* in core->waiting: the engine had no room */
    struct rp_peer *peer;
    struct rp_read_job *job;
    struct rp_share_hold *shared; /* of a probe: pages of rooms that it waits for */
    bool has_shared;              /* it had some, and they were not enough */
    uint64_t pos;                 /* of a probe */
    struct rp_buf request;        /* the operation, encoded */
};

/* ---- JSON ---- */

static void put(struct rp_buf *out, const char *text) {
    RP_ASSERT(rp_buf_put_str(out, text) == RP_OK);
}

static void put_u64(struct rp_buf *out, uint64_t value) {
    RP_ASSERT(rp_buf_put_u64(out, value) == RP_OK);
}

static void put_string(struct rp_buf *out, struct rp_bytes text) {
    RP_ASSERT(rp_json_put_string(out, text) == RP_OK);
}

/* The attachments as an array of base64 texts, in the order of the placeholders' numbers. */
static void put_attachments(struct rp_buf *out, struct rp_bytes packed) {
    struct rp_bytes attachment;
    const char *before = "\"";
    put(out, ",\"attachments\":[");
    while (rp_attachments_next(&packed, &attachment) == RP_OK) {
        put(out, before);
        uint8_t *at = rp_buf_reserve(out, rp_base64_len(attachment.len));
        RP_ASSERT(at != NULL);
        rp_base64_write(at, attachment);
        out->len += rp_base64_len(attachment.len);
        put(out, "\"");
        before = ",\"";
    }
    put(out, "]");
}

static void put_event(struct rp_buf *out, const struct rp_record *r) {
    put(out, "{\"seq\":");
    put_u64(out, r->seq);
    put(out, ",\"ts\":");
    put_u64(out, r->f.ts_ms);
    put(out, ",\"event\":");
    put_string(out, r->f.name);
    put(out, ",\"args\":");
    RP_ASSERT(rp_buf_put(out, r->f.args) == RP_OK);
    put(out, ",\"sender\":");
    if (r->f.sid.len > 0) {
        put_string(out, r->f.sid);
    } else {
        put(out, "null"); /* nobody's doing but the application's */
    }
    put(out, ",\"id\":");
    if (r->f.id.len > 0) {
        put_string(out, r->f.id);
    } else {
        put(out, "null");
    }
    if (r->f.attachments.len > 0) {
        put_attachments(out, r->f.attachments);
    }
    put(out, "}");
}

static_assert(RP_PAYLOAD_BYTES_MAX / 3 * 4 + RP_HISTORY_BYTES_MAX <=
                  RP_LINK_MESSAGE_BYTES_MAX - RP_LINK_BATCH_BYTES,
              "the answer with one event, however large, fits behind a batch");

/* What an event counts in RP_HISTORY_BYTES_MAX: base64 makes four bytes of three. */
static size_t answer_size(const struct rp_record *r) {
    return r->size + r->f.attachments.len / 3;
}

static void put_result(struct rp_peer *peer, uint64_t num, struct rp_bytes json) {
    struct rp_op op = {.kind = RP_OP_RESULT, .result = {.num = num, .json = json}};
    rp_link_put(&peer->link, &op);
}

/* ---- history ----
 *
 * What was said to a room, whoever asks: every event that names it, be it one of several, also
 * those that left somebody out or want an ack. */

static void answer_history(struct rp_core *core, struct rp_peer *peer,
                           const struct rp_op_history *op, struct rp_record *const *records,
                           size_t count, bool descending, bool more, bool truncated) {
    struct rp_buf *out = &core->scratch;
    rp_buf_clear(out);
    put(out, "{\"ok\":true,\"events\":[");
    const char *before = "";
    for (size_t i = 0; i < count; i++) {
        const struct rp_record *r = records[descending ? count - 1 - i : i];
        if (!(r->f.flags & RP_RECORD_PRIVATE)) {
            put(out, before);
            put_event(out, r);
            before = ",";
        }
    }
    put(out, truncated ? "],\"truncated\":true" : "],\"truncated\":false");
    if (truncated) {
        put(out, ",\"oldest\":");
        put_u64(out, count > 0 ? records[descending ? count - 1 : 0]->seq : core->head);
    }
    put(out, more ? ",\"more\":true}" : ",\"more\":false}");
    put_result(peer, op->num, rp_buf_bytes(out));
}

/* Answers from the tail if the whole range is in it. */
static bool history_from_tail(struct rp_core *core, struct rp_peer *peer, struct rp_bytes nsp,
                              const struct rp_op_history *op) {
    uint64_t after = op->has_since ? op->since : 0;
    const struct rp_room *room = rp_rooms_find(&core->rooms, nsp, op->room);
    bool lost = room != NULL && room->border > after && op->before > after + 1;
    after = lost ? room->border : after;
    size_t from = room != NULL ? rp_room_events_after(room, after) : 0;
    size_t to =
        room != NULL && op->before > after + 1 ? rp_room_events_after(room, op->before - 1) : from;
    size_t available = to > from ? to - from : 0;
    bool whole = after >= core->tail.base;
    if (!whole && (op->has_since || available <= op->limit)) {
        return false; /* what lies before the tail is wanted too, or decides `more` */
    }
    size_t count = 0, bytes = 0, limit = available < op->limit ? available : (size_t) op->limit;
    for (; count < limit; count++) {
        size_t at = op->has_since ? from + count : to - 1 - count;
        bytes += answer_size(rp_room_event(room, at));
        if (count > 0 && bytes > RP_HISTORY_BYTES_MAX) {
            break;
        }
    }
    size_t first = op->has_since ? from : to - count;
    struct rp_record *const *records = count > 0 ? &room->events[room->events_from + first] : NULL;
    bool more = count < available;
    answer_history(core, peer, op, records, count, false, more, lost && (op->has_since || !more));
    return true;
}

static struct rp_answer *answer_new(struct rp_peer *peer, const struct rp_op *op) {
    struct rp_answer *answer = RP_NEW(struct rp_answer);
    answer->peer = peer;
    rp_buf_init(&answer->request, RP_LINK_BATCH_BYTES);
    RP_ASSERT(rp_op_put(&answer->request, op) == RP_OK);
    rp_list_append(&peer->answers, &answer->node);
    return answer;
}

static struct rp_op answer_request(struct rp_core *core, const struct rp_answer *answer) {
    struct rp_bytes in = rp_buf_bytes(&answer->request);
    struct rp_op op;
    RP_ASSERT(rp_op_next(core->own_reader, &in, &op) == RP_OK);
    return op;
}

static void answer_free(struct rp_core *core, struct rp_answer *answer) {
    rp_share_drop(core, answer->shared);
    rp_list_remove(&answer->node);
    rp_list_remove(&answer->waiting_node);
    rp_buf_done(&answer->request);
    free(answer);
}

/* How many of a page's events go into an answer; the others are asked for again. */
static size_t history_fitting(const struct rp_engine_page *page) {
    size_t count = 0, bytes = 0;
    for (; count < page->records_count; count++) {
        bytes += answer_size(page->records[count]);
        if (count > 0 && bytes > RP_HISTORY_BYTES_MAX) {
            break;
        }
    }
    return count;
}

static struct rp_read_job *read_history(struct rp_core *core, struct rp_bytes nsp,
                                        const struct rp_op_history *op) {
    struct rp_engine_span span = {.nsp = nsp,
                                  .room = op->room,
                                  .after = op->has_since ? op->since : 0,
                                  .upto = op->before > 0 ? op->before - 1 : 0};
    if (span.upto > core->head) {
        span.upto = core->head;
    }
    struct rp_engine_read read = {.spans = &span,
                                  .spans_count = 1,
                                  .events_max = op->limit,
                                  .bytes_max = RP_HISTORY_BYTES_MAX,
                                  .newest_first = !op->has_since};
    return rp_core_read(core, &read, RP_READ_ANSWER);
}

/* ---- probes: is everything a returning session should get still there? ----
 *
 * Pages of its rooms tell, which it will need next anyway, and others with it (share.h). A session
 * of very many rooms asks the engine about all of them. */

struct probe {
    struct rp_engine_span *spans;
    size_t spans_count;
    struct rp_share_want wants[RP_SHARE_ROOMS_MAX];
    size_t wants_count; /* those in the tail are looked at here */
    bool is_lost;
};

static void add_spans(const struct rp_core *core, const struct rp_session *s,
                      const struct rp_interval *i, const struct rp_answer *answer,
                      struct probe *probe) {
    uint64_t pos = answer->pos;
    for (; i != NULL; i = i->next) {
        uint64_t after = i->from_seq > pos ? i->from_seq : pos;
        uint64_t upto = i->to_seq > 0 ? i->to_seq : core->head;
        if (upto <= after) {
            continue;
        }
        probe->is_lost = probe->is_lost || i->room->border > after;
        probe->spans[probe->spans_count++] = (struct rp_engine_span){
            .nsp = rp_session_nsp(s), .room = i->room->name, .after = after, .upto = upto};
        if (after >= core->tail.base) {
            continue;
        }
        if (probe->wants_count < RP_SHARE_ROOMS_MAX) {
            probe->wants[probe->wants_count] = (struct rp_share_want){
                .room = i->room, .after = after, .align = !answer->has_shared};
        }
        probe->wants_count++;
    }
}

static enum rp_err read_probe(struct rp_core *core, const struct probe *probe,
                              struct rp_answer *answer) {
    struct rp_engine_read read = {
        .spans = probe->spans, .spans_count = probe->spans_count, .events_max = 1, .bytes_max = 1};
    answer->job = rp_core_read(core, &read, RP_READ_ANSWER);
    return answer->job != NULL ? RP_MORE : RP_E_FULL;
}

/* RP_OK: *ret_lost says. RP_MORE: it waits for pages, or for memory for them. RP_E_FULL: it has
 * waited for them in vain. */
static enum rp_err take_probe(struct rp_core *core, const struct probe *probe,
                              struct rp_answer *answer, bool *ret_lost) {
    struct rp_share_hold *before = answer->shared;
    enum rp_err err =
        rp_share_take(core, probe->wants, probe->wants_count, NULL, answer, &answer->shared);
    if (err == RP_E_FULL) {
        answer->shared = NULL;
    }
    if (err == RP_E_FULL && !answer->has_shared) {
        rp_list_append(&core->share.probes, &answer->waiting_node);
        err = RP_MORE;
    }
    rp_share_drop(core, before);
    for (size_t i = 0; err == RP_OK && i < probe->wants_count; i++) {
        const struct rp_shared *page = answer->shared->places[i].page;
        *ret_lost = *ret_lost || page->border > probe->wants[i].after;
    }
    return err;
}

/* RP_OK: it is decided. RP_MORE: it waits. RP_E_FULL: the engine has no room. */
static enum rp_err ask_probe(struct rp_core *core, struct rp_answer *answer,
                             const struct rp_op_connect *op) {
    const struct rp_session *s = rp_sessions_find_pid(&core->sessions, op->resume_hash);
    struct probe probe = {.is_lost = rp_share_err(answer->shared) != RP_OK};
    answer->has_shared = answer->has_shared || answer->shared != NULL;
    if (s != NULL && !probe.is_lost) {
        probe.spans = rp_alloc((s->open_count + s->closed_count) * sizeof(struct rp_engine_span));
        add_spans(core, s, s->open, answer, &probe);
        add_spans(core, s, s->closed, answer, &probe);
    }
    enum rp_err err = RP_OK;
    bool many = probe.wants_count > RP_SHARE_ROOMS_MAX;
    if (!probe.is_lost && !many && probe.wants_count > 0) {
        err = take_probe(core, &probe, answer, &probe.is_lost);
    }
    if (!probe.is_lost && (many || err == RP_E_FULL)) {
        err = read_probe(core, &probe, answer);
    }
    free(probe.spans);
    if (err == RP_OK) {
        rp_core_connect_probed(core, answer->peer, op, answer->pos, !probe.is_lost);
    }
    return err;
}

void rp_core_answer_wake(struct rp_core *core, struct rp_answer *answer) {
    rp_list_append(&core->waiting, &answer->waiting_node);
}

/* ---- presence ---- */

static void answer_presence(struct rp_core *core, struct rp_peer *peer, struct rp_bytes nsp,
                            const struct rp_op_presence *op) {
    struct rp_buf *out = &core->scratch;
    rp_buf_clear(out);
    put(out, "{\"ok\":true,\"members\":[");
    const struct rp_room *room = rp_rooms_find(&core->rooms, nsp, op->room);
    size_t count = 0;
    bool more = false;
    struct rp_list empty, *it, *tmp;
    rp_list_init(&empty);
    RP_LIST_FOR(room != NULL ? &room->members : &empty, it, tmp) {
        const struct rp_interval *i = RP_CONTAINER_OF(it, struct rp_interval, room_node);
        if (i->session->peer == NULL) {
            continue; /* it may come back, but it is not here */
        }
        if (count == RP_PRESENCE_MEMBERS_MAX) {
            more = true;
            break;
        }
        put(out, count++ > 0 ? ",{\"sid\":" : "{\"sid\":");
        put_string(out, rp_session_sid(i->session));
        put(out, ",\"user\":null,\"since\":");
        put_u64(out, i->ts_ms);
        put(out, "}");
    }
    put(out, more ? "],\"more\":true}" : "]}");
    put_result(peer, op->num, rp_buf_bytes(out));
}

/* ---- asking and answering ---- */

/* Answers that a client can make large wait for the link's credit, so that asking fast cannot fill
 * the broker. */
static bool has_credit(const struct rp_core *core, const struct rp_peer *peer) {
    return rp_link_credit(&peer->link) > core->config.link_credit_bytes / 4;
}

/* Answers HISTORY or PRESENCE from memory if that can be; true: answered. If the session that asked
 * has ended meanwhile, nobody knows any more whose rooms it meant. */
static bool answer_at_once(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op,
                           const struct rp_session *session) {
    if (session == NULL) {
        /* both begin with num, session, conn */
        rp_core_put_failed(peer, op->history.num, "superseded", "the session has ended");
        return true;
    }
    if (op->kind == RP_OP_PRESENCE) {
        answer_presence(core, peer, rp_session_nsp(session), &op->presence);
        return true;
    }
    return history_from_tail(core, peer, rp_session_nsp(session), &op->history);
}

/* Answers, or asks the engine, or waits for what is missing. The answer may be freed. */
static void ask(struct rp_core *core, struct rp_answer *answer) {
    struct rp_op op = answer_request(core, answer);
    struct rp_peer *peer = answer->peer;
    if (op.kind == RP_OP_CONNECT) {
        enum rp_err err = ask_probe(core, answer, &op.connect);
        if (err == RP_OK) {
            answer_free(core, answer);
            return;
        }
        if (err == RP_MORE && answer->job == NULL) {
            return; /* it will be woken */
        }
    } else if (has_credit(core, peer)) {
        const struct rp_session *session = rp_sessions_find(&core->sessions, op.history.session);
        if (answer_at_once(core, peer, &op, session)) {
            answer_free(core, answer);
            return;
        }
        answer->job = read_history(core, rp_session_nsp(session), &op.history);
    }
    if (answer->job != NULL) {
        answer->job->answer = answer;
    } else {
        rp_list_append(&core->waiting, &answer->waiting_node);
    }
}

void rp_core_answers_retry(struct rp_core *core) {
    struct rp_list again, *first;
    rp_list_init(&again);
    size_t probes = rp_share_has_room_for(core);
    for (; probes > 0 && (first = rp_list_first(&core->share.probes)) != NULL; probes--) {
        rp_list_remove(first);
        rp_list_append(&again, first);
    }
    while ((first = rp_list_first(&core->waiting)) != NULL) {
        rp_list_remove(first);
        rp_list_append(&again, first);
    }
    while ((first = rp_list_first(&again)) != NULL) {
        rp_list_remove(first);
        ask(core, RP_CONTAINER_OF(first, struct rp_answer, waiting_node));
    }
}

void rp_core_probe(struct rp_core *core, struct rp_peer *peer, const struct rp_op_connect *connect,
                   uint64_t pos) {
    struct rp_op op = {.kind = RP_OP_CONNECT, .connect = *connect};
    struct rp_answer *answer = answer_new(peer, &op);
    answer->pos = pos;
    ask(core, answer);
}

void rp_core_answer(struct rp_core *core, struct rp_peer *peer, const struct rp_op *op) {
    ask(core, answer_new(peer, op));
}

void rp_core_answer_page(struct rp_core *core, struct rp_answer *answer,
                         const struct rp_engine_page *page) {
    struct rp_op op = answer_request(core, answer);
    struct rp_peer *peer = answer->peer;
    if (op.kind == RP_OP_CONNECT) {
        bool complete = page->err == RP_OK && !page->truncated;
        rp_core_connect_probed(core, peer, &op.connect, answer->pos, complete);
    } else if (page->err != RP_OK) {
        rp_core_put_failed(peer, op.history.num, "unavailable", rp_strerror(page->err));
    } else {
        size_t count = history_fitting(page);
        bool since = op.history.has_since, more = page->more || count < page->records_count;
        answer_history(core, peer, &op.history, page->records, count, !since, more,
                       page->truncated && (since || !more));
    }
    answer_free(core, answer);
}

void rp_core_answers_drop(struct rp_core *core, struct rp_peer *peer) {
    struct rp_list *it, *tmp;
    RP_LIST_FOR(&peer->answers, it, tmp) {
        struct rp_answer *answer = RP_CONTAINER_OF(it, struct rp_answer, node);
        rp_core_read_cancel(core, answer->job);
        answer_free(core, answer);
    }
}
