/* tests/worker — an app worker that does what tests tell it, so that each function of libreprise
 * can be exercised from JavaScript. Clients emit do({op, …}) and get {err, …} as the ack: op.c has
 * a row for each op. What its handlers see it reports as lines of JSON on standard output, which
 * are there even if it is killed in the next moment. It uses the public headers only. */
#ifndef TEST_WORKER_H
#define TEST_WORKER_H

#include <reprise.h>

enum { WORKER_TEXT_SIZE = 300 }; /* rooms, names, ids */

/* Writes the first value of the list as one line; takes it. */
void worker_report(struct reprise_builder *b);
/* "OK", "GONE", …: the name of the error. */
const char *worker_err(enum reprise_err err);

/* What is absent as null: a builder takes no absent value. */
struct reprise_value worker_or_null(struct reprise_value v);

/* The handler of `do`. */
void worker_do(struct reprise_socket *s, struct reprise_event *e, void *user);
/* Keeps the event until the end, as a worker does that is stuck with it. */
void worker_never_answer(struct reprise_event *e);
/* Calls fn(arg) on the owning thread after some time, from another thread. */
void worker_later(struct reprise_context *c, unsigned ms, reprise_post_fn *fn, void *arg);

#endif
