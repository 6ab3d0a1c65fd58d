// A client that hops between two gateways 40 times, four times a second if the machine is quick enough, while 1,600 events a second
// go to its room.

import assert from 'node:assert/strict';

import { assertExactly, connect, fence, join, numbers, ok, Recorder } from './clients.mjs';
import { Cluster, test, waitFor } from './harness.mjs';
import { Proxy } from './proxy.mjs';

const HOPS = 40;
const CUT_EVERY_MS = 250;
const EVENTS_PER_SECOND = 1600;
const TICK_MS = 10;
const WAITING_MAX = 4_000; // publishes without an ack: a slow machine gets fewer
const MISSED_MIN = 200; // published from one cut to the next
const EARLY_MAX = 3; // cuts in a row before CONNECT: then it is let in, however long that takes

const cluster = await Cluster.start({ gateways: 2 });

// Publishes n 0, 1, 2, … at the rate until finish(), which gives how many there were and at what rate; count() tells of those so far.
function publishSteadily(t, socket, room) {
  const begin = performance.now();
  const acks = [];
  let answered = 0;
  const publish = () => {
    const ack = ok(socket, 'publish', room, 'n', acks.length);
    ack.catch(() => {}); // finish() reports it
    acks.push(ack);
    ack.finally(() => answered++).catch(() => {});
  };
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - begin) / 1000) * EVENTS_PER_SECOND);
    while (acks.length < due && acks.length < answered + WAITING_MAX) publish();
  }, TICK_MS);
  t.after(() => clearInterval(timer));
  const finish = async () => {
    clearInterval(timer);
    const seconds = (performance.now() - begin) / 1000;
    await Promise.all(acks);
    return { count: acks.length, rate: acks.length / seconds };
  };
  return { finish, count: () => acks.length };
}

test('40 hops, 40 recovered, nothing lost, nothing twice, order kept', async (t) => {
  const publisher = await connect(cluster.url(0));
  const proxy = await Proxy.start(cluster.port(0));
  const traveller = await connect(proxy.url, { reconnectionDelay: 100, reconnectionDelayMax: 100, randomizationFactor: 0 });
  const recorder = new Recorder(traveller);
  await join(traveller, 'room');
  const { id } = traveller;

  const returns = []; // recovered, one for each CONNECT after the first
  let connected = true; // since the last cut; a cut before CONNECT arrives belongs to the same try
  let cutsEarly = 0;
  let earlyInRow = 0;
  traveller.on('connect', () => {
    returns.push(traveller.recovered && traveller.id === id);
    connected = true;
    earlyInRow = 0;
  });

  const load = publishSteadily(t, publisher, 'room');
  const begin = performance.now();
  let target = 0;
  let published = 0;
  const hopper = setInterval(() => {
    if (returns.length >= HOPS || load.count() < published + MISSED_MIN) return;
    if (!connected) {
      if (earlyInRow >= EARLY_MAX) return;
      earlyInRow++;
      cutsEarly++;
    }
    published = load.count();
    connected = false;
    target = 1 - target;
    proxy.retarget(cluster.port(target));
    proxy.cut();
  }, CUT_EVERY_MS);
  t.after(() => clearInterval(hopper));
  await waitFor(() => returns.length >= HOPS, { what: () => `${HOPS} returns, there were ${returns.length}` });
  const seconds = (performance.now() - begin) / 1000;
  clearInterval(hopper);

  const { count, rate } = await load.finish();
  await fence(publisher, 'room', recorder);
  t.diagnostic(`${returns.length} hops in ${seconds.toFixed(1)} s, ${cutsEarly} cuts before CONNECT, ${count} events, ${rate.toFixed(0)} a second`);
  assert.equal(returns.filter(Boolean).length, returns.length, 'every return was recovered');
  assertExactly(recorder, 'n', numbers(count));
  assert.ok(count >= HOPS * MISSED_MIN, 'the load was there');
});
