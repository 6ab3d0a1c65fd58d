// Clients that break no rule and take what they can: none may bloat a process, or stop the others.

import assert from 'node:assert/strict';

import { connect, emitAck, ok } from './clients.mjs';
import { Cluster, metric, test, waitFor } from './harness.mjs';
import { RawWebSocket, frame } from './raw.mjs';

const cluster = await Cluster.start({ gateways: 1 });
const [gateway] = cluster.gateways;
const megabyte = 1 << 20;
const STILL_MS = 1_000;

// A sanitizer keeps what was freed for a while.
const bound = (server, megabytes) => (server.hasSanitizer() ? 8 : 1) * megabytes * megabyte;

test('a client that sends pings and reads nothing does not fill the memory', async () => {
  const before = gateway.residentBytes();
  const ws = await RawWebSocket.open(cluster.port(0));
  const { socket } = ws.raw;
  socket.pause();
  const burst = Buffer.concat(Array.from({ length: 20_000 }, () => frame({ opcode: 9 })));
  for (let i = 0; i < 60 && !socket.destroyed; i++) {
    const taken = new Promise((resolve) => socket.write(burst, resolve));
    await Promise.race([taken, new Promise((resolve) => setTimeout(resolve, 500))]);
    const grown = gateway.residentBytes() - before;
    assert.ok(grown < bound(gateway, 40), `grown by ${grown} bytes`);
  }
  ws.raw.destroy();
  await ok(await connect(cluster.url(0)), 'publish', 'room', 'e', 1);
});

test('a client that connects and leaves in a loop leaves no sessions behind', async () => {
  const ws = await RawWebSocket.open(cluster.port(0));
  for (let i = 0; i < 2000; i++) {
    ws.text('40');
    ws.text('41');
  }
  ws.text('40');
  await ws.packet(/^40\{"sid"/);
  const sessions = async () => (await cluster.query('select count(*) as n from session'))[0].n;
  await waitFor(async () => (await sessions()) < 20, { what: 'the sessions to be gone' });
  ws.raw.destroy();
});

test('messages that wait for a broker are bounded for all clients together, and then all are stored', async () => {
  const own = await Cluster.start({ gateways: 1 });
  const clients = await Promise.all(Array.from({ length: 80 }, () => connect(own.url(0))));
  await own.broker.kill();
  const before = own.gateways[0].residentBytes();
  const acks = clients.map((client) => emitAck(client, 'publish', 'room', 'e', 'x'.repeat(900_000)));
  const grown = () => own.gateways[0].residentBytes() - before;
  await waitFor(() => grown() > 8 * megabyte, { what: 'the first messages to arrive' });
  let last = { grown: 0, at: performance.now() };
  await waitFor(() => {
    if (grown() > last.grown + megabyte) last = { grown: grown(), at: performance.now() };
    return performance.now() - last.at > STILL_MS;
  }, { what: 'the memory to stand still' });
  assert.ok(grown() < bound(own.gateways[0], 48), `grown by ${grown()} bytes, sent were ${80 * 0.9} MB`);
  await own.broker.start();
  const answers = await Promise.all(acks);
  assert.ok(answers.every((answer) => answer.ok), JSON.stringify(answers.find((answer) => !answer.ok)));
  assert.equal(new Set(answers.map((answer) => answer.seq)).size, clients.length);
});

// What a burst leaves is too much before anything of it was written: nobody is slow yet.
test('a burst to a full room closes nobody who takes it', async () => {
  const own = await Cluster.start({ gateways: 1, gateway: ['--memory-budget', '1M', '--max-payload', '4000'] });
  const receivers = await Promise.all(Array.from({ length: 300 }, () => connect(own.url(0), { transports: ['websocket'] })));
  for (const receiver of receivers) receiver.io.reconnection(false);
  await Promise.all(receivers.map((receiver) => ok(receiver, 'join', 'full')));
  let got = 0;
  for (const receiver of receivers) receiver.on('e', () => got++);
  const publisher = await connect(own.url(0));
  const bursts = 10;
  for (let i = 0; i < bursts; i++) {
    await Promise.all(Array.from({ length: 40 }, (_, j) => ok(publisher, 'publish', 'full', 'e', j)));
  }
  await waitFor(async () => got >= receivers.length * bursts * 40 || receivers.some((receiver) => !receiver.connected), { what: 'all events' });
  assert.equal(await metric(own.gateways[0], 'reprise_gateway_clients_hoarding_total'), 0);
  assert.equal(receivers.filter((receiver) => !receiver.connected).length, 0);
  assert.equal(got, receivers.length * bursts * 40);
});
