// A client that was away gets exactly what it missed: nothing lost, nothing twice, in order, under its old id.
// Every cut comes from outside, by the proxy each travelling client sits behind.

import assert from 'node:assert/strict';

import { assertExactly, connect, fence, join, nextDisconnect, numbers, ok, publishMany } from './clients.mjs';
import { Cluster, slow, test, waitFor } from './harness.mjs';
import { RawClient } from './raw.mjs';
import { Traveller } from './travel.mjs';

const cluster = await Cluster.start({ gateways: 2 });
const publisher = await connect(cluster.url(0));

let rooms = 0;
const newRoom = () => `room ${++rooms}`;

// ---- a cut transport ----

test('50 events published while away arrive exactly, in order, once', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await publishMany(publisher, room, 'n', 10);
  await fence(publisher, room, client.recorder);
  await client.leave();
  await publishMany(publisher, room, 'n', 50, { from: 10 });
  await client.comeBack();
  client.assertRecovered();
  await publishMany(publisher, room, 'n', 10, { from: 60 });
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(70));
});

test('the same when the events keep coming all the time', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  const published = publishMany(publisher, room, 'n', 3000, { atOnce: 10 });
  await client.recorder.waitForCount('n', 100);
  await client.leave();
  const before = client.recorder.count('n');
  await ok(publisher, 'publish', room, 'other', 0);
  await client.comeBack();
  client.assertRecovered();
  assert.ok(before < 3000, 'it was away while events were published');
  await published;
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(3000));
});

test('the same when it returns through the other gateway', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await publishMany(publisher, room, 'n', 10);
  await fence(publisher, room, client.recorder);
  await client.leave();
  await publishMany(publisher, room, 'n', 50, { from: 10 });
  client.proxy.retarget(cluster.port(1));
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(60));
});

test('the same when its gateway was killed with SIGKILL', async (t) => {
  const gateway = await cluster.addGateway();
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  client.proxy.retarget(gateway.port);
  await client.leave();
  await client.comeBack();
  await publishMany(publisher, room, 'n', 10);
  await fence(publisher, room, client.recorder);
  const gone = nextDisconnect(client.socket);
  client.proxy.refuse(true);
  await gateway.kill();
  await gone;
  await publishMany(publisher, room, 'n', 50, { from: 10 });
  client.proxy.retarget(cluster.port(1));
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(60));
});

test('the same when the broker was killed with SIGKILL meanwhile', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await publishMany(publisher, room, 'n', 10);
  await fence(publisher, room, client.recorder);
  await client.leave();
  await publishMany(publisher, room, 'n', 25, { from: 10 });
  await cluster.broker.kill();
  await cluster.broker.start();
  await publishMany(publisher, room, 'n', 25, { from: 35 });
  client.proxy.retarget(cluster.port(1));
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(60));
});

for (const [where, gateway] of [['the same gateway', 0], ['the other gateway', 1]]) {
  test(`the same when the server had not noticed the cut, through ${where}`, async (t) => {
    const room = newRoom();
    const client = await Traveller.start(t, cluster, room);
    await publishMany(publisher, room, 'n', 10);
    await fence(publisher, room, client.recorder);
    await client.leave(() => client.proxy.abandon());
    await publishMany(publisher, room, 'n', 50, { from: 10 });
    client.proxy.retarget(cluster.port(gateway));
    await client.comeBack(20_000 / slow); // by then no server misses it: that is the ping timeout
    client.assertRecovered();
    await publishMany(publisher, room, 'n', 10, { from: 60 });
    await fence(publisher, room, client.recorder);
    assertExactly(client.recorder, 'n', numbers(70));
  });
}

test('the same when it had received no event before', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await client.leave();
  await publishMany(publisher, room, 'n', 50);
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(50));
});

test('nothing arrives when nothing was missed', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await publishMany(publisher, room, 'n', 3);
  await fence(publisher, room, client.recorder);
  for (let i = 0; i < 3; i++) {
    await client.leave();
    await client.comeBack();
    client.assertRecovered();
  }
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(3));
});

test('5,000 missed events arrive exactly, in order, once', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await publishMany(publisher, room, 'n', 10);
  await fence(publisher, room, client.recorder);
  await client.leave();
  await publishMany(publisher, room, 'n', 5000, { from: 10 });
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(5010));
});

test('missed events of several rooms arrive in the order of their seqs', async (t) => {
  const mine = [newRoom(), newRoom(), newRoom()];
  const foreign = newRoom();
  const client = await Traveller.start(t, cluster, ...mine);
  await client.leave();
  for (let i = 0; i < 60; i++) await publishMany(publisher, i % 4 === 3 ? foreign : mine[i % 4], 'n', 1, { from: i });
  await client.comeBack();
  client.assertRecovered();
  for (const room of mine) await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(60).filter((i) => i % 4 !== 3));
});

test('events from before its join do not arrive, those after do', async (t) => {
  const [first, later] = [newRoom(), newRoom()];
  const client = await Traveller.start(t, cluster, first);
  await publishMany(publisher, later, 'n', 10);
  await publishMany(publisher, first, 'n', 5, { from: 100 });
  await fence(publisher, first, client.recorder);
  await publishMany(publisher, later, 'n', 10, { from: 10 });
  await join(client.socket, later);
  await client.leave();
  await publishMany(publisher, later, 'n', 10, { from: 20 });
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, later, client.recorder);
  assertExactly(client.recorder, 'n', [...numbers(5, 100), ...numbers(10, 20)]);
});

test('events after it left a room do not arrive, those before do', async (t) => {
  const [stays, left] = [newRoom(), newRoom()];
  const client = await Traveller.start(t, cluster, stays, left);
  // What it gets before it leaves the room is held back, so that the cut comes with both still unseen.
  client.proxy.stall();
  await publishMany(publisher, left, 'n', 5);
  const other = await RawClient.open(cluster.port(1)); // the stalled client cannot leave by itself: take its place for that
  const { pid } = await other.connect({ pid: client.pid });
  assert.equal(pid, client.pid);
  assert.equal((await other.emitAck('leave', left)).ok, true);
  other.terminate();
  await publishMany(publisher, left, 'n', 5, { from: 5 });
  await publishMany(publisher, stays, 'n', 5, { from: 10 });
  await client.leave();
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, stays, client.recorder);
  assertExactly(client.recorder, 'n', [...numbers(5), ...numbers(5, 10)]);
});

test('12,000 events to other rooms while away change nothing', async (t) => {
  const [room, noisy] = [newRoom(), newRoom()];
  const client = await Traveller.start(t, cluster, room);
  await publishMany(publisher, room, 'n', 5);
  await fence(publisher, room, client.recorder);
  await client.leave();
  await publishMany(publisher, room, 'n', 5, { from: 5 });
  await publishMany(publisher, noisy, 'noise', 12_000);
  await publishMany(publisher, room, 'n', 5, { from: 10 });
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(15));
});

test('a volatile event that ends with a string does not spoil the next recovery', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await publishMany(publisher, room, 'n', 5);
  await ok(publisher, 'publish', { room, event: 'v', args: ['not an offset'], volatile: true });
  await client.recorder.waitForCount('v', 1);
  await client.leave();
  await publishMany(publisher, room, 'n', 5, { from: 5 });
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(10));
});

test('volatile events between stored ones never make it skip any', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  let volatile = true;
  const chatter = (async () => {
    while (volatile) await ok(publisher, 'publish', { room, event: 'v', args: ['x'], volatile: true });
  })();
  const published = publishMany(publisher, room, 'n', 2000, { atOnce: 20 });
  for (let i = 0; i < 5; i++) {
    const count = client.recorder.count('v');
    await waitFor(() => client.recorder.count('v') > count + 3, { what: 'volatile events' });
    await client.leave();
    await client.comeBack();
    client.assertRecovered();
  }
  await published;
  volatile = false;
  await chatter;
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(2000));
});

test('two absences in a row deliver nothing twice', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  for (let i = 0; i < 6; i++) {
    await client.leave();
    await publishMany(publisher, room, 'n', 20, { from: 20 * i });
    client.proxy.retarget(cluster.port(i % 2));
    await client.comeBack();
    client.assertRecovered();
  }
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(120));
});

test('what it publishes while away is published once when it is back', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await client.leave();
  for (let i = 0; i < 10; i++) client.socket.emit('publish', room, 'n', i);
  await client.comeBack();
  client.assertRecovered();
  await fence(client.socket, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(10));
});

test('what it published without echo does not come back to it', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  for (let i = 0; i < 6; i++) await ok(client.socket, 'publish', { room, event: 'n', args: [i], echo: i % 2 === 0 });
  await client.leave();
  client.socket._lastOffset = undefined; // as if it had received nothing: all of the session is replayed
  client.recorder.clear();
  await client.comeBack();
  client.assertRecovered();
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', [0, 2, 4]);
});

// ---- cuts in the middle of a return ----

const CUT_POSITIONS = [...numbers(24).map((i) => 1 + 25 * i), ...numbers(30).map((i) => 650 + 900 * i)];

test(`a return cut after 1 to ${CUT_POSITIONS.at(-1)} bytes, again and again, loses and doubles nothing`, async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  const recovered = [];
  client.socket.on('connect', () => recovered.push(client.socket.recovered));
  let sent = 0;
  for (const position of CUT_POSITIONS) {
    await client.leave();
    for (let i = 0; i < 40; i++) publisher.emit('publish', room, 'n', sent++, 'x'.repeat(700));
    await ok(publisher, 'publish', room, 'other', 0);
    const tries = client.proxy.accepted;
    client.proxy.cutNextAfter(position);
    client.proxy.refuse(false);
    await waitFor(() => client.proxy.accepted >= tries + 2 && client.socket.connected, { what: 'a return after the cut one' });
  }
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(sent));
  client.assertRecovered();
  assert.ok(recovered.every(Boolean), 'every CONNECT that came was a recovery');
});

test('a return cut just before its CONNECT arrives is recovered by the next try', async (t) => {
  const room = newRoom();
  const client = await Traveller.start(t, cluster, room);
  await publishMany(publisher, room, 'n', 5);
  await fence(publisher, room, client.recorder);
  for (let i = 0; i < 10; i++) {
    await client.leave();
    await publishMany(publisher, room, 'n', 5, { from: 5 + 5 * i });
    let cuts = 0;
    client.proxy.onToClient = (bytes) => (bytes.includes('40{"sid"') && ++cuts <= 2 ? 'cut' : undefined);
    client.proxy.retarget(cluster.port(i % 2));
    await client.comeBack();
    client.proxy.onToClient = null;
    assert.equal(cuts >= 2, true, 'two answers to CONNECT were cut off');
    client.assertRecovered();
  }
  await fence(publisher, room, client.recorder);
  assertExactly(client.recorder, 'n', numbers(55));
});
