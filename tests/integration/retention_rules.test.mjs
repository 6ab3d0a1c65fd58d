// Rules that bound single rooms, and what the log may take of its disk, by stock clients: who comes back from just behind a
// border recovers, who does from before it is told so; events that have no room are refused, and taken again when there is some.

import assert from 'node:assert/strict';

import { assertExactly, connect, emitAck, fence, join, numbers, ok, publishMany } from './clients.mjs';
import { Cluster, metric, slow, test, waitFor } from './harness.mjs';
import { Traveller } from './travel.mjs';

const KEPT = 20;
const AGE_MS = 10_000 * slow; // what is asked of a full log happens before its events are so old

const cluster = await Cluster.start({
  gateways: 2,
  broker: ['--retain', `/ counted-* events=${KEPT}; / aged-* age=1s; / kept-*; / * bytes=4k`, '--segment-events', '64'],
});
const publisher = await connect(cluster.url(0));

const historyOf = (room, options = {}) => ok(publisher, 'history', room, options);
const wentDownTo = (room, count) => waitFor(async () => (await historyOf(room)).events.length === count, { what: `${room} keeping ${count}` });

test('a room keeps as many events as its rule says, and history says from where on', async () => {
  const seqs = await publishMany(publisher, 'counted-a', 'n', 200);
  const kept = seqs.slice(-KEPT);
  await wentDownTo('counted-a', KEPT);
  const all = await historyOf('counted-a');
  assert.deepEqual([all.events.map(({ seq }) => seq), all.truncated], [kept, true]);
  const border = seqs[seqs.length - KEPT - 1];
  assert.equal((await historyOf('counted-a', { since: border })).truncated, false);
  assert.equal((await historyOf('counted-a', { since: border - 1 })).truncated, true);
  await waitFor(async () => (await cluster.query("select count(*) as n from messages where room = 'counted-a'"))[0].n === KEPT,
    { what: 'the rows being removed' });
});

test('who comes back from behind the border recovers, who does from before it is told', async (t) => {
  const before = await Traveller.start(t, cluster, 'counted-b');
  await publishMany(publisher, 'counted-b', 'n', 5);
  await fence(publisher, 'counted-b', before.recorder);
  await before.leave();
  await publishMany(publisher, 'counted-b', 'n', 100, { from: 5 });
  await wentDownTo('counted-b', KEPT);
  const behind = await Traveller.start(t, cluster, 'counted-b');
  await publishMany(publisher, 'counted-b', 'n', 1, { from: 105 });
  await fence(publisher, 'counted-b', behind.recorder);
  await behind.leave();
  await publishMany(publisher, 'counted-b', 'n', 10, { from: 106 });
  await behind.comeBack();
  behind.assertRecovered();
  await fence(publisher, 'counted-b', behind.recorder);
  assertExactly(behind.recorder, 'n', numbers(11, 105));
  await before.comeBack();
  before.assertNotRecovered();
});

test('events grow old in their room, and stay in a room that keeps all', async () => {
  const [old] = await publishMany(publisher, 'aged-a', 'n', 10);
  await publishMany(publisher, 'kept-a', 'n', 300);
  await wentDownTo('aged-a', 0);
  const gone = await historyOf('aged-a', { since: old - 1 });
  assert.deepEqual([gone.events, gone.truncated], [[], true]);
  const kept = await historyOf('kept-a');
  assert.deepEqual([kept.events.length, kept.truncated], [300, false]);
});

test('the borders are the same after the broker was killed', async () => {
  const seqs = await publishMany(publisher, 'counted-c', 'n', 60);
  await wentDownTo('counted-c', KEPT);
  await cluster.broker.kill();
  await cluster.broker.start();
  const all = await historyOf('counted-c', { since: seqs[0] - 1 });
  assert.deepEqual([all.events.map(({ seq }) => seq), all.truncated], [seqs.slice(-KEPT), true]);
});

test('past its budget a log refuses events by name, serves the rest, and takes them again when retention made room', async (t) => {
  const small = await Cluster.start({ gateways: 1, broker: ['--disk-budget', '4M', '--retain-age', `${AGE_MS}ms`] });
  const client = await connect(small.url(0));
  const traveller = await Traveller.start(t, small, 'room');
  const text = 'x'.repeat(8000);
  const acked = [];
  let refusal = null;
  for (let n = 0; refusal === null && n < 3000; n += 20) {
    const some = numbers(20, n);
    const acks = await Promise.all(some.map((i) => emitAck(client, 'publish', 'room', 'n', i, text)));
    acked.push(...some.filter((_, i) => acks[i].ok));
    refusal = acks.find((ack) => !ack.ok)?.error ?? null;
  }
  assert.equal(refusal.code, 'no_space');
  assert.match(refusal.message, /no room/);
  assert.equal(await metric(small.broker, 'reprise_broker_engine_no_space'), 1);
  await traveller.leave();
  await traveller.comeBack(); // a record of its session is written
  traveller.assertRecovered();
  await join(await connect(small.url(0)), 'room');
  assert.ok((await ok(client, 'history', 'room')).events.length > 0);
  await waitFor(async () => (await emitAck(client, 'publish', 'room', 'n', -1)).ok, { what: 'room for events' });
  await fence(client, 'room', traveller.recorder);
  assert.deepEqual(traveller.recorder.values('n').filter((n) => n >= 0), acked);
  assert.equal(await metric(small.broker, 'reprise_broker_engine_no_space'), 0);
});
