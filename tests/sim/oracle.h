/* tests/sim/oracle.h — decides what is right, from what was promised (broker/GUARANTEES.md), the
 * log, and what clients and workers were told; by simpler models than the code under test.
 *
 *     oracle.c            lives: every event that a session should get, in order, once; the log
 *     oracle_answers.c    what clients were answered
 *     oracle_recovery.c   who was recovered, and who was not
 *     oracle_bounds.c     memory at any time; what is left at rest
 *     oracle_app.c        app namespaces
 *     oracle_log.c        what the log says, for all of them
 *
 * Each log from one epoch to the next is judged by itself: world->now is the one in question. A
 * check returns NULL, or what is wrong, which is valid until the next one. */
#pragma once

#include "proto/offset.h"
#include "tests/sim/world.h"

/* ---- oracle.c ---- */

/* Checks everything the clients saw against the log; the world has come to rest. */
const char *oracle_check(const struct world *w);

/* ---- oracle_answers.c ---- */

const char *oracle_check_answer(const struct world *w, unsigned client, const struct stock *s,
                                const struct answered *a);
/* What was refused is in no log. */
const char *oracle_check_refusal(const struct world *w, unsigned client, const struct refused *r);
/* Adds what clients were told. */
void oracle_count(const struct world *w, struct tally *t);

/* ---- oracle_recovery.c ---- */

const char *oracle_check_comeback(const struct world *w, unsigned client, const struct stock *s,
                                  const struct comeback *c);
void oracle_count_comebacks(const struct world *w, const struct stock *s, struct tally *t);

/* ---- oracle_bounds.c ---- */

/* What must hold at any time. */
const char *oracle_watch(const struct world *w);
/* Whether gateways and broker have exactly what there is of clients. It may take a few steps until
 * what is under way just now is done. */
const char *oracle_check_rest(const struct world *w);

/* A gateway has stopped, and says that the broker has heard of the end of all it had. */
const char *oracle_check_drained(const struct world *w, uint64_t incarnation);

/* ---- oracle_app.c ---- */

const char *oracle_app_check(const struct world *w);
const char *oracle_app_check_rest(const struct world *w);
/* Whether the log has ended this session, of any namespace. */
bool oracle_app_has_ended(const struct world *w, uint64_t session);

/* ---- oracle_log.c ---- */

const char *oracle_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Of an event: the number that it carries. */
uint64_t log_payload(const struct rp_record *r);
/* Of "r3": 3. */
unsigned log_room(const struct rp_record *r);
unsigned log_nsp(const struct rp_record *r);
/* An event that its own publisher is not to get. */
bool log_is_own_without_echo(const struct rp_record *r, uint64_t session);
/* NULL: none has this seq; *ret_at is where it would be. */
const struct rp_record *log_find(const struct world *w, uint64_t seq, size_t *ret_at);
/* The session with this sid; 0: none. */
uint64_t log_session(const struct world *w, const char *sid);
/* Since when the session is away, by the records before one; 0: it is not. */
uint64_t log_closed_ms(const struct world *w, uint64_t session, size_t before);
/* The newest seq of the first so many records. */
uint64_t log_head(const struct world *w, size_t logged);
/* The newest event that a room had lost when the log had so many records … */
uint64_t log_border(const struct world *w, struct rp_bytes nsp, struct rp_bytes room,
                    size_t logged);
/* … and by the first so many moves of borders, in an rN: those that the broker knew of if the log
 * began with `first` for it (UINT64_MAX: all). What it does not know of it may still have. */
uint64_t log_border_at(const struct world *w, unsigned nsp, unsigned room, size_t borders,
                       uint64_t first);
/* Whether it ever was. */
bool log_was_member(const struct world *w, uint64_t session, unsigned room);
