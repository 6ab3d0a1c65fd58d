// A client that hops between two gateways 40 times in 16 seconds while 1,600 events a second go to its room.

import assert from 'node:assert/strict';

import { assertExactly, connect, fence, join, numbers, ok, Recorder } from './clients.mjs';
import { Cluster, slow, test, waitFor } from './harness.mjs';
import { Proxy } from './proxy.mjs';

const HOPS = 40;
const CUT_EVERY_MS = 250;
const EVENTS_PER_SECOND = 1600;
const TICK_MS = 10;

const cluster = await Cluster.start({ gateways: 2 });

// Publishes n 0, 1, 2, … at the rate until finish(), which gives how many there were and at what rate.
function publishSteadily(t, socket, room) {
  const begin = performance.now();
  const acks = [];
  const publish = () => {
    const ack = ok(socket, 'publish', room, 'n', acks.length);
    ack.catch(() => {}); // finish() reports it
    acks.push(ack);
  };
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - begin) / 1000) * EVENTS_PER_SECOND);
    while (acks.length < due) publish();
  }, TICK_MS);
  t.after(() => clearInterval(timer));
  const finish = async () => {
    clearInterval(timer);
    const seconds = (performance.now() - begin) / 1000;
    await Promise.all(acks);
    return { count: acks.length, rate: acks.length / seconds };
  };
  return { finish };
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
  traveller.on('connect', () => {
    returns.push(traveller.recovered && traveller.id === id);
    connected = true;
  });

  const load = publishSteadily(t, publisher, 'room');
  const begin = performance.now();
  let target = 0;
  const hopper = setInterval(() => {
    if (returns.length >= HOPS) return;
    if (!connected) cutsEarly++;
    connected = false;
    target = 1 - target;
    proxy.retarget(cluster.port(target));
    proxy.cut();
  }, CUT_EVERY_MS);
  t.after(() => clearInterval(hopper));
  await waitFor(() => returns.length >= HOPS, { timeout: 16_000, what: () => `${HOPS} returns, there were ${returns.length}` });
  const seconds = (performance.now() - begin) / 1000;
  clearInterval(hopper);

  const { count, rate } = await load.finish();
  await fence(publisher, 'room', recorder);
  t.diagnostic(`${returns.length} hops in ${seconds.toFixed(1)} s, ${cutsEarly} cuts before CONNECT, ${count} events, ${rate.toFixed(0)} a second`);
  assert.equal(returns.filter(Boolean).length, returns.length, 'every return was recovered');
  assertExactly(recorder, 'n', numbers(count));
  assert.ok(rate > (0.9 * EVENTS_PER_SECOND) / slow, `the load was there: ${rate.toFixed(0)} events a second`);
}, { timeout: 90_000 });
