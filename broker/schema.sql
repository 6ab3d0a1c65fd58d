-- broker/schema.sql — the log and its projections, version 4.
--
-- The schema as it is now: it is embedded in the broker and run once on a new file. sqlite_file.c has the steps that
-- bring a file of an older version here. Tables are compact (NULL for empty and for 0); the views for people are in
-- views.sql.
--
-- Version 2: event.attachments.
-- Version 3: event.rooms, except_rooms, to_worker, to_num; session.app, data; member.nsp and member_room; unacked;
-- namespace.
-- Version 4: room_index.bytes; room.events, bytes, counted_seq; retention.

-- What the log is: epoch, next_seq, first_seq, indexed_seq, segment_events, clean, boot_id, sync, file (its inode and time
-- of birth), epoch_sum (CRC-32 of epoch), sessions_from (sessions opened before it are forgotten, or may be), copied_ts and
-- copied_from (in a backup: when, and of which epoch), gap N (so many seqs before N were jumped over by a new epoch),
-- dense_from (from there on every seq has been a record's, but for those gaps; brokers before that did not take care).
-- next_seq is a lower bound that survives the removal of all rows; the newest row may be beyond it.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;

-- Every record in seq order: kind 1 event, 2 open, 3 resume, 4 close, 5 end, 6 join, 7 leave, 8 gone, 9 ack, 10 move,
-- 11 kick, 12 data, 13 serve.
-- No second index but the one for publish ids: rooms of old events are found through room_index.
CREATE TABLE event (
    seq      INTEGER PRIMARY KEY,
    kind     INTEGER NOT NULL,
    ts       INTEGER NOT NULL, -- ms since 1970
    nsp      TEXT,
    room     TEXT,
    name     TEXT,
    args     TEXT,             -- a JSON array, as it came
    id       TEXT,             -- the publisher's, for idempotent retries
    sid      TEXT,             -- of the sender
    session  INTEGER,
    origin   INTEGER,          -- incarnation of the gateway, the bits of an unsigned number
    num      INTEGER,          -- its request number
    conn     INTEGER,
    aux      INTEGER,
    flags    INTEGER,
    pid_hash BLOB,
    sum      INTEGER NOT NULL, -- CRC-32 of all of it, as a signed number
    attachments BLOB,          -- binary ones, for the placeholders in args: 4 bytes of length, big-endian, the bytes, …
    rooms        TEXT,         -- further rooms it is for, a JSON array (a BLOB, as attachments, if JSON cannot hold them)
    except_rooms TEXT,         -- rooms whose members do not get it, the same
    to_worker    INTEGER,      -- incarnation of the app worker that it is for
    to_num       INTEGER       -- and that one's request number
);
CREATE UNIQUE INDEX event_id ON event (nsp, id) WHERE id IS NOT NULL;

-- Closed segments whose events are in room_index: segment n holds the seqs
-- n * segment_events + 1 … (n + 1) * segment_events.
CREATE TABLE segment (
    segment   INTEGER PRIMARY KEY,
    first_seq INTEGER,
    last_seq  INTEGER,
    events    INTEGER
);

-- Where the events of a room are. Rows of a segment that is not in `segment` are still being written.
CREATE TABLE room_index (
    segment INTEGER,
    room    TEXT,
    nsp     TEXT,
    n       INTEGER,
    seqs    TEXT,    -- a JSON array, ascending; what is not after the room's trimmed_seq is gone
    bytes   INTEGER, -- the weights of the events together; NULL in segments indexed before version 4
    PRIMARY KEY (segment, room, nsp)
) WITHOUT ROWID;

-- Rooms that lost events to retention: the newest seq they lost (their border; 0: none). And rooms that a rule bounds by
-- events or bytes: how many events, of which weight, they have after trimmed_seq and up to counted_seq; NULL: not known.
CREATE TABLE room (
    room        TEXT,
    nsp         TEXT,
    trimmed_seq INTEGER NOT NULL,
    events      INTEGER,
    bytes       INTEGER,
    counted_seq INTEGER,
    PRIMARY KEY (room, nsp)
) WITHOUT ROWID;

-- Projections of the records, changed in the record's own transaction.
CREATE TABLE session (
    session   INTEGER PRIMARY KEY, -- seq of its OPEN
    nsp       TEXT,
    sid       TEXT,
    pid_hash  BLOB,                -- a pid is a credential; only its hash is kept
    conn      INTEGER NOT NULL,    -- seq of its newest OPEN or RESUME
    gateway   INTEGER,             -- where it is connected; NULL: it is not
    opened_ts INTEGER,
    closed_ts INTEGER,             -- NULL while connected
    floor_seq INTEGER,
    app       INTEGER,             -- 1: of a namespace of app workers
    data      TEXT                 -- the application's, JSON
);

CREATE TABLE member (
    session  INTEGER,
    room     TEXT,
    from_seq INTEGER,
    to_seq   INTEGER, -- NULL while it is a member
    ts       INTEGER,
    nsp      TEXT,    -- the session's
    PRIMARY KEY (session, room, from_seq)
) WITHOUT ROWID;
-- Who is in a room now.
CREATE INDEX member_room ON member (nsp, room, session) WHERE to_seq IS NULL;

-- Events that a session has not acked.
CREATE TABLE unacked (
    session INTEGER,
    seq     INTEGER, -- of the event
    origin  INTEGER, -- whose request the event was: incarnation and request number
    num     INTEGER,
    PRIMARY KEY (session, seq)
) WITHOUT ROWID;

-- Namespaces, and patterns of them, that app workers serve. A new epoch leaves them alone.
CREATE TABLE namespace (
    nsp   TEXT PRIMARY KEY,
    flags INTEGER NOT NULL, -- 64 pattern, 128 durable, 256 room events, 512 a worker is asked about each
    seq   INTEGER NOT NULL  -- of the record that says so
) WITHOUT ROWID;

-- The rules of retention that the log was last opened with, in order, and how far each has got. The cursors are good only
-- while it and all rules before it stay what they are.
CREATE TABLE retention (
    place       INTEGER PRIMARY KEY,
    rule        TEXT NOT NULL,
    swept_seq   INTEGER NOT NULL, -- by age: of events up to here, its rooms have lost what they have to lose
    checked_seq INTEGER NOT NULL  -- by events and bytes: rooms without events after it are within their limits
);
