/* proto/op_list.h — every operation between processes, described once.
 *
 *     OP(NAME, name, code)             and RP_OP_<NAME>_F(T, U, B): its fields, U numbers and B
 * bytes
 *
 * The structs, the encoder, the decoder and the names in logs are all made from this list;
 * PROTOCOL.md explains them in prose. On the wire an operation is a msgpack array [code, field, …]
 * in this order. A receiver accepts more fields than it knows (they are skipped) and refuses fewer.
 *
 * num:      number of a request within its gateway's incarnation; answers repeat it
 * session:  seq of the session's OPEN record;  conn: its connection number (seq of OPEN or of the
 * newest RESUME) */

/* gateway → broker: the life of the link */
#define RP_OP_HELLO_F(T, U, B)                                                                     \
    U(T, version) B(T, name) U(T, incarnation) B(T, epoch) U(T, seen) U(T, lowest) U(T, role)
#define RP_OP_SESSION_F(T, U, B) U(T, session) U(T, conn) U(T, catching) U(T, pos) B(T, handshake)
#define RP_OP_RESUMED_F(T, U, B) U(T, sessions)
/* both directions */
#define RP_OP_HEARTBEAT_F(T, U, B) U(T, pos) U(T, consumed) U(T, lowest)
/* gateway → broker: numbered requests */
#define RP_OP_CONNECT_F(T, U, B)                                                                   \
    U(T, num)                                                                                      \
    B(T, nsp) B(T, sid) B(T, pid_hash) B(T, resume_hash) B(T, offset) U(T, listed) B(T, handshake)
#define RP_OP_CLOSE_F(T, U, B) U(T, num) U(T, session) U(T, conn) U(T, ended) B(T, reason)
#define RP_OP_JOIN_F(T, U, B)                                                                      \
    U(T, num) U(T, session) U(T, conn) B(T, room) U(T, has_since) U(T, since) U(T, limit) U(T, upto)
#define RP_OP_LEAVE_F(T, U, B) U(T, num) U(T, session) U(T, conn) B(T, room)
#define RP_OP_PUBLISH_F(T, U, B)                                                                   \
    U(T, num)                                                                                      \
    U(T, session) U(T, conn) U(T, flags) B(T, room) B(T, name) B(T, args) B(T, id) B(T, attachments)
#define RP_OP_HISTORY_F(T, U, B)                                                                   \
    U(T, num)                                                                                      \
    U(T, session) U(T, conn) B(T, room) U(T, has_since) U(T, since) U(T, before) U(T, limit)
#define RP_OP_PRESENCE_F(T, U, B) U(T, num) U(T, session) U(T, conn) B(T, room)
#define RP_OP_EVENT_F(T, U, B)                                                                     \
    U(T, num)                                                                                      \
    U(T, session) U(T, conn) U(T, again) U(T, wants_ack) B(T, name) B(T, args) B(T, attachments)
#define RP_OP_ACKED_F(T, U, B)                                                                     \
    U(T, num) U(T, session) U(T, conn) U(T, seq) B(T, args) B(T, attachments)
/* worker → broker: what it serves, between HELLO and RESUMED */
#define RP_OP_SERVE_F(T, U, B) B(T, nsp) U(T, flags)
/* worker → broker: numbered requests */
#define RP_OP_EMIT_F(T, U, B)                                                                      \
    U(T, num)                                                                                      \
    U(T, flags)                                                                                    \
    B(T, nsp) B(T, room) B(T, rooms) B(T, except) B(T, sid) B(T, name) B(T, args) B(T, attachments)
#define RP_OP_MOVE_F(T, U, B)                                                                      \
    U(T, num) U(T, leave) B(T, nsp) B(T, room) B(T, rooms) B(T, except) B(T, target)
#define RP_OP_EXPEL_F(T, U, B)                                                                     \
    U(T, num) U(T, transport) B(T, nsp) B(T, room) B(T, rooms) B(T, except)
#define RP_OP_DATA_F(T, U, B) U(T, num) U(T, session) B(T, json)
#define RP_OP_FETCH_F(T, U, B) U(T, num) U(T, after) B(T, nsp) B(T, room) B(T, rooms) B(T, except)
#define RP_OP_SIDE_F(T, U, B) U(T, num) U(T, wants_ack) B(T, nsp) B(T, name) B(T, args)
/* worker → broker: its answers to what it was given, and its goodbye */
#define RP_OP_DECIDED_F(T, U, B)                                                                   \
    U(T, origin)                                                                                   \
    U(T, num) U(T, verdict) B(T, code) B(T, message) B(T, args) B(T, attachments)
#define RP_OP_SIDE_ANSWER_F(T, U, B) U(T, id) B(T, args)
/* worker → broker, gateway → broker: the end. `idle`, of a worker: all that it has begun it has
 * answered before this, and nothing that it asked for is unanswered */
#define RP_OP_BYE_F(T, U, B) U(T, lowest) U(T, idle)
/* gateway → broker: about a session that catches up */
#define RP_OP_CATCHUP_F(T, U, B) U(T, session) U(T, conn) U(T, pos)
#define RP_OP_PAGE_DONE_F(T, U, B) U(T, session) U(T, conn) U(T, page)
/* gateway → broker → gateway: requests of clients that reached another gateway than theirs. The
 * broker turns RELAY{to} into RELAYED{from} and looks at nothing else */
#define RP_OP_RELAY_F(T, U, B) U(T, to) U(T, what) U(T, id) U(T, number) B(T, sid) B(T, data)
#define RP_OP_RELAYED_F(T, U, B) U(T, from) U(T, what) U(T, id) U(T, number) B(T, sid) B(T, data)
#define RP_OP_LOST_F(T, U, B) U(T, incarnation)
/* broker → gateway: the life of the link */
#define RP_OP_WELCOME_F(T, U, B) U(T, version) B(T, epoch) U(T, head)
#define RP_OP_REFUSED_F(T, U, B) B(T, code) B(T, message)
#define RP_OP_RESET_F(T, U, B) B(T, message)
#define RP_OP_VERDICT_F(T, U, B) U(T, conn) U(T, verdict)
/* broker → gateway: answers */
#define RP_OP_CONNECTED_F(T, U, B)                                                                 \
    U(T, num) U(T, session) U(T, conn) B(T, sid) U(T, recovered) U(T, pos) U(T, app)
#define RP_OP_DONE_F(T, U, B)                                                                      \
    U(T, num) U(T, seq) U(T, duplicate) U(T, replayed) U(T, truncated) U(T, oldest)
#define RP_OP_FAILED_F(T, U, B) U(T, num) B(T, code) B(T, message) B(T, data)
#define RP_OP_RESULT_F(T, U, B) U(T, num) B(T, json)
#define RP_OP_ANSWER_F(T, U, B) U(T, num) B(T, args) B(T, attachments)
/* broker → gateway: deliveries */
#define RP_OP_DELIVER_F(T, U, B)                                                                   \
    U(T, seq)                                                                                      \
    U(T, is_volatile)                                                                              \
    B(T, nsp)                                                                                      \
    B(T, room)                                                                                     \
    U(T, except) B(T, name) B(T, args) B(T, attachments) U(T, wants_ack) B(T, rooms) B(T, excepts)
#define RP_OP_MEMBER_F(T, U, B) U(T, seq) U(T, conn) U(T, joined) B(T, room)
#define RP_OP_JOINED_F(T, U, B) U(T, num) U(T, upto)
#define RP_OP_HOLD_F(T, U, B) U(T, conn) U(T, pos)
#define RP_OP_REPLAY_F(T, U, B)                                                                    \
    U(T, conn)                                                                                     \
    U(T, seq)                                                                                      \
    U(T, pos)                                                                                      \
    U(T, history)                                                                                  \
    U(T, truncated) B(T, name) B(T, args) B(T, attachments) U(T, wants_ack) U(T, again)
#define RP_OP_PAGE_F(T, U, B) U(T, conn) U(T, pos) U(T, page) U(T, again)
#define RP_OP_LIVE_F(T, U, B) U(T, conn) U(T, pos)
#define RP_OP_EVICT_F(T, U, B) U(T, conn) B(T, reason)
#define RP_OP_KICKED_F(T, U, B) U(T, conn) U(T, transport)
#define RP_OP_APPS_F(T, U, B) U(T, count)
/* broker → worker: what is to be decided or handled; (origin, num) names it, DECIDED answers */
#define RP_OP_ADMIT_F(T, U, B)                                                                     \
    U(T, origin) U(T, num) U(T, session) B(T, nsp) B(T, sid) B(T, handshake)
#define RP_OP_INVOKE_F(T, U, B)                                                                    \
    U(T, origin)                                                                                   \
    U(T, num)                                                                                      \
    U(T, lowest) U(T, session) U(T, again) U(T, wants_ack) B(T, name) B(T, args) B(T, attachments)
#define RP_OP_CHECK_F(T, U, B)                                                                     \
    U(T, origin) U(T, num) U(T, session) U(T, what) B(T, room) B(T, name) B(T, args)
/* broker → worker: the sockets it serves */
#define RP_OP_SOCKET_F(T, U, B)                                                                    \
    U(T, session)                                                                                  \
    U(T, conn) U(T, why) B(T, nsp) B(T, sid) B(T, handshake) B(T, data) B(T, rooms)
#define RP_OP_LEFT_F(T, U, B)                                                                      \
    U(T, session) U(T, conn) U(T, ended) U(T, expired) B(T, nsp) B(T, sid) B(T, reason) B(T, data)
#define RP_OP_RELEASE_F(T, U, B) U(T, session)
#define RP_OP_SERVED_F(T, U, B) U(T, workers)
/* broker → worker: clients' answers to EMIT, other workers' answers to SIDE */
#define RP_OP_GOT_ACK_F(T, U, B)                                                                   \
    U(T, seq) U(T, num) U(T, session) B(T, sid) B(T, args) B(T, attachments)
#define RP_OP_SIDE_EVENT_F(T, U, B) U(T, id) U(T, wants_ack) B(T, nsp) B(T, name) B(T, args)
#define RP_OP_SIDE_ANSWERED_F(T, U, B) U(T, num) B(T, args)

#define RP_OP_LIST(OP)                                                                             \
    OP(HELLO, hello, 1)                                                                            \
    OP(SESSION, session, 2)                                                                        \
    OP(RESUMED, resumed, 3)                                                                        \
    OP(HEARTBEAT, heartbeat, 4)                                                                    \
    OP(CONNECT, connect, 10)                                                                       \
    OP(CLOSE, close, 11)                                                                           \
    OP(JOIN, join, 12)                                                                             \
    OP(LEAVE, leave, 13)                                                                           \
    OP(PUBLISH, publish, 14)                                                                       \
    OP(HISTORY, history, 15)                                                                       \
    OP(PRESENCE, presence, 16)                                                                     \
    OP(CATCHUP, catchup, 20)                                                                       \
    OP(PAGE_DONE, page_done, 21)                                                                   \
    OP(EVENT, event, 17)                                                                           \
    OP(ACKED, acked, 18)                                                                           \
    OP(RELAY, relay, 22)                                                                           \
    OP(SERVE, serve, 23)                                                                           \
    OP(EMIT, emit, 24)                                                                             \
    OP(MOVE, move, 25)                                                                             \
    OP(EXPEL, expel, 26)                                                                           \
    OP(DATA, data, 27)                                                                             \
    OP(FETCH, fetch, 28)                                                                           \
    OP(SIDE, side, 29)                                                                             \
    OP(DECIDED, decided, 30)                                                                       \
    OP(SIDE_ANSWER, side_answer, 31)                                                               \
    OP(BYE, bye, 32)                                                                               \
    OP(WELCOME, welcome, 40)                                                                       \
    OP(REFUSED, refused, 41)                                                                       \
    OP(RESET, reset, 42)                                                                           \
    OP(VERDICT, verdict, 43)                                                                       \
    OP(CONNECTED, connected, 50)                                                                   \
    OP(DONE, done, 51)                                                                             \
    OP(FAILED, failed, 52)                                                                         \
    OP(RESULT, result, 53)                                                                         \
    OP(ANSWER, answer, 54)                                                                         \
    OP(DELIVER, deliver, 60)                                                                       \
    OP(MEMBER, member, 61)                                                                         \
    OP(JOINED, joined, 67)                                                                         \
    OP(HOLD, hold, 66)                                                                             \
    OP(REPLAY, replay, 62)                                                                         \
    OP(PAGE, page, 63)                                                                             \
    OP(LIVE, live, 64)                                                                             \
    OP(EVICT, evict, 65)                                                                           \
    OP(RELAYED, relayed, 68)                                                                       \
    OP(LOST, lost, 69)                                                                             \
    OP(KICKED, kicked, 70)                                                                         \
    OP(APPS, apps, 71)                                                                             \
    OP(ADMIT, admit, 80)                                                                           \
    OP(INVOKE, invoke, 81)                                                                         \
    OP(CHECK, check, 82)                                                                           \
    OP(SOCKET, socket, 83)                                                                         \
    OP(LEFT, left, 84)                                                                             \
    OP(RELEASE, release, 85)                                                                       \
    OP(SERVED, served, 86)                                                                         \
    OP(GOT_ACK, got_ack, 87)                                                                       \
    OP(SIDE_EVENT, side_event, 88)                                                                 \
    OP(SIDE_ANSWERED, side_answered, 89)
