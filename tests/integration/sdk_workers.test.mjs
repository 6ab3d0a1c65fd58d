// App workers that are killed, hang, are stopped and started under load, and gateways and the broker too. What clients were promised is
// checked from their side: order per socket, acks exactly once, at least once in durable namespaces, nothing missed after a recovery.

import assert from 'node:assert/strict';

import { assertExactly, connect, emitAck, nextConnect, numbers, open, Recorder, repeated } from './clients.mjs';
import { Cluster, reported, slow, sleep, test, waitFor } from './harness.mjs';
import { RawClient } from './raw.mjs';
import { client, clients, cut, fence, settle, tell } from './sdk.mjs';

const LOST = new Set(['worker_lost', 'unavailable']);

// ---- load ----

// A client that emits work([id, n]) with acks, some at a time, and keeps what comes back.
class Source {
  sent = 0;
  acked = new Map(); // n: what the acks said
  running = true;

  constructor(id, socket, window) {
    Object.assign(this, { id, socket, window });
    this.recorder = new Recorder(socket);
    this.done = this.#run();
    this.done.catch(() => {}); // finish() reports it
  }

  async #run() {
    while (this.running) {
      if (this.sent - this.acked.size < this.window) this.#emit(this.sent++);
      await new Promise((resolve) => setImmediate(resolve));
      await sleep(2);
    }
    await waitFor(() => this.acked.size === this.sent, {
      what: () => `the acks of ${this.id}: ${this.acked.size} of ${this.sent}, missing ${numbers(this.sent).filter((n) => !this.acked.has(n)).slice(0, 5)}`,
    });
  }

  #emit(n) {
    this.socket.emit('work', [this.id, n], (...said) => this.acked.set(n, [...(this.acked.get(n) ?? []), said]));
  }

  // Those whose ack was as it should be; the others must say that the worker was lost.
  handled() {
    const good = [];
    for (const [n, said] of this.acked) {
      assert.equal(said.length, 1, `${this.id}: ${n} was acked ${said.length} times`);
      const [ack] = said[0];
      if (ack?.n !== undefined) {
        assert.deepEqual(ack, { n: [this.id, n] });
        good.push(n);
      } else {
        assert.ok(LOST.has(ack?.error?.code), `${this.id}: ${n} was answered ${JSON.stringify(said)}`);
      }
    }
    return good.sort((a, b) => a - b);
  }
}

// What workers reported of a source, worker by worker: [[{n, again}, …], …].
const workOf = (workers, id) =>
  workers.map((worker) => worker.of('work').filter(({ n }) => n[0] === id).map(({ n, again }) => ({ n: n[1], again })));

function assertRising(list, what) {
  const at = list.findIndex((n, i) => i > 0 && n <= list[i - 1]);
  assert.equal(at, -1, `${what}: out of order at ${at}: ${JSON.stringify(list.slice(Math.max(0, at - 3), at + 4))}`);
}

// Every event of a source was handled in its order; `durable`: each, if need be again; else at most once.
function assertWork(workers, source, { durable }) {
  const byWorker = workOf(workers, source.id);
  const all = byWorker.flat();
  for (const list of byWorker) assertRising(list.filter(({ again }) => !again).map(({ n }) => n), source.id);
  const firsts = all.filter(({ again }) => !again).map(({ n }) => n);
  assert.deepEqual(repeated(firsts), [], `${source.id}: handled twice without being flagged`);
  const handled = new Set(all.map(({ n }) => n));
  for (const n of source.handled()) assert.ok(handled.has(n), `${source.id}: ${n} was acked, and nobody handled it`);
  if (durable) assert.equal(handled.size, source.sent, `${source.id}: not everything was handled`);
  else assert.equal(all.length, handled.size, `${source.id}: handled twice`);
}

async function startSources(t, cluster, nsp, count, window) {
  const sources = [];
  for (let i = 0; i < count; i++) {
    const { socket } = await client(t, cluster, { gateway: i % cluster.gateways.length, nsp });
    sources.push(new Source(`${nsp} ${i}`, socket, window));
  }
  t.after(() => sources.forEach((source) => (source.running = false))); // also if the test fails: else it would not end
  return sources;
}

async function finish(cluster, sources) {
  for (const source of sources) source.running = false;
  await Promise.all(sources.map(({ done }) => done));
  const probe = await connect(cluster.url(0));
  // every worker has reported: each of its sockets' events is confirmed, and reports are written before
  await waitFor(async () => {
    await settle(probe, cluster.workers);
    const handled = sources.reduce((sum, { id }) => sum + new Set(workOf(cluster.workers, id).flat().map(({ n }) => n)).size, 0);
    const acked = sources.reduce((sum, source) => sum + source.handled().length, 0);
    return handled >= acked;
  });
  probe.disconnect();
}

const sum = (sources) => sources.reduce((all, { acked }) => all + acked.size, 0);

// Waits until each source got some more acks: all are served.
async function progress(sources, what, count = 20) {
  const from = sources.map(({ acked }) => acked.size);
  await waitFor(() => sources.every(({ acked }, i) => acked.size >= from[i] + count), { what: `progress ${what}` });
}

// ---- workers ----

async function workersComeAndGo(t, nsp, { durable }) {
  const cluster = await Cluster.start({ gateways: 2, workers: 3 });
  const { workers } = cluster;
  const sources = await startSources(t, cluster, nsp, 12, 8);
  await progress(sources, 'at the beginning');

  await workers[0].kill();
  await progress(sources, 'with a worker killed');
  const adopted = () => workers[0].of('adopted').length + workers[0].of('connection').length;
  const had = adopted();
  await workers[0].start();
  await waitFor(() => adopted() > had, { what: 'the share of a worker that has come back' });
  await progress(sources, 'with a worker back');

  workers[1].hang();
  await progress(sources, 'with a worker that hangs');
  workers[1].resume();
  await progress(sources, 'with the worker awake again');

  const before = sources.flatMap((source) => [...source.acked.values()]).filter(([[ack]]) => ack?.n === undefined).length;
  await workers[2].stop();
  await progress(sources, 'with a worker stopped');
  const lost = sources.flatMap((source) => [...source.acked.values()]).filter(([[ack]]) => ack?.n === undefined).length - before;
  assert.equal(lost, 0, 'nothing is lost with a worker that says goodbye');
  await workers[2].start();

  const fresh = await cluster.addWorker();
  await waitFor(() => fresh.of('adopted').length > 0, { what: 'the share of a new worker' });
  await progress(sources, 'with a new worker');
  await finish(cluster, sources);
  for (const source of sources) assertWork(workers, source, { durable });
  return { cluster, sources };
}

test('workers are killed, hang, stop and start under load: a namespace that is not durable', async (t) => {
  const { sources } = await workersComeAndGo(t, '/', { durable: false });
  const refused = sources.reduce((all, source) => all + source.sent - source.handled().length, 0);
  t.diagnostic(`${sum(sources)} acks, ${refused} of them said that the worker was lost`);
  for (const source of sources) {
    const worked = source.recorder.values('worked').map(([, n]) => n);
    assertRising(worked, `what ${source.id} got`);
    const seen = new Set(worked);
    for (const n of source.handled()) assert.ok(seen.has(n), `${source.id}: what the worker emitted for ${n} did not come`);
  }
});

test('workers are killed, hang, stop and start under load: a durable namespace', async (t) => {
  const { cluster, sources } = await workersComeAndGo(t, '/durable', { durable: true });
  const again = cluster.workers.flatMap((worker) => worker.of('work')).filter((report) => report.again).length;
  t.diagnostic(`${sum(sources)} acks, ${again} events were given to a worker again`);
  for (const source of sources) {
    assert.deepEqual(source.handled(), numbers(source.sent), `${source.id}: every event is acked by a worker`);
    const seen = new Set();
    const firsts = source.recorder.values('worked').map(([, n]) => n).filter((n) => seen.size !== seen.add(n).size);
    assert.deepEqual(firsts, numbers(source.sent), `what ${source.id} got`);
  }
});

// ---- workers, gateways and the broker ----

// One client with Socket.IO's `retries`: at least once, one after the other.
async function retryingSource(t, cluster, nsp, id) {
  const socket = open(cluster.url(id % 2) + nsp, { retries: 100, ackTimeout: 3_000 * slow });
  t.after(() => {
    source.running = false;
    socket.io._close();
  });
  await waitFor(() => socket.connected);
  const source = { id: `${nsp} ${id}`, socket, recorder: new Recorder(socket), sent: 0, acked: [], running: true };
  source.done = (async () => {
    while (source.running) {
      const n = source.sent++;
      const ack = await socket.emitWithAck('work', [source.id, n]);
      if (ack?.n?.[1] === n) source.acked.push(n);
      else source.failed = ack;
    }
  })();
  return source;
}

test('everything is killed under load: a durable namespace, clients with retries', async (t) => {
  const cluster = await Cluster.start({ gateways: 2, workers: 3 });
  const { workers, gateways, broker } = cluster;
  const sources = await Promise.all(numbers(8).map((i) => retryingSource(t, cluster, '/durable', i)));
  const more = async (what) => {
    const from = sources.map(({ acked }) => acked.length);
    await waitFor(() => sources.every(({ acked }, i) => acked.length >= from[i] + 10), { what: `progress ${what}` });
  };
  await more('at the beginning');
  for (const [what, victim] of [['a gateway', gateways[0]], ['a worker', workers[0]], ['the broker', broker], ['the other gateway', gateways[1]]]) {
    await victim.kill();
    await sleep(100);
    await victim.start();
    await more(`after ${what} was killed`);
  }
  await Promise.all([broker.kill(), workers[1].kill(), gateways[0].kill()]);
  await Promise.all([broker.start(), workers[1].start(), gateways[0].start()]);
  await more('after three were killed at once');
  for (const source of sources) source.running = false;
  await Promise.all(sources.map(({ done }) => done));
  await fence(await client(t, cluster), await client(t, cluster));
  for (const source of sources) {
    assert.deepEqual(source.acked, numbers(source.sent), `${source.id}: ${JSON.stringify(source.failed)}`);
    assert.equal(source.socket.recovered, true);
    const handled = new Set(workOf(workers, source.id).flat().map(({ n }) => n));
    assert.equal(handled.size, source.sent);
    const seen = new Set();
    const worked = source.recorder.values('worked').map(([, n]) => n).filter((n) => seen.size !== seen.add(n).size);
    assert.deepEqual(worked, numbers(source.sent), `what ${source.id} got`);
  }
});

// ---- what workers emit ----

test('recovery gets everything that workers emitted: to rooms, to one socket, to all', async (t) => {
  const cluster = await Cluster.start({ gateways: 2, workers: 2 });
  const { gateways, broker } = cluster;
  const driver = await client(t, cluster, { nsp: '/durable' });
  const list = await clients(t, cluster, 4, { nsp: '/durable' });
  const second = list.filter((_, i) => i % 2 === 1); // at the gateway that is killed
  for (const { socket } of list) await tell(socket, 'join', { rooms: ['r'] });
  let n = 0;
  const emitRound = async (count) => {
    for (const end = n + count; n < end; n++) {
      await tell(driver.socket, 'emit', { target: { kind: 'to', room: 'r' }, name: 'room', args: [n], stored: true });
      await tell(driver.socket, 'emit', { target: { kind: 'all' }, name: 'all', args: [n], stored: true });
      await Promise.all(list.map(({ id }) => tell(driver.socket, 'emit', { target: { kind: 'to', room: id }, name: 'one', args: [n], stored: true })));
    }
  };
  await emitRound(5);
  const emitting = emitRound(20);
  for (const { socket } of list) cut(socket);
  await emitting;
  await gateways[1].kill();
  await emitRound(10);
  await gateways[1].start();
  await waitFor(() => list.every(({ socket }) => socket.connected));
  await gateways[1].kill();
  await broker.kill();
  await broker.start();
  await emitRound(10);
  await gateways[1].start();
  await emitRound(3);
  await waitFor(() => list.every(({ recorder }) => recorder.values('one').includes(n - 1)));
  await fence(driver, ...list);
  for (const { socket } of second) assert.equal(socket.recovered, true);
  for (const { recorder } of list) for (const name of ['room', 'all', 'one']) assertExactly(recorder, name, numbers(n));
});

test('an emit that wants an ack is sent again at each recovery until it is acked, and the ack reaches its worker once', async (t) => {
  const cluster = await Cluster.start({ gateways: 2, workers: 1 });
  const { broker, gateways, workers: [worker] } = cluster;
  const seen = [];
  const a = await client(t, cluster, { gateway: 1 });
  let silent = true;
  a.socket.on('owed', (k, ack) => {
    seen.push(k);
    if (!silent) ack(`got ${k}`);
  });
  for (const k of [0, 1, 2]) await tell(a.socket, 'socket_emit_ack', { name: 'owed', args: [k], async: true });
  await waitFor(() => seen.length === 3);
  const again = async (what, times) => {
    const back = nextConnect(a.socket, 30_000);
    await what();
    await back;
    await waitFor(() => seen.length >= 3 * times, { what: () => `the owed ones again: ${seen}` });
  };
  await again(() => cut(a.socket), 2);
  await again(async () => { await gateways[1].kill(); await gateways[1].start(); }, 3);
  await again(async () => {
    await broker.kill();
    await broker.start();
    cut(a.socket);
  }, 4);
  silent = false;
  await again(() => cut(a.socket), 5);
  assert.deepEqual(seen, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
  await waitFor(() => worker.of('ack').length >= 3);
  const back = nextConnect(a.socket);
  cut(a.socket);
  await back;
  await fence(a, a);
  await settle(a.socket, worker);
  assert.equal(seen.length, 15, 'what is acked is not sent again');
  assert.deepEqual(worker.of('ack').map(({ err, args }) => [err, args]), [0, 1, 2].map((k) => ['OK', [`got ${k}`]]));
});

test('an ack that is on its way when the gateway or the broker dies reaches the worker once', async (t) => {
  const cluster = await Cluster.start({ gateways: 1, workers: 1 });
  const { broker, gateways: [gateway], workers: [worker] } = cluster;
  const a = await client(t, cluster);
  a.socket.on('owed', (k, ack) => ack(k));
  let k = 0;
  for (const victim of [gateway, broker, gateway, broker]) {
    const until = k + 30;
    const asked = [];
    for (; k < until; k++) asked.push(emitAck(a.socket, 'do', { op: 'socket_emit_ack', name: 'owed', args: [k], async: true }).catch(() => null));
    await waitFor(() => worker.of('ack').length > until - 30);
    await victim.kill();
    await victim.start();
    await waitFor(() => a.socket.connected);
    await Promise.race([Promise.all(asked), sleep(2000)]); // those that were lost with the gateway are never answered
  }
  await fence(a, a);
  await waitFor(async () => {
    await settle(a.socket, worker);
    return worker.of('ack').every(({ err }) => err === 'OK');
  });
  const got = worker.of('ack').map(({ args }) => args[0]);
  assert.deepEqual(repeated(got), []);
  assert.ok(got.length >= 30, `${got.length} acks`);
  await settle(a.socket, worker);
  const { emits } = await tell(a.socket, 'stats');
  await waitFor(() => worker.of('ack').length >= emits - 2, { what: () => `an ack for each of ${emits} emits, came ${worker.of('ack').length}` });
});

// ---- nobody there ----

test('without a worker events and connects wait, and are told when it takes too long', async (t) => {
  const cluster = await Cluster.start({ gateways: 1, workers: 1, broker: ['--worker-timeout', '200ms'] });
  const [worker] = cluster.workers;
  const a = await client(t, cluster);
  await worker.stop();
  const waiting = emitAck(a.socket, 'work', 'waits');
  const late = open(`${cluster.url(0)}/durable`);
  t.after(() => late.io._close());
  await worker.start();
  assert.deepEqual(await waiting, { n: 'waits' });
  await waitFor(() => late.connected);
  await worker.stop();
  const answer = await a.socket.timeout(25_000 * slow).emitWithAck('work', 'too late');
  assert.equal(answer.ok, false);
  assert.equal(answer.error.code, 'unavailable');
  await worker.start();
  assert.deepEqual(await emitAck(a.socket, 'work', 'again'), { n: 'again' });
  assert.equal(worker.of('work', { n: 'too late' }).length, 0);
});

test('a worker that wakes after its sockets were given away releases them; what it had in hand is handled twice at most', async (t) => {
  const cluster = await Cluster.start({ gateways: 1, workers: 2 });
  const a = await client(t, cluster, { nsp: '/durable' });
  await tell(a.socket, 'mark', { n: 'here' });
  const mine = await waitFor(() => cluster.workers.find((worker) => worker.of('mark', { n: 'here' }).length > 0));
  const other = cluster.workers.find((worker) => worker !== mine);
  mine.hang();
  const answer = emitAck(a.socket, 'work', 1);
  await reported(other, 'work', { n: 1, again: true });
  assert.deepEqual(await answer, { n: 1 });
  mine.resume();
  await reported(mine, 'released', { sid: a.id });
  await waitFor(() => mine.of('link', { up: true }).length >= 2);
  await fence(a, a);
  assert.deepEqual([...new Set(a.recorder.values('worked'))], [1]);
  assert.deepEqual(mine.of('disconnect', { sid: a.id }), [], 'the client was there all the time');
  assert.deepEqual(await emitAck(a.socket, 'work', 2), { n: 2 });
  await fence(a, a);
  assert.equal(a.recorder.values('worked').filter((n) => n === 2).length, 1);
});

test('a worker that waits for the ack of a socket that was given to another learns that it has ended', async (t) => {
  const cluster = await Cluster.start({ gateways: 1, workers: 1 });
  const [first] = cluster.workers;
  const list = await clients(t, cluster, 6);
  for (const { socket } of list) await tell(socket, 'socket_emit_ack', { name: 'never answered', async: true });
  const second = await cluster.addWorker();
  await waitFor(() => second.of('adopted').length === 3, { what: 'half of the sockets' });
  for (const { socket } of list) socket.disconnect();
  await waitFor(() => first.of('ack', { err: 'GONE' }).length === 6, { what: () => `the end of six waits, there are ${first.of('ack').length}` });
});
