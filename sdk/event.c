/* sdk/event.c — events, admissions and checks: what they say, and how they are answered. */
#include "sdk/inner.h"

#include <stdlib.h>

static const struct rp_worker_task *task_of_event(const struct reprise_event *e) {
    return (const struct rp_worker_task *) e;
}

static struct reprise_context *context_of(const struct rp_worker_task *t) {
    struct reprise_nsp *n = rp_sdk_nsp_of(t->served);
    return n != NULL ? n->context : NULL;
}

static enum reprise_err decide(struct rp_worker_task *t, const struct rp_op_decided *answer) {
    struct reprise_context *c = context_of(t);
    enum reprise_err err = rp_worker_decide(t, answer);
    if (err != REPRISE_OK) {
        return rp_sdk_fail(c, err, "it was answered before, or nobody waits for it any more");
    }
    rp_sdk_touch(c);
    return REPRISE_OK;
}

/* ---- events ---- */

const char *reprise_event_name(const struct reprise_event *e) {
    return e != NULL ? (const char *) task_of_event(e)->name.data : "";
}

size_t reprise_event_name_len(const struct reprise_event *e) {
    return e != NULL ? task_of_event(e)->name.len : 0;
}

struct reprise_value reprise_event_args(const struct reprise_event *e) {
    if (e == NULL) {
        return (struct reprise_value){{NULL, 0}, {NULL, 0}};
    }
    return rp_sdk_value(task_of_event(e)->args, task_of_event(e)->attachments);
}

size_t reprise_event_argc(const struct reprise_event *e) {
    return reprise_value_count(reprise_event_args(e));
}

struct reprise_value reprise_event_arg(const struct reprise_event *e, size_t i) {
    return reprise_value_at(reprise_event_args(e), i);
}

struct reprise_socket *reprise_event_socket(const struct reprise_event *e) {
    return e != NULL ? task_of_event(e)->socket : NULL;
}

bool reprise_event_wants_ack(const struct reprise_event *e) {
    return e != NULL && task_of_event(e)->wants_ack;
}

bool reprise_event_redelivered(const struct reprise_event *e) {
    return e != NULL && task_of_event(e)->again;
}

enum reprise_err reprise_event_ack(struct reprise_event *e, struct reprise_builder *args) {
    struct rp_worker_task *t = (struct rp_worker_task *) e;
    struct reprise_value value;
    enum reprise_err err = REPRISE_E_INVALID;
    if (t == NULL) {
        goto end;
    }
    err = rp_sdk_args(context_of(t), args, &value);
    if (err == REPRISE_OK && t->kind == RP_WORKER_TASK_SIDE && value.binary.len > 0) {
        err = rp_sdk_fail(context_of(t), REPRISE_E_INVALID,
                          "answers to other workers have no binary values");
    }
    if (err != REPRISE_OK) {
        goto end;
    }
    struct rp_op_decided answer = {.verdict = RP_OP_YES};
    if (t->wants_ack) {
        answer.args = rp_sdk_in(value.json);
        answer.attachments = rp_sdk_in(value.binary);
    }
    err = decide(t, &answer);
end:
    reprise_builder_free(args);
    return err;
}

enum reprise_err reprise_event_keep(struct reprise_event *e) {
    struct rp_worker_task *t = (struct rp_worker_task *) e;
    if (t == NULL || t->held) {
        return REPRISE_E_INVALID;
    }
    rp_worker_task_hold(t);
    return REPRISE_OK;
}

void reprise_event_done(struct reprise_event *e) {
    struct rp_worker_task *t = (struct rp_worker_task *) e;
    if (t == NULL || !t->held) {
        return;
    }
    if (!t->decided) {
        struct rp_op_decided yes = {.verdict = RP_OP_YES};
        (void) decide(t, &yes);
    }
    rp_worker_task_release(t);
}

/* ---- admissions ---- */

static const struct rp_worker_task *task_of_admission(const struct reprise_admission *a) {
    return (const struct rp_worker_task *) a;
}

enum reprise_err reprise_admission_next(struct reprise_admission *a) {
    struct rp_worker_task *t = (struct rp_worker_task *) a;
    if (t == NULL) {
        return REPRISE_E_INVALID;
    }
    struct reprise_context *c = context_of(t);
    if (c == NULL || t->decided) {
        struct rp_op_decided nothing = {0};
        return rp_worker_decide(t, &nothing); /* lets go of it, and says so */
    }
    rp_sdk_admit(t, t->step);
    rp_sdk_touch(c);
    return REPRISE_OK;
}

/* Of a text for a client: without one, or if it is not UTF-8, another. */
static struct rp_bytes text_or(const char *text, const char *otherwise) {
    struct rp_bytes bytes = rp_bytes_str(text);
    return text != NULL && rp_bytes_is_utf8(bytes) ? bytes : rp_bytes_str(otherwise);
}

enum reprise_err reprise_admission_refuse(struct reprise_admission *a, const char *message,
                                          struct reprise_builder *data) {
    struct rp_worker_task *t = (struct rp_worker_task *) a;
    struct reprise_value value = {{NULL, 0}, {NULL, 0}};
    enum reprise_err err = t != NULL ? REPRISE_OK : REPRISE_E_INVALID;
    if (t != NULL) {
        if (data != NULL) {
            err = rp_sdk_first_arg(context_of(t), data, &value);
        }
        if (value.json.len > RP_DECISION_BYTES_MAX) {
            err = rp_sdk_fail(context_of(t), REPRISE_E_FULL,
                              "the data of a refusal has %zu bytes, more than %d", value.json.len,
                              RP_DECISION_BYTES_MAX);
            value = (struct reprise_value){{NULL, 0}, {NULL, 0}};
        }
        struct rp_op_decided no = {.verdict = RP_OP_NO,
                                   .code = RP_BYTES_LIT("refused"),
                                   .message = text_or(message, "refused"),
                                   .args = rp_sdk_in(value.json)};
        enum reprise_err decided = decide(t, &no);
        err = err != REPRISE_OK ? err : decided;
    }
    reprise_builder_free(data);
    return err;
}

const char *reprise_admission_sid(const struct reprise_admission *a) {
    return a != NULL ? (const char *) task_of_admission(a)->sid.data : "";
}

const char *reprise_admission_nsp_name(const struct reprise_admission *a) {
    return a != NULL ? (const char *) task_of_admission(a)->nsp.data : "";
}

struct reprise_nsp *reprise_admission_nsp(const struct reprise_admission *a) {
    return a != NULL ? rp_sdk_nsp_of(task_of_admission(a)->served) : NULL;
}

bool reprise_admission_recovers(const struct reprise_admission *a) {
    return a != NULL && task_of_admission(a)->session != 0;
}

struct reprise_value reprise_admission_handshake(const struct reprise_admission *a) {
    if (a == NULL) {
        return (struct reprise_value){{NULL, 0}, {NULL, 0}};
    }
    return rp_sdk_value(task_of_admission(a)->args, rp_bytes(NULL, 0));
}

/* ---- checks ---- */

static const struct rp_worker_task *task_of_check(const struct reprise_check *k) {
    return (const struct rp_worker_task *) k;
}

enum reprise_room_event reprise_check_what(const struct reprise_check *k) {
    return k != NULL ? (enum reprise_room_event) task_of_check(k)->what
                     : (enum reprise_room_event) 0;
}

const char *reprise_check_room(const struct reprise_check *k) {
    return k != NULL ? (const char *) task_of_check(k)->room.data : "";
}

const char *reprise_check_name(const struct reprise_check *k) {
    return k != NULL ? (const char *) task_of_check(k)->name.data : "";
}

struct reprise_value reprise_check_args(const struct reprise_check *k) {
    if (k == NULL) {
        return (struct reprise_value){{NULL, 0}, {NULL, 0}};
    }
    return rp_sdk_value(task_of_check(k)->args, rp_bytes(NULL, 0));
}

struct reprise_socket *reprise_check_socket(const struct reprise_check *k) {
    return k != NULL ? task_of_check(k)->socket : NULL;
}

enum reprise_err reprise_check_allow(struct reprise_check *k) {
    struct rp_op_decided yes = {.verdict = RP_OP_YES};
    return k != NULL ? decide((struct rp_worker_task *) k, &yes) : REPRISE_E_INVALID;
}

enum reprise_err reprise_check_deny(struct reprise_check *k, const char *code,
                                    const char *message) {
    struct rp_op_decided no = {.verdict = RP_OP_NO,
                               .code = text_or(code, "forbidden"),
                               .message = text_or(message, "not allowed")};
    return k != NULL ? decide((struct rp_worker_task *) k, &no) : REPRISE_E_INVALID;
}
