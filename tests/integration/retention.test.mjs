// Sessions that have expired and events that are gone: never skipped in silence, never in the way of a working connection.

import assert from 'node:assert/strict';

import { assertExactly, assertSame, connect, fence, join, numbers, ok, publishMany } from './clients.mjs';
import { Cluster, metric, test, waitFor } from './harness.mjs';
import { Traveller } from './travel.mjs';

const cluster = await Cluster.start({ gateways: 2, broker: ['--retain-events', '200', '--segment-events', '50'] });
const publisher = await connect(cluster.url(0));

let rooms = 0;
const newRoom = () => `room ${++rooms}`;

// Publishes elsewhere until the log has lost the events up to seq.
async function pushOut(seq) {
  const other = newRoom();
  await waitFor(async () => {
    await publishMany(publisher, other, 'filler', 100);
    const [{ oldest }] = await cluster.query('select min(seq) as oldest from messages');
    return oldest > seq && (await metric(cluster.broker, 'reprise_broker_first_seq')) > seq;
  }, { what: `seq ${seq} being gone` });
}

test('a client whose missed events are gone gets recovered false and a working connection', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await publishMany(publisher, room, 'n', 5);
  await fence(publisher, room, client.recorder);
  await client.leave();
  const [missed] = await publishMany(publisher, room, 'n', 1, { from: 5 });
  await pushOut(missed);
  await client.comeBack();
  client.assertNotRecovered();
  client.recorder.clear();
  const ack = await ok(client.socket, 'join', room, { since: 0 });
  assert.equal(ack.truncated, true);
  assert.ok(Number.isSafeInteger(ack.oldest) && ack.oldest > missed, `oldest seq kept: ${JSON.stringify(ack)}`);
  await publishMany(publisher, room, 'n', 5, { from: 10 });
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(5, 10));
});

test('an offset older than the log is fine when no event of its rooms is gone', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  const [seen] = await publishMany(publisher, room, 'n', 1);
  await fence(publisher, room, client.recorder);
  await client.leave();
  await pushOut(seen + 5);
  await publishMany(publisher, room, 'n', 5, { from: 1 });
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(6));
});

test('history and join since say truncated only when events they should give are gone', async (t) => {
  const [old, young] = [newRoom(), newRoom()];
  const seqs = await publishMany(publisher, old, 'n', 5);
  await pushOut(seqs[4]);
  await publishMany(publisher, young, 'n', 5);
  const gone = await ok(publisher, 'history', old, { since: seqs[0] - 1 });
  assert.deepEqual([gone.events, gone.truncated], [[], true]);
  const whole = await ok(publisher, 'history', young, { since: seqs[0] - 1 });
  assert.deepEqual([whole.events.length, whole.truncated], [5, false]);
  const after = await ok(publisher, 'history', old, { since: seqs[4] });
  assert.deepEqual([after.events, after.truncated], [[], false]);
  const client = await Traveller.start(t, cluster);
  assert.equal((await ok(client.socket, 'join', old, { since: seqs[0] - 1 })).truncated, true);
  assert.equal((await ok(client.socket, 'join', young, { since: seqs[0] - 1 })).truncated, false);
});

test('sequence numbers go on when retention has emptied the log', async () => {
  const [last] = await publishMany(publisher, newRoom(), 'n', 1);
  await pushOut(last);
  const seqs = await publishMany(publisher, newRoom(), 'n', 10);
  assertSame([...seqs].sort((a, b) => a - b), seqs, 'seqs');
  assert.ok(seqs[0] > last);
});

test('old events are replayed from closed segments as from memory', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await client.leave();
  for (let i = 0; i < 15; i++) {
    await publishMany(publisher, room, 'n', 5, { from: 5 * i });
    await publishMany(publisher, 'neighbour', 'n', 5);
  }
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(75));
});

test('an expired pid begins a new session that works', async (t) => {
  const short = await Cluster.start({ gateways: 1, broker: ['--session-ttl', '500ms'] });
  const room = newRoom();
  const client = await Traveller.start(t, short, room);
  await client.leave();
  await waitFor(async () => (await short.query(`select * from sessions where sid = '${client.id}'`)).length === 0, { what: 'the end of the session' });
  await client.comeBack();
  client.assertNotRecovered();
  await join(client.socket, room);
  await publishMany(client.socket, room, 'n', 3);
  await fence(client.socket, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(3));
  const { members } = await ok(client.socket, 'presence', room);
  assert.deepEqual(members.map(({ sid }) => sid), [client.socket.id]);
});

test('a session does not expire while it is connected', async (t) => {
  const short = await Cluster.start({ gateways: 1, broker: ['--session-ttl', '200ms'] });
  const lasting = await Traveller.start(t, short, 'room');
  const passing = await Traveller.start(t, short, 'room');
  await passing.leave();
  await waitFor(async () => (await short.query(`select * from sessions where sid = '${passing.id}'`)).length === 0, { what: 'the end of the other session' });
  await publishMany(lasting.socket, 'room', 'n', 3);
  await fence(lasting.socket, 'room', lasting.recorder);
  assertExactly(lasting.recorder, 'n', numbers(3));
  assert.equal(lasting.socket.id, lasting.id);
});
