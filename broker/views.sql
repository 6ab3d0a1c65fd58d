-- broker/views.sql — views of the log for people who read it with sqlite3; deploy/sqlite.md shows what to ask them.
--
-- The broker uses none of them. They are made with a new file, and made again with each new version of the schema.

DROP VIEW IF EXISTS messages_in_room;
DROP VIEW IF EXISTS messages;
DROP VIEW IF EXISTS attachments;
DROP VIEW IF EXISTS attachment_places;
DROP VIEW IF EXISTS members;
DROP VIEW IF EXISTS sessions;
DROP VIEW IF EXISTS namespaces;
DROP VIEW IF EXISTS acks_awaited;

-- Where the attachments of an event are in its blob, as JSON: [[begin, length], …]. A length is 4 bytes, big-endian:
-- 8 hexadecimal digits, of which instr tells the values.
CREATE VIEW attachment_places AS
SELECT seq,
       (WITH RECURSIVE
        place (number, begin, len) AS (
            SELECT -1, 1, 0
            UNION ALL
            SELECT number + 1, begin + len + 4,
                   (SELECT (instr('123456789ABCDEF', substr(h, 1, 1)) << 28) | (instr('123456789ABCDEF', substr(h, 2, 1)) << 24) |
                           (instr('123456789ABCDEF', substr(h, 3, 1)) << 20) | (instr('123456789ABCDEF', substr(h, 4, 1)) << 16) |
                           (instr('123456789ABCDEF', substr(h, 5, 1)) << 12) | (instr('123456789ABCDEF', substr(h, 6, 1)) << 8) |
                           (instr('123456789ABCDEF', substr(h, 7, 1)) << 4) | instr('123456789ABCDEF', substr(h, 8, 1))
                    FROM (SELECT hex(substr(event.attachments, begin + len, 4)) AS h))
            FROM place
            WHERE begin + len <= length(event.attachments)
        )
        SELECT json_group_array(json_array(begin, len)) FROM place WHERE number >= 0) AS places
FROM event
WHERE attachments IS NOT NULL;

-- One row for each: ask with WHERE seq = … .
CREATE VIEW attachments AS
SELECT e.seq AS seq, j.key AS number, json_extract(j.value, '$[1]') AS bytes,
       substr(e.attachments, json_extract(j.value, '$[0]'), json_extract(j.value, '$[1]')) AS data
FROM attachment_places p
CROSS JOIN event e ON e.seq = p.seq
CROSS JOIN json_each(p.places) j;

-- attachments: how many; NULL for none. rooms: all of them, if there are several. Lists of names that JSON cannot hold
-- are BLOBs, and not shown.
CREATE VIEW messages AS
SELECT seq,
       strftime('%Y-%m-%dT%H:%M:%fZ', ts / 1000.0, 'unixepoch') AS time,
       room, name AS event, args, sid AS sender, id, nsp,
       (SELECT json_array_length(places) FROM attachment_places p WHERE p.seq = event.seq) AS attachments,
       CASE WHEN typeof(rooms) = 'text' THEN '[' || json_quote(room) || ',' || substr(rooms, 2) END AS rooms,
       CASE WHEN typeof(except_rooms) = 'text' THEN except_rooms END AS except_rooms
FROM event
WHERE kind = 1;

-- The same through the index, an event with several rooms in each of them: ask with WHERE room = … .
CREATE VIEW messages_in_room AS
SELECT m.seq AS seq, m.time AS time, i.room AS room, m.event AS event, m.args AS args, m.sender AS sender, m.id AS id,
       i.nsp AS nsp, m.attachments AS attachments, m.rooms AS rooms, m.except_rooms AS except_rooms
FROM segment s
CROSS JOIN room_index i ON i.segment = s.segment
CROSS JOIN json_each(i.seqs) j
CROSS JOIN messages m ON m.seq = j.value
UNION ALL
SELECT seq, time, room, event, args, sender, id, nsp, attachments, rooms, except_rooms
FROM messages
WHERE seq > (SELECT value FROM meta WHERE key = 'indexed_seq')
UNION ALL
SELECT m.seq, m.time, j.value, m.event, m.args, m.sender, m.id, m.nsp, m.attachments, m.rooms, m.except_rooms
FROM messages m
CROSS JOIN json_each(m.rooms) j
WHERE m.seq > (SELECT value FROM meta WHERE key = 'indexed_seq')
  AND j.key = (SELECT min(same.key) FROM json_each(m.rooms) same WHERE same.value = j.value)
  AND j.key > 0;

-- Without the rooms that come with every session of a namespace of app workers: the whole namespace, and its own.
CREATE VIEW members AS
SELECT s.sid AS sid, m.room AS room,
       strftime('%Y-%m-%dT%H:%M:%fZ', m.ts / 1000.0, 'unixepoch') AS since,
       m.from_seq AS from_seq, s.gateway IS NOT NULL AS connected, s.nsp AS nsp
FROM member m
JOIN session s ON s.session = m.session
WHERE m.to_seq IS NULL AND NOT (s.app IS NOT NULL AND m.room IN ('', s.sid));

CREATE VIEW sessions AS
SELECT sid,
       CASE WHEN gateway IS NULL THEN 'away' ELSE 'connected' END AS state,
       CASE WHEN gateway IS NOT NULL THEN printf('%016x', gateway) END AS gateway,
       strftime('%Y-%m-%dT%H:%M:%fZ', opened_ts / 1000.0, 'unixepoch') AS opened,
       strftime('%Y-%m-%dT%H:%M:%fZ', closed_ts / 1000.0, 'unixepoch') AS closed,
       session, conn, floor_seq, nsp, app IS NOT NULL AS app, data
FROM session;

-- What app workers serve.
CREATE VIEW namespaces AS
SELECT nsp, flags & 64 > 0 AS is_pattern, flags & 128 > 0 AS durable,
       CASE WHEN flags & 256 = 0 THEN 'off' WHEN flags & 512 = 0 THEN 'on' ELSE 'asked' END AS room_events, seq
FROM namespace;

-- Events that somebody has not acked yet.
CREATE VIEW acks_awaited AS
SELECT u.seq AS seq, strftime('%Y-%m-%dT%H:%M:%fZ', e.ts / 1000.0, 'unixepoch') AS time, s.sid AS sid,
       s.gateway IS NOT NULL AS connected, e.room AS room, e.name AS event, e.args AS args, s.nsp AS nsp
FROM unacked u
JOIN session s ON s.session = u.session
JOIN event e ON e.seq = u.seq;
