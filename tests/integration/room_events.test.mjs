// The built-in room events, each with its acks, effects and refusals.

import assert from 'node:assert/strict';

import { assertExactly, assertSame, connect, close, emitAck, fence, join, numbers, ok, parseOffset, publishMany, Recorder, refused, watchDisconnects } from './clients.mjs';
import { Cluster, test, waitFor } from './harness.mjs';

const RESERVED = ['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'];
const NOT_TEXT = [42, null, true, ['r'], 1.5];
const NO_OPTIONS = [5, 'x', true, [], null];
const BAD_SINCE = ['x', -1, 1.5, true, null, {}, '5-', '-abcd', '5', '1.2.3-abcd', `${'1'.repeat(100)}-abcd`];
const BAD_LIMIT = ['x', -1, 0, 1.5, 1001, true, null];
const LONG_ROOM = 'r'.repeat(255);
const LONG_ID = 'i'.repeat(128);

const cluster = await Cluster.start({ gateways: 2 });
const one = await connect(cluster.url(0));
const two = await connect(cluster.url(1));

let rooms = 0;
const newRoom = () => `room ${++rooms}`;

// A fresh client of a gateway with a recorder, closed at the end of the test.
async function client(t, gateway = 0) {
  const socket = await connect(cluster.url(gateway));
  t.after(() => close(socket));
  return { socket, recorder: new Recorder(socket) };
}

// ---- join ----

test('join answers ok with room, seq, replayed and truncated', async (t) => {
  const { socket } = await client(t);
  const room = newRoom();
  const ack = await ok(socket, 'join', room);
  assert.equal(ack.room, room);
  assert.ok(Number.isSafeInteger(ack.seq) && ack.seq > 0, `seq ${ack.seq}`);
  assert.equal(ack.replayed, 0);
  assert.equal(ack.truncated, false);
});

test('join twice is ok and delivers every event once', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  await join(socket, room, room);
  await publishMany(one, room, 'n', 5);
  await fence(one, room, recorder);
  assertExactly(recorder, 'n', numbers(5));
});

test('join without a callback makes a member and answers nothing', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  socket.emit('join', room);
  await fence(socket, room, recorder);
  assert.deepEqual(recorder.entries.map(({ event }) => event), ['fence']);
});

test('join refuses what is not a room name', async () => {
  for (const room of [...NOT_TEXT, { room: 'r' }, '', 'r'.repeat(256), 'é'.repeat(128)]) await refused('bad_room', one, 'join', room);
});

test('join takes a room name of 255 bytes', async (t) => {
  const { socket } = await client(t);
  await ok(socket, 'join', LONG_ROOM);
  await ok(socket, 'join', `${'é'.repeat(127)}x`);
});

test('join refuses wrong options and wrong numbers of arguments', async () => {
  for (const options of NO_OPTIONS) await refused('bad_args', one, 'join', newRoom(), options);
  for (const since of BAD_SINCE) await refused('bad_args', one, 'join', newRoom(), { since });
  for (const limit of BAD_LIMIT) await refused('bad_args', one, 'join', newRoom(), { since: 0, limit });
  for (const unknown of [{ Since: 1 }, { before: 1 }]) await refused('bad_args', one, 'join', newRoom(), unknown);
  await refused('bad_room', one, 'join');
  await refused('bad_args', one, 'join', newRoom(), {}, 1);
});

test('join refuses the room after the thousandth', async (t) => {
  const { socket } = await client(t);
  const acks = await Promise.all(numbers(1000).map((i) => emitAck(socket, 'join', `many ${i}`)));
  assert.ok(acks.every((ack) => ack.ok), JSON.stringify(acks.find((ack) => !ack.ok)));
  await refused('too_many_rooms', socket, 'join', 'many more');
  await ok(socket, 'join', 'many 5'); // one it is in already
  await ok(socket, 'leave', 'many 7');
  await ok(socket, 'join', 'many more');
});

// ---- join with since ----

test('join since a number replays what came after it, in order, before the ack and before newer events', async (t) => {
  const { socket, recorder } = await client(t, 1);
  const room = newRoom();
  const seqs = await publishMany(one, room, 'n', 10);
  let atAck;
  const ack = await ok(socket, 'join', room, { since: seqs[2] }).finally(() => (atAck = recorder.count('n')));
  assert.equal(ack.replayed, 7);
  assert.equal(ack.truncated, false);
  assert.equal(atAck, 7);
  await publishMany(one, room, 'n', 3, { from: 10 });
  await fence(one, room, recorder);
  assertExactly(recorder, 'n', numbers(10, 3));
});

test('join since an offset string, also a replayed one, works like since its seq', async (t) => {
  const room = newRoom();
  const live = await client(t);
  await join(live.socket, room);
  await publishMany(one, room, 'n', 10);
  await fence(one, room, live.recorder);

  const first = await client(t, 1);
  await ok(first.socket, 'join', room, { since: live.recorder.of('n')[3].offset });
  await fence(one, room, first.recorder);
  assertExactly(first.recorder, 'n', numbers(6, 4));

  const replayed = first.recorder.of('n')[1];
  assert.notEqual(parseOffset(replayed.offset).pos, null, `a replayed event's offset tells the position too: ${replayed.offset}`);
  assert.equal(replayed.seq, live.recorder.of('n')[5].seq);
  const second = await client(t);
  await ok(second.socket, 'join', room, { since: replayed.offset });
  await fence(one, room, second.recorder);
  assertExactly(second.recorder, 'n', numbers(4, 6));
});

test('join since an offset of another log replays from its start', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  const seqs = await publishMany(one, room, 'n', 5);
  const ack = await ok(socket, 'join', room, { since: `${seqs[4]}-else` });
  assert.equal(ack.replayed, 5);
  assertExactly(recorder, 'n', numbers(5));
});

test('join since with a limit replays the newest and says truncated', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  await publishMany(one, room, 'n', 10);
  const ack = await ok(socket, 'join', room, { since: 0, limit: 3 });
  assert.equal(ack.replayed, 3);
  assert.equal(ack.truncated, true);
  await fence(one, room, recorder);
  assertExactly(recorder, 'n', [7, 8, 9]);
});

test('join since replays at most a thousand when no limit is given', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  await publishMany(one, room, 'n', 1100);
  const ack = await ok(socket, 'join', room, { since: 0 });
  assert.equal(ack.replayed, 1000);
  assert.equal(ack.truncated, true);
  await fence(one, room, recorder);
  assertExactly(recorder, 'n', numbers(1000, 100));
});

test('join since by a member replays only what came before it was one', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  await publishMany(one, room, 'n', 3);
  await join(socket, room);
  await publishMany(one, room, 'n', 3, { from: 3 });
  await fence(one, room, recorder);
  const ack = await ok(socket, 'join', room, { since: 0 });
  assert.equal(ack.replayed, 3);
  await fence(one, room, recorder);
  assertExactly(recorder, 'n', [3, 4, 5, 0, 1, 2]);
});

test('join since while events are published leaves no gap and no overlap', async (t) => {
  const room = newRoom();
  const seqs = await publishMany(one, room, 'n', 300);
  const more = publishMany(one, room, 'n', 700, { from: 300, atOnce: 20 });
  const joiners = await Promise.all(numbers(5).map((i) => client(t, i % 2)));
  await Promise.all(joiners.map(({ socket }) => ok(socket, 'join', room, { since: seqs[99] })));
  await more;
  await fence(one, room, ...joiners.map(({ recorder }) => recorder));
  for (const { recorder } of joiners) assertExactly(recorder, 'n', numbers(900, 100));
});

// ---- leave ----

test('leave ends the events, and leaving a room one is not in is ok', async (t) => {
  const { socket, recorder } = await client(t);
  const [room, other] = [newRoom(), newRoom()];
  await join(socket, room, other);
  await publishMany(one, room, 'n', 2);
  const ack = await ok(socket, 'leave', room);
  assert.equal(ack.room, room);
  await publishMany(one, room, 'n', 2, { from: 2 });
  await fence(one, other, recorder);
  assertExactly(recorder, 'n', [0, 1]);
  await ok(socket, 'leave', room);
});

test('leave without a callback leaves', async (t) => {
  const { socket, recorder } = await client(t);
  const [room, other] = [newRoom(), newRoom()];
  await join(socket, room, other);
  socket.emit('leave', room);
  await publishMany(socket, room, 'n', 1);
  await fence(socket, other, recorder);
  assert.equal(recorder.count('n'), 0);
});

test('leave refuses what is not a room name and wrong numbers of arguments', async () => {
  for (const room of [...NOT_TEXT, {}, '', 'r'.repeat(256)]) await refused('bad_room', one, 'leave', room);
  await refused('bad_room', one, 'leave');
  await refused('bad_args', one, 'leave', 'a', 'b');
});

// ---- publish ----

test('publish answers room and seq, and the event ends with an offset of that seq', async (t) => {
  const { socket, recorder } = await client(t, 1);
  const room = newRoom();
  await join(socket, room);
  const ack = await ok(one, 'publish', room, 'msg', { a: 1 });
  assert.equal(ack.room, room);
  assert.ok(Number.isSafeInteger(ack.seq));
  assert.notEqual(ack.duplicate, true);
  await recorder.waitForCount('msg', 1);
  const [event] = recorder.of('msg');
  assert.deepEqual(event.args, [{ a: 1 }]);
  assert.equal(event.seq, ack.seq);
});

test('publish brings a member its own copy before the ack', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  await join(socket, room);
  for (let i = 0; i < 20; i++) {
    const counts = await ok(socket, 'publish', room, 'n', i).then(() => recorder.count('n'));
    assert.equal(counts, i + 1, 'the own copy was there when the ack came');
  }
});

test('publish by one who is not a member reaches the members and not the publisher', async (t) => {
  const publisher = await client(t);
  const member = await client(t, 1);
  const [room, other] = [newRoom(), newRoom()];
  await join(member.socket, room);
  await join(publisher.socket, other);
  await publishMany(publisher.socket, room, 'n', 3);
  await fence(publisher.socket, room, member.recorder);
  await fence(publisher.socket, other, publisher.recorder);
  assertExactly(member.recorder, 'n', numbers(3));
  assert.equal(publisher.recorder.count('n'), 0);
});

test('publish without a callback is published and answers nothing', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  await join(socket, room);
  socket.emit('publish', room, 'n', 1);
  socket.emit('publish', { room, event: 'n', args: [2] });
  await fence(socket, room, recorder);
  assertExactly(recorder, 'n', [1, 2]);
});

test('publish carries any JSON arguments unchanged', async (t) => {
  const { socket, recorder } = await client(t, 1);
  const room = newRoom();
  await join(socket, room);
  const texts = [['text'], ['', ''], ['žluťoučký 🦊 \u0000 \u2028 "\\/'], ['1-abcd', '2-efgh']];
  const cases = [[], [null], [[]], [{}], ...texts, [1, 'two', { three: [3, { four: 4 }] }], [1e21, -0.5, 1e-7, 9007199254740991], [{ '': { key: 1 } }]];
  for (const args of cases) {
    await ok(one, 'publish', room, 'short', ...args);
    await ok(one, 'publish', { room, event: 'long', args });
  }
  await fence(one, room, recorder);
  assert.deepEqual(recorder.of('short').map(({ args }) => args), cases);
  assert.deepEqual(recorder.of('long').map(({ args }) => args), cases);
});

test('publish of {room, event} without args sends none', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  await join(socket, room);
  await ok(socket, 'publish', { room, event: 'bare' });
  await recorder.waitForCount('bare', 1);
  assert.deepEqual(recorder.of('bare')[0].args, []);
});

test('publish with echo false leaves out only the sender', async (t) => {
  const sender = await client(t);
  const other = await client(t);
  const room = newRoom();
  await join(sender.socket, room);
  await join(other.socket, room);
  await ok(sender.socket, 'publish', { room, event: 'n', args: [1], echo: false });
  await ok(sender.socket, 'publish', { room, event: 'n', args: [2], echo: true });
  await fence(sender.socket, room, sender.recorder, other.recorder);
  assertExactly(sender.recorder, 'n', [2]);
  assertExactly(other.recorder, 'n', [1, 2]);
});

test('publish volatile reaches members with an offset, answers without a seq and is not stored', async (t) => {
  const { socket, recorder } = await client(t, 1);
  const room = newRoom();
  await join(socket, room);
  const ack = await ok(one, 'publish', { room, event: 'v', args: ['a text'], volatile: true });
  assert.equal(ack.room, room);
  assert.equal(ack.seq, undefined);
  await recorder.waitForCount('v', 1);
  assert.deepEqual(recorder.of('v')[0].args, ['a text']);
  assert.notEqual(recorder.of('v')[0].offset, null, 'a volatile event ends with an offset too');
  const history = await ok(one, 'history', room);
  assert.deepEqual(history.events, []);
});

test('publish refuses bad rooms in both forms', async () => {
  for (const room of [...NOT_TEXT, '', 'r'.repeat(256)]) {
    await refused('bad_room', one, 'publish', room, 'e');
    await refused('bad_room', one, 'publish', { room, event: 'e' });
  }
  await refused('bad_room', one, 'publish', { event: 'e' });
});

test('publish refuses bad and reserved event names in both forms', async () => {
  const room = newRoom();
  for (const event of [...NOT_TEXT, {}, '', 'e'.repeat(256), ...RESERVED]) {
    await refused('bad_event', one, 'publish', room, event);
    await refused('bad_event', one, 'publish', { room, event });
  }
  await refused('bad_event', one, 'publish', { room });
  assert.deepEqual((await ok(one, 'history', room)).events, []);
});

test('publish takes names and ids of exactly the longest sizes', async () => {
  const ack = await ok(one, 'publish', { room: LONG_ROOM, event: 'e'.repeat(255), id: LONG_ID });
  const { events } = await ok(one, 'history', LONG_ROOM);
  assert.deepEqual(events.map(({ seq, event, id }) => [seq, event, id]), [[ack.seq, 'e'.repeat(255), LONG_ID]]);
});

test('publish refuses bad ids', async () => {
  for (const id of [5, null, true, {}, '', 'i'.repeat(129), 'é'.repeat(65)]) await refused('bad_id', one, 'publish', { room: newRoom(), event: 'e', id });
});

test('publish refuses wrong options and wrong numbers of arguments', async () => {
  const room = newRoom();
  await refused('bad_room', one, 'publish');
  await refused('bad_event', one, 'publish', room);
  await refused('bad_args', one, 'publish', { room, event: 'e' }, 'more');
  await refused('bad_args', one, 'publish', { room, event: 'e', args: 'x' });
  await refused('bad_args', one, 'publish', { room, event: 'e', args: { 0: 'x' } });
  await refused('bad_args', one, 'publish', { room, event: 'e', echo: 1 });
  await refused('bad_args', one, 'publish', { room, event: 'e', echo: 'false' });
  await refused('bad_args', one, 'publish', { room, event: 'e', volatile: 'yes' });
  await refused('bad_args', one, 'publish', { room, event: 'e', unknown: 1 });
  await refused('bad_id', one, 'publish', { room, event: 'e', volatile: true, id: 'x' });
  assert.deepEqual((await ok(one, 'history', room)).events, []);
});

// ---- publish with an id ----

test('the same id answers duplicate with the first seq and is delivered once, also across gateways and rooms', async (t) => {
  const { socket, recorder } = await client(t);
  const [room, other] = [newRoom(), newRoom()];
  const id = `id ${room}`;
  await join(socket, room, other);
  const first = await ok(one, 'publish', { room, event: 'n', args: [1], id });
  assert.notEqual(first.duplicate, true);
  for (const again of [one, two, socket]) {
    const ack = await ok(again, 'publish', { room, event: 'n', args: [2], id });
    assert.equal(ack.duplicate, true);
    assert.equal(ack.seq, first.seq);
  }
  const elsewhere = await ok(two, 'publish', { room: other, event: 'n', args: [3], id });
  assert.deepEqual([elsewhere.duplicate, elsewhere.seq], [true, first.seq]);
  await fence(one, room, recorder);
  await fence(one, other, recorder);
  assertExactly(recorder, 'n', [1]);
});

test('the same id from many at once is stored once and all get one seq', async (t) => {
  const { socket, recorder } = await client(t, 1);
  const room = newRoom();
  await join(socket, room);
  for (let round = 0; round < 10; round++) {
    const publish = (i) => ok(i % 2 ? one : two, 'publish', { room, event: 'n', args: [round], id: `${room} ${round}` });
    const acks = await Promise.all(numbers(20).map(publish));
    assert.equal(new Set(acks.map(({ seq }) => seq)).size, 1);
    assert.equal(acks.filter(({ duplicate }) => duplicate !== true).length, 1, 'exactly one is the first');
  }
  await fence(one, room, recorder);
  assertExactly(recorder, 'n', numbers(10));
});

// ---- history ----

test('history gives seq, ts, event, args, sender and id', async (t) => {
  const { socket } = await client(t);
  const room = newRoom();
  const ack = await ok(socket, 'publish', { room, event: 'msg', args: ['a', { b: [1] }], id: `id ${room}` });
  const { events, more, truncated } = await ok(two, 'history', room);
  assert.equal(events.length, 1);
  const [{ seq, ts, event, args, sender, id }] = events;
  assert.deepEqual({ seq, event, args, sender, id }, { seq: ack.seq, event: 'msg', args: ['a', { b: [1] }], sender: socket.id, id: `id ${room}` });
  assert.deepEqual({ more, truncated }, { more: false, truncated: false });
  assert.ok(Math.abs(Date.now() - ts) < 60_000, `ts is in milliseconds since 1970: ${ts}`);
});

test('history since pages forward, exclusive and ascending', async () => {
  const room = newRoom();
  const seqs = await publishMany(one, room, 'n', 25);
  const pages = [];
  for (let since = 0, more = true; more; ) {
    const page = await ok(two, 'history', room, { since, limit: 10 });
    pages.push(page.events.map(({ args }) => args[0]));
    ({ more } = page);
    since = page.events.at(-1)?.seq;
    assert.ok(pages.length <= 3, 'paging ends');
  }
  assert.deepEqual(pages, [numbers(10), numbers(10, 10), numbers(5, 20)]);
  const rest = await ok(two, 'history', room, { since: seqs[24] });
  assert.deepEqual([rest.events, rest.more], [[], false]);
});

test('history without since gives the newest, and before pages backward, each page ascending', async () => {
  const room = newRoom();
  await publishMany(one, room, 'n', 25);
  const pages = [];
  for (let before, more = true; more; ) {
    const page = await ok(two, 'history', room, { ...(before && { before }), limit: 10 });
    pages.push(page.events.map(({ args }) => args[0]));
    ({ more } = page);
    before = page.events[0]?.seq;
    assert.ok(pages.length <= 3, 'paging ends');
  }
  assert.deepEqual(pages, [numbers(10, 15), numbers(10, 5), numbers(5)]);
});

test('history between since and before is exclusive at both ends', async () => {
  const room = newRoom();
  const seqs = await publishMany(one, room, 'n', 10);
  const { events, more } = await ok(two, 'history', room, { since: seqs[2], before: seqs[7] });
  assertSame(events.map(({ args }) => args[0]), [3, 4, 5, 6], 'events between');
  assert.equal(more, false);
});

test('history since an offset string works like since its seq', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  await join(socket, room);
  await publishMany(one, room, 'n', 5);
  await fence(one, room, recorder);
  const { events } = await ok(one, 'history', room, { since: recorder.of('n')[1].offset });
  assert.deepEqual(events.filter(({ event }) => event === 'n').map(({ args }) => args[0]), [2, 3, 4]);
});

test('history gives a thousand when no limit is given, and an empty list for an unknown room', async () => {
  const room = newRoom();
  await publishMany(one, room, 'n', 1005);
  const { events, more } = await ok(two, 'history', room);
  assertSame(events.map(({ args }) => args[0]), numbers(1000, 5), 'the newest thousand');
  assert.equal(more, true);
  const none = await ok(two, 'history', newRoom());
  assert.deepEqual([none.events, none.more, none.truncated], [[], false, false]);
});

test('history refuses bad rooms, options and numbers of arguments', async () => {
  for (const room of [...NOT_TEXT, {}, '', 'r'.repeat(256)]) await refused('bad_room', one, 'history', room);
  for (const options of NO_OPTIONS) await refused('bad_args', one, 'history', newRoom(), options);
  for (const since of BAD_SINCE) await refused('bad_args', one, 'history', newRoom(), { since });
  for (const before of ['x', -1, 1.5, true]) await refused('bad_args', one, 'history', newRoom(), { before });
  for (const limit of BAD_LIMIT) await refused('bad_args', one, 'history', newRoom(), { limit });
  await refused('bad_args', one, 'history', newRoom(), { unknown: 1 });
  await refused('bad_room', one, 'history');
  await refused('bad_args', one, 'history', 'a', {}, 1);
});

// ---- presence ----

const sids = (ack) => ack.members.map(({ sid }) => sid).sort();

test('presence lists the members of all gateways', async (t) => {
  const members = [await client(t, 0), await client(t, 1), await client(t, 1)];
  const room = newRoom();
  for (const { socket } of members) await join(socket, room, room);
  for (const asker of [one, two]) {
    const ack = await ok(asker, 'presence', room);
    assert.deepEqual(sids(ack), members.map(({ socket }) => socket.id).sort());
    for (const member of ack.members) {
      assert.ok('user' in member, 'each member has a user');
      assert.ok(Math.abs(Date.now() - member.since) < 60_000, `since is in milliseconds since 1970: ${member.since}`);
    }
  }
});

test('presence forgets who left and who disconnected', async (t) => {
  const [stays, leaves, goes] = [await client(t, 0), await client(t, 0), await client(t, 1)];
  const room = newRoom();
  for (const { socket } of [stays, leaves, goes]) await join(socket, room);
  await ok(leaves.socket, 'leave', room);
  goes.socket.disconnect();
  const left = [stays.socket.id];
  await waitFor(async () => JSON.stringify(sids(await ok(one, 'presence', room))) === JSON.stringify(left), { what: 'only one member being left' });
  assert.deepEqual((await ok(one, 'presence', newRoom())).members, []);
});

test('presence refuses bad rooms and wrong numbers of arguments', async () => {
  for (const room of [...NOT_TEXT, {}, '', 'r'.repeat(256)]) await refused('bad_room', one, 'presence', room);
  await refused('bad_room', one, 'presence');
  await refused('bad_args', one, 'presence', 'a', 1);
});

// ---- everything else ----

test('an unknown event is answered with unknown_event if it asked, and ignored if not', async (t) => {
  const { socket, recorder } = await client(t);
  const disconnects = watchDisconnects(socket);
  const room = newRoom();
  await join(socket, room);
  for (const event of ['chat', 'Join', 'publish ', '', 'e'.repeat(5000)]) {
    await refused('unknown_event', socket, event, 1);
    socket.emit(event, { any: 'thing' });
  }
  await fence(socket, room, recorder);
  assert.equal(recorder.entries.length, 1, 'nothing but the fence came');
  assert.equal(disconnects.count, 0);
});

test('refusals without a callback answer nothing and harm nothing', async (t) => {
  const { socket, recorder } = await client(t);
  const disconnects = watchDisconnects(socket);
  const room = newRoom();
  await join(socket, room);
  for (const args of [['join'], ['join', 5], ['leave', {}], ['publish'], ['publish', room, 'connect'], ['history', room, 5], ['presence', []]]) socket.emit(...args);
  await fence(socket, room, recorder);
  assert.equal(recorder.entries.length, 1, 'nothing but the fence came');
  assert.equal(disconnects.count, 0);
});

test('a member of several rooms gets their events in the order of their seqs', async (t) => {
  const { socket, recorder } = await client(t);
  const mine = [newRoom(), newRoom(), newRoom()];
  await join(socket, ...mine);
  await Promise.all(mine.map((room, i) => publishMany(i % 2 ? one : two, room, 'n', 100, { from: 1000 * i, atOnce: 10 })));
  for (const room of mine) await fence(one, room, recorder);
  const seqs = recorder.of('n').map(({ seq }) => seq);
  assert.equal(seqs.length, 300);
  assert.ok(seqs.every((seq, i) => i === 0 || seq > seqs[i - 1]), 'seqs increase strictly');
});

test('every event ends with an offset, and all have one tag', async (t) => {
  const { socket, recorder } = await client(t);
  const room = newRoom();
  await join(socket, room);
  await publishMany(one, room, 'n', 5);
  await ok(one, 'publish', { room, event: 'v', volatile: true });
  await fence(one, room, recorder);
  const tags = recorder.entries.map(({ offset }) => parseOffset(offset)?.tag);
  assert.equal(new Set(tags).size, 1);
  assert.ok(tags[0]?.length >= 4);
});
