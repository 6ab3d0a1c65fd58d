// The stock client over every transport and with either parser: room events, binary arguments, namespaces and recovery are the
// same for all of them, and all of them hear each other.

import assert from 'node:assert/strict';

import { Manager } from 'socket.io-client';
import msgpack from 'socket.io-msgpack-parser';

import { assertExactly, assertSame, close, connect, fence, join, numbers, ok, parseOffset, publishMany, Recorder, refused } from './clients.mjs';
import { Engine } from './engine.mjs';
import { Cluster, onCleanup, test, waitFor } from './harness.mjs';
import { Traveller } from './travel.mjs';

const NAMESPACES = '/,/admin,/tenant-*';
const PARSERS = { default: undefined, msgpack };
const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] };

const cluster = await Cluster.start({ gateways: 1, gateway: ['--namespaces', NAMESPACES] });
await cluster.addGateway(['--namespaces', NAMESPACES, '--parser', 'msgpack']);
const url = { default: cluster.url(0), msgpack: cluster.url(1) };
const ports = { default: cluster.port(0), msgpack: cluster.port(1) };
const publisher = await connect(url.default);

let rooms = 0;
const newRoom = () => `room ${++rooms}`;

const KINDS = Object.keys(PARSERS).flatMap((parser) => Object.keys(TRANSPORTS).map((transport) => ({ parser, transport, name: `${transport}, ${parser} parser` })));
const optionsOf = ({ parser, transport }) => ({ transports: TRANSPORTS[transport], ...(PARSERS[parser] && { parser: PARSERS[parser] }) });

// A client of the kind with a recorder, closed at the end of the test. One that shall upgrade has done so.
async function client(t, kind, namespace = '') {
  const socket = await connect(url[kind.parser] + namespace, optionsOf(kind));
  t.after(() => close(socket));
  if (kind.transport === 'upgrade') await waitFor(() => socket.io.engine.transport.name === 'websocket', { what: 'the upgrade' });
  return { kind, socket, recorder: new Recorder(socket) };
}

// Any view of bytes as a buffer, at any depth, so that clients of all kinds can be compared.
function normal(value) {
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return value.map(normal);
  if (value !== null && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, normal(inner)]));
  return value;
}

const PLAIN = [0, 1, -1, 127, 128, 255, 256, -32, -33, -129, 65_535, 65_536, -32_769, 2 ** 31, -(2 ** 31) - 1, 2 ** 53 - 1, -(2 ** 53) + 1, 0.5, -1e-7, 1.5e-300, true, false, null, '', 'é🦊\u2028', 'x'.repeat(40), 'y'.repeat(70_000), [], {}, [[1, [2]]], { a: { b: [null] }, 'é': 1 }, numbers(20), Object.fromEntries(numbers(20).map((i) => [`key ${i}`, i]))];
const BINARY = [Buffer.from([1, 2, 3]), new Uint8Array([4, 5]), { deep: [Buffer.from('six'), { deeper: new Uint8Array(0) }] }, Buffer.alloc(70_000, 7), 'text', Buffer.alloc(300, 8)];

for (const kind of KINDS) {
  test(`${kind.name}: the transport is the one asked for`, async (t) => {
    const { socket } = await client(t, kind);
    assert.equal(socket.io.engine.transport.name, kind.transport === 'polling' ? 'polling' : 'websocket');
    assert.match(socket.id, /^[\w-]{15,}$/);
    assert.notEqual(socket.id, socket.io.engine.id);
  });

  test(`${kind.name}: room events and their acks`, async (t) => {
    const { socket, recorder } = await client(t, kind);
    const room = newRoom();
    const joined = await ok(socket, 'join', room);
    assert.deepEqual([joined.room, joined.replayed, joined.truncated], [room, 0, false]);
    const { seq } = await ok(socket, 'publish', room, 'e', 'x', { y: [1] });
    await recorder.waitForCount('e', 1);
    const [entry] = recorder.of('e');
    assert.deepEqual([entry.args, entry.seq], [['x', { y: [1] }], seq]);
    const { members } = await ok(socket, 'presence', room);
    assert.deepEqual(members.map(({ sid }) => sid), [socket.id]);
    const { events } = await ok(socket, 'history', room);
    assert.deepEqual(events.map((event) => [event.seq, event.event, event.args, event.sender]), [[seq, 'e', ['x', { y: [1] }], socket.id]]);
    await refused('bad_room', socket, 'join', '');
    await refused('unknown_event', socket, 'nothing');
    await ok(socket, 'leave', room);
  });

  test(`${kind.name}: a thousand events in order`, async (t) => {
    const { socket, recorder } = await client(t, kind);
    const room = newRoom();
    await join(socket, room);
    await publishMany(socket, room, 'n', 1000);
    await fence(publisher, room, recorder);
    assertExactly(recorder, 'n', numbers(1000));
  });

  test(`${kind.name}: values of all kinds reach clients of all kinds unchanged`, async (t) => {
    const clients = await Promise.all(KINDS.map((other) => client(t, other)));
    const room = newRoom();
    for (const { socket } of clients) await join(socket, room);
    const { socket } = clients[KINDS.indexOf(kind)];
    await ok(socket, 'publish', room, 'plain', ...PLAIN);
    await ok(socket, 'publish', room, 'binary', ...BINARY);
    await ok(socket, 'publish', { room, event: 'listed', args: [{ inner: BINARY[0] }, 1] });
    for (const other of clients) {
      await other.recorder.waitForCount('listed', 1);
      assert.deepEqual(normal(other.recorder.of('plain')[0].args), PLAIN, `plain, at ${other.kind.name}`);
      assert.deepEqual(normal(other.recorder.of('binary')[0].args), normal(BINARY), `binary, at ${other.kind.name}`);
      assert.deepEqual(normal(other.recorder.of('listed')[0].args), [{ inner: BINARY[0] }, 1], `listed, at ${other.kind.name}`);
    }
  });

  test(`${kind.name}: a cut is recovered, with binary events among the missed`, async (t) => {
    const room = newRoom();
    const traveller = await Traveller.startAt(t, ports[kind.parser], optionsOf(kind), room);
    await publishMany(publisher, room, 'n', 10);
    await fence(publisher, room, traveller.recorder);
    for (let round = 0; round < 3; round++) {
      await traveller.leave();
      await publishMany(publisher, room, 'n', 50, { from: 10 + round * 50 });
      await ok(publisher, 'publish', room, 'bytes', Buffer.from([round]), { more: Buffer.alloc(1000, round) });
      await traveller.comeBack();
      traveller.assertRecovered();
      await fence(publisher, room, traveller.recorder);
    }
    assertExactly(traveller.recorder, 'n', numbers(160));
    const bytes = traveller.recorder.of('bytes').map(({ args }) => normal(args));
    assert.deepEqual(bytes, numbers(3).map((i) => [Buffer.from([i]), { more: Buffer.alloc(1000, i) }]));
  });

  test(`${kind.name}: a cut in the middle of a stream loses and doubles nothing`, async (t) => {
    const room = newRoom();
    const traveller = await Traveller.startAt(t, ports[kind.parser], optionsOf(kind), room);
    const publishing = publishMany(publisher, room, 'n', 2000, { atOnce: 50 });
    for (let round = 1; round <= 5; round++) {
      await traveller.recorder.waitForCount('n', round * 100);
      await traveller.leave();
      await traveller.comeBack();
      traveller.assertRecovered();
    }
    await publishing;
    await fence(publisher, room, traveller.recorder);
    assertExactly(traveller.recorder, 'n', numbers(2000));
  });

  test(`${kind.name}: recovery in a namespace`, async (t) => {
    const room = newRoom();
    const traveller = await Traveller.startAt(t, ports[kind.parser], { namespace: '/admin', ...optionsOf(kind) }, room);
    const admin = await connect(`${url.default}/admin`);
    t.after(() => close(admin));
    await publishMany(admin, room, 'n', 5);
    await fence(admin, room, traveller.recorder);
    await traveller.leave();
    await publishMany(admin, room, 'n', 5, { from: 5 });
    await publishMany(publisher, room, 'n', 5, { from: 100 }); // of the main namespace
    await traveller.comeBack();
    traveller.assertRecovered();
    await fence(admin, room, traveller.recorder);
    assertExactly(traveller.recorder, 'n', numbers(10));
  });

  test(`${kind.name}: several namespaces on one connection, and one room name in each`, async (t) => {
    const manager = new Manager(url[kind.parser], { ...optionsOf(kind), reconnectionDelay: 50, reconnectionDelayMax: 200, randomizationFactor: 0 });
    const names = ['/', '/admin', '/tenant-1', '/tenant-2'];
    const sockets = names.map((name) => manager.socket(name));
    onCleanup(() => sockets.forEach((socket) => socket.disconnect()));
    for (const socket of sockets) await waitFor(() => socket.connected, { what: `the connect of ${socket.nsp}` });
    assert.equal(new Set(sockets.map(({ id }) => id)).size, names.length);
    const recorders = sockets.map((socket) => new Recorder(socket));
    const room = newRoom();
    for (const socket of sockets) await join(socket, room);
    for (const [i, socket] of sockets.entries()) await ok(socket, 'publish', room, 'where', names[i], Buffer.from([i]));
    for (const [i, socket] of sockets.entries()) {
      await fence(socket, room, recorders[i]);
      assert.deepEqual(recorders[i].of('where').map(({ args }) => normal(args)), [[names[i], Buffer.from([i])]]);
      const { members } = await ok(socket, 'presence', room);
      assert.deepEqual(members.map(({ sid }) => sid), [socket.id]);
      const { events } = await ok(socket, 'history', room);
      assert.deepEqual(events.map(({ event }) => event), ['where', 'fence']);
    }
    sockets[1].disconnect();
    await ok(sockets[0], 'publish', room, 'where', 'after', Buffer.alloc(0));
    await fence(sockets[0], room, recorders[0]);
    assert.deepEqual(recorders[0].values('where'), ['/', 'after']);
    assert.equal(sockets[2].connected, true);
  });

  test(`${kind.name}: an unknown namespace is refused, and the others stay`, async (t) => {
    const { socket } = await client(t, kind);
    const other = socket.io.socket('/nowhere');
    const error = await new Promise((resolve) => {
      other.once('connect_error', resolve);
      other.connect();
    });
    assert.equal(error.message, 'Invalid namespace');
    await join(socket, newRoom());
  });
}

test('an event of one kind of client comes to all kinds in one order', async (t) => {
  const clients = await Promise.all(KINDS.map((kind) => client(t, kind)));
  const room = newRoom();
  for (const { socket } of clients) await join(socket, room);
  await Promise.all(clients.map(({ socket }, i) => publishMany(socket, room, 'n', 200, { from: i * 1000, atOnce: 20 })));
  await fence(publisher, room, ...clients.map(({ recorder }) => recorder));
  const [first, ...others] = clients.map(({ recorder }) => recorder.values('n'));
  assert.equal(first.length, 200 * KINDS.length);
  for (const other of others) assertSame(other, first, 'the order');
  for (const i of KINDS.keys()) assert.deepEqual(first.filter((n) => Math.floor(n / 1000) === i), numbers(200, i * 1000));
});

test('recovery from one transport to another', async (t) => {
  const room = newRoom();
  const traveller = await Traveller.startAt(t, ports.default, optionsOf({ parser: 'default', transport: 'polling' }), room);
  await publishMany(publisher, room, 'n', 5);
  await fence(publisher, room, traveller.recorder);
  for (const [round, transports] of [['websocket'], ['polling', 'websocket'], ['polling']].entries()) {
    await traveller.leave();
    traveller.socket.io.opts.transports = transports;
    await publishMany(publisher, room, 'n', 5, { from: 5 + round * 5 });
    await traveller.comeBack();
    traveller.assertRecovered();
    await fence(publisher, room, traveller.recorder);
  }
  assertExactly(traveller.recorder, 'n', numbers(20));
});

test('all namespaces of a connection recover', async (t) => {
  const traveller = await Traveller.startAt(t, ports.default, optionsOf({ parser: 'default', transport: 'websocket' }), 'both');
  const second = traveller.socket.io.socket('/admin');
  t.after(() => close(second));
  second.connect();
  await waitFor(() => second.connected, { what: 'the second namespace' });
  const recorder = new Recorder(second);
  await join(second, 'both');
  const { id } = second;
  const admin = await connect(`${url.default}/admin`);
  t.after(() => close(admin));
  await traveller.leave();
  await publishMany(admin, 'both', 'n', 20);
  await publishMany(publisher, 'both', 'n', 20, { from: 100 });
  await traveller.comeBack();
  await waitFor(() => second.connected, { what: 'the second namespace' });
  traveller.assertRecovered();
  assert.deepEqual([second.recovered, second.id], [true, id]);
  await fence(admin, 'both', recorder);
  await fence(publisher, 'both', traveller.recorder);
  assertExactly(recorder, 'n', numbers(20));
  assertExactly(traveller.recorder, 'n', numbers(20, 100));
});

test('a pid of one namespace recovers nothing in another', async (t) => {
  const traveller = await Traveller.startAt(t, ports.default, optionsOf({ parser: 'default', transport: 'websocket' }), newRoom());
  const engine = await Engine.open(ports.default);
  t.after(() => engine.close());
  engine.send(`40/admin,${JSON.stringify({ pid: traveller.pid, offset: '1-xxxx' })}`);
  const answer = JSON.parse((await engine.packet(/^40\/admin,/)).slice('40/admin,'.length));
  assert.notEqual(answer.pid, traveller.pid);
  assert.notEqual(answer.sid, traveller.id);
  assert.equal(traveller.socket.connected, true);
});

test('history gives attachments as base64 beside args with placeholders', async () => {
  const room = newRoom();
  const { seq } = await ok(publisher, 'publish', room, 'bin', Buffer.from([1, 2, 3]), { deep: [Buffer.from('four'), 'x'] });
  await ok(publisher, 'publish', room, 'plain', 1);
  for (const parser of Object.keys(PARSERS)) {
    const socket = await connect(url[parser], optionsOf({ parser, transport: 'websocket' }));
    const { events } = await ok(socket, 'history', room);
    assert.equal(events.length, 2);
    assert.equal(events[0].seq, seq);
    assert.deepEqual(events[0].args, [{ _placeholder: true, num: 0 }, { deep: [{ _placeholder: true, num: 1 }, 'x'] }]);
    assert.deepEqual(events[0].attachments, ['AQID', 'Zm91cg==']);
    assert.equal(events[1].attachments, undefined);
    close(socket);
  }
});

test('join with since replays binary events', async (t) => {
  const room = newRoom();
  await ok(publisher, 'publish', room, 'bin', 0, Buffer.from([9, 8]));
  for (const kind of KINDS) {
    const { socket, recorder } = await client(t, kind);
    const { replayed } = await ok(socket, 'join', room, { since: 0 });
    assert.equal(replayed, 1);
    assert.deepEqual(normal(recorder.of('bin')[0].args), [0, Buffer.from([9, 8])]);
    assert.notEqual(parseOffset(recorder.of('bin')[0].offset).pos, null);
  }
});

test('a broker that is killed and comes back has kept the attachments', async (t) => {
  const own = await Cluster.start({ gateways: 1 });
  const socket = await connect(own.url(0));
  t.after(() => close(socket));
  const { seq } = await ok(socket, 'publish', 'kept', 'bin', Buffer.alloc(5000, 3), 'x');
  await own.broker.kill();
  await own.broker.start();
  const recorder = new Recorder(socket);
  await ok(socket, 'join', 'kept', { since: 0 });
  assert.deepEqual(recorder.of('bin').map(({ args, seq: at }) => [normal(args), at]), [[[Buffer.alloc(5000, 3), 'x'], seq]]);
});

test('without recovery there is no pid and no offset, and a client that comes back is a new one', async (t) => {
  const gateway = await cluster.addGateway(['--recovery', 'off']);
  for (const transport of Object.keys(TRANSPORTS)) {
    const room = newRoom();
    const traveller = await Traveller.startAt(t, gateway.port, optionsOf({ parser: 'default', transport }), room);
    assert.equal(traveller.pid, undefined);
    const seen = [];
    traveller.socket.on('bare', (...args) => seen.push(args));
    await ok(publisher, 'publish', room, 'bare', 'x');
    await waitFor(() => seen.length === 1, { what: 'the event' });
    assert.deepEqual(seen, [['x']]);
    await traveller.leave();
    await traveller.comeBack();
    assert.ok(!traveller.socket.recovered); // the stock client leaves it undefined
    assert.notEqual(traveller.socket.id, traveller.id);
  }
});

test('a volatile event with attachments reaches who is there', async (t) => {
  const clients = await Promise.all(KINDS.map((kind) => client(t, kind)));
  const room = newRoom();
  for (const { socket } of clients) await join(socket, room);
  await ok(publisher, 'publish', { room, event: 'v', args: [Buffer.from([5])], volatile: true });
  for (const { recorder } of clients) {
    await recorder.waitForCount('v', 1);
    assert.deepEqual(normal(recorder.of('v')[0].args), [Buffer.from([5])]);
  }
});
