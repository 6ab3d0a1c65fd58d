/* sdk/worker_state.h — what the files of the worker's core share. Not for anybody else.
 *
 *     worker.c           creation, what is served, the turn, which happening is next
 *     worker_link.c      the link: HELLO, resume, what the broker sends
 *     worker_socket.c    sockets: SOCKET, LEFT, RELEASE, MEMBER, VERDICT; their rooms and data
 *     worker_task.c      what it is asked: ADMIT, INVOKE, CHECK, SIDE_EVENT; answers kept
 *     worker_request.c   numbered requests, kept until they are answered
 *     worker_wait.c      what somebody waits for: acks, pages, other workers; deadlines
 *
 * `seen` is the position in the log up to which everything the broker has for this worker has
 * arrived; it is said in HELLO and heartbeats, and the broker goes on from it. */
#pragma once

#include "common/limits.h"
#include "proto/link.h"
#include "sdk/worker.h"

enum rp_worker_link_state { RP_WORKER_DOWN, RP_WORKER_OPENING, RP_WORKER_UP };

/* A request that is not answered. */
struct rp_worker_request {
    struct rp_list node; /* in w->requests, by num */
    struct rp_map_node by_num;
    uint64_t num, session;
    enum rp_op_kind kind;
    bool is_volatile, sent;
    size_t len;
    uint8_t encoded[];
};

/* Gateways whose tasks have answers that are kept. */
struct rp_worker_origin {
    struct rp_map_node by_id;
    uint64_t id;
    struct rp_list answers; /* struct rp_worker_answer.origin_node, in the order they were given */
};

struct rp_worker_answer {
    struct rp_map_node by_name;
    struct rp_list node; /* in w->answers, the oldest first */
    struct rp_list origin_node;
    struct rp_worker_origin *origin;
    uint64_t num;
    uint64_t behind; /* requests with lower numbers go onto the link before it */
    bool queued;     /* it is among w->unsent_answer and those after it */
    size_t len;
    uint8_t encoded[];
};

struct rp_worker {
    struct rp_worker_config config;
    struct rp_hash_key hash_key;
    uint64_t now_ms;
    uint64_t incarnation;
    struct rp_op_reader *reader, *own_reader;

    /* the link */
    enum rp_worker_link_state link_state;
    struct rp_link link;
    bool link_close; /* the shell is to close its socket */
    bool relink;     /* what is served has changed */
    bool ready;      /* SERVED came on this link */
    bool leaving;    /* BYE was said, or would have been */
    bool parted;
    uint64_t link_number;
    uint64_t retry_at_ms;
    uint64_t heard_ms; /* when the link before was heard last */
    uint8_t epoch[RP_EPOCH_BYTES_MAX];
    size_t epoch_len;
    uint64_t seen;
    char notice[256];

    /* the message in hand */
    struct rp_bytes in;
    size_t in_len; /* all of it; 0: there is none */
    bool again;    /* its last operation is to be looked at once more */

    /* what is to be told */
    bool told_link, told_ready;
    struct rp_list doomed;                 /* sockets that are lost */
    struct rp_list ended;                  /* waits */
    struct rp_worker_task *current_task;   /* given out; let go of at the next call */
    struct reprise_socket *current_socket; /* a reference */
    struct rp_worker_wait *current_wait;   /* to be freed */
    struct rp_buf failed_text;             /* of the happening FAILED */

    struct rp_list served; /* struct rp_worker_served */
    size_t served_count;

    struct rp_map sockets, by_conn;
    struct rp_list sockets_list;
    struct rp_list gone; /* sockets that somebody still refers to */

    struct rp_map tasks;
    struct rp_list tasks_list; /* undecided ones, and those held */
    size_t undecided_count;
    struct rp_map answers_by_name, origins;
    struct rp_list answers;
    struct rp_list *unsent_answer; /* the first that waits for requests; the list's head if none */
    bool dropped_unsent;           /* one that did, on this link, for there were too many */

    struct rp_list requests;
    struct rp_list *unsent; /* the first that is not on this link; the list's head if none */
    struct rp_map by_num;
    uint64_t next_num;
    struct rp_buf scratch;

    struct rp_map waits, waits_by_session;
    struct rp_worker_wait **heap; /* those with a deadline */
    size_t heap_count, heap_capacity;

    struct rp_worker_stats stats;
};

/* worker.c */
/* What serves a pattern by its own text, or a namespace. */
struct rp_worker_served *rp_worker_served_as(const struct rp_worker *w, struct rp_bytes name);

/* worker_link.c */
void rp_worker_link_down(struct rp_worker *w, const char *why);
void rp_worker_link_turn(struct rp_worker *w);
uint64_t rp_worker_link_deadline_ms(const struct rp_worker *w);
void rp_worker_raise_seen(struct rp_worker *w, uint64_t seq);
/* Deals with one operation; true if something happened that the caller hears of. */
bool rp_worker_operation(struct rp_worker *w, const struct rp_op *op,
                         struct rp_worker_happening *ret);

/* worker_task.c, more below */
/* Puts those answers on the link whose requests are there. */
void rp_worker_answers_send(struct rp_worker *w);
/* None waits for its turn on the link, nor was dropped while it did. */
bool rp_worker_answers_are_sent(const struct rp_worker *w);
/* None waits any more: tasks will be asked again. */
void rp_worker_answers_link_lost(struct rp_worker *w);

/* worker_socket.c */
bool rp_worker_got_socket(struct rp_worker *w, const struct rp_op_socket *op,
                          struct rp_worker_happening *ret);
bool rp_worker_got_left(struct rp_worker *w, const struct rp_op_left *op,
                        struct rp_worker_happening *ret);
bool rp_worker_got_release(struct rp_worker *w, uint64_t session, struct rp_worker_happening *ret);
void rp_worker_got_member(struct rp_worker *w, const struct rp_op_member *op);
bool rp_worker_got_verdict(struct rp_worker *w, const struct rp_op_verdict *op,
                           struct rp_worker_happening *ret);
/* All of them are lost: they are doomed, one happening each. */
void rp_worker_doom_sockets(struct rp_worker *w);
bool rp_worker_next_doomed(struct rp_worker *w, struct rp_worker_happening *ret);
/* Data it asked for are the session's: it may have come back to this worker since. */
void rp_worker_data_done(struct rp_worker *w, const struct rp_op_data *op);
/* It was not moved after all. */
void rp_worker_unmove(struct rp_worker *w, const struct rp_op_move *op, uint64_t session);
void rp_worker_list_sockets(struct rp_worker *w, uint64_t *ret_count); /* SESSION for each */
void rp_worker_sockets_done(struct rp_worker *w);

/* worker_task.c */
bool rp_worker_got_admit(struct rp_worker *w, const struct rp_op_admit *op,
                         struct rp_worker_happening *ret);
bool rp_worker_got_invoke(struct rp_worker *w, const struct rp_op_invoke *op,
                          struct rp_worker_happening *ret);
bool rp_worker_got_check(struct rp_worker *w, const struct rp_op_check *op,
                         struct rp_worker_happening *ret);
bool rp_worker_got_side_event(struct rp_worker *w, const struct rp_op_side_event *op,
                              struct rp_worker_happening *ret);
/* The caller has had its turn with the task given out last. */
void rp_worker_task_settle(struct rp_worker_task *t);
/* None of them can be answered any more. */
void rp_worker_detach_tasks(struct rp_worker *w);
void rp_worker_tasks_done(struct rp_worker *w);

/* worker_request.c */
struct rp_worker_request *rp_worker_request_find(const struct rp_worker *w, uint64_t num);
void rp_worker_request_free(struct rp_worker *w, struct rp_worker_request *r);
void rp_worker_request_send(struct rp_worker *w);
void rp_worker_request_resend(struct rp_worker *w); /* what was sent on an earlier link */
void rp_worker_request_link_lost(struct rp_worker *w);
void rp_worker_request_lose_all(struct rp_worker *w);
uint64_t rp_worker_request_lowest(const struct rp_worker *w);
bool rp_worker_got_done(struct rp_worker *w, const struct rp_op_done *op,
                        struct rp_worker_happening *ret);
bool rp_worker_got_failed(struct rp_worker *w, const struct rp_op_failed *op,
                          struct rp_worker_happening *ret);
bool rp_worker_got_result(struct rp_worker *w, const struct rp_op_result *op,
                          struct rp_worker_happening *ret);
/* A request of a wait that there is already: its next page. */
enum reprise_err rp_worker_request_add(struct rp_worker *w, struct rp_op *op, bool is_volatile,
                                       uint64_t session);

/* worker_wait.c */
struct rp_worker_wait *rp_worker_wait_add(struct rp_worker *w, const struct rp_op *op,
                                          const struct rp_worker_ask *ask);
struct rp_worker_wait *rp_worker_wait_find(const struct rp_worker *w, uint64_t num);
void rp_worker_wait_renumber(struct rp_worker *w, struct rp_worker_wait *wait, uint64_t num);
/* Nothing more comes of it: it is told with ENDED. Does nothing to one that has ended. */
void rp_worker_wait_end(struct rp_worker *w, struct rp_worker_wait *wait, enum reprise_err err);
void rp_worker_wait_free(struct rp_worker *w, struct rp_worker_wait *wait);
/* Its request is done. */
void rp_worker_wait_done(struct rp_worker *w, struct rp_worker_wait *wait, uint64_t seq,
                         uint64_t expected);
void rp_worker_wait_session_ended(struct rp_worker *w, uint64_t session);
/* Its session is another worker's, or has ended, and this one may not have been told: it gets a
 * deadline if it has none. */
void rp_worker_wait_elsewhere(struct rp_worker *w, struct rp_worker_wait *wait);
void rp_worker_wait_session_elsewhere(struct rp_worker *w, uint64_t session);
bool rp_worker_got_ack(struct rp_worker *w, const struct rp_op_got_ack *op,
                       struct rp_worker_happening *ret);
bool rp_worker_got_side_answered(struct rp_worker *w, const struct rp_op_side_answered *op,
                                 struct rp_worker_happening *ret);
void rp_worker_wait_expire(struct rp_worker *w); /* those whose time is over */
uint64_t rp_worker_wait_deadline_ms(const struct rp_worker *w);
bool rp_worker_next_ended(struct rp_worker *w, struct rp_worker_happening *ret);
void rp_worker_waits_done(struct rp_worker *w);
