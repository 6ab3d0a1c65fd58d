#include "tests/sim/stock.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "proto/attachments.h"
#include "proto/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { PACKET_BYTES_MAX = 1 << 20 };

#define NO_ID UINT64_MAX /* of an event that wants no ack */

static void must(enum rp_err err) {
    RP_ASSERT(err == RP_OK);
}

/* ---- events by their numbers ---- */

const char *stock_nsp_name(unsigned nsp) {
    static const char *const names[NAMESPACES] = {"/", "/b", "/w", "/d"};
    return names[nsp];
}

const char *stock_nsp_prefix(unsigned nsp) {
    static const char *const prefixes[NAMESPACES] = {"", "/b,", "/w,", "/d,"};
    return prefixes[nsp];
}

unsigned stock_nsp_named(struct rp_bytes name) {
    unsigned nsp = 0;
    while (nsp < NAMESPACES && !rp_bytes_eq_str(name, stock_nsp_name(nsp))) {
        nsp++;
    }
    return nsp;
}

size_t stock_attachments_of(uint64_t payload) {
    uint64_t n = payload / NAMESPACES;
    return n % 5 != 0 ? 0 : n % 15 == 0 ? 2 : 1;
}

void stock_put_attachment(struct rp_buf *out, uint64_t payload, size_t index) {
    must(rp_buf_printf(out, "A%llu.%zu", (unsigned long long) payload, index));
    for (uint64_t n = payload % 40; n > 0; n--) { /* anything that is no text */
        uint8_t *at = rp_buf_reserve(out, 1);
        *at = (uint8_t) (payload * n);
        out->len++;
    }
}

bool stock_attachments_right(const struct stock_manager *m, uint64_t payload,
                             struct rp_bytes attachments) {
    size_t count = m->binary ? stock_attachments_of(payload) : 0;
    bool right = true;
    for (size_t i = 0; i < count && right; i++) {
        struct rp_buf expected;
        struct rp_bytes one = {0};
        rp_buf_init(&expected, 256);
        stock_put_attachment(&expected, payload, i);
        right = rp_attachments_next(&attachments, &one) == RP_OK &&
                rp_bytes_eq(one, rp_buf_bytes(&expected));
        rp_buf_done(&expected);
    }
    return right && attachments.len == 0;
}

static void trace(const struct stock_manager *m, const struct stock *s, const char *what,
                  uint64_t number) {
    if (m->trace != NULL) {
        m->trace(m->trace_ctx, s->nsp, what, number);
    }
}

/* ---- life ---- */

void stock_init(struct stock_manager *m, bool binary) {
    *m = (struct stock_manager){.binary = binary};
    rp_buf_init(&m->text, PACKET_BYTES_MAX);
    rp_buf_init(&m->attachments, PACKET_BYTES_MAX);
    for (unsigned i = 0; i < NAMESPACES; i++) {
        m->sockets[i].nsp = i;
    }
}

static void clear_buffered(struct stock *s) {
    for (size_t i = 0; i < s->buffered; i++) {
        rp_buf_done(&s->receive_buffer[i].payload);
        rp_buf_done(&s->receive_buffer[i].attachments);
    }
    s->buffered = 0;
}

static void socket_done(struct stock *s) {
    for (size_t i = 0; i < s->lives_count; i++) {
        free(s->lives[i].events);
    }
    for (size_t i = 0; i < s->answers_count; i++) {
        free(s->answers[i].history);
        free(s->answers[i].sids);
    }
    clear_buffered(s);
    free(s->receive_buffer);
    free(s->lives);
    free(s->answers);
    free(s->history);
    free(s->connections);
    free(s->comebacks);
    free(s->refusals);
    free(s->wanted);
}

void stock_done(struct stock_manager *m) {
    rp_buf_done(&m->text);
    rp_buf_done(&m->attachments);
    for (size_t i = 0; i < NAMESPACES; i++) {
        socket_done(&m->sockets[i]);
    }
}

/* The position in an offset: "pos-epoch", or "pos-epoch.seq" within a history. */
static uint64_t pos_of(const char *offset) {
    return strtoull(offset, NULL, 10);
}

void stock_connect_packet(struct stock *s, uint64_t now_ms, struct rp_buf *out) {
    s->subscribed = true;
    s->connections = rp_array_reserve(s->connections, s->connections_count,
                                      &s->connections_capacity, sizeof(struct connection));
    struct connection *c = &s->connections[s->connections_count++];
    *c = (struct connection){.since_ms = now_ms};
    const char *tag = strchr(s->offset, '-');
    if (s->pid[0] != '\0' && tag != NULL) {
        c->pos = pos_of(s->offset);
        snprintf(c->tag, sizeof c->tag, "%s", tag + 1);
    }
    must(rp_buf_printf(out, "40%s", stock_nsp_prefix(s->nsp)));
    if (s->pid[0] == '\0' && !s->unwelcome) {
        return;
    }
    must(rp_buf_printf(out, "{%s", s->unwelcome ? "\"unwelcome\":1" : "\"unwelcome\":0"));
    if (s->pid[0] != '\0') {
        must(rp_buf_printf(out, ",\"pid\":\"%s\"", s->pid));
    }
    if (s->pid[0] != '\0' && s->offset[0] != '\0') {
        must(rp_buf_printf(out, ",\"offset\":\"%s\"", s->offset));
    }
    must(rp_buf_put_str(out, "}"));
}

static void copy_text(char *to, size_t size, struct rp_bytes json) {
    struct rp_bytes text = {0};
    bool plain = rp_json_string_plain(json, &text);
    RP_ASSERT(plain && text.len < size);
    memcpy(to, text.data, text.len);
    to[text.len] = '\0';
}

static struct rp_bytes field(struct rp_bytes object, const char *name) {
    struct rp_json_iter it = rp_json_iter_object(object);
    struct rp_bytes key, value;
    while (rp_json_iter_next(&it, &key, &value)) {
        if (rp_json_key_is(key, name)) {
            return value;
        }
    }
    return rp_bytes(NULL, 0);
}

static uint64_t number(struct rp_bytes json) {
    uint64_t value = 0;
    return rp_json_to_u64(json, &value) ? value : 0;
}

static void disconnected(struct stock *s) {
    s->connected = false;
    s->asks_count = 0;
    s->history_count = 0;
}

/* ---- events ---- */

static void see(struct stock *s, struct seen_event event) {
    struct life *life = &s->lives[s->lives_count - 1];
    life->events = rp_array_reserve(life->events, life->events_count, &life->events_capacity,
                                    sizeof(*life->events));
    life->events[life->events_count++] = event;
    if (event.is_history) {
        s->history = rp_array_reserve(s->history, s->history_count, &s->history_capacity,
                                      sizeof(*s->history));
        s->history[s->history_count++] = event.seq;
    }
}

static bool is_placeholder(struct rp_bytes arg, size_t num) {
    char expected[48];
    snprintf(expected, sizeof expected, "{\"_placeholder\":true,\"num\":%zu}", num);
    return rp_bytes_eq_str(arg, expected);
}

/* The handler will answer it, some time. */
static void want_answer(struct stock *s, const struct seen_event *event) {
    s->wanted =
        rp_array_reserve(s->wanted, s->wanted_count, &s->wanted_capacity, sizeof(struct wanted));
    s->wanted[s->wanted_count++] = (struct wanted){.seq = event->seq, .payload = event->payload};
}

/* What an event's last argument tells: its offset. */
static void note_offset(struct stock_manager *m, struct stock *s, struct rp_bytes last,
                        struct seen_event *event) {
    if (rp_json_kind(last) != RP_JSON_STRING) {
        m->problem = "an event without offset";
        return;
    }
    char offset[96];
    copy_text(offset, sizeof offset, last);
    const char *dot = strchr(offset, '.');
    event->is_history = dot != NULL;
    event->seq = strtoull(dot != NULL ? dot + 1 : offset, NULL, 10);
    if (s->pid[0] != '\0') {
        memcpy(s->offset, offset, sizeof offset);
    }
}

/* emitEvent of the client: the listeners run, then the last argument may be an offset. One with an
 * ack id has a function there. */
static void emit_event(struct stock_manager *m, struct stock *s, uint64_t id, unsigned connection,
                       struct rp_bytes payload, struct rp_bytes attachments) {
    struct rp_json_iter it = rp_json_iter_array(payload);
    struct rp_bytes name = {0}, first = {0}, last, arg;
    size_t placeholders = 0;
    rp_json_iter_next(&it, NULL, &name);
    rp_json_iter_next(&it, NULL, &first);
    last = first;
    while (rp_json_iter_next(&it, NULL, &arg)) {
        last = arg;
        placeholders += is_placeholder(arg, placeholders);
    }
    struct seen_event event = {.payload = number(first),
                               .is_volatile = rp_bytes_eq_str(name, "\"v\"")};
    event.connection = connection;
    if (stock_nsp_of(event.payload) != s->nsp) {
        m->problem = "an event of another namespace";
    }
    if (placeholders != (m->binary ? stock_attachments_of(event.payload) : 0) ||
        !stock_attachments_right(m, event.payload, attachments)) {
        m->problem = "an event without its attachments, or with others";
    }
    s->binary_events += placeholders > 0;
    if (id != NO_ID) {
        event.wants_ack = true;
        event.seq = id;
        want_answer(s, &event);
    } else {
        note_offset(m, s, last, &event);
    }
    if (m->problem == NULL) {
        see(s, event);
        trace(m, s,
              event.is_history    ? "sees history"
              : event.is_volatile ? "sees volatile"
                                  : "sees",
              event.is_volatile ? event.payload : event.seq);
    }
}

static void on_event(struct stock_manager *m, struct stock *s, uint64_t id, struct rp_bytes payload,
                     struct rp_bytes attachments) {
    if (s->connected) {
        emit_event(m, s, id, (unsigned) s->connections_count, payload, attachments);
        return;
    }
    s->receive_buffer = rp_array_reserve(s->receive_buffer, s->buffered, &s->buffer_capacity,
                                         sizeof(*s->receive_buffer));
    struct buffered_event *event = &s->receive_buffer[s->buffered++];
    event->id = id;
    event->connection = (unsigned) s->connections_count;
    rp_buf_init(&event->payload, PACKET_BYTES_MAX);
    rp_buf_init(&event->attachments, PACKET_BYTES_MAX);
    must(rp_buf_put(&event->payload, payload));
    must(rp_buf_put(&event->attachments, attachments));
}

static void on_connect(struct stock_manager *m, struct stock *s, struct rp_bytes payload) {
    char pid[64], sid[32];
    copy_text(pid, sizeof pid, field(payload, "pid"));
    copy_text(sid, sizeof sid, field(payload, "sid"));
    bool recovered = s->pid[0] != '\0' && strcmp(pid, s->pid) == 0;
    if (recovered && strcmp(sid, s->sid) != 0) {
        m->problem = "recovered under another sid";
    }
    trace(m, s,
          recovered           ? "is recovered"
          : s->pid[0] != '\0' ? "is not recovered"
                              : "is connected",
          s->connections_count);
    if (s->pid[0] != '\0') {
        s->comebacks = rp_array_reserve(s->comebacks, s->comebacks_count, &s->comebacks_capacity,
                                        sizeof(struct comeback));
        s->comebacks[s->comebacks_count++] =
            (struct comeback){.connection = (unsigned) s->connections_count,
                              .recovered = recovered,
                              .old_life = s->lives_count - 1,
                              .new_life = s->lives_count - recovered};
    }
    s->recovered += recovered;
    s->not_recovered += !recovered && s->pid[0] != '\0';
    memcpy(s->pid, pid, sizeof pid);
    memcpy(s->sid, sid, sizeof sid);
    if (s->unwelcome) {
        m->problem = "let in though its worker refuses it";
    }
    s->connected = true;
    if (!recovered) {
        s->lives =
            rp_array_reserve(s->lives, s->lives_count, &s->lives_capacity, sizeof(struct life));
        struct life life = {.first_connection = (unsigned) s->connections_count};
        memcpy(life.sid, sid, sizeof sid);
        s->lives[s->lives_count++] = life;
    }
    for (size_t i = 0; i < s->buffered; i++) {
        const struct buffered_event *event = &s->receive_buffer[i];
        emit_event(m, s, event->id, event->connection, rp_buf_bytes(&event->payload),
                   rp_buf_bytes(&event->attachments));
    }
    clear_buffered(s);
}

/* Whoever is not let in, or is disconnected, does not come back by itself: the application does. */
static void on_refused(struct stock_manager *m, struct stock *s, bool at_connect) {
    if (!stock_is_app(s->nsp) && at_connect) {
        m->problem = "a packet that ends the stock client's reconnection";
    }
    /* the second one may be on its way back when the server disconnects it */
    if (at_connect == s->connected && (at_connect || s->nsp != 1)) {
        m->problem = at_connect ? "CONNECT_ERROR to a socket that is connected"
                                : "DISCONNECT to a socket that is not connected";
    }
    trace(m, s, at_connect ? "is not let in" : "is disconnected", s->connections_count);
    s->rejected += at_connect;
    s->kicked += !at_connect;
    s->subscribed = false;
    s->unwelcome = false;
    disconnected(s);
    clear_buffered(s);
}

/* ---- acks ---- */

/* The seqs of {"events":[{"seq":1,…},…]}. */
static void keep_seqs(struct answered *a, struct rp_bytes ack) {
    struct rp_json_iter it = rp_json_iter_array(field(ack, "events"));
    struct rp_bytes event;
    size_t capacity = 0;
    while (rp_json_iter_next(&it, NULL, &event)) {
        a->history = rp_array_reserve(a->history, a->history_count, &capacity, sizeof(uint64_t));
        a->history[a->history_count++] = number(field(event, "seq"));
    }
}

/* The sids of {"members":[{"sid":"…",…},…]}. */
static void keep_sids(struct answered *a, struct rp_bytes ack) {
    struct rp_json_iter it = rp_json_iter_array(field(ack, "members"));
    struct rp_bytes member;
    size_t capacity = 0;
    while (rp_json_iter_next(&it, NULL, &member)) {
        a->sids = rp_array_reserve(a->sids, a->sids_count, &capacity, sizeof *a->sids);
        copy_text(a->sids[a->sids_count++], sizeof *a->sids, field(member, "sid"));
    }
}

static bool is_true(struct rp_bytes ack, const char *name) {
    return rp_bytes_eq_str(field(ack, name), "true");
}

static void keep_answer(struct stock *s, struct ask ask, struct rp_bytes ack) {
    struct answered a = {.ask = ask,
                         .seq = number(field(ack, "seq")),
                         .replayed = number(field(ack, "replayed")),
                         .truncated = is_true(ack, "truncated"),
                         .more = is_true(ack, "more"),
                         .duplicate = is_true(ack, "duplicate"),
                         .life = s->lives_count - 1,
                         .events_before = s->lives[s->lives_count - 1].events_count};
    if (ask.kind == ASK_JOIN_SINCE) {
        a.history_count = s->history_count;
        a.history = rp_alloc(s->history_count * sizeof(uint64_t));
        if (s->history_count > 0) {
            memcpy(a.history, s->history, s->history_count * sizeof(uint64_t));
        }
        s->history_count = 0;
    } else if (ask.kind == ASK_HISTORY) {
        keep_seqs(&a, ack);
    } else if (ask.kind == ASK_PRESENCE) {
        keep_sids(&a, ack);
    }
    struct rp_bytes code = field(field(ack, "error"), "code");
    if (ask.kind == ASK_EVENT && code.len > 0) {
        copy_text(a.code, sizeof a.code, code);
        s->worker_lost += strcmp(a.code, "worker_lost") == 0;
        s->unavailable += strcmp(a.code, "unavailable") == 0;
    }
    s->answers = rp_array_reserve(s->answers, s->answers_count, &s->answers_capacity,
                                  sizeof(struct answered));
    s->answers[s->answers_count++] = a;
}

static void keep_refusal(struct stock *s, struct ask ask, struct rp_bytes ack) {
    struct refused r = {.ask = ask, .life = s->lives_count - 1};
    struct rp_bytes code = field(field(ack, "error"), "code");
    if (code.len > 0) {
        copy_text(r.code, sizeof r.code, code);
    }
    s->refusals = rp_array_reserve(s->refusals, s->refusals_count, &s->refusals_capacity,
                                   sizeof(struct refused));
    s->refusals[s->refusals_count++] = r;
}

/* A handler answers with the event's number and its own. */
static void keep_event_answer(struct stock_manager *m, struct stock *s, struct ask ask,
                              struct rp_bytes payload) {
    struct rp_json_iter it = rp_json_iter_array(payload);
    struct rp_bytes first = {0}, second = {0};
    rp_json_iter_next(&it, NULL, &first);
    rp_json_iter_next(&it, NULL, &second);
    keep_answer(s, ask, first);
    if (rp_json_kind(first) != RP_JSON_OBJECT) {
        s->answers[s->answers_count - 1].seq = number(second);
        if (number(first) != ask.payload) {
            m->problem = "the answer to another event";
        }
    }
}

static void on_ack(struct stock_manager *m, struct stock *s, uint64_t id, struct rp_bytes payload) {
    struct rp_json_iter it = rp_json_iter_array(payload);
    struct rp_bytes ack = {0};
    rp_json_iter_next(&it, NULL, &ack);
    for (size_t i = 0; i < s->asks_count; i++) {
        if (s->asks[i].id != id) {
            continue;
        }
        struct ask ask = s->asks[i];
        s->asks[i] = s->asks[--s->asks_count];
        trace(m, s, rp_bytes_eq_str(field(ack, "ok"), "true") ? "is acked" : "is answered", id);
        if (ask.kind == ASK_EVENT) {
            keep_event_answer(m, s, ask, payload);
        } else if (rp_bytes_eq_str(field(ack, "ok"), "true")) {
            keep_answer(s, ask, ack);
        } else {
            keep_refusal(s, ask, ack);
        }
        return;
    }
    m->problem = "an ack nobody asked for";
}

bool stock_ask(struct stock *s, struct ask ask, uint64_t *ret_id) {
    if (s->asks_count == sizeof s->asks / sizeof s->asks[0]) {
        return false;
    }
    *ret_id = ask.id = s->next_ask++;
    s->asks[s->asks_count++] = ask;
    if (ask.kind == ASK_JOIN_SINCE) {
        s->history_count = 0;
    }
    return true;
}

bool stock_is_asking(const struct stock *s, enum ask_kind kind) {
    for (size_t i = 0; i < s->asks_count; i++) {
        if (s->asks[i].kind == kind) {
            return true;
        }
    }
    return false;
}

bool stock_is_pending(const struct stock *s, uint64_t id) {
    for (size_t i = 0; i < s->asks_count; i++) {
        if (s->asks[i].id == id) {
            return true;
        }
    }
    return false;
}

/* ---- packets ---- */

static uint64_t take_number(struct rp_bytes *in) {
    uint64_t value = 0;
    while (in->len > 0 && in->data[0] >= '0' && in->data[0] <= '9') {
        value = value * 10 + (uint64_t) (in->data[0] - '0');
        *in = rp_bytes_skip(*in, 1);
    }
    return value;
}

/* type [attachments "-"] [nsp ","] [id] [json] */
static void whole_packet(struct stock_manager *m, struct rp_bytes text,
                         struct rp_bytes attachments) {
    char type = (char) text.data[0];
    struct rp_bytes rest = rp_bytes_skip(text, 1);
    if (type == '5') {
        take_number(&rest);
        rest = rp_bytes_skip(rest, 1);
    }
    struct stock *s = &m->sockets[0];
    for (unsigned nsp = 1; nsp < NAMESPACES; nsp++) {
        if (rest.len >= 3 && memcmp(rest.data, stock_nsp_prefix(nsp), 3) == 0) {
            s = &m->sockets[nsp];
            rest = rp_bytes_skip(rest, 3);
            break;
        }
    }
    if (!s->subscribed) {
        return;
    }
    bool has_id = rest.len > 0 && rest.data[0] >= '0' && rest.data[0] <= '9';
    uint64_t id = has_id ? take_number(&rest) : NO_ID;
    if (type == '0') {
        on_connect(m, s, rest);
    } else if (type == '2' || type == '5') {
        on_event(m, s, id, rest, attachments);
    } else if (type == '3') {
        on_ack(m, s, id, rest);
    } else {
        on_refused(m, s, type == '4');
    }
}

void stock_text(struct stock_manager *m, struct rp_bytes text) {
    if (text.len == 0 || m->missing > 0) {
        m->problem = "a text where something else was due";
        return;
    }
    if (text.data[0] != '5') {
        whole_packet(m, text, rp_bytes(NULL, 0));
        return;
    }
    struct rp_bytes rest = rp_bytes_skip(text, 1);
    m->missing = (size_t) take_number(&rest);
    rp_buf_clear(&m->text);
    rp_buf_clear(&m->attachments);
    must(rp_buf_put(&m->text, text));
}

void stock_binary(struct stock_manager *m, struct rp_bytes data) {
    if (m->missing == 0) {
        m->problem = "an attachment of nothing";
        return;
    }
    must(rp_attachments_put(&m->attachments, data));
    if (--m->missing == 0) {
        whole_packet(m, rp_buf_bytes(&m->text), rp_buf_bytes(&m->attachments));
    }
}

void stock_closed(struct stock_manager *m) {
    trace(m, &m->sockets[0], "has no transport", 0);
    m->missing = 0;
    for (size_t i = 0; i < NAMESPACES; i++) {
        disconnected(&m->sockets[i]);
    }
}

void stock_leave(struct stock *s) {
    s->subscribed = false;
    s->farewells++;
    if (s->lives_count > 0) {
        s->lives[s->lives_count - 1].left = true;
    }
    disconnected(s);
    clear_buffered(s);
}
