// Who presents a pid: the newest connection takes the session over, and what cannot be recovered becomes a new session.

import assert from 'node:assert/strict';

import { assertExactly, assertSame, close, connect, fence, join, numbers, ok, parseOffset, publishMany, Recorder } from './clients.mjs';
import { Cluster, test, waitFor } from './harness.mjs';
import { Proxy } from './proxy.mjs';
import { RawClient } from './raw.mjs';
import { rawConnect, rawMember, rawValues, Traveller } from './travel.mjs';

const cluster = await Cluster.start({ gateways: 2 });
const publisher = await connect(cluster.url(0));

const MISSED_MS = 20_000; // the least after which a client is missed that has stalled: --ping-timeout, as it is without saying

let rooms = 0;
const newRoom = () => `room ${++rooms}`;

// ---- takeover ----

for (const [where, gateway] of [['the same gateway', 0], ['the other gateway', 1]]) {
  test(`a second connection with the same pid, through ${where}, takes over while the first one stalls`, async (t) => {
    const room = newRoom();
    const proxy = await Proxy.start(cluster.port(0));
    const first = await rawMember(t, proxy.port, room);
    proxy.stall();
    await publishMany(publisher, room, 'n', 5);
    const begin = Date.now();
    const second = await rawConnect(t, cluster.port(gateway), { pid: first.pid });
    assert.ok(Date.now() - begin < MISSED_MS, 'at once');
    assert.deepEqual([second.sid, second.pid], [first.sid, first.pid]);
    await publishMany(publisher, room, 'n', 5, { from: 5 });
    await waitFor(() => rawValues(second).length >= 10, { what: 'ten events at the second' });
    assertSame(rawValues(second), numbers(10), 'the second has all');

    proxy.resume();
    await first.waitClosed();
    assert.ok(rawValues(first).every((n) => n < 5), `the first got nothing from after the takeover: ${rawValues(first)}`);
  });

  test(`a second connection with the same pid, through ${where}, ends the first one`, async (t) => {
    const room = newRoom();
    const first = await rawMember(t, cluster.port(0), room);
    const second = await rawConnect(t, cluster.port(gateway), { pid: first.pid });
    assert.equal(second.sid, first.sid);
    await first.waitClosed();
    await publishMany(publisher, room, 'n', 3);
    await waitFor(() => rawValues(second).length >= 3, { what: 'three events at the second' });
    assertSame(rawValues(second), numbers(3), 'the second has all');
    assert.deepEqual(rawValues(first), []);
  });
}

test('a publish over the older of two connections is refused or never seen', async (t) => {
  const room = newRoom();
  const listener = await connect(cluster.url(1));
  t.after(() => close(listener));
  const recorder = new Recorder(listener);
  await join(listener, room);
  const proxy = await Proxy.start(cluster.port(0));
  const first = await rawMember(t, proxy.port, room);
  proxy.stall();
  first.send(`42${JSON.stringify(['publish', room, 'n', 'old'])}`); // held back by the proxy
  const second = await rawConnect(t, cluster.port(1), { pid: first.pid });
  assert.equal(second.sid, first.sid);
  proxy.resume();
  await first.waitClosed();
  assert.equal((await second.emitAck('publish', room, 'n', 'new')).ok, true);
  await fence(publisher, room, recorder);
  assertExactly(recorder, 'n', ['new']);
});

test('many connections that fight for one pid leave exactly one, which gets every event once', async (t) => {
  const room = newRoom();
  const first = await rawMember(t, cluster.port(0), room);
  const fighters = await Promise.all(numbers(12).map((i) => RawClient.open(cluster.port(i % 2))));
  t.after(() => fighters.forEach((raw) => raw.terminate()));
  for (const raw of fighters) raw.send(`40${JSON.stringify({ pid: first.pid })}`);
  const open = () => [first, ...fighters].filter((raw) => raw.closed === null);
  await waitFor(() => open().length === 1, { what: () => `one survivor, there are ${open().length}` });
  const [winner] = open();
  await publishMany(publisher, room, 'n', 5);
  await waitFor(() => rawValues(winner).length >= 5, { what: 'five events at the survivor' });
  assertSame(rawValues(winner), numbers(5), 'the survivor has all');
});

test('CONNECT comes first, then the missed events', async (t) => {
  const room = newRoom();
  const first = await rawMember(t, cluster.port(0), room);
  first.terminate();
  await publishMany(publisher, room, 'n', 5);
  const second = await rawConnect(t, cluster.port(1), { pid: first.pid });
  await waitFor(() => rawValues(second).length >= 5, { what: 'the missed events' });
  assert.match(second.packets[0], /^40\{/);
});

test('a pid is good for recovery again and again', async (t) => {
  const room = newRoom();
  const first = await rawMember(t, cluster.port(0), room);
  let offset;
  for (let i = 0; i < 5; i++) {
    await publishMany(publisher, room, 'n', 3, { from: 3 * i });
    const raw = await rawConnect(t, cluster.port(i % 2), { pid: first.pid, ...(offset && { offset }) });
    assert.deepEqual([raw.sid, raw.pid], [first.sid, first.pid]);
    await waitFor(() => rawValues(raw).length >= 3, { what: 'the missed events' });
    assertSame(rawValues(raw), numbers(3, 3 * i), `return ${i}`);
    offset = raw.events('n').at(-1).at(-1);
    raw.terminate();
  }
});

// ---- what cannot be recovered ----

// The answer must be a new session, on a connection that works.
async function assertNewSession(t, port, auth, old, why) {
  const raw = await rawConnect(t, port, auth);
  assert.equal(typeof raw.pid, 'string', `${why}: ${JSON.stringify(raw.packets)}`);
  assert.notEqual(raw.pid, old?.pid, why);
  assert.notEqual(raw.sid, old?.sid, why);
  const room = newRoom();
  assert.equal((await raw.emitAck('join', room)).ok, true, why);
  assert.equal((await raw.emitAck('publish', room, 'n', 1)).ok, true, why);
  assert.deepEqual(rawValues(raw), [1], why);
  raw.terminate();
}

test('a foreign pid begins a new session that works', async (t) => {
  const { pid } = await rawMember(t, cluster.port(0), newRoom());
  const foreign = ['x', '', 'A'.repeat(20), pid.slice(1), `${pid}x`, pid.toLowerCase() === pid ? pid.toUpperCase() : pid.toLowerCase(), 'ř'.repeat(10), 'p'.repeat(5000), 5, null, {}, []];
  for (const wrong of foreign) await assertNewSession(t, cluster.port(0), { pid: wrong, offset: '1-abcd' }, null, `pid ${JSON.stringify(wrong).slice(0, 40)}`);
});

test('a malformed offset, or one past the end of the log, begins a new session that works', async (t) => {
  const room = newRoom();
  const first = await rawMember(t, cluster.port(0), room);
  const { seq } = await ok(publisher, 'publish', room, 'n', 0);
  await waitFor(() => rawValues(first).length === 1, { what: 'the event' });
  const { tag } = parseOffset(first.events('n')[0].at(-1));
  const malformed = ['garbage', `${seq}`, `${seq}-`, `-${tag}`, `x-${tag}`, `-1-${tag}`, `1.5.2-${tag}`, ` ${seq}-${tag}`, `${seq}-${tag} `, `0x1-${tag}`, `${seq}-${tag}\u0000`, seq, {}];
  const tooBig = [seq + 1_000_000, '18446744073709551615', '99999999999999999999999', '1'.repeat(5000)].map((number) => `${number}-${tag}`);
  for (const offset of [...malformed, ...tooBig]) {
    const member = await rawMember(t, cluster.port(0), room);
    member.terminate();
    await assertNewSession(t, cluster.port(1), { pid: member.pid, offset }, member, `offset ${JSON.stringify(offset).slice(0, 40)}`);
  }
});

test('a foreign tag under a valid pid is recovered from the start of the session', async (t) => {
  const room = newRoom();
  await publishMany(publisher, room, 'n', 5);
  const first = await rawMember(t, cluster.port(0), room);
  await publishMany(publisher, room, 'n', 5, { from: 5 });
  await waitFor(() => rawValues(first).length === 5, { what: 'five events' });
  const { seq, tag } = parseOffset(first.events('n').at(-1).at(-1));
  const foreign = tag.replace(/./g, (c) => (c === 'q' ? 'w' : 'q'));
  first.terminate();
  await publishMany(publisher, room, 'n', 5, { from: 10 });
  const second = await rawConnect(t, cluster.port(1), { pid: first.pid, offset: `${seq}-${foreign}` });
  assert.equal(second.sid, first.sid);
  await waitFor(() => rawValues(second).length >= 10, { what: 'ten events' });
  assertSame(rawValues(second), numbers(10, 5), 'all since the session began');
});

test('an offset from before the session counts as its start', async (t) => {
  const room = newRoom();
  const first = await rawMember(t, cluster.port(0), room);
  await publishMany(publisher, room, 'n', 1, { from: 100 });
  await waitFor(() => rawValues(first).length === 1, { what: 'an event' });
  const { tag } = parseOffset(first.events('n')[0].at(-1));
  const second = await rawMember(t, cluster.port(0), room);
  second.terminate();
  await publishMany(publisher, room, 'n', 5);
  const third = await rawConnect(t, cluster.port(1), { pid: second.pid, offset: `1-${tag}` });
  assert.equal(third.sid, second.sid);
  await waitFor(() => rawValues(third).length >= 5, { what: 'five events' });
  assertSame(rawValues(third), numbers(5), 'all since the session began');
});

test('a session that its client disconnected is over', async (t) => {
  const raw = await rawMember(t, cluster.port(0), newRoom());
  raw.send('41');
  await waitFor(async () => (await cluster.query(`select * from sessions where sid = '${raw.sid}'`)).length === 0, { what: 'the end of the session' });
  await assertNewSession(t, cluster.port(0), { pid: raw.pid }, raw, 'after a DISCONNECT');
});

test('the stock client goes on with a new session when its pid is unknown', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await client.leave();
  client.socket._pid = 'unknown'.padEnd(20, 'x');
  await client.comeBack();
  client.assertNotRecovered();
  await join(client.socket, room);
  await publishMany(publisher, room, 'n', 5);
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(5));
  // The old offset under the new pid does no harm at the next cut.
  await client.leave();
  await publishMany(publisher, room, 'n', 5, { from: 5 });
  await client.comeBack();
  assert.equal(client.socket.recovered, true);
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(10));
});
