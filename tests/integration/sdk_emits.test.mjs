// Reference 1.4: rooms and every form of emit, by stock clients at two gateways and two workers.

import assert from 'node:assert/strict';

import { emitAck, nextConnect } from './clients.mjs';
import { Cluster, reported, slow, test, waitFor } from './harness.mjs';
import { client, clients, cut, fence, joinRooms, leave, nextEvent, reach, receivers, tell, tellFails } from './sdk.mjs';

const cluster = await Cluster.start({ gateways: 2, workers: 2 });

let rooms = 0;
const newRoom = () => `room ${++rooms}`;

test('B1: emit to one socket, without and with arguments', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  await tell(a.socket, 'socket_emit', { name: 'none' });
  await tell(a.socket, 'socket_emit', { name: 'some', args: [1, 'two', null, true, { three: [4.5] }, []] });
  await fence(a, a, b);
  assert.deepEqual(a.recorder.of('none').map(({ args }) => args), [[]]);
  assert.deepEqual(a.recorder.of('some').map(({ args }) => args), [[1, 'two', null, true, { three: [4.5] }, []]]);
  assert.equal(b.recorder.count('none') + b.recorder.count('some'), 0);
});

test('B1: send is an emit of "message", in both directions', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  await tell(a.socket, 'socket_send', { args: ['mine'] });
  await tell(a.socket, 'send', { target: { kind: 'broadcast' }, args: ['yours'] });
  await fence(a, a, b);
  assert.deepEqual(a.recorder.values('message'), ['mine']);
  assert.deepEqual(b.recorder.values('message'), ['yours']);
  assert.deepEqual(await emitAck(a.socket, 'message', 7), 'message');
});

test('B1: reserved names are refused', async (t) => {
  const a = await client(t, cluster);
  for (const name of ['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener']) {
    await tellFails('INVALID', a.socket, 'socket_emit', { name });
    await tellFails('INVALID', a.socket, 'emit', { name });
  }
});

test('B2: emit to all of a namespace, on all gateways, and only there', async (t) => {
  const list = await clients(t, cluster, 4);
  const other = await client(t, cluster, { nsp: '/tenant-b2' });
  assert.deepEqual(await reach(list[0], list, { kind: 'all' }), [0, 1, 2, 3]);
  await tell(list[0].socket, 'emit', { target: { kind: 'all_of', nsp: '/tenant-b2' }, name: 'other', args: [1] });
  await waitFor(() => other.recorder.count('other') === 1);
  assert.deepEqual(await receivers(list[0], list, 'other'), []);
  assert.deepEqual(other.recorder.entries.map(({ event }) => event), ['other']);
});

test('B3: a room, a union of rooms, everybody once', async (t) => {
  const list = await clients(t, cluster, 4);
  const [x, y, z] = [newRoom(), newRoom(), newRoom()];
  await joinRooms([list[0], [x, y]], [list[1], [y]], [list[2], [z]]);
  assert.deepEqual(await reach(list[3], list, { kind: 'to', room: x }), [0]);
  assert.deepEqual(await reach(list[3], list, { kind: 'to', room: x, to: [y] }), [0, 1]);
  assert.deepEqual(await reach(list[3], list, { kind: 'to', room: x, in: [y, z] }), [0, 1, 2]);
  assert.deepEqual(await reach(list[3], list, { kind: 'to', room: newRoom() }), []);
});

test('B3: except rooms', async (t) => {
  const list = await clients(t, cluster, 4);
  const [x, y] = [newRoom(), newRoom()];
  await joinRooms([list[0], [x, y]], [list[1], [y]], [list[2], [x]]);
  assert.deepEqual(await reach(list[3], list, { kind: 'except', room: x }), [1, 3]);
  assert.deepEqual(await reach(list[3], list, { kind: 'except', room: x, except: [y] }), [3]);
  assert.deepEqual(await reach(list[3], list, { kind: 'to', room: x, except: [y] }), [2]);
  assert.deepEqual(await reach(list[3], list, { kind: 'to', room: x, to: [y], except: [list[0].id] }), [1, 2]);
});

test('B3: wrong rooms and too many are errors of the use', async (t) => {
  const a = await client(t, cluster);
  await tellFails('INVALID', a.socket, 'emit', { target: { kind: 'to', room: '' }, name: 'e' });
  await tellFails('INVALID', a.socket, 'emit', { target: { kind: 'to', room: 'r'.repeat(256) }, name: 'e' });
  await tell(a.socket, 'emit', { target: { kind: 'to', room: 'r'.repeat(255) }, name: 'e' });
  const many = Array.from({ length: 300 }, (_, i) => `many ${i}`);
  await tellFails('FULL', a.socket, 'emit', { target: { kind: 'to', room: 'first', to: many }, name: 'e' });
  await fence(a, a);
});

test('B4: without the sender', async (t) => {
  const list = await clients(t, cluster, 4);
  const x = newRoom();
  await joinRooms([list[0], [x]], [list[1], [x]]);
  assert.deepEqual(await reach(list[0], list, { kind: 'broadcast' }), [1, 2, 3]);
  assert.deepEqual(await reach(list[0], list, { kind: 'socket_to', room: x }), [1]);
  assert.deepEqual(await reach(list[2], list, { kind: 'socket_to', room: x }), [0, 1]);
  assert.deepEqual(await reach(list[0], list, { kind: 'broadcast', except: [x] }), [2, 3]);
});

test('B5: volatile events reach who is there, and are not kept for who is away', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  assert.deepEqual(await reach(a, [a, b], { kind: 'all', volatile: true }), [0, 1]);
  assert.deepEqual(await reach(a, [a, b], { kind: 'only', volatile: true }), [0]);
  const comeBack = await leave(b.socket);
  await reported(cluster.workers, 'disconnect', { sid: b.id });
  await tell(a.socket, 'emit', { target: { kind: 'all', volatile: true }, name: 'lost' });
  await tell(a.socket, 'emit', { target: { kind: 'all' }, name: 'kept' });
  await comeBack();
  assert.equal(b.socket.recovered, true);
  await fence(a, a, b);
  assert.deepEqual([b.recorder.count('lost'), b.recorder.count('kept')], [0, 1]);
  assert.deepEqual([a.recorder.count('lost'), a.recorder.count('kept')], [1, 1]);
});

test('B5: volatile events do not spoil the offset of a client', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  await tell(a.socket, 'emit', { target: { kind: 'all', volatile: true }, name: 'v', args: ['a text at the end'] });
  await fence(a, b);
  assert.deepEqual(b.recorder.of('v')[0].args, ['a text at the end']);
  const back = nextConnect(b.socket);
  cut(b.socket);
  await back;
  assert.equal(b.socket.recovered, true);
});

test('B5: a volatile event of a client is an event', async (t) => {
  const a = await client(t, cluster);
  a.socket.volatile.emit('work', 'volatile');
  await reported(cluster.workers, 'work', { sid: a.id, n: 'volatile' });
});

test('B8, B9: emit with ack to one socket; the ack has all arguments', async (t) => {
  const a = await client(t, cluster);
  a.socket.on('question', (n, ack) => ack(n + 1, 'more', Buffer.from([1, 2, 3])));
  const { args } = await tell(a.socket, 'socket_emit_ack', { name: 'question', args: [41], timeout: 60_000 });
  assert.deepEqual(args.slice(0, 2), [42, 'more']);
  assert.deepEqual(Buffer.from(args[2]), Buffer.from([1, 2, 3]));
});

test('B8: an ack that does not come in time is a timeout', async (t) => {
  const a = await client(t, cluster);
  const began = Date.now();
  await tellFails('TIMEOUT', a.socket, 'socket_emit_ack', { name: 'nobody listens', timeout: 200 });
  assert.ok(Date.now() - began >= 195);
});

test('B8: an ack after the timeout, and a second one, change nothing', async (t) => {
  const a = await client(t, cluster);
  let late;
  a.socket.on('slow', (ack) => (late = ack));
  await tellFails('TIMEOUT', a.socket, 'socket_emit_ack', { name: 'slow', timeout: 100 });
  late('too late');
  a.socket.on('twice', (ack) => { ack(1); ack(2); });
  assert.deepEqual((await tell(a.socket, 'socket_emit_ack', { name: 'twice', timeout: 60_000 })).args, [1]);
  await fence(a, a);
  assert.equal(cluster.workers.flatMap((worker) => worker.of('ack')).filter(({ args }) => args?.[0] === 2 || args?.[0] === 'too late').length, 0);
});

test('B9: without a timeout the answer is waited for until the session ends', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  await tell(b.socket, 'socket_emit_ack', { name: 'never answered', args: [b.id], async: true });
  await fence(a, b);
  const before = cluster.workers.flatMap((worker) => worker.of('ack', { err: 'GONE' })).length;
  b.socket.disconnect();
  await waitFor(() => cluster.workers.flatMap((worker) => worker.of('ack', { err: 'GONE' })).length === before + 1);
});

test('B8: a client\'s own timeout', async (t) => {
  const a = await client(t, cluster);
  await assert.rejects(a.socket.timeout(100).emitWithAck('do', { op: 'silent' }), /operation has timed out/);
});

test('B10: a broadcast collects the acks of all members at all gateways', async (t) => {
  const list = await clients(t, cluster, 4);
  const x = newRoom();
  await joinRooms([list[0], [x]], [list[1], [x]], [list[2], [x]]);
  for (const [i, { socket }] of list.entries()) socket.on('count', (n, ack) => ack(n + i));
  const target = { kind: 'to', room: x, timeout: 60_000 };
  const answer = await tell(list[3].socket, 'emit_ack', { target, name: 'count', args: [100] });
  const got = Object.fromEntries(answer.responses.map(({ sid, args }) => [sid, args]));
  assert.deepEqual(got, Object.fromEntries(list.slice(0, 3).map(({ id }, i) => [id, [100 + i]])));
  assert.equal(answer.seen, 3);
});

test('B10: those who answered are told with a timeout', async (t) => {
  const list = await clients(t, cluster, 3);
  const x = newRoom();
  await joinRooms(...list.map((one) => [one, [x]]));
  for (const { socket } of list.slice(0, 2)) socket.on('some answer', (ack) => ack('here'));
  const answer = await tellFails('TIMEOUT', list[0].socket, 'emit_ack', { target: { kind: 'to', room: x, timeout: 2_000 * slow }, name: 'some answer' });
  assert.deepEqual(answer.responses.map(({ sid }) => sid).sort(), list.slice(0, 2).map(({ id }) => id).sort());
});

test('B10: nobody there is an answer at once; without a timeout it is refused', async (t) => {
  const a = await client(t, cluster);
  const { responses } = await tell(a.socket, 'emit_ack', { target: { kind: 'to', room: newRoom(), timeout: 120_000 }, name: 'e' });
  assert.deepEqual(responses, []);
  await tellFails('INVALID', a.socket, 'emit_ack', { target: { kind: 'to', room: newRoom() }, name: 'e' });
  await tellFails('INVALID', a.socket, 'emit_ack', { target: { kind: 'all', volatile: true, timeout: 100 }, name: 'e' });
});

test('B10: acks of the whole namespace but the sender, and of one socket', async (t) => {
  const nsp = '/tenant-b10';
  const list = await clients(t, cluster, 3, { nsp });
  for (const { socket } of list) socket.on('who', (ack) => ack(socket.id));
  const broadcast = await tell(list[0].socket, 'emit_ack', { target: { kind: 'broadcast', timeout: 60_000 }, name: 'who' });
  assert.deepEqual(broadcast.responses.map(({ args }) => args[0]).sort(), [list[1].id, list[2].id].sort());
  const one = await tell(list[0].socket, 'emit_ack', { target: { kind: 'all_of', nsp, to: [list[1].id], timeout: 60_000 }, name: 'who' });
  assert.deepEqual(one.responses, [{ sid: list[1].id, args: [list[1].id] }]);
});

test('B11: a private message to another socket\'s id, at another gateway', async (t) => {
  const list = await clients(t, cluster, 3);
  assert.deepEqual(await reach(list[0], list, { kind: 'to', room: list[1].id }), [1]);
});

test('B12: join and leave, several at once, own id as a room', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  const [x, y] = [newRoom(), newRoom()];
  await tell(a.socket, 'join', { rooms: [x, y] });
  assert.deepEqual((await tell(a.socket, 'info')).rooms.sort(), [a.id, x, y].sort());
  await tell(a.socket, 'leave', { room: x });
  await tell(a.socket, 'leave', { room: 'never joined' });
  assert.deepEqual((await tell(a.socket, 'info')).rooms.sort(), [a.id, y].sort());
  assert.deepEqual(await reach(b, [a, b], { kind: 'to', room: x }), []);
  assert.deepEqual(await reach(b, [a, b], { kind: 'to', room: y }), [0]);
  await tellFails('INVALID', a.socket, 'join', { rooms: [''] });
  await tellFails('INVALID', a.socket, 'leave', { room: a.id });
});

test('B12: rooms are left after disconnecting, which still sees them', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  const x = newRoom();
  await tell(b.socket, 'join', { rooms: [x] });
  b.socket.disconnect();
  const first = await reported(cluster.workers, 'disconnecting', { sid: b.id });
  assert.deepEqual(first.rooms.sort(), [b.id, x].sort());
  const second = await reported(cluster.workers, 'disconnect', { sid: b.id });
  assert.deepEqual(second.rooms, []);
  assert.deepEqual((await tell(a.socket, 'fetch', { target: { kind: 'to', room: x } })).sockets, []);
});

test('B13: disconnect from the namespace, or altogether', async (t) => {
  for (const close of [false, true]) {
    const a = await client(t, cluster);
    const other = a.socket.io.socket('/tenant-b13');
    await waitFor(() => other.connected); // it connects by itself
    const reasons = [];
    a.socket.on('disconnect', (reason) => reasons.push(reason));
    other.on('disconnect', (reason) => reasons.push(`other: ${reason}`));
    a.socket.emit('do', { op: 'disconnect', close });
    await waitFor(() => !a.socket.connected);
    assert.equal((await reported(cluster.workers, 'disconnect', { sid: a.id })).reason, 'server namespace disconnect');
    if (close) {
      await waitFor(() => reasons.length === 2);
      assert.deepEqual(reasons.sort(), ['io server disconnect', 'other: io server disconnect'].sort());
    } else {
      assert.deepEqual(reasons, ['io server disconnect']);
      await tell(other, 'info');
    }
  }
});

test('B14: binary anywhere in the arguments, in both directions', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  const bytes = Buffer.from([0, 255, 128, 10]);
  const args = [bytes, { deep: [{ in: Buffer.from('x') }], n: 1 }, 'text'];
  await tell(a.socket, 'emit', { target: { kind: 'broadcast' }, name: 'bin', args });
  await fence(a, a, b);
  const [got] = b.recorder.of('bin');
  assert.deepEqual(Buffer.from(got.args[0]), bytes);
  assert.deepEqual(Buffer.from(got.args[1].deep[0].in), Buffer.from('x'));
  assert.deepEqual([got.args[1].n, got.args[2]], [1, 'text']);
  const answer = await tell(a.socket, 'later', { ms: 0, value: { b: bytes } });
  assert.deepEqual(Buffer.from(answer.value.b), bytes);
});

test('B14: a missed binary event is replayed', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  const comeBack = await leave(b.socket);
  await reported(cluster.workers, 'disconnect', { sid: b.id });
  await tell(a.socket, 'emit', { target: { kind: 'to', room: b.id }, name: 'bin', args: [{ b: Buffer.from('missed') }] });
  await comeBack();
  await waitFor(() => b.recorder.count('bin') === 1);
  assert.deepEqual(Buffer.from(b.recorder.of('bin')[0].args[0].b), Buffer.from('missed'));
});

test('what a target emits can be followed to the log', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  const { seq } = await tell(a.socket, 'emit', { target: { kind: 'to', room: b.id }, name: 'stored one', args: [1], stored: true });
  await waitFor(() => b.recorder.count('stored one') === 1);
  assert.equal(b.recorder.of('stored one')[0].seq, seq);
  const rows = await cluster.query(`SELECT event, room FROM messages WHERE seq = ${seq}`);
  assert.deepEqual(rows, [{ event: 'stored one', room: b.id }]);
});

test('an ack may come later, by way of another thread, and only once', async (t) => {
  const a = await client(t, cluster);
  const answers = await Promise.all([200, 0, 100].map((ms) => tell(a.socket, 'later', { ms, value: ms })));
  assert.deepEqual(answers.map(({ value }) => value), [200, 0, 100]);
  const later = cluster.workers.flatMap((worker) => worker.of('later'));
  assert.ok(later.every(({ err, again }) => err === 'OK' && again === 'GONE'));
});

test('an ack never comes before what its handler emitted', async (t) => {
  const a = await client(t, cluster);
  const seen = [];
  const count = 300;
  a.socket.on('worked', (n) => seen.push(`worked ${n}`));
  const acks = [];
  for (let n = 0; n < count; n++) {
    acks.push(emitAck(a.socket, 'work', n).then(() => seen.push(`ack ${n}`)));
    if (n % 7 === 0) await acks.at(-1); // alone, and several at once
  }
  await Promise.all(acks);
  await waitFor(() => seen.length === 2 * count);
  const at = new Map(seen.map((what, i) => [what, i]));
  assert.deepEqual(Array.from(acks.keys()).filter((n) => at.get(`ack ${n}`) < at.get(`worked ${n}`)), []);
});
