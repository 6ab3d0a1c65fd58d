/* common/limits.h — every bound of the system, with its unit, its reason and what happens when it
 * is reached. There is no "0 means unlimited". Names end in what they bound; sizes are bytes unless
 * they say otherwise. */
#pragma once

#include <stdint.h>

/* ---- names and arguments (a client that passes one gets an error in its ack) ---- */
enum {
    RP_ROOM_BYTES_MAX = 255,             /* a room's name; bad_room */
    RP_EVENT_BYTES_MAX = 255,            /* an event's name; bad_event */
    RP_ID_BYTES_MAX = 128,               /* a publish id; bad_id */
    RP_OFFSET_BYTES_MAX = 64,            /* an offset string; a longer one is malformed */
    RP_EPOCH_BYTES_MAX = 16,             /* a log's epoch; a longer one is no epoch */
    RP_SID_CHARS = 20,                   /* of the ids that gateways draw for sessions */
    RP_SID_BYTES_MAX = 24,               /* a session's id; a longer one is refused */
    RP_EIO_SID_BYTES_MAX = 31,           /* a transport's: holder and secret; a longer one is
                                            unknown */
    RP_SITE_ORIGIN_BYTES_MAX = 255,      /* an Origin header; a longer one is not allowed */
    RP_REASON_BYTES_MAX = 64,            /* why a connection ended; a CLOSE with a longer one is
                                            ignored */
    RP_FAILURE_CODE_BYTES_MAX = 64,      /* of an answer that says no; the rest is cut off */
    RP_FAILURE_MESSAGE_BYTES_MAX = 1024, /* the same, what it says to people */
};

/* ---- one session ---- */
enum {
    RP_SESSION_ROOMS_MAX = 1000, /* rooms a session is in at once; too_many_rooms */
    RP_SESSION_INTERVALS_MAX =
        4000, /* left rooms remembered for recovery; the oldest half is forgotten, and an
                 offset from before that is too old: recovered false */
    RP_HISTORY_EVENTS_MAX = 1000,    /* default and maximum of `limit` in history and join since */
    RP_HISTORY_BYTES_MAX = 1 << 20,  /* events of one history answer, attachments in base64; `more`
                                        is true then. One event is told, however large */
    RP_PRESENCE_MEMBERS_MAX = 10000, /* members in one presence answer; `more` is true then */
};

/* ---- replay ---- */
enum {
    RP_PAGE_BYTES =
        64 << 10, /* events sent to a session that catches up before it says they were written */
    RP_PAGE_EVENTS = 512,      /* the same, in events */
    RP_OWED_READ_EVENTS = 64,  /* old events without an ack that one read asks for; then the next */
    RP_OWED_READ_SPANS = 1024, /* the same, in places (event and room) where it looks; the last
                                  event of a read may pass it */
    RP_SHARE_BYTES = 32 << 20, /* pages of rooms' older events that sessions share; the longest
                                  unused is given up, and who needs more waits */
    RP_SHARE_ROOMS_MAX = 16,   /* rooms of a session that are read in such pages; one with more
                                  reads them all at once, for itself */
    RP_SHARE_ALIGN = 16384, /* a page begins at a multiple of this, in seqs, so that sessions with
                               other positions share it */
    RP_SHARE_SESSIONS_MIN = 4, /* in fewer memberships of a room it is read from where it is needed
                                */
    RP_READS_MAX = 64, /* reads of old events under way in the engine; a cursor waits its turn */
    RP_TAIL_RECORDS =
        131072, /* newest records kept in memory; older ones are read from the engine. A gateway
                   that missed more than the tail holds is reset: its clients recover one by one */
    RP_TAIL_BYTES = 128 << 20, /* the same, in bytes */
};

/* ---- the links between processes ---- */
enum {
    RP_LINK_CREDIT_BYTES =
        16 << 20, /* sent and not yet dealt with, per direction: a broker that has used it up lets
                     the link catch up from the log later, a gateway stops reading clients */
    RP_LINK_MESSAGE_BYTES_MAX =
        64 << 20, /* one ZeroMQ message (a batch and one more operation); a larger one is never
                     sent, and ends the link when received */
    RP_PAYLOAD_BYTES_MAX =
        16 << 20, /* the largest --max-payload, so that one operation always fits a message */
    RP_RELAY_SID_BYTES_MAX = 64, /* the sid a relay between gateways names; one with a longer sid is
                                    refused */
    RP_LINK_BATCH_BYTES =
        256 << 10, /* operations gathered into one message before the next is begun */
    RP_LINK_REQUESTS_BYTES_MAX =
        16 << 20, /* unanswered requests a gateway keeps; clients are not read meanwhile */
    RP_LINK_REQUESTS_MAX = 200000,  /* the same, in requests */
    RP_EVENTS_BYTES_MAX = 32 << 20, /* unanswered events for app workers a gateway keeps; a further
                                       one is refused (unavailable). From the two bounds above on,
                                       clients that have one are not read */
    RP_EVENTS_MAX = 400000,         /* the same, in events */
    RP_CONNECTS_BYTES_MAX = 32 << 20, /* unanswered CONNECTs a gateway keeps; whoever sends a
                                         further one is closed (1013). From the two bounds above on,
                                         clients that are nowhere connected are not read */
    RP_LINK_HEARTBEAT_MS = 1000,      /* silence after which a heartbeat is sent */
    RP_LINK_ENDED_UNTOLD_MAX = 1024,  /* answered requests after which a gateway sends one, so that
                                         broker and workers need not keep their answers */
    RP_LINK_TIMEOUT_MS = 5000,        /* silence after which a link is lost */
    RP_LINK_BYE_MS = 500,             /* for a goodbye to be taken by the broker's machine */
    RP_LINK_END_MS = 1500,     /* for all of the link to end, with its goodbye; a name that is
                                  being looked up would hold it longer, and is left behind */
    RP_LINK_CONNECT_MS = 1000, /* until its connection is there; another is tried then. Nobody tells
                                  of a name that is not known, or a machine that is off. Twice as
                                  long each time it is in vain, … */
    RP_LINK_CONNECT_DOUBLINGS = 2, /* … so often: a name service that hangs holds each try longer */
};

/* ---- keys of the links ---- */
enum {
    RP_CURVE_FILE_BYTES_MAX = 16 << 10, /* a file with one process's keys; it is refused */
    RP_ALLOW_KEYS_MAX = 4096, /* keys of --allow: a few for each of RP_PEERS_MAX, while they are
                                 changed; the list is refused, one from before stays */
    RP_ALLOW_FILE_BYTES_MAX = 1 << 20, /* the same, in bytes of the file */
    RP_ALLOW_NAME_BYTES_MAX = 64,      /* the name of a key; the list is refused */
};

/* ---- one client connection of a gateway ---- */
enum {
    RP_CLIENT_REQUESTS_BYTES_MAX =
        4 << 20,                   /* unanswered requests of one client; it is not read meanwhile */
    RP_CLIENT_REQUESTS_MAX = 4096, /* the same, in requests */
    RP_CLIENT_QUEUE_BYTES = 1 << 20, /* unsent output past which a client stops being live and
                                        catches up from the log once it has drained */
    RP_CLIENT_QUEUE_BYTES_MAX =
        8 << 20,                   /* unsent output of any kind past which it is closed (1013) */
    RP_QUEUES_BYTES_MAX = 1 << 30, /* unsent output of all clients of a gateway, in memory; the
                                      fuller, the less of it may be one client's: an eighth of what
                                      is left. Past it those with most are closed (1013). Less with
                                      --memory-budget, as the other bounds of all clients */
    RP_CLIENT_QUEUE_LOW_BYTES = 16 << 10, /* drained: the next page may come */
    RP_CLIENT_STUCK_MS = 60000, /* a client that takes none of its output for so long is closed
                                   (1013), as is one that sends nothing more of a binary packet
                                   (1008); looked at with each ping */
    RP_CLIENT_PAGE_MS = 300000, /* the same for one that has not taken a page of a replay */
    RP_CLIENT_FRAME_BYTES =
        64, /* what a queued frame counts beside its bytes: its blob and its place */
    RP_CLOSE_RETRY_MS = 1000,     /* until a session's end that the log refused is sent again */
    RP_CLIENT_SOCKETS_MAX = 64,   /* namespaces of one client; CONNECT_ERROR */
    RP_CLIENT_UNLISTED_MAX = 100, /* connects of one client to namespaces that nobody serves;
                                     further unlisted ones are refused without asking */
    RP_HANDSHAKE_REQUEST_BYTES_MAX = 16 << 10, /* of a handshake, what its request was; what does
                                                  not fit is left out, headers first */
    RP_HANDSHAKES_BYTES_MAX = 256 << 20, /* handshakes that a gateway keeps; the fuller, the shorter
                                            is what is made, down to … */
    RP_HANDSHAKE_BYTES_MIN = 1 << 10,    /* … this, which every client may have */
    RP_PACKET_BYTES_MAX = 15 << 20, /* a binary packet, text and attachments together, so that it
                                       fits an operation; 1009 */
    RP_ASSEMBLING_BYTES_MAX = 256 << 20, /* binary packets of all clients whose attachments are
                                            still coming; whose grows past it is closed (1013) */
    RP_PARKED_BYTES_MAX = 256 << 20, /* POSTs and relayed messages of all clients that may not be
                                        heard yet, because they wait for the broker; whose comes
                                        past it is closed (1013) */
    RP_POLL_PACKETS_MAX = 16, /* packets in one answer to a poll; python-engineio takes no more */
    RP_POLL_BYTES = 1 << 20,  /* of such an answer, past which no further packet is put in */
    RP_RELAY_BYTES_MAX = 50 << 20, /* of one relayed message: the answer to a poll, with the largest
                                      packet as msgpack in base64; a larger one is dropped (GONE) */
    RP_RELAYS_MAX = 100000,        /* polls and WebSockets with another gateway; unknown session */
    RP_RELAY_WINDOW_BYTES =
        256 << 10, /* messages of one relayed WebSocket under way per direction */
    RP_RELAY_GRACE_MS =
        5000, /* past ping interval and timeout, for a relayed poll; then it fails */
};

/* ---- the broker ---- */
enum {
    RP_ENGINE_QUEUE_RECORDS =
        65536, /* appended and not committed; full: the broker stops reading its links */
    RP_ENGINE_QUEUE_BYTES = 64 << 20, /* the same, in bytes */
    RP_REPLAY_EVENTS_PER_TURN = 1024, /* looked at for sessions that catch up, before live traffic
                                         gets its turn: about a millisecond; … */
    RP_REPLAY_EVENT_BYTES = 256, /* … so many bytes of those that are sent count as one more */
    RP_REPLAY_CREDIT_PART = 8,   /* replays stop when this part of a link's credit is under way, so
                                    that what is live has not to wait behind more */
    RP_EXPIRIES_PER_TURN = 256,  /* sessions that end in one turn of the loop */
    RP_OUTCOMES_PER_TURN = 4096, /* commits taken from the engine in one turn of the loop */
    RP_STRAYS_MAX = 64,        /* refusals of links without a gateway in one turn; more get none */
    RP_SESSIONS_MAX = 2000000, /* open or recoverable; a further CONNECT waits (unavailable) */
    RP_INTERVALS_MAX =
        20000000,        /* memberships of all sessions, present and remembered; too_many_rooms */
    RP_PEERS_MAX = 1024, /* gateways; a further HELLO is refused */
};

/* ---- app workers ---- */
enum {
    RP_SELECTOR_ROOMS_MAX = 256,          /* rooms, and excepted rooms, of one selector; bad_args */
    RP_SESSION_UNACKED_MAX = 4096,        /* events a session owes acks for; the oldest is then
                                             given up (counted), and who comes back from before it
                                             is not recovered */
    RP_SESSION_DATA_BYTES_MAX = 64 << 10, /* the application's data of a session; too_big */
    RP_DECISION_BYTES_MAX = 64 << 10, /* why a worker refuses something, and the data with it, each;
                                         the client is told worker_error instead */
    RP_HANDSHAKE_BYTES_MAX = 32 << 10, /* a client's handshake as JSON; what does not fit is left
                                          out, headers first */
    RP_SOCKET_ROOMS_MAX = 2048,   /* rooms of a socket that a worker is told; it may be in more than
                                     RP_SESSION_ROOMS_MAX while joins of workers are under way */
    RP_TASKS_WAITING_MAX = 20000, /* events and connects that wait for a worker while there is none;
                                     further ones are refused (unavailable) */
    RP_TASKS_WAITING_BYTES_MAX = 8 << 20, /* the same, in bytes */
    RP_TASK_WAIT_MS = 10000,        /* until what waits for a worker is refused (unavailable) */
    RP_ADMISSION_WAIT_MS = 60000,   /* the same for a CONNECT, longer than the connect timeout: its
                                       client   is closed (1013) and comes back */
    RP_OUTBOX_BYTES_MAX = 64 << 20, /* for a worker, or a gateway, that takes too little: past it,
                                       its link is given up, and the next begins with the state */
    RP_POLICIES_MAX = 1024,         /* app namespaces and patterns in the log; likewise */
    RP_WORKER_NAMESPACES_MAX = 256, /* that one worker serves; its link is refused */
    RP_SIDE_PENDING_MAX = 65536,    /* acks of other workers under way; further ones get none */
    RP_SIDE_WAIT_MS = 60000,        /* until an ack of another worker is not waited for any more */
    RP_FETCH_BYTES_MAX = 4 << 20,   /* of one page of sockets; at least one is told */
    RP_MOVES_PER_TICK = 1000,       /* sockets given to a worker with fewer, five times a second */
};

/* ---- libreprise, in one app worker ---- */
enum {
    RP_SDK_ANSWERS_MAX = 65536,          /* to tasks, kept in case the task comes again; the oldest
                                            goes, and a task that came again then is handled again */
    RP_SDK_ANSWERS_BYTES_MAX = 64 << 20, /* the same, in bytes */
    RP_SDK_TASKS_MAX = 65536,            /* kept by the application and not answered yet; further
                                            ones are refused (overloaded) */
    RP_SDK_TASKS_BYTES_MAX = 64 << 20,   /* the same, in bytes */
    RP_SDK_WAITS_MAX = 100000, /* emits, fetches and the like whose outcome the application waits
                                  for; REPRISE_E_BUSY */
    RP_SDK_ACK_ELSEWHERE_MS =
        120000, /* until an ack without a timeout is given up if another worker
                   serves its socket and the link was lost: the end of the
                   session may have been told meanwhile; REPRISE_E_TIMEOUT */
    RP_SDK_COLLECT_BYTES_MAX = 64 << 20, /* answers to one of them; REPRISE_E_FULL */
    RP_SDK_POSTS_MAX = 65536,            /* functions posted and not run; REPRISE_E_BUSY */
    RP_SDK_POSTS_PER_TURN = 1024,        /* run before the link gets its turn */
    RP_SDK_REFUSED_MS = 1000,            /* until a broker that refused the worker is asked again */
    RP_SDK_RETRY_MS = 100,               /* until one that cannot be reached is */
};

/* ---- HTTP requests (numbers as macros: they are part of the answers' texts) ---- */
/* bytes of request line and headers; 431. Also what keeps parsing again from the start, as
 * more arrives, cheap. */
#define RP_HTTP_HEAD_BYTES_MAX 16384
/* bytes of the request target; 414 */
#define RP_HTTP_TARGET_BYTES_MAX 8192
/* bytes of the method, none in use is longer; 501 */
#define RP_HTTP_METHOD_BYTES_MAX 32
/* header lines, which are in an array by value; 431 */
#define RP_HTTP_HEADERS_MAX 64
/* bytes of chunk extensions in one body, which we skip; 400 */
#define RP_HTTP_CHUNK_EXT_BYTES_MAX 4096
/* bytes of trailers, which we skip; 431 */
#define RP_HTTP_TRAILER_BYTES_MAX 8192

/* ---- what a proxy says about a connection ---- */
/* bytes of addresses and further facts behind the first 16 of a PROXY header; those in use stay
 * below 1 KiB, with the names of a client certificate. Longer: the connection is closed */
enum { RP_PROXY_BYTES_MAX = 4096 };

/* ---- packets of clients ---- */
/* Arrays and objects inside one another, in levels. Enough for any real payload, and small enough
 * that no reader of a client overflows its stack on what we pass on. Deeper: RP_E_TOO_BIG. */
enum { RP_JSON_DEPTH_MAX = 128 };
/* Binary attachments of one packet, all kept until the last one came; the reference's default. */
enum { RP_SIO_ATTACHMENTS_MAX = 10 };
/* Bytes of a namespace's name: it is a key in our tables and part of every packet of it. */
enum { RP_SIO_NSP_BYTES_MAX = 255 };

/* ---- the gateway's sockets ---- */
enum {
    RP_CONN_READ_BYTES = 64 << 10,      /* one read; the shared buffer */
    RP_CONN_READS_PER_TURN = 4,         /* of one connection, before others get their turn */
    RP_CONN_INFLATED_BYTES = 256 << 10, /* messages of one connection that were compressed, before
                                           others get their turn; one always passes */
    RP_CONN_INFLATED_BYTES_PER_TURN = 4 << 20, /* the same, of all connections in one turn of the
                                                  loop; whoever waits comes first in the next */
    RP_CONN_WRITE_PARTS = 64,                  /* frames in one write */
    RP_CONN_WRITES_PER_TURN = 16,              /* of one connection; it goes on in the next turn */
    RP_CONN_ANSWER_MS = 30000,        /* for a client to take an HTTP answer, or in each … */
    RP_CONN_ANSWER_BYTES = 120 << 10, /* … at least so much of it (4 KiB/s); or else it is cut */
    RP_CONN_BODY_MS = 10000,          /* without a byte of a request's body; 408 */
    RP_CONN_BODY_TOTAL_MS = 30000,    /* for a body, past … */
    RP_CONN_BODY_BYTES_PER_S = 4 << 10, /* … what it takes at this rate; 408, at the latest
                                           RP_CONN_BODY_MS later */
    RP_CONN_BODIES_BYTES = 256 << 20,   /* memory of all bodies being read; further bytes: 503 */
    RP_CONN_PARTS_BYTES = 256 << 20,    /* memory of all WebSocket messages that came in part; whose
                                           grows past it is closed (1013) */
    RP_CONN_ANSWERS_BYTES = 256 << 20,  /* answers to polls that clients did not take at once; past
                                           it  those with most left are cut off, and come back */
    RP_CONN_BEHIND_BYTES = 16 << 10,    /* read behind a request that is under way, and no further
                                           until it is answered */
    RP_CONN_IDLE_MS = 75000,            /* for the next request of a connection; then it is closed.
                                           Longer than what proxies keep theirs for (60 s) */
    RP_CONN_LINGER_MS = 2000,        /* for the rest of a closing client's output to be written, and
                                        again for the client to close its end; then it is cut off */
    RP_CONN_BUSY_CONNECTIONS = 256,  /* past --max-connections: answered with 503, or cut off */
    RP_TLS_HANDSHAKES_PER_TURN = 32, /* steps, each up to a millisecond or two of arithmetic */
    RP_TLS_RECORD_BYTES = 16 << 10,  /* output gathered for one record, its largest size */
    RP_LISTEN_ADDRESSES_MAX = 16,    /* of one option; a longer list is refused */
    RP_LISTEN_BACKLOG = 4096, /* connections the kernel keeps for us (bounded by somaxconn) */
    RP_LISTEN_ACCEPTS_PER_TURN = 128, /* before connected clients get their turn */
    RP_LISTEN_PAUSE_MS = 100,         /* without file descriptors */
    RP_SITE_FILE_BYTES_MAX = 4 << 20, /* one file of --client-dir; a larger one stops the start */
    RP_SITE_HEAD_BYTES_MAX = 4096,    /* an answer without the part that the site owns */
    RP_SITE_COOKIE_BYTES_MAX = 64,    /* the name of --cookie; a longer one stops the start */
    RP_SITE_SUBPROTOCOL_BYTES_MAX =
        255, /* the first that a WebSocket client offers; a longer one is not taken */
};

/* ---- messages between processes, in one turn of the loop ---- */
enum {
    RP_UPLINK_MESSAGES_PER_TURN = 256,  /* taken before the clients get their turn */
    RP_UPLINK_BYTES_PER_TURN = 4 << 20, /* the same, in bytes */
    RP_HUB_MESSAGES_PER_TURN = 256,     /* taken by the broker before it does anything else */
    RP_HUB_BYTES_PER_TURN = 4 << 20,    /* the same, in bytes */
    RP_HUB_HANDSHAKES_PER_TURN = 256,   /* of new links, answered before the others' messages, and
                                           as many news of connections */
};

/* ---- the log ---- */
enum {
    RP_ENGINE_SQLITE_LOCK_MS = 2000, /* that a broker waits at its start for the lock of one that is
                                        being killed; then the database is in use */
    RP_ENGINE_SQLITE_READERS_MAX = 16,
    RP_RETENTION_RULES_MAX = 64, /* of --retain: each is tried for each room; it stops the start */
    RP_RETENTION_TEXT_BYTES_MAX = 64 << 10, /* the same, in bytes */
    RP_RETENTION_ROOMS_BYTES_MAX =
        128 << 20, /* what the engine remembers of the newest events of rooms under rules with
                      events or bytes; past it they are read from the file again. It takes an index
                      that is far behind */
    RP_RETENTION_MS = 1000, /* between two looks at what need not be kept any more */
    RP_ENGINE_TRANSACTION_RECORDS =
        4096, /* in one commit; more would make the first wait for the last */
    RP_ENGINE_TRANSACTION_BYTES = 8 << 20, /* the same, in bytes */
    RP_ENGINE_TRANSACTION_ROWS =
        100000, /* the same, in rows changed: an event that wants acks changes one for each session
                   that owes it. Committed once it is passed */
};
/* A log that begins a new epoch because it may have lost its end goes on with seqs so far above
 * what it knows, that none of the lost part comes again: a week at 100,000 events a second. Gaps
 * cost nothing. Above the second there is no further jump, which is after some 65,000 of them: seqs
 * must stay numbers that JavaScript can count. */
#define RP_SEQ_JUMP (UINT64_C(1) << 36)
#define RP_SEQ_JUMP_MAX (UINT64_C(1) << 52)

/* ---- reprise health ---- */
enum {
    RP_HEALTH_ADDRESSES_MAX = 16,          /* asked at once; a longer list is refused */
    RP_HEALTH_ANSWER_BYTES_MAX = 64 << 10, /* of an answer, its head and its body each; a longer one
                                              is none */
    RP_HEALTH_TIMEOUT_MS = 2000,           /* for all answers, without --timeout; then one that is
                                              missing is a failure */
};

/* ---- options ---- */
enum {
    RP_OPTION_FILE_BYTES_MAX = 64 << 10, /* of a file with one option's value (REPRISE_…_FILE), as
                                            much as --retain takes; a larger one stops the start */
};

/* ---- lists in options (a longer one stops the start) ---- */
enum {
    RP_PATTERNS_MAX = 64,       /* entries of one list: each is tried for each connection */
    RP_PATTERN_BYTES_MAX = 255, /* one entry; no name or origin that could match is longer */
    RP_CIDRS_MAX = 64,          /* networks of one list: each is tried for each address */
};
