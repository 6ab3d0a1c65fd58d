/* tests/sim/tally.h — what happened in schedules, counted, so that a kind of thing that never does
 * is seen: a fault that is not injected finds nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* ITEM(field, what it counts), and RARE for what need not happen in the hundreds of schedules of a
 * short run. GROUP begins a line of the print. */
#define TALLY(GROUP, ITEM, RARE)                                                                   \
    GROUP("clients")                                                                               \
    ITEM(polls, "polls")                                                                           \
    ITEM(relays, "relays")                                                                         \
    ITEM(relays_failed, "relays that failed")                                                      \
    ITEM(upgrades, "upgrades")                                                                     \
    ITEM(upgrades_failed, "upgrades that failed")                                                  \
    ITEM(frozen, "clients frozen by one")                                                          \
    ITEM(pauses, "pauses")                                                                         \
    ITEM(lagged, "clients that lagged")                                                            \
    ITEM(binary, "binary events seen")                                                             \
    ITEM(second, "events seen in the second namespace")                                            \
    ITEM(left, "times it was left alone")                                                          \
    ITEM(volatiles_seen, "volatile events seen")                                                   \
    GROUP("recovery")                                                                              \
    ITEM(recovered, "recovered")                                                                   \
    ITEM(not_recovered, "not recovered")                                                           \
    ITEM(lost_to_borders, "of them for what retention took")                                       \
    ITEM(takeovers, "takeovers")                                                                   \
    ITEM(across_restarts, "replays across a restart")                                              \
    ITEM(replay_pages, "pages replayed")                                                           \
    ITEM(reads, "reads of the log")                                                                \
    ITEM(shared, "pages shared")                                                                   \
    ITEM(shared_evictions, "pushed out")                                                           \
    ITEM(evicted, "evicted")                                                                       \
    ITEM(expired, "sessions expired")                                                              \
    ITEM(forgotten, "rooms forgotten")                                                             \
    GROUP("answers")                                                                               \
    ITEM(publishes, "publishes acked")                                                             \
    ITEM(duplicates, "duplicates")                                                                 \
    ITEM(duplicates_across_restarts, "duplicates across a restart")                                \
    ITEM(refused_io, "publishes refused by the disk")                                              \
    ITEM(refused_space, "for want of space")                                                       \
    ITEM(joins, "joins with history")                                                              \
    ITEM(joins_truncated, "truncated")                                                             \
    ITEM(histories, "histories")                                                                   \
    ITEM(histories_truncated, "truncated")                                                         \
    ITEM(presences, "presences")                                                                   \
    GROUP("links")                                                                                 \
    ITEM(links_behind, "links behind: their credit was used up")                                   \
    ITEM(links_reset, "links reset")                                                               \
    ITEM(gateways_gone, "gateways given up")                                                       \
    ITEM(requests_resent, "requests sent again")                                                   \
    GROUP("faults")                                                                                \
    ITEM(cuts, "connections cut")                                                                  \
    ITEM(cuts_unnoticed, "unnoticed")                                                              \
    ITEM(stalls, "clients that stopped reading")                                                   \
    ITEM(link_cuts, "links cut")                                                                   \
    ITEM(partitions, "partitions")                                                                 \
    ITEM(partitions_one_way, "in one direction")                                                   \
    ITEM(gateway_kills, "gateways killed")                                                         \
    ITEM(gateway_stops, "stopped")                                                                 \
    ITEM(gateways_left, "goodbyes of theirs heard")                                                \
    ITEM(gateways_drained, "drained by then")                                                      \
    ITEM(gateway_hangs, "hung")                                                                    \
    ITEM(broker_kills, "brokers killed")                                                           \
    ITEM(untold, "with durable records that nobody was told of")                                   \
    ITEM(mid_trim, "in the middle of a round of retention")                                        \
    ITEM(broker_stops, "stopped")                                                                  \
    RARE(stops_hasty, "before all was decided")                                                    \
    ITEM(goodbyes, "goodbyes")                                                                     \
    ITEM(broker_hangs, "hung")                                                                     \
    ITEM(fatal_stops, "stopped by their log")                                                      \
    ITEM(refusals, "times the disk refused")                                                       \
    ITEM(slow_disks, "times it took long")                                                         \
    ITEM(sleeps, "times all slept")                                                                \
    ITEM(clock_forward, "jumps of the clock forward")                                              \
    ITEM(clock_back, "back")                                                                       \
    GROUP("log")                                                                                   \
    ITEM(borders, "borders moved")                                                                 \
    ITEM(beginnings, "rounds that cut the beginning")                                              \
    ITEM(copies, "copies made")                                                                    \
    ITEM(epochs, "new epochs")                                                                     \
    GROUP("app workers")                                                                           \
    ITEM(handled, "events handled")                                                                \
    ITEM(again, "again")                                                                           \
    ITEM(deferred, "answered later")                                                               \
    ITEM(worker_lost, "refused for a lost worker")                                                 \
    RARE(unavailable, "refused for want of one")                                                   \
    ITEM(tasks_repeated, "answers repeated")                                                       \
    ITEM(rejected, "clients not admitted")                                                         \
    ITEM(admissions_refused, "admissions refused")                                                 \
    ITEM(emits_stored, "emits stored")                                                             \
    ITEM(emits_failed, "failed")                                                                   \
    ITEM(volatiles, "volatile ones")                                                               \
    ITEM(acks_heard, "acks heard")                                                                 \
    ITEM(answers_twice, "given twice")                                                             \
    ITEM(acks_ignored, "ignored")                                                                  \
    ITEM(replayed_again, "owed events replayed")                                                   \
    ITEM(adopted, "sockets adopted")                                                               \
    ITEM(sockets_recovered, "recovered")                                                           \
    ITEM(released, "moved to even out")                                                            \
    ITEM(kicks, "kicked")                                                                          \
    ITEM(kicked, "disconnects heard")                                                              \
    ITEM(told_expired, "workers told of an expired session")                                       \
    ITEM(fetched, "pages fetched")                                                                 \
    ITEM(sides, "events between workers")                                                          \
    ITEM(worker_kills, "workers killed")                                                           \
    ITEM(hangs, "hung")                                                                            \
    ITEM(isolations, "cut off")                                                                    \
    ITEM(byes, "leaving")                                                                          \
    ITEM(parted, "parted")                                                                         \
    ITEM(workers_lost, "given up")                                                                 \
    RARE(sockets_moved, "sockets moved")                                                           \
    RARE(disowned, "tasks disowned")                                                               \
    RARE(resets, "reset")

struct tally {
#define TALLY_NOTHING(name)
#define TALLY_FIELD(field, name) uint64_t field;
    TALLY(TALLY_NOTHING, TALLY_FIELD, TALLY_FIELD)
#undef TALLY_NOTHING
#undef TALLY_FIELD
};

void tally_add(struct tally *to, const struct tally *from);
/* Prints all of it. NULL, or what never happened though it must have in so many schedules. */
const char *tally_print(const struct tally *t);
