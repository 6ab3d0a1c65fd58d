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
    U(T, version) B(T, name) U(T, incarnation) B(T, epoch) U(T, seen) U(T, lowest)
#define RP_OP_SESSION_F(T, U, B) U(T, session) U(T, conn) U(T, catching) U(T, pos)
#define RP_OP_RESUMED_F(T, U, B) U(T, sessions)
/* both directions */
#define RP_OP_HEARTBEAT_F(T, U, B) U(T, pos) U(T, consumed) U(T, lowest)
/* gateway → broker: numbered requests */
#define RP_OP_CONNECT_F(T, U, B)                                                                   \
    U(T, num) B(T, nsp) B(T, sid) B(T, pid_hash) B(T, resume_hash) B(T, offset)
#define RP_OP_CLOSE_F(T, U, B) U(T, num) U(T, session) U(T, conn) U(T, ended)
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
    U(T, num) U(T, session) U(T, conn) B(T, sid) U(T, recovered) U(T, pos)
#define RP_OP_DONE_F(T, U, B)                                                                      \
    U(T, num) U(T, seq) U(T, duplicate) U(T, replayed) U(T, truncated) U(T, oldest)
#define RP_OP_FAILED_F(T, U, B) U(T, num) B(T, code) B(T, message)
#define RP_OP_RESULT_F(T, U, B) U(T, num) B(T, json)
/* broker → gateway: deliveries */
#define RP_OP_DELIVER_F(T, U, B)                                                                   \
    U(T, seq)                                                                                      \
    U(T, is_volatile) B(T, nsp) B(T, room) U(T, except) B(T, name) B(T, args) B(T, attachments)
#define RP_OP_MEMBER_F(T, U, B) U(T, seq) U(T, conn) U(T, joined) B(T, room)
#define RP_OP_JOINED_F(T, U, B) U(T, num) U(T, upto)
#define RP_OP_HOLD_F(T, U, B) U(T, conn) U(T, pos)
#define RP_OP_REPLAY_F(T, U, B)                                                                    \
    U(T, conn)                                                                                     \
    U(T, seq) U(T, pos) U(T, history) U(T, truncated) B(T, name) B(T, args) B(T, attachments)
#define RP_OP_PAGE_F(T, U, B) U(T, conn) U(T, pos) U(T, page)
#define RP_OP_LIVE_F(T, U, B) U(T, conn) U(T, pos)
#define RP_OP_EVICT_F(T, U, B) U(T, conn) B(T, reason)

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
    OP(RELAY, relay, 22)                                                                           \
    OP(WELCOME, welcome, 40)                                                                       \
    OP(REFUSED, refused, 41)                                                                       \
    OP(RESET, reset, 42)                                                                           \
    OP(VERDICT, verdict, 43)                                                                       \
    OP(CONNECTED, connected, 50)                                                                   \
    OP(DONE, done, 51)                                                                             \
    OP(FAILED, failed, 52)                                                                         \
    OP(RESULT, result, 53)                                                                         \
    OP(DELIVER, deliver, 60)                                                                       \
    OP(MEMBER, member, 61)                                                                         \
    OP(JOINED, joined, 67)                                                                         \
    OP(HOLD, hold, 66)                                                                             \
    OP(REPLAY, replay, 62)                                                                         \
    OP(PAGE, page, 63)                                                                             \
    OP(LIVE, live, 64)                                                                             \
    OP(EVICT, evict, 65)                                                                           \
    OP(RELAYED, relayed, 68)                                                                       \
    OP(LOST, lost, 69)
