// A gateway dies with all of its clients, and they come back at once through another: each gets exactly what it missed, from
// memory or from the disk, where what many need is read once; and one that does not read what it is sent holds up nobody.

import assert from 'node:assert/strict';

import { connect, fence, join, numbers, ok, publishMany, Recorder } from './clients.mjs';
import { Cluster, metric, test, waitFor } from './harness.mjs';
import { RawClient } from './raw.mjs';
import { rawMember, rawValues } from './travel.mjs';

const CLIENTS = 300;
const ROOMS = 10; // of each family; a client is in one of each
const MISSED = [4, 3, 3]; // events of a room of each family
const TAIL_BYTES = 128 << 20; // what the broker keeps in memory

const cluster = await Cluster.start({ gateways: 2 });
const publisher = await connect(cluster.url(1));

// ---- many ----

// Hardly two have the same rooms.
const roomsOf = (i) => [i, i * 7 + Math.floor(i / ROOMS), i * 31 + Math.floor(i / ROOMS)].map((n, family) => `${family}/${n % ROOMS}`);

class Wanderer {
  constructor(prefix, i) {
    this.rooms = roomsOf(i).map((room) => prefix + room);
  }

  async begin(t, port) {
    this.raw = await RawClient.open(port);
    t.after(() => this.raw.terminate());
    Object.assign(this, await this.raw.connect());
    for (const room of this.rooms) assert.equal((await this.raw.emitAck('join', room)).ok, true);
  }

  async comeBack(t, port) {
    const offset = this.raw.events('n').at(-1).at(-1);
    this.raw = await RawClient.open(port);
    t.after(() => this.raw.terminate());
    const { sid } = await this.raw.connect({ pid: this.pid, offset });
    assert.equal(sid, this.sid, 'it is the same session');
  }

  // Once each, in order, and nothing else.
  async assertGot(expected, what) {
    await waitFor(() => this.raw.events('n').length >= expected.length, { what: () => `${what} of ${this.rooms}` });
    const got = this.raw.events('n');
    for (const [i, room] of this.rooms.entries()) {
      const own = got.map(([, value]) => value).filter((value) => value.room === room);
      assert.deepEqual(own.map(({ n }) => n), expected.filter((value) => value.room === i).map(({ n }) => n), `${what} of ${room}`);
    }
    assert.equal(got.length, expected.length, what);
    const seqs = got.map((event) => Number(event.at(-1).split('-')[0]));
    assert.ok(seqs.every((seq, i) => i === 0 || seq > seqs[i - 1]), `${what} come in order`);
  }
}

async function publishTo(prefix, from, to) {
  const all = [];
  for (const [family, count] of MISSED.entries()) {
    for (let room = 0; room < ROOMS; room++) {
      const name = `${prefix}${family}/${room}`;
      for (let n = from; n < Math.min(to, count); n++) all.push(ok(publisher, 'publish', name, 'n', { room: name, n }));
    }
  }
  await Promise.all(all);
}

// `meanwhile` happens after what they miss.
async function storm(t, prefix, meanwhile) {
  const lost = await cluster.addGateway();
  const wanderers = numbers(CLIENTS).map((i) => new Wanderer(prefix, i));
  for (let from = 0; from < CLIENTS; from += 50) await Promise.all(wanderers.slice(from, from + 50).map((w) => w.begin(t, lost.port)));
  await publishTo(prefix, 0, 1);
  await Promise.all(wanderers.map((w) => w.assertGot(numbers(3).map((room) => ({ room, n: 0 })), 'the first')));
  await lost.kill();
  await publishTo(prefix, 1, Infinity);
  await meanwhile();
  const before = await metric(cluster.broker, 'reprise_broker_reads_total');
  await Promise.all(wanderers.map((w) => w.comeBack(t, cluster.port(1))));
  const expected = MISSED.flatMap((count, room) => numbers(count - 1, 1).map((n) => ({ room, n })));
  await Promise.all(wanderers.map((w) => w.assertGot(expected, 'what was missed')));
  for (let room = 0; room < ROOMS; room++) {
    await ok(publisher, 'publish', `${prefix}0/${room}`, 'n', { room: `${prefix}0/${room}`, n: MISSED[0] });
  }
  expected.push({ room: 0, n: MISSED[0] });
  await Promise.all(wanderers.map((w) => w.assertGot(expected, 'with what is live')));
  assert.equal(await metric(cluster.broker, 'reprise_broker_not_recovered_total'), 0);
  return (await metric(cluster.broker, 'reprise_broker_reads_total')) - before;
}

test('all of a dead gateway come back and get what they missed, from memory', async (t) => {
  assert.equal(await storm(t, 'memory ', async () => {}), 0, 'nothing is read');
});

test('the same from the disk, where each page is read for all', async (t) => {
  const large = 'x'.repeat(900_000);
  const reads = await storm(t, 'disk ', async () => {
    for (let i = 0; i * large.length < TAIL_BYTES * 1.1; i += 8) {
      await Promise.all(numbers(8).map(() => ok(publisher, 'publish', 'nobody', 'large', large)));
    }
  });
  assert.ok(reads >= 3 * ROOMS, `what is not in memory is read (${reads} times)`);
  assert.ok(reads < CLIENTS, `but not for each client (${reads} times)`);
  const held = await metric(cluster.broker, 'reprise_broker_shared_bytes');
  assert.ok(held <= 32 << 20, `${held} bytes`);
});

// ---- one that is slow ----

test('a client that does not read its replay is waited for, and nothing of it is kept in memory', async (t) => {
  const COUNT = 2_000;
  const filler = 'x'.repeat(20_000);
  const [gateway] = cluster.gateways;
  const member = await rawMember(t, gateway.port, 'slow');
  await ok(publisher, 'publish', 'slow', 'n', 0, '');
  await waitFor(() => rawValues(member).length === 1);
  const offset = member.events('n')[0].at(-1);
  member.terminate();
  for (let from = 1; from < COUNT; from += 100) {
    await Promise.all(numbers(Math.min(100, COUNT - from), from).map((n) => ok(publisher, 'publish', 'slow', 'n', n, filler)));
  }
  const before = await metric(cluster.broker, 'reprise_broker_replayed_events_total');
  const back = await RawClient.open(gateway.port);
  t.after(() => back.terminate());
  await back.connect({ pid: member.pid, offset });
  back.ws.pause();
  // others on the same gateway get what is live, in the meantime, again and again
  const other = await connect(cluster.url(0));
  const recorder = new Recorder(other);
  await join(other, 'live');
  let replayed = -1;
  await waitFor(async () => {
    const last = replayed;
    await publishMany(publisher, 'live', 'n', 50);
    await fence(publisher, 'live', recorder);
    replayed = (await metric(cluster.broker, 'reprise_broker_replayed_events_total')) - before;
    return replayed === last;
  }, { what: 'the replay to pause' });
  assert.ok(replayed < COUNT - 1, `it waits for the client (${replayed} events)`);
  assert.equal(await metric(cluster.broker, 'reprise_broker_cursors'), 1);
  const queued = await metric(gateway, 'reprise_gateway_queued_bytes');
  assert.ok(queued < 1 << 20, `${queued} bytes wait in the gateway`);
  back.ws.resume();
  await waitFor(() => rawValues(back).length >= COUNT - 1, { what: () => `all, there are ${rawValues(back).length}` });
  assert.deepEqual(rawValues(back), numbers(COUNT - 1, 1));
  await waitFor(async () => (await metric(cluster.broker, 'reprise_broker_cursors')) === 0, { what: 'it to be live' });
});
