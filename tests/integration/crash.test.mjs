// The broker, alone or together with a gateway, is killed with SIGKILL under load and started again.
//
// A ledger keeps the fate of every publish: acked with its seq, refused, or cut off with its connection. At the end the log,
// read with sqlite3, must agree with the ledger, and every subscriber with the log.

import assert from 'node:assert/strict';

import { assertSame, connect, emitAck, fence, join, numbers, open, Recorder, repeated, watchDisconnects } from './clients.mjs';
import { Cluster, sleep, test, waitFor } from './harness.mjs';

const ROOM = 'room';

// A client that publishes all the time, some at once, each event with a text of its own.
class Publisher {
  pending = new Map(); // text → true
  acked = new Map(); // text → seq
  refused = new Map(); // text → code
  cutOff = new Set(); // texts whose connection was lost before their answer

  // With ids, what was cut off is published again under its id until there is an answer.
  constructor(name, socket, { atOnce = 20, ids = false } = {}) {
    Object.assign(this, { name, socket, atOnce, ids, running: true });
    this.done = Promise.all(numbers(atOnce).map((lane) => this.#publishInLane(lane)));
    this.done.catch(() => {}); // stop() reports it
  }

  async #publishInLane(lane) {
    for (let n = 0; this.running; n++) await this.#publish(`${this.name}.${lane}.${n}`);
  }

  async #publish(text) {
    this.pending.set(text, true);
    const event = { room: ROOM, event: 'n', args: [text], ...(this.ids && { id: text }) };
    for (;;) {
      let ack;
      try {
        ack = await emitAck(this.socket, 'publish', event);
      } catch (err) {
        if (err.message !== 'socket has been disconnected') throw new Error(`no answer to ${text}: ${err.message}`);
        if (this.ids) continue;
        this.cutOff.add(text);
      }
      this.pending.delete(text);
      if (ack?.ok) this.acked.set(text, ack.seq);
      else if (ack) this.refused.set(text, ack.error.code);
      return;
    }
  }

  // Waits for the answers to all.
  async stop() {
    this.running = false;
    await this.done;
    assert.equal(this.pending.size, 0);
  }
}

async function subscriber(url, options) {
  const socket = await connect(url, options);
  const recorder = new Recorder(socket);
  await join(socket, ROOM);
  return { socket, recorder, id: socket.id, disconnects: watchDisconnects(socket) };
}

// The log's events of the room: [{seq, text}], by seq.
function readLog(cluster) {
  return cluster.query(`select seq, json_extract(args, '$[0]') as text from messages where room = '${ROOM}' and event = 'n' order by seq`);
}

// Every acked publish is in the log once, under the seq it was told; refused ones are not there; cut off ones at most once.
function assertLedger(publishers, log) {
  const seqs = log.map(({ seq }) => seq);
  assert.deepEqual(repeated(seqs), [], 'seqs are unique');
  assert.deepEqual(repeated(log.map(({ text }) => text)), [], 'no event is in the log twice');
  const stored = new Map(log.map(({ seq, text }) => [text, seq]));
  for (const { acked, refused, cutOff } of publishers) {
    const wrong = [...acked].filter(([text, seq]) => stored.get(text) !== seq);
    assert.deepEqual(wrong.slice(0, 5), [], `${wrong.length} acked events are not in the log under their seq`);
    assert.deepEqual([...refused].filter(([text]) => stored.has(text)).slice(0, 5), [], 'what was refused is not in the log');
    for (const text of [...acked.keys(), ...cutOff]) stored.delete(text);
  }
  assert.deepEqual([...stored].slice(0, 5), [], 'nothing is in the log that nobody published');
}

const acksOf = (publishers) => publishers.reduce((sum, { acked }) => sum + acked.size, 0);

// Waits until n more publishes were acked.
function progress(publishers, n) {
  const from = acksOf(publishers);
  return waitFor(() => acksOf(publishers) >= from + n, { what: () => `${n} more acks, ${acksOf(publishers) - from} came` });
}

test('the broker killed under load: nobody disconnects, all is acked or refused, nothing is lost, doubled or numbered anew', async (t) => {
  const cluster = await Cluster.start({ gateways: 2 });
  const subscribers = [await subscriber(cluster.url(0)), await subscriber(cluster.url(1))];
  const sockets = await Promise.all(numbers(4).map((i) => connect(cluster.url(i % 2))));
  const disconnects = [...sockets.map(watchDisconnects), ...subscribers.map((s) => s.disconnects)];
  const publishers = sockets.map((socket, i) => new Publisher(`p${i}`, socket));
  let highest = 0;
  for (let round = 0; round < 5; round++) {
    await progress(publishers, 300);
    await sleep(Math.random() * 30);
    await cluster.broker.kill();
    const before = Math.max(...publishers.flatMap(({ acked }) => [...acked.values()]));
    assert.ok(before > highest);
    highest = before;
    await cluster.broker.start();
    await progress(publishers, 300);
    const news = publishers.flatMap(({ acked }) => [...acked.values()]).filter((seq) => seq > before);
    assert.ok(news.length > 0, 'new seqs are above all old ones');
  }
  await Promise.all(publishers.map((publisher) => publisher.stop()));
  await fence(sockets[0], ROOM, ...subscribers.map(({ recorder }) => recorder));

  assert.deepEqual(disconnects.flatMap(({ reasons }) => reasons), [], 'no client disconnected');
  assert.ok(publishers.every(({ cutOff }) => cutOff.size === 0));
  const log = await readLog(cluster);
  assertLedger(publishers, log);
  for (const { recorder } of subscribers) {
    assertSame(recorder.values('n'), log.map(({ text }) => text), 'a subscriber has what the log has, in its order');
    assertSame(recorder.of('n').map(({ seq }) => seq), log.map(({ seq }) => seq), 'with the same seqs');
  }
  t.diagnostic(`${log.length} events, ${publishers.reduce((sum, { refused }) => sum + refused.size, 0)} refused`);
});

test('a client that joins, leaves and publishes while the broker is away is answered when it is back', async (t) => {
  const cluster = await Cluster.start({ gateways: 1 });
  const { socket, recorder, disconnects } = await subscriber(cluster.url(0));
  await join(socket, 'to leave');
  await cluster.broker.kill();
  const answers = [
    emitAck(socket, 'join', 'new'),
    emitAck(socket, 'leave', 'to leave'),
    emitAck(socket, 'publish', 'new', 'n', 1),
    emitAck(socket, 'publish', 'to leave', 'n', 2),
    emitAck(socket, 'history', ROOM),
  ];
  const late = open(cluster.url(0)); // connects while the broker is away: waits
  await cluster.broker.start();
  for (const ack of await Promise.all(answers)) assert.equal(ack.ok, true, JSON.stringify(ack));
  await waitFor(() => late.connected, { what: 'the connection that was begun without the broker' });
  await fence(socket, 'new', recorder);
  assert.deepEqual(recorder.values('n'), [1]);
  assert.deepEqual(disconnects.reasons, []);
  t.after(() => late.disconnect());
});

const ROUNDS = 20;

test(`the broker and a gateway killed together, ${ROUNDS} rounds: no event lost, doubled or out of order for anybody`, async (t) => {
  const cluster = await Cluster.start({ gateways: 2 });
  const quick = { reconnectionDelay: 20, reconnectionDelayMax: 20 };
  // Those on gateway 0 keep their connections, those on gateway 1 lose them and come back.
  const subscribers = [await subscriber(cluster.url(0), quick), await subscriber(cluster.url(1), quick)];
  const sockets = await Promise.all(numbers(3).map((i) => connect(cluster.url(i === 2 ? 0 : 1), quick)));
  const publishers = [
    new Publisher('again', sockets[0], { atOnce: 10, ids: true }),
    new Publisher('once', sockets[1], { atOnce: 10 }),
    new Publisher('steady', sockets[2], { atOnce: 10 }),
  ];
  const returns = [];
  subscribers[1].socket.on('connect', () => returns.push(subscribers[1].socket.recovered));
  for (let round = 0; round < ROUNDS; round++) {
    await progress([publishers[2]], 20);
    await sleep(Math.random() * 150);
    const back = returns.length;
    await Promise.all([cluster.broker.kill(), cluster.gateways[1].kill()]);
    await Promise.all([cluster.broker.start(), cluster.gateways[1].start()]);
    await waitFor(() => returns.length > back, { what: 'the return through the gateway that was killed' });
  }
  await Promise.all(publishers.map((publisher) => publisher.stop()));
  await fence(sockets[2], ROOM, ...subscribers.map(({ recorder }) => recorder));

  assert.deepEqual(subscribers[0].disconnects.reasons, [], 'who was on the other gateway did not disconnect');
  assert.ok(returns.length >= ROUNDS && returns.every(Boolean), `all returns were recovered: ${returns}`);
  const log = await readLog(cluster);
  assertLedger(publishers, log);
  assert.equal(publishers[0].cutOff.size + publishers[2].cutOff.size, 0);
  for (const { recorder } of subscribers) assertSame(recorder.values('n'), log.map(({ text }) => text), 'a subscriber has what the log has');
  t.diagnostic(`${log.length} events, ${publishers[1].cutOff.size} publishes cut off without an answer`);
});
