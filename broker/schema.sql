-- broker/schema.sql — the log and its projections, version 1.
--
-- One source of the schema: it is embedded in the broker and run once on a new file. deploy/sqlite.md shows what to ask
-- it. Tables are compact (NULL for empty and for 0); the views at the end are for people.

-- What the log is: epoch, next_seq, first_seq, indexed_seq, segment_events, clean, boot_id, sync.
-- next_seq is a lower bound that survives the removal of all rows; the newest row may be beyond it.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;

-- Every record in seq order: kind 1 event, 2 open, 3 resume, 4 close, 5 end, 6 join, 7 leave, 8 gone.
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
    sum      INTEGER NOT NULL  -- CRC-32 of all of it, as a signed number
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
    seqs    TEXT, -- a JSON array, ascending
    PRIMARY KEY (segment, room, nsp)
) WITHOUT ROWID;

-- Rooms that lost events to retention: the newest seq they lost.
CREATE TABLE room (
    room        TEXT,
    nsp         TEXT,
    trimmed_seq INTEGER NOT NULL,
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
    floor_seq INTEGER
);

CREATE TABLE member (
    session  INTEGER,
    room     TEXT,
    from_seq INTEGER,
    to_seq   INTEGER, -- NULL while it is a member
    ts       INTEGER,
    PRIMARY KEY (session, room, from_seq)
) WITHOUT ROWID;

-- For people.

CREATE VIEW messages AS
SELECT seq,
       strftime('%Y-%m-%dT%H:%M:%fZ', ts / 1000.0, 'unixepoch') AS time,
       room, name AS event, args, sid AS sender, id, nsp
FROM event
WHERE kind = 1;

-- The same through the index: ask with WHERE room = … .
CREATE VIEW messages_in_room AS
SELECT CAST(j.value AS INTEGER) AS seq,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.ts / 1000.0, 'unixepoch') AS time,
       i.room AS room, e.name AS event, e.args AS args, e.sid AS sender, e.id AS id, i.nsp AS nsp
FROM segment s
CROSS JOIN room_index i ON i.segment = s.segment
CROSS JOIN json_each(i.seqs) j
CROSS JOIN event e ON e.seq = j.value
UNION ALL
SELECT seq,
       strftime('%Y-%m-%dT%H:%M:%fZ', ts / 1000.0, 'unixepoch') AS time,
       room, name AS event, args, sid AS sender, id, nsp
FROM event
WHERE kind = 1 AND seq > (SELECT value FROM meta WHERE key = 'indexed_seq');

CREATE VIEW members AS
SELECT s.sid AS sid, m.room AS room,
       strftime('%Y-%m-%dT%H:%M:%fZ', m.ts / 1000.0, 'unixepoch') AS since,
       m.from_seq AS from_seq, s.gateway IS NOT NULL AS connected, s.nsp AS nsp
FROM member m
JOIN session s ON s.session = m.session
WHERE m.to_seq IS NULL;

CREATE VIEW sessions AS
SELECT sid,
       CASE WHEN gateway IS NULL THEN 'away' ELSE 'connected' END AS state,
       CASE WHEN gateway IS NOT NULL THEN printf('%016x', gateway) END AS gateway,
       strftime('%Y-%m-%dT%H:%M:%fZ', opened_ts / 1000.0, 'unixepoch') AS opened,
       strftime('%Y-%m-%dT%H:%M:%fZ', closed_ts / 1000.0, 'unixepoch') AS closed,
       session, conn, floor_seq, nsp
FROM session;
