// Brokers and gateways are stopped in order (SIGTERM), one after the other, and started again, as a deployment that rolls does it:
// nothing is lost, nothing comes twice, and nobody waits for timeouts.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { Balancer } from './balancer.mjs';
import { assertExactly, close, connect, emitAck, fence, join, numbers, ok, open, Recorder } from './clients.mjs';
import { POLLING } from './engine.mjs';
import { Cluster, freePort, metric, onCleanup, PROGRAMS, Server, slow, temporaryDirectory, test, waitFor, within, Worker, WORKERS } from './harness.mjs';

const ROOM = 'room';
const ROUNDS = 3;
const TRANSPORTS = [['websocket'], ['polling'], ['polling', 'websocket']];
const DRAIN = ['--drain-time', '300ms'];

// ---- clients that never rest ----

// Publishes one after the other, each under an id and again until it is answered.
class Publisher {
  acked = new Map(); // value → seq
  running = true;

  constructor(name, url, transports) {
    Object.assign(this, { name, socket: open(url, { transports }) });
    this.done = this.#run();
    this.done.catch(() => {}); // stop() reports it
  }

  async #run() {
    for (let n = 0; this.running; n++) {
      const value = `${this.name} ${n}`;
      const seq = await this.#publish(value);
      assert.ok(!this.acked.has(value));
      this.acked.set(value, seq);
    }
  }

  async #publish(value) {
    for (;;) {
      try {
        const ack = await emitAck(this.socket, 'publish', { room: ROOM, event: 'n', args: [value], id: value });
        assert.equal(ack.ok, true, JSON.stringify(ack));
        return ack.seq;
      } catch (err) {
        if (err.message !== 'socket has been disconnected') throw err;
      }
    }
  }

  async stop() {
    this.running = false;
    await within(60_000, `the last answer to ${this.name}`, this.done);
  }
}

// Notes every event, and whether each comeback was a recovery.
async function subscribe(url, transports) {
  const socket = await connect(url, { transports });
  const recorder = new Recorder(socket);
  const seen = { socket, recorder, id: socket.id, comebacks: 0, fresh: 0 };
  socket.on('connect', () => {
    seen.comebacks++;
    seen.fresh += !socket.recovered || socket.id !== seen.id;
  });
  await join(socket, ROOM);
  return seen;
}

const acks = (publishers) => publishers.reduce((sum, { acked }) => sum + acked.size, 0);

// Everybody gets some more answers.
async function progress(publishers, what) {
  const from = publishers.map(({ acked }) => acked.size);
  await waitFor(() => publishers.every(({ acked }, i) => acked.size >= from[i] + 5), { what: () => `progress ${what}, ${acks(publishers)} acks` });
}

const health = async (server) => {
  const response = await fetch(`http://127.0.0.1:${server.adminPort}/health`);
  return { code: response.status, ...(await response.json()) };
};

// ---- all in turn ----

test('gateways and the broker are stopped and started in turn under load: nothing is lost, nothing comes twice', async () => {
  const cluster = await Cluster.start({ gateways: 2, gateway: DRAIN });
  const { broker, gateways } = cluster;
  const ports = gateways.map(({ port }) => port);
  const balancer = await Balancer.start(...ports);
  const subscribers = await Promise.all([...TRANSPORTS, ...TRANSPORTS].map((transports) => subscribe(balancer.url, transports)));
  const publishers = TRANSPORTS.map((transports, i) => new Publisher(`p${i}`, balancer.url, transports));
  await progress(publishers, 'at the beginning');
  for (const round of numbers(ROUNDS)) {
    for (const [i, gateway] of gateways.entries()) {
      balancer.retarget(ports[1 - i]); // who is refused asks the other, as real balancers do
      await gateway.stop();
      await progress(publishers, `without gateway ${i} in round ${round}`);
      await gateway.start();
      balancer.retarget(...ports);
    }
    const before = acks(publishers);
    broker.markLog();
    await broker.stop();
    // it waits for their ends of the links being closed, though not for ever: when it has gone they are, or it says that they are not
    if (/ not_closed=0$/m.test(broker.logSinceMark())) for (const gateway of gateways) assert.equal((await health(gateway)).linked, false);
    await broker.start();
    await progress(publishers, `with another broker in round ${round}`);
    assert.ok(acks(publishers) > before);
  }
  for (const publisher of publishers) await publisher.stop();
  const [first] = subscribers;
  await fence(first.socket, ROOM, ...subscribers.map(({ recorder }) => recorder));
  const log = await cluster.query(`select seq, json_extract(args, '$[0]') as value from messages where room = '${ROOM}' and event = 'n' order by seq`);
  const expected = log.map(({ value }) => value);
  for (const { name, acked } of publishers) {
    const mine = log.filter(({ value }) => value.startsWith(`${name} `));
    assert.deepEqual(mine.map(({ value }) => value), [...acked.keys()], `the log has what ${name} published, once, in its order`);
    assert.deepEqual(mine.map(({ seq }) => seq), [...acked.values()], `and under the seqs that ${name} was told`);
  }
  for (const { recorder, comebacks, fresh } of subscribers) {
    assertExactly(recorder, 'n', expected);
    assert.ok(comebacks >= ROUNDS, 'each gateway sends its clients away');
    assert.equal(fresh, 0, 'and they recover');
  }
  close(...subscribers.map(({ socket }) => socket), ...publishers.map(({ socket }) => socket));
});

// ---- the broker ----

test('clients stay connected while the broker is stopped and started, and hear of nothing', async () => {
  const cluster = await Cluster.start({ gateways: 1 });
  const [gateway] = cluster.gateways;
  const clients = await Promise.all(TRANSPORTS.map((transports) => connect(cluster.url(0), { transports })));
  for (const client of clients) {
    await join(client, ROOM);
    client.on('disconnect', (reason) => assert.fail(reason));
  }
  const recorders = clients.map((client) => new Recorder(client));
  await cluster.broker.stop();
  assert.match(cluster.broker.log, /said goodbye" links=1 not_closed=0/);
  assert.equal((await health(gateway)).linked, false);
  await waitFor(() => /lost: the broker has been stopped/.test(gateway.log), { what: 'the gateway saying why' });
  const waiting = clients.map((client, i) => ok(client, 'publish', ROOM, 'n', i)); // answered by the next
  await cluster.broker.start();
  await Promise.all(waiting);
  await fence(clients[0], ROOM, ...recorders);
  for (const recorder of recorders) assert.deepEqual(recorder.values('n').sort(), [0, 1, 2]);
  for (const client of clients) client.off('disconnect');
  close(...clients);
});

test('app workers are told as well, and have all their sockets with the next broker', async () => {
  const cluster = await Cluster.start({ gateways: 1, workers: 1, program: WORKERS.chat });
  const [worker] = cluster.workers;
  const client = await connect(cluster.url(0));
  await cluster.broker.stop();
  assert.match(cluster.broker.log, /said goodbye" links=2 not_closed=0/);
  await waitFor(() => /lost: the broker has been stopped/.test(worker.log), { what: 'the worker hearing of it' });
  await cluster.broker.start();
  await waitFor(async () => (await metric(cluster.broker, 'reprise_broker_workers')) === 1, { what: 'the worker with the next broker' });
  assert.equal(client.connected, true);
  close(client);
});

test('a worker ends in time when its broker is away for good', async () => {
  const cluster = await Cluster.start({ gateways: 0, workers: 1, program: WORKERS.chat });
  await cluster.broker.kill();
  await cluster.workers[0].stop(); // with status 0, or this fails
});

// A container that is stopped takes its name along, and nobody says that there will be no connection.
test('a broker whose name is not known is asked for again, soon', async () => {
  const broker = ['--broker', 'tcp://no-such-host.invalid:5570', '--plain-links'];
  const gateway = new Server('gateway', PROGRAMS.gateway, ['--listen', `127.0.0.1:${await freePort()}`, '--admin', 'off', ...broker]);
  const worker = new Worker('chat', WORKERS.chat, broker);
  for (const server of [gateway.spawn(), worker.spawn()]) {
    await waitFor(() => /no connection came about/.test(server.log), { what: () => `${server.name} noticing: ${server.log}` });
    await server.stop();
  }
});

// A link that takes nothing must not keep the broker.
test('a stopped broker does not wait for a gateway that hangs', async () => {
  const cluster = await Cluster.start({ gateways: 2 });
  await waitFor(async () => (await metric(cluster.broker, 'reprise_broker_gateways')) === 2, { what: 'both gateways' });
  cluster.gateways[0].hang();
  await cluster.broker.stop();
  cluster.gateways[0].resume();
  assert.match(cluster.broker.log, /said goodbye" links=2 not_closed=1/);
  await cluster.broker.start();
  await waitFor(async () => (await metric(cluster.broker, 'reprise_broker_gateways')) === 2, { what: 'both gateways' });
});

// ---- a gateway ----

// A connection with raw requests.
function dial(port) {
  const line = { text: '', ended: false, socket: net.connect({ port, host: '127.0.0.1', noDelay: true }) };
  line.socket.setEncoding('latin1').on('data', (text) => (line.text += text));
  line.socket.on('close', () => (line.ended = true));
  line.socket.on('error', (err) => (line.error = err.code));
  onCleanup(() => line.socket.destroy());
  line.write = (text) => line.socket.write(text);
  line.expect = async (pattern) => {
    await waitFor(() => pattern.test(line.text), { what: () => `${pattern} in ${JSON.stringify(line.text)} ${line.error ?? ''}` });
    return line.text.match(pattern);
  };
  return line;
}

const request = (method, target, body) =>
  `${method} ${target} HTTP/1.1\r\nHost: x\r\n${body === undefined ? '' : `Content-Length: ${body.length}\r\n`}\r\n`;

async function openSession(port) {
  const line = dial(port);
  line.write(request('GET', POLLING));
  const [, sid] = await line.expect(/"sid":"([^"]+)"/);
  line.socket.destroy();
  return sid;
}

test('a stopped gateway: polls are answered, half a POST is taken, new connections are refused, /health says draining', async () => {
  const cluster = await Cluster.start({ gateways: 2, gateway: ['--drain-time', `${5 * slow}s`] });
  const [gateway] = cluster.gateways;
  const sids = await Promise.all([openSession(gateway.port), openSession(gateway.port), openSession(cluster.port(1))]);
  const [poll, post, relayed] = [dial(gateway.port), dial(gateway.port), dial(gateway.port)];
  for (const [line, sid] of [[poll, sids[0]], [post, sids[1]]]) {
    const connected = dial(gateway.port);
    connected.write(request('POST', `${POLLING}&sid=${sid}`, '40') + '40');
    await connected.expect(/ok$/);
    line.write(request('GET', `${POLLING}&sid=${sid}`));
    await line.expect(/40\{[^]*\}$/);
    line.text = '';
  }
  poll.write(request('GET', `${POLLING}&sid=${sids[0]}`)); // waits
  relayed.write(request('GET', `${POLLING}&sid=${sids[2]}`)); // of a session of the other gateway
  const body = '421["join","room"]';
  post.write(request('POST', `${POLLING}&sid=${sids[1]}`, body) + body.slice(0, 5));
  const connections = await metric(cluster.broker, 'reprise_broker_sessions_connected');
  gateway.expectEnd().child.kill('SIGTERM');
  await waitFor(async () => (await health(gateway)).draining, { what: 'the word in /health' });
  assert.equal((await health(gateway)).code, 503);
  const late = dial(gateway.port);
  await waitFor(() => late.ended, { what: 'the end of a new connection' });
  assert.equal(late.error, 'ECONNREFUSED', 'a balancer asks another gateway');
  post.write(body.slice(5));
  await post.expect(/^HTTP\/1\.1 200 [^]*ok$/);
  assert.match(post.text, /connection: close/i);
  await poll.expect(/^HTTP\/1\.1 200 [^]*\r\n\r\n(\d+:)?1$/); // Engine.IO's close: the client comes back by itself
  await waitFor(() => relayed.ended, { what: 'an end of the relayed poll' });
  assert.deepEqual(await gateway.exited, { code: 0, signal: null });
  assert.match(gateway.log, /stopped" clients_left=0 requests_left=0/);
  await waitFor(async () => (await metric(cluster.broker, 'reprise_broker_gateways_left_total')) === 1, { what: 'its goodbye' });
  assert.equal(await metric(cluster.broker, 'reprise_broker_gateways'), 1); // at once, and not after --gateway-timeout
  assert.equal(await metric(cluster.broker, 'reprise_broker_sessions_connected'), connections - 2);
  assert.equal(await metric(cluster.broker, 'reprise_broker_gateways_gone_total'), 0);
});

for (const program of ['broker', 'gateway']) {
  test(`a second SIGTERM ends a ${program} at once`, async () => {
    const cluster = await Cluster.start({ gateways: 1, gateway: ['--drain-time', '1h'] });
    const [gateway] = cluster.gateways;
    const client = await connect(cluster.url(0));
    const server = program === 'broker' ? cluster.broker : gateway;
    if (program === 'broker') gateway.hang(); // then goodbye takes a second
    server.expectEnd().child.kill('SIGTERM');
    await waitFor(() => /stopping/.test(server.log), { what: 'its log saying so' });
    server.child.kill('SIGTERM');
    const how = await within(60_000, 'the end', server.exited);
    assert.ok(how.code === 0 || how.signal === 'SIGTERM', JSON.stringify(how));
    if (program === 'broker') gateway.resume();
    close(client);
  });
}

// For the first process of a container the default of SIGTERM is that nothing happens.
test('a broker that is still opening the log ends at SIGTERM, as the first process of a container, too', async (t) => {
  const unshare = '/usr/bin/unshare';
  if (spawnSync(unshare, ['--pid', '--fork', 'true']).status !== 0) {
    t.skip('no right to make a namespace of processes');
    return;
  }
  const db = path.join(temporaryDirectory(), 'reprise.db');
  const args = ['--db', db, '--listen', `tcp://127.0.0.1:${await freePort()}`, '--admin', 'off'];
  const first = await new Server('the broker that has the log', PROGRAMS.broker, args).start();
  const second = new Server('a broker that waits for it', unshare, ['--pid', '--fork', '--kill-child', PROGRAMS.broker, ...args]);
  second.expectEnd().spawn().expectEnd();
  const children = () => readFileSync(`/proc/${second.pid}/task/${second.pid}/children`, 'utf8').trim();
  await waitFor(() => children() !== '', { what: 'the process in the namespace' });
  const pid = Number(children());
  const catches = () => BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]}`);
  await waitFor(() => (catches() >> 14n) & 1n, { what: 'a handler of SIGTERM before the log is open' });
  process.kill(pid, 'SIGTERM');
  await within(60_000, 'its end', second.exited);
  assert.doesNotMatch(second.log, /another|locked/, 'it did not wait for the log');
  await first.stop();
});
