#include "tests/sim/stock.h"

#include "common/alloc.h"
#include "common/assert.h"
#include "proto/json.h"

#include <stdio.h>
#include <stdlib.h>

void stock_done(struct stock *s) {
    for (size_t i = 0; i < s->lives_count; i++) {
        free(s->lives[i].events);
    }
    for (size_t i = 0; i < s->answers_count; i++) {
        free(s->answers[i].history);
    }
    for (size_t i = 0; i < s->buffered; i++) {
        free(s->receive_buffer[i]);
    }
    free(s->receive_buffer);
    free(s->lives);
    free(s->answers);
    free(s->history);
}

void stock_connect_packet(const struct stock *s, struct rp_buf *out) {
    enum rp_err err;
    if (s->pid[0] == '\0') {
        err = rp_buf_put_str(out, "40");
    } else if (s->offset[0] == '\0') {
        err = rp_buf_printf(out, "40{\"pid\":\"%s\"}", s->pid);
    } else {
        err = rp_buf_printf(out, "40{\"pid\":\"%s\",\"offset\":\"%s\"}", s->pid, s->offset);
    }
    RP_ASSERT(err == RP_OK);
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

/* emitEvent of the client: the listeners run, then the last argument may be an offset. */
static void emit_event(struct stock *s, struct rp_bytes payload) {
    struct rp_json_iter it = rp_json_iter_array(payload);
    struct rp_bytes name = {0}, first = {0}, last = {0}, arg;
    rp_json_iter_next(&it, NULL, &name);
    rp_json_iter_next(&it, NULL, &first);
    last = first;
    while (rp_json_iter_next(&it, NULL, &arg)) {
        last = arg;
    }
    struct seen_event event = {.payload = number(first),
                               .is_volatile = rp_bytes_eq_str(name, "\"v\"")};
    if (rp_json_kind(last) != RP_JSON_STRING) {
        s->problem = "an event without offset";
        return;
    }
    char offset[96];
    copy_text(offset, sizeof offset, last);
    const char *dot = strchr(offset, '.');
    event.is_history = dot != NULL;
    event.seq = strtoull(dot != NULL ? dot + 1 : offset, NULL, 10);
    see(s, event);
    if (s->pid[0] != '\0') {
        memcpy(s->offset, offset, sizeof offset);
    }
}

static void on_event(struct stock *s, struct rp_bytes payload) {
    if (s->connected) {
        emit_event(s, payload);
        return;
    }
    s->receive_buffer =
        rp_array_reserve(s->receive_buffer, s->buffered, &s->buffer_capacity, sizeof(char *));
    char *copy = rp_alloc(payload.len + 1);
    memcpy(copy, payload.data, payload.len);
    s->receive_buffer[s->buffered++] = copy;
}

static void on_connect(struct stock *s, struct rp_bytes payload) {
    char pid[64], sid[32];
    copy_text(pid, sizeof pid, field(payload, "pid"));
    copy_text(sid, sizeof sid, field(payload, "sid"));
    bool recovered = s->pid[0] != '\0' && strcmp(pid, s->pid) == 0;
    if (recovered && strcmp(sid, s->sid) != 0) {
        s->problem = "recovered under another sid";
    }
    s->recovered += recovered;
    s->not_recovered += !recovered && s->pid[0] != '\0';
    memcpy(s->pid, pid, sizeof pid);
    memcpy(s->sid, sid, sizeof sid);
    s->connected = true;
    if (!recovered) {
        s->lives =
            rp_array_reserve(s->lives, s->lives_count, &s->lives_capacity, sizeof(struct life));
        struct life life = {0};
        memcpy(life.sid, sid, sizeof sid);
        s->lives[s->lives_count++] = life;
    }
    for (size_t i = 0; i < s->buffered; i++) {
        emit_event(s, rp_bytes_str(s->receive_buffer[i]));
        free(s->receive_buffer[i]);
    }
    s->buffered = 0;
}

/* ---- acks ---- */

static void keep_answer(struct stock *s, struct ask ask, struct rp_bytes ack) {
    struct answered a = {.ask = ask,
                         .seq = number(field(ack, "seq")),
                         .replayed = number(field(ack, "replayed")),
                         .truncated = rp_bytes_eq_str(field(ack, "truncated"), "true"),
                         .life = s->lives_count - 1,
                         .events_before = s->lives[s->lives_count - 1].events_count};
    if (ask.kind == ASK_JOIN_SINCE) {
        a.history_count = s->history_count;
        a.history = rp_alloc(s->history_count * sizeof(uint64_t));
        if (s->history_count > 0) {
            memcpy(a.history, s->history, s->history_count * sizeof(uint64_t));
        }
        s->history_count = 0;
    }
    s->answers = rp_array_reserve(s->answers, s->answers_count, &s->answers_capacity,
                                  sizeof(struct answered));
    s->answers[s->answers_count++] = a;
}

static void on_ack(struct stock *s, uint64_t id, struct rp_bytes payload) {
    struct rp_json_iter it = rp_json_iter_array(payload);
    struct rp_bytes ack = {0};
    rp_json_iter_next(&it, NULL, &ack);
    for (size_t i = 0; i < s->asks_count; i++) {
        if (s->asks[i].id != id) {
            continue;
        }
        struct ask ask = s->asks[i];
        s->asks[i] = s->asks[--s->asks_count];
        if (rp_bytes_eq_str(field(ack, "ok"), "true")) {
            keep_answer(s, ask, ack);
        } else {
            s->refused++;
        }
        return;
    }
    s->problem = "an ack nobody asked for";
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

/* ---- packets ---- */

void stock_packet(struct stock *s, struct rp_bytes text, struct rp_buf *out) {
    RP_ASSERT(text.len > 0);
    if (text.data[0] == '2') {
        enum rp_err err = rp_buf_put_str(out, "3");
        RP_ASSERT(err == RP_OK);
    }
    if (text.data[0] != '4' || text.len < 2) {
        return;
    }
    struct rp_bytes rest = rp_bytes_skip(text, 2);
    uint64_t id = 0;
    while (rest.len > 0 && rest.data[0] >= '0' && rest.data[0] <= '9') {
        id = id * 10 + (uint64_t) (rest.data[0] - '0');
        rest = rp_bytes_skip(rest, 1);
    }
    switch (text.data[1]) {
    case '0':
        on_connect(s, rest);
        break;
    case '2':
        on_event(s, rest);
        break;
    case '3':
        on_ack(s, id, rest);
        break;
    default:
        s->problem = "a packet that ends the stock client's reconnection";
        break;
    }
}

void stock_closed(struct stock *s) {
    s->connected = false;
    s->asks_count = 0;
    s->history_count = 0;
}
