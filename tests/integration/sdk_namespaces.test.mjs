// Reference 1.3: namespaces, middlewares, handshake, catch-all handlers, what a socket is. One worker, so that handlers added at
// runtime and kept sockets are where the next event is handled.

import assert from 'node:assert/strict';

import { connect, emitAck, nextConnect, ok, open, refused } from './clients.mjs';
import { Cluster, reported, slow, test, waitFor, within } from './harness.mjs';
import { client, clients, cut, leave, settle, tell, tellFails } from './sdk.mjs';

const cluster = await Cluster.start({ gateways: 2, workers: 1, gateway: ['--ping-interval', '1s'] });
const [worker] = cluster.workers;
const probe = await connect(cluster.url(0));
const settled = () => settle(probe, worker);

// What a client that is refused is told: {message, data}.
async function refusal(t, nsp, options = {}) {
  const socket = open(cluster.url(0) + nsp, options);
  t.after(() => socket.io._close());
  return within(60_000, 'connect_error', new Promise((resolve, reject) => {
    socket.once('connect_error', resolve);
    socket.once('connect', () => reject(new Error(`${nsp} let it in`)));
  }));
}

// ---- N1, N2 ----

test('N1: a namespace by its name; others are not there', async (t) => {
  const a = await client(t, cluster, { nsp: '/durable' });
  const info = await tell(a.socket, 'info');
  assert.deepEqual([info.nsp, info.served], ['/durable', '/durable']);
  const err = await refusal(t, '/nobody-serves-this');
  assert.equal(err.message, 'Invalid namespace');
});

test('N2: namespaces by a pattern; a name wins over a pattern', async (t) => {
  const [one, two, vip] = await Promise.all(['/tenant-1', '/tenant-2', '/tenant-vip'].map((nsp) => client(t, cluster, { nsp })));
  assert.deepEqual((({ nsp, served }) => [nsp, served])(await tell(one.socket, 'info')), ['/tenant-1', '/tenant-*']);
  assert.deepEqual((({ nsp, served }) => [nsp, served])(await tell(vip.socket, 'info')), ['/tenant-vip', '/tenant-vip']);
  const room = 'the same room';
  for (const { socket } of [one, two, vip]) await tell(socket, 'join', { rooms: [room] });
  await tell(one.socket, 'emit', { target: { kind: 'all_of', nsp: '/tenant-1', to: [room] }, name: 'one', args: [1], stored: true });
  await tell(one.socket, 'emit', { target: { kind: 'all' }, name: 'children', args: [2], stored: true });
  await waitFor(() => [one, two].every(({ recorder }) => recorder.count('children') === 1));
  assert.deepEqual([one, two, vip].map(({ recorder }) => recorder.entries.map(({ event }) => event)), [['one', 'children'], ['children'], []]);
});

test('N2: an emit to a pattern can be to a room in each', async (t) => {
  const [one, two] = await Promise.all(['/tenant-a', '/tenant-b'].map((nsp) => client(t, cluster, { nsp })));
  const other = await client(t, cluster, { nsp: '/tenant-a', gateway: 1 });
  for (const { socket } of [one, two]) await tell(socket, 'join', { rooms: ['r'] });
  await tell(one.socket, 'emit', { target: { kind: 'to', room: 'r' }, name: 'e', args: [], stored: true });
  await tell(one.socket, 'emit', { target: { kind: 'all' }, name: 'end', args: [], stored: true });
  await waitFor(() => [one, two, other].every(({ recorder }) => recorder.count('end') === 1));
  assert.deepEqual([one, two, other].map(({ recorder }) => recorder.count('e')), [1, 1, 0]);
});

// ---- N3 ----

test('N3: middlewares are asked in their order, and let a client in', async (t) => {
  const a = await client(t, cluster, { nsp: '/guarded' });
  await settled();
  const order = worker.reports.filter(({ what, sid }) => sid === a.id && /^(admit|connection)/.test(what)).map(({ what }) => what);
  assert.deepEqual(order, ['admit', 'admit2', 'connection']);
});

test('N3: a refusal is a connect_error with message and data; later middlewares are not asked', async (t) => {
  const data = { code: 'E42', details: [1, 'x'] };
  const err = await refusal(t, '/guarded', { auth: { refuse: 'not you', data } });
  assert.equal(err.message, 'not you');
  assert.deepEqual(err.data, data);
  const plain = await refusal(t, '/guarded', { auth: { refuse: 'no data' } });
  assert.deepEqual([plain.message, plain.data], ['no data', undefined]);
  const last = await refusal(t, '/guarded', { auth: { second: true } });
  assert.equal(last.message, 'the second says no');
  await settled();
  const asked = worker.reports.filter(({ what }) => /^(admit2?|connection)$/.test(what)).slice(-4).map(({ what }) => what);
  assert.deepEqual(asked, ['admit', 'admit', 'admit', 'admit2']);
});

test('N3: a middleware may answer later; others are not kept waiting', async (t) => {
  const before = worker.of('admit').length;
  const late = open(`${cluster.url(0)}/guarded`, { auth: { defer: 2_000 * slow } });
  t.after(() => late.io._close());
  await waitFor(() => worker.of('admit').length > before, { what: 'the question about the late one' });
  const quick = await client(t, cluster, { nsp: '/guarded' });
  assert.equal(late.connected, false);
  assert.equal(quick.socket.connected, true);
  await waitFor(() => late.connected);
});

test('N3: middlewares are asked again before a recovery', async (t) => {
  const auth = {};
  const a = await client(t, cluster, { nsp: '/guarded', auth: (give) => give(auth) });
  await settled();
  assert.deepEqual(worker.of('admit', { sid: a.id }).map(({ recovers }) => recovers), [false]);
  const back = nextConnect(a.socket);
  cut(a.socket);
  await back;
  await settled();
  assert.deepEqual(worker.of('admit', { sid: a.id }).map(({ recovers }) => recovers), [false, true]);
  auth.refuse = 'banned';
  const banned = within(60_000, 'connect_error', new Promise((resolve) => a.socket.once('connect_error', resolve)));
  cut(a.socket);
  await waitFor(() => worker.of('disconnect', { sid: a.id }).length === 2);
  assert.equal((await banned).message, 'banned');
  assert.equal(a.socket.connected, false);
});

// ---- N4 ----

test('N4: middlewares of events, and the handlers of error', async (t) => {
  const a = await client(t, cluster, { nsp: '/filtered' });
  assert.deepEqual(await emitAck(a.socket, 'word', 'good'), { heard: 'good' });
  a.socket.emit('word', 'refuse', 1);
  assert.equal((await reported(worker, 'error', { sid: a.id })).message, 'not this word');
  assert.deepEqual(await emitAck(a.socket, 'word', 'tell'), { refused: true });
  a.socket.emit('word', 'later');
  await reported(worker, 'error', { sid: a.id, message: 'the second says no' });
  assert.deepEqual(await emitAck(a.socket, 'word', 'end'), { heard: 'end' });
  await settled();
  assert.deepEqual(worker.of('word').map(({ args }) => args[0]), ['good', 'end']);
  assert.deepEqual(worker.of('passed').map(({ name, args }) => [name, args[0]]), [['word', 'good'], ['word', 'later'], ['word', 'end']]);
});

// ---- N5 ----

test('N5: the handshake is Socket.IO\'s', async (t) => {
  const before = Date.now();
  const a = await client(t, cluster, {
    query: { of: 'the client' },
    auth: { token: 'abc', nested: { n: [1] } },
    extraHeaders: { 'X-Test': 'Some Text', 'User-Agent': 'a test' },
  });
  const { handshake, header, address, query, issued } = await tell(a.socket, 'info');
  assert.deepEqual(Object.keys(handshake).sort(), ['address', 'auth', 'headers', 'issued', 'query', 'secure', 'time', 'url', 'xdomain'].sort());
  assert.deepEqual(handshake.auth, { token: 'abc', nested: { n: [1] } });
  assert.equal(handshake.headers['x-test'], 'Some Text');
  assert.equal(header, 'a test');
  assert.equal(handshake.address, address);
  assert.match(address, /^(::ffff:)?127\.0\.0\.1$/);
  assert.deepEqual([handshake.secure, handshake.xdomain], [false, false]);
  assert.equal(handshake.query.of, 'the client');
  assert.deepEqual([handshake.query.EIO, handshake.query.transport, query], ['4', 'websocket', 'websocket']);
  assert.match(handshake.url, /^\/socket\.io\/\?.*of=the(\+|%20)client/);
  assert.ok(issued >= before - 1000 && issued <= Date.now() + 1000, `issued ${issued}`);
  assert.equal(handshake.issued, issued);
  assert.ok(Math.abs(Date.parse(handshake.time) - issued) < 2000, handshake.time);
});

test('N5: another origin, polling, and auth anew at each connection', async (t) => {
  let times = 0;
  const a = await client(t, cluster, {
    transports: ['polling'],
    auth: (give) => give({ times: ++times }),
    extraHeaders: { Origin: 'http://elsewhere.example' },
  });
  const first = (await tell(a.socket, 'info')).handshake;
  assert.deepEqual([first.auth.times, first.xdomain, first.query.transport], [1, true, 'polling']);
  const back = nextConnect(a.socket);
  cut(a.socket);
  await back;
  assert.equal(a.socket.recovered, true);
  assert.deepEqual((await tell(a.socket, 'info')).handshake.auth, { times: 2 });
});

// ---- N7 ----

test('N7: handlers of any event, before those of its name, prepended and taken away', async (t) => {
  const a = await client(t, cluster, { nsp: '/tenant-any' });
  const handler = (how, tag, name) => tell(a.socket, 'handler', { how, tag, name });
  await handler('on', 'c', 'e');
  await handler('on_any', 'a');
  await handler('prepend_any', 'b');
  a.socket.emit('e', 1);
  await waitFor(() => worker.of('tagged', { name: 'e' }).length === 3);
  assert.deepEqual(worker.of('tagged', { name: 'e' }).map(({ tag, args }) => [tag, args]), [['b', [1]], ['a', [1]], ['c', [1]]]);
  for (const [how, tag, name] of [['off_any', 'a'], ['off_any', 'b'], ['off', 'c', 'e']]) await handler(how, tag, name);
  await tellFails('INVALID', a.socket, 'handler', { how: 'off_any', tag: 'a' });
  a.socket.emit('e', 2);
  await settle(a.socket, worker);
  assert.equal(worker.of('tagged', { name: 'e' }).length, 3);
});

test('N7: handlers of anything that goes out; acks are not caught', async (t) => {
  const a = await client(t, cluster, { nsp: '/tenant-out' });
  const handler = (how, tag) => tell(a.socket, 'handler', { how, tag });
  await handler('on_outgoing', 'a');
  await handler('prepend_outgoing', 'b');
  await tell(a.socket, 'socket_emit', { name: 'one', args: [1] });
  await tell(a.socket, 'emit', { target: { kind: 'all' }, name: 'all', args: [2] });
  await settled();
  assert.deepEqual(worker.of('outgoing').map(({ tag, sid, name, args }) => [tag, sid, name, args]), [
    ['b', a.id, 'one', [1]], ['a', a.id, 'one', [1]], ['b', null, 'all', [2]], ['a', null, 'all', [2]],
  ]);
  for (const tag of ['a', 'b']) await handler('off_outgoing', tag);
  await tell(a.socket, 'socket_emit', { name: 'unseen' });
  await settled();
  assert.equal(worker.of('outgoing').length, 4);
});

test('N7: an event nobody handles is confirmed, and what comes after it is handled', async (t) => {
  const a = await client(t, cluster);
  for (const name of ['unknown', '', 'x'.repeat(300), 'join', 'publish', 'error']) a.socket.emit(name, 1);
  await tell(a.socket, 'info');
  await assert.rejects(a.socket.timeout(200).emitWithAck('unknown'));
});

// ---- N8 ----

test('N8: id, rooms and data survive a recovery', async (t) => {
  const a = await client(t, cluster);
  assert.equal((await tell(a.socket, 'info')).data, null);
  await tell(a.socket, 'set_data', { data: { name: 'ada', tags: ['x', 1.5, null, 'é\u0000'] } });
  await tell(a.socket, 'join', { rooms: ['r1'] });
  const back = nextConnect(a.socket);
  cut(a.socket);
  await back;
  assert.equal(a.socket.recovered, true);
  const info = await tell(a.socket, 'info');
  assert.deepEqual([info.id, info.recovered, info.connected], [a.id, true, true]);
  assert.deepEqual(info.rooms.sort(), [a.id, 'r1'].sort());
  assert.deepEqual(info.data, { name: 'ada', tags: ['x', 1.5, null, 'é\u0000'] });
  await settled();
  assert.deepEqual(worker.of('connection', { sid: a.id }).map(({ recovered }) => recovered), [false, true]);
});

test('N8: a new session has another id and nothing of the old', async (t) => {
  const a = await client(t, cluster);
  await tell(a.socket, 'set_data', { data: 1 });
  a.socket.disconnect().connect();
  await nextConnect(a.socket);
  const info = await tell(a.socket, 'info');
  assert.notEqual(info.id, a.id);
  assert.deepEqual([info.recovered, info.data, info.rooms], [false, null, [info.id]]);
});

test('N8: data that is too large or has binary is refused', async (t) => {
  const a = await client(t, cluster);
  await tellFails('FULL', a.socket, 'set_data', { data: 'x'.repeat(70_000) });
  const binary = await emitAck(a.socket, 'do', { op: 'set_data', data: { b: Buffer.from('x') } });
  assert.notEqual(binary.err, 'OK');
  assert.equal((await tell(a.socket, 'info')).data, null);
});

test('a pointer of the application\'s is destroyed when the socket goes', async (t) => {
  const a = await client(t, cluster);
  await tell(a.socket, 'set_user', { text: `first ${a.id}` });
  await tell(a.socket, 'set_user', { text: `second ${a.id}` });
  await reported(worker, 'destroyed', { text: `first ${a.id}` });
  a.socket.disconnect();
  await reported(worker, 'destroyed', { text: `second ${a.id}` });
  const order = worker.reports.filter((report) => report.sid === a.id || report.text === `second ${a.id}`).slice(-3).map(({ what }) => what);
  assert.deepEqual(order, ['disconnecting', 'disconnect', 'destroyed']);
});

// ---- room events ----

test('room events off: they are the application\'s', async (t) => {
  const a = await client(t, cluster);
  await tell(a.socket, 'handler', { how: 'on', tag: 'a', name: 'join' });
  a.socket.emit('join', 'lobby');
  await reported(worker, 'tagged', { name: 'join' });
  await tell(a.socket, 'handler', { how: 'off', tag: 'a', name: 'join' });
  assert.deepEqual((await tell(a.socket, 'info')).rooms, [a.id]);
});

test('room events on: the broker does them, the worker sees the rooms', async (t) => {
  const [a, b] = await clients(t, cluster, 2, { nsp: '/rooms' });
  await ok(a.socket, 'join', 'lobby');
  const { seq } = await ok(b.socket, 'publish', 'lobby', 'msg', 1);
  await waitFor(() => a.recorder.count('msg') === 1);
  assert.deepEqual((await tell(a.socket, 'info')).rooms.sort(), [a.id, 'lobby'].sort());
  await tell(b.socket, 'emit', { target: { kind: 'to', room: 'lobby' }, name: 'msg', args: [2], stored: true });
  await waitFor(() => a.recorder.count('msg') === 2);
  const { events } = await ok(a.socket, 'history', 'lobby', { since: seq });
  assert.deepEqual(events.map(({ event, args }) => [event, args]), [['msg', [2]]]);
  assert.equal((await ok(b.socket, 'presence', 'lobby')).members.length, 1);
  await tell(a.socket, 'leave', { room: 'lobby' });
  await waitFor(async () => (await ok(b.socket, 'presence', 'lobby')).members.length === 0);
});

test('room events that ask: allowed, refused, refused later', async (t) => {
  const a = await client(t, cluster, { nsp: '/ask' });
  await ok(a.socket, 'join', 'open');
  await ok(a.socket, 'publish', 'open', 'msg', 'x', 2);
  await ok(a.socket, 'history', 'open', { since: 0 });
  await ok(a.socket, 'presence', 'open');
  await ok(a.socket, 'leave', 'open');
  await settled();
  assert.deepEqual(worker.of('check', { sid: a.id }).map(({ event, room, name, args }) => [event, room, name, args]), [
    [1, 'open', '', null], [3, 'open', 'msg', ['x', 2]], [4, 'open', '', null], [5, 'open', '', null], [2, 'open', '', null],
  ]);
  for (const event of ['join', 'history', 'presence']) await refused('forbidden', a.socket, event, 'no room');
  await refused('forbidden', a.socket, 'publish', 'no room', 'e', 1);
  await refused('later', a.socket, 'join', 'late room');
  assert.deepEqual((await tell(a.socket, 'info')).rooms, [a.id]);
});

// ---- kept sockets ----

test('a kept socket that is away is emitted to, and one that is gone says so', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  await tell(b.socket, 'hold');
  const withHeld = (err, op2) => tellFails(err, a.socket, 'with_held', { sid: b.id, op2 });
  const comeBack = await leave(b.socket);
  await reported(worker, 'disconnect', { sid: b.id });
  await withHeld('OK', { op: 'socket_emit', name: 'while away', args: [1] });
  await withHeld('OK', { op: 'join', rooms: ['while away'] });
  await comeBack();
  assert.deepEqual((await tell(b.socket, 'info')).rooms.sort(), [b.id, 'while away'].sort());
  await waitFor(() => b.recorder.count('while away') === 1);
  b.socket.disconnect();
  await waitFor(() => worker.of('disconnect', { sid: b.id }).length === 2);
  for (const op2 of [{ op: 'socket_emit', name: 'e' }, { op: 'join', rooms: ['r'] }, { op: 'disconnect' }]) await withHeld('GONE', op2);
  await tell(a.socket, 'hold', { free: true });
});
