// Reference 1.5 and 1.6: what one worker does to sockets of others, events between workers, and the reasons of a disconnect.

import assert from 'node:assert/strict';

import { connect, watchDisconnects } from './clients.mjs';
import { Cluster, reported, slow, sleep, test, waitFor, WORKERS } from './harness.mjs';
import { RawClient } from './raw.mjs';
import { client, clients, cut, fence, joinRooms, leave, reach, settle, tell, tellFails } from './sdk.mjs';

const cluster = await Cluster.start({ gateways: 2, workers: 3, broker: ['--gateway-timeout', `${2_000 * slow}ms`] });
const { workers } = cluster;

let rooms = 0;
const newRoom = () => `room ${++rooms}`;
const to = (room, ...except) => ({ kind: 'to', room, except });
const ids = (sockets) => sockets.map(({ id }) => id).sort();

// ---- fetchSockets ----

test('fetch_sockets: ids, rooms, data and handshakes from all workers', async (t) => {
  const list = await clients(t, cluster, 6, { auth: { of: 'mine' } });
  const x = newRoom();
  await joinRooms(...list.map((one) => [one, [x]]));
  for (const [i, { socket }] of list.entries()) await tell(socket, 'set_data', { data: { i } });
  // the data of others is there when their workers know that it is
  const answer = await waitFor(async () => {
    const { sockets } = await tell(list[0].socket, 'fetch', { target: to(x) });
    return sockets.length === 6 && sockets.every(({ data }) => data !== null) && sockets;
  });
  assert.deepEqual(ids(answer), ids(list));
  for (const { id, data, rooms: theirs, handshake } of answer) {
    assert.equal(list[data.i].id, id);
    assert.deepEqual([...theirs].sort(), [id, x].sort());
    assert.deepEqual(handshake.auth, { of: 'mine' });
  }
});

test('fetch_sockets: filters, nobody, and what this worker has done before', async (t) => {
  const nsp = '/tenant-fetch';
  const list = await clients(t, cluster, 4, { nsp });
  const [x, y] = [newRoom(), newRoom()];
  const all = { kind: 'all_of', nsp };
  const fetch = async (target) => ids((await tell(list[0].socket, 'fetch', { target })).sockets);
  await tell(list[0].socket, 'join', { rooms: [x] });
  assert.deepEqual(await fetch({ ...all, to: [x] }), [list[0].id]);
  await joinRooms([list[1], [x, y]], [list[2], [y]]);
  assert.deepEqual(await fetch({ ...all, to: [x, y] }), ids(list.slice(0, 3)));
  assert.deepEqual(await fetch({ ...all, to: [x], except: [y] }), [list[0].id]);
  assert.deepEqual(await fetch({ ...all, except: [x, y] }), [list[3].id]);
  assert.deepEqual(await fetch(all), ids(list));
  assert.deepEqual(await fetch({ ...all, to: ['nobody'] }), []);
  list[3].socket.disconnect();
  await reported(workers, 'disconnect', { sid: list[3].id });
  assert.deepEqual(await fetch(all), ids(list.slice(0, 3)));
});

test('fetch_sockets: five hundred, in one go', async (t) => {
  const nsp = '/tenant-many';
  const list = [];
  for (let i = 0; i < 10; i++) list.push(...(await clients(t, cluster, 50, { nsp })));
  const { sockets } = await tell(list[0].socket, 'fetch', { target: { kind: 'all_of', nsp } });
  assert.deepEqual(ids(sockets), ids(list));
});

// ---- sockets of others ----

test('sockets_join and sockets_leave by a selector, wherever the sockets are', async (t) => {
  const list = await clients(t, cluster, 4);
  const [x, y] = [newRoom(), newRoom()];
  await joinRooms([list[0], [x]], [list[1], [x]], [list[2], [x]]);
  await tell(list[0].socket, 'sockets_join', { target: to(x, list[2].id), room: y });
  assert.deepEqual(await reach(list[0], list, to(y)), [0, 1]);
  await waitFor(async () => (await tell(list[1].socket, 'info')).rooms.includes(y));
  await tell(list[0].socket, 'sockets_leave', { target: to(list[1].id), room: y });
  assert.deepEqual(await reach(list[0], list, to(y)), [0]);
  await waitFor(async () => !(await tell(list[1].socket, 'info')).rooms.includes(y));
  await tellFails('INVALID', list[0].socket, 'sockets_join', { target: to(x), room: '' });
});

test('disconnect_sockets by a selector: the namespace, or the whole connection', async (t) => {
  const list = await clients(t, cluster, 4);
  const seen = list.map(({ socket }) => watchDisconnects(socket));
  const others = list.map(({ socket }) => socket.io.socket('/tenant-beside'));
  await waitFor(() => others.every((socket) => socket.connected));
  const x = newRoom();
  await joinRooms([list[1], [x]], [list[2], [x]]);
  await tell(list[0].socket, 'disconnect_sockets', { target: to(x, list[2].id) });
  await waitFor(() => !list[1].socket.connected);
  assert.equal(others[1].connected, true);
  await tell(list[0].socket, 'disconnect_sockets', { target: to(x), close: true });
  await waitFor(() => !others[2].connected);
  await waitFor(() => !list[2].socket.connected);
  assert.deepEqual(seen.map(({ reasons }) => reasons), [[], ['io server disconnect'], ['io server disconnect'], []]);
  for (const i of [1, 2]) assert.equal((await reported(workers, 'disconnect', { sid: list[i].id })).reason, 'server namespace disconnect');
  await fence(list[0], list[0], list[3]);
});

test('a room of a socket that is away is joined and left too', async (t) => {
  const [a, b] = await clients(t, cluster, 2);
  const x = newRoom();
  const comeBack = await leave(b.socket);
  await reported(workers, 'disconnect', { sid: b.id });
  await tell(a.socket, 'sockets_join', { target: to(b.id), room: x });
  await tell(a.socket, 'emit', { target: to(x), name: 'in the room', args: [1] });
  await comeBack();
  await waitFor(() => b.recorder.count('in the room') === 1);
  assert.ok((await tell(b.socket, 'info')).rooms.includes(x));
});

// ---- serverSideEmit ----

test('server_side_emit: all other workers, not the sender, not the clients', async (t) => {
  const a = await client(t, cluster);
  const mark = `side ${a.id}`;
  await tell(a.socket, 'side', { args: [mark, { n: 1 }] });
  await waitFor(() => workers.flatMap((worker) => worker.of('side')).filter(({ args }) => args[0] === mark).length === 2);
  await settle(a.socket, workers);
  const got = workers.map((worker) => worker.of('side').filter(({ args }) => args[0] === mark));
  assert.deepEqual(got.map(({ length }) => length).sort(), [0, 1, 1]);
  const [report] = got.flat();
  assert.deepEqual([report.name, report.args, report.nsp, report.ack, report.socket], ['side', [mark, { n: 1 }], '/', false, false]);
  assert.deepEqual(a.recorder.entries, []);
});

test('server_side_emit with ack: one answer from each of the others', async (t) => {
  const a = await client(t, cluster);
  const { responses } = await tell(a.socket, 'side_ack', { args: ['ping'], timeout: 60_000 });
  assert.equal(responses.length, 2);
  assert.ok(responses.every(([name, ping]) => ping === 'ping' && workers.some((worker) => worker.name === name)));
  assert.equal(new Set(responses.map(([name]) => name)).size, 2);
});

test('server_side_emit with ack: those who answered are told with a timeout', async (t) => {
  const a = await client(t, cluster, { nsp: '/tenant-vip' });
  const { responses } = await tellFails('TIMEOUT', a.socket, 'side_ack', { args: ['silent'], timeout: 300 });
  assert.deepEqual(responses, []);
});

test('server_side_emit: binary is refused, a namespace of one worker has no others', async (t) => {
  const a = await client(t, cluster);
  await tellFails('INVALID', a.socket, 'side', { args: [Buffer.from('x')] });
  const lonely = await Cluster.start({ gateways: 1, workers: 1 });
  const b = await client(t, lonely);
  assert.deepEqual((await tell(b.socket, 'side_ack', { args: [1], timeout: 60_000 })).responses, []);
});

test('a worker emits to namespaces that it does not serve', async (t) => {
  const a = await client(t, cluster, { nsp: '/durable' });
  const stranger = await cluster.addWorker(WORKERS.test, ['--only', '/other-*']);
  const other = await connect(`${cluster.url(0)}/other-1`);
  t.after(() => other.disconnect());
  await tell(other, 'emit', { target: { kind: 'all_of', nsp: '/durable' }, name: 'from elsewhere', args: [1], stored: true });
  await waitFor(() => a.recorder.count('from elsewhere') === 1);
  const { sockets } = await tell(other, 'fetch', { target: { kind: 'all_of', nsp: '/durable' } });
  assert.deepEqual(ids(sockets), [a.id]);
  cluster.workers.pop();
  await stranger.stop();
});

// ---- disconnect reasons ----

async function assertReason(sid, reason) {
  const first = await reported(workers, 'disconnecting', { sid });
  const second = await reported(workers, 'disconnect', { sid });
  assert.deepEqual([first.reason, second.reason], [reason, reason]);
  assert.ok(first.rooms.includes(sid));
}

test('client namespace disconnect', async (t) => {
  const a = await client(t, cluster);
  a.socket.disconnect();
  await assertReason(a.id, 'client namespace disconnect');
});

test('transport close', async (t) => {
  const a = await RawClient.open(cluster.port(0));
  const { sid } = await a.connect();
  a.terminate();
  await assertReason(sid, 'transport close');
});

test('transport close of a client that closes in order', async (t) => {
  const a = await client(t, cluster);
  a.socket.io.engine.close();
  await assertReason(a.id, 'transport close');
});

test('ping timeout', async () => {
  const impatient = await cluster.addGateway(['--ping-interval', '400ms', '--ping-timeout', `${800 * slow}ms`]);
  const a = await RawClient.open(impatient.port);
  const { sid } = await a.connect();
  a.ws.removeAllListeners('message'); // no pong any more
  await assertReason(sid, 'ping timeout');
  cluster.gateways.pop();
  await impatient.stop();
});

test('transport error', async (t) => {
  const a = await RawClient.open(cluster.port(0));
  const { sid } = await a.connect();
  a.ws._socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff])); // no frame of a client's
  await assertReason(sid, 'transport error');
});

test('parse error, and forced server close', async (t) => {
  const a = await RawClient.open(cluster.port(0));
  const { sid } = await a.connect();
  a.send('42{"not":"an array"}');
  await assertReason(sid, 'parse error');
});

test('server shutting down', async (t) => {
  const gateway = await cluster.addGateway();
  const socket = await connect(`http://127.0.0.1:${gateway.port}/`, { reconnection: false });
  t.after(() => socket.disconnect());
  const { id } = socket;
  cluster.gateways.pop();
  await gateway.stop();
  await assertReason(id, 'server shutting down');
});

test('a gateway that is killed is a transport close', async (t) => {
  const gateway = await cluster.addGateway();
  const socket = await connect(`http://127.0.0.1:${gateway.port}/`, { reconnection: false });
  t.after(() => socket.disconnect());
  const { id } = socket;
  cluster.gateways.pop();
  await gateway.kill();
  await assertReason(id, 'transport close');
});

test('a client that comes back before its end is noticed: the old connection ends first', async (t) => {
  const a = await client(t, cluster);
  await fence(a, a); // it has an offset
  const first = await RawClient.open(cluster.port(0));
  const { sid, pid } = await first.connect();
  await tell(a.socket, 'emit', { target: to(sid), name: 'e', args: [], stored: true });
  const [[, offset]] = await waitFor(() => first.events('e').length > 0 && first.events('e'));
  const second = await RawClient.open(cluster.port(1));
  const answer = await second.connect({ pid, offset });
  assert.equal(answer.sid, sid);
  await first.waitClosed();
  await waitFor(() => workers.flatMap((worker) => worker.of('connection', { sid })).length === 2);
  await settle(a.socket, workers);
  const life = workers.map((worker) => worker.reports.filter((report) => report.sid === sid).map(({ what, recovered }) => `${what}${recovered ? ' again' : ''}`));
  assert.deepEqual(life.find((list) => list.length > 0).filter((what) => !/adopted|released/.test(what)), ['connection', 'disconnecting', 'disconnect', 'connection again']);
  second.terminate();
});

test('session_expired, with the data, when a client can not come back any more', async (t) => {
  const short = await Cluster.start({ gateways: 1, workers: 1, broker: ['--session-ttl', '1s'] });
  const a = await client(t, short, { reconnection: false });
  await tell(a.socket, 'set_data', { data: { name: 'gone' } });
  cut(a.socket);
  assert.deepEqual((await reported(short.workers, 'session_expired', { sid: a.id })).data, { name: 'gone' });
  const b = await client(t, short);
  b.socket.disconnect();
  await reported(short.workers, 'disconnect', { sid: b.id });
  await sleep(1500);
  assert.equal(short.workers[0].of('session_expired', { sid: b.id }).length, 0, 'who says goodbye does not expire');
});

// ---- loops ----

test('a worker with a loop of its own, by descriptor and by timeout', async (t) => {
  for (const loop of ['fd', 'timeout']) {
    const own = await Cluster.start({ gateways: 1, workers: 1, worker: ['--loop', loop] });
    const a = await client(t, own);
    await tell(a.socket, 'later', { ms: 50, value: 1 });
    await tellFails('TIMEOUT', a.socket, 'socket_emit_ack', { name: 'nobody listens', timeout: 100 });
    const { sockets } = await tell(a.socket, 'fetch', { target: { kind: 'all' } });
    assert.equal(sockets.length, 1);
  }
});
