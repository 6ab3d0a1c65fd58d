// No sticky sessions: three gateways behind a balancer that sends every new connection to the next of them, and a gateway that
// dies with the sessions it held.

import assert from 'node:assert/strict';
import http from 'node:http';

import { Balancer } from './balancer.mjs';
import { assertExactly, assertSame, close, connect, fence, join, nextConnect, nextDisconnect, numbers, ok, publishMany, Recorder } from './clients.mjs';
import { Engine, get, handshake, pendingGet, POLLING, post, refusal, refusedWith, request, Socket, WEBSOCKET } from './engine.mjs';
import { Cluster, metric, test, waitFor } from './harness.mjs';
import { Traveller } from './travel.mjs';

const cluster = await Cluster.start({ gateways: 3 });

// One more, which the others know: until its link is up they take its sessions for unknown.
async function addGateway() {
  const gateway = await cluster.addGateway();
  await linked(gateway);
  return gateway;
}

const linked = (gateway) => waitFor(async () => (await metric(gateway, 'reprise_gateway_linked')) === 1, { what: 'the link of a gateway' });

for (const gateway of cluster.gateways) await linked(gateway);
const ports = [0, 1, 2].map((i) => cluster.port(i));
const balancer = await Balancer.start(...ports);
const publisher = await connect(cluster.url(0));

let rooms = 0;
const newRoom = () => `room ${++rooms}`;

// How a client's requests spread: all on a few connections that stay, or each on one of its own.
const SPREADS = {
  'kept connections': () => new http.Agent({ keepAlive: true }),
  'a connection for each request': () => new http.Agent({ keepAlive: false }),
};

async function balanced(t, transports, spread) {
  const agent = SPREADS[spread]();
  const socket = await connect(balancer.url, { transports, agent });
  t.after(() => {
    close(socket);
    agent.destroy();
  });
  return { socket, recorder: new Recorder(socket) };
}

for (const spread of Object.keys(SPREADS)) {
  for (const transports of [['polling'], ['polling', 'websocket']]) {
    test(`${transports.join(', then ')}, ${spread}: events both ways, nothing lost, doubled or reordered`, async (t) => {
      const before = balancer.counts.slice();
      const { socket, recorder } = await balanced(t, transports, spread);
      const room = newRoom();
      await join(socket, room);
      const from = publishMany(publisher, room, 'down', 1000, { atOnce: 20 });
      const to = publishMany(socket, room, 'up', 1000, { atOnce: 20 });
      await Promise.all([from, to]);
      await fence(publisher, room, recorder);
      assertExactly(recorder, 'down', numbers(1000));
      assertExactly(recorder, 'up', numbers(1000));
      assert.equal(socket.io.engine.transport.name, transports.at(-1));
      const spreadOut = balancer.counts.map((count, i) => count - before[i]);
      t.diagnostic(`connections to each gateway: ${spreadOut.join(', ')}`);
      assert.ok(spreadOut.filter((count) => count > 0).length >= 2, 'several gateways took part');
    });
  }
}

test('twenty clients at once, of all kinds', async (t) => {
  const room = newRoom();
  const clients = [];
  for (const i of numbers(20)) clients.push(await balanced(t, [['polling'], ['polling', 'websocket'], ['websocket']][i % 3], Object.keys(SPREADS)[i % 2]));
  for (const { socket } of clients) await join(socket, room);
  await Promise.all(clients.map(({ socket }, i) => publishMany(socket, room, 'n', 30, { from: i * 100, atOnce: 10 })));
  await fence(publisher, room, ...clients.map(({ recorder }) => recorder));
  const [first, ...others] = clients.map(({ recorder }) => recorder.values('n'));
  assert.equal(first.length, 600);
  for (const other of others) assertSame(other, first, 'the order');
});

test('a polling session held by one gateway works through the others, request by request', async () => {
  const engine = await Engine.open(ports[0], 'polling');
  await engine.close();
  const { sid } = await handshake(ports[0]);
  for (const [i, port] of [ports[1], ports[2], ports[0], ports[1]].entries()) {
    assert.equal((await post(port, sid, i === 0 ? '40' : `42${i}["join","r${i}"]`)).text, 'ok');
    const answer = await get(ports[(i + 2) % 3], sid);
    assert.match(answer.text, i === 0 ? /^40\{"sid"/ : new RegExp(`^43${i}\\[\\{"ok":true`));
    assert.match(answer.headers['content-type'], /^text\/plain; *charset=utf-8$/i);
  }
});

test('a poll that waits at another gateway gets what comes', async () => {
  const { sid } = await handshake(ports[0]);
  await post(ports[1], sid, '40');
  await get(ports[1], sid);
  const [waiting] = await pendingGet(ports[2], sid);
  await post(ports[1], sid, '427["join","waiting"]');
  assert.match((await waiting).text, /^437\[/);
});

test('an upgrade at another gateway than the holder', async () => {
  for (const port of ports.slice(1)) {
    const engine = await Engine.open(ports[0], 'polling');
    engine.send('40');
    await engine.packet(/^40/);
    await engine.upgrade(port);
    engine.send('421["join","upgraded"]');
    assert.match(await engine.packet(/^431\[/), /"ok":true/);
    engine.send(...numbers(100).map((i) => `42["publish","upgraded","n",${i}]`));
    await engine.waitForCount(2 + 100);
    assert.deepEqual(engine.packets.slice(2).map((packet) => JSON.parse(packet.slice(2))[1]), numbers(100));
    await engine.close();
  }
});

test('the rules for polling hold across gateways', async () => {
  // a second poll elsewhere
  const { sid } = await handshake(ports[0]);
  const answers = await Promise.all([get(ports[1], sid), get(ports[2], sid)]);
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 400]);
  for (const port of ports) assert.deepEqual(refusal(await get(port, sid)), refusedWith(1));
  // a poll of a session that is a WebSocket
  const engine = await Engine.open(ports[0], 'websocket');
  for (const port of ports) assert.deepEqual(refusal(await get(port, engine.sid)), refusedWith(3));
  const second = new Socket(ports[1], `${WEBSOCKET}&sid=${engine.sid}`);
  await second.waitClosed();
  assert.equal(engine.closed, null);
  await engine.close();
  // a close elsewhere
  const { sid: other } = await handshake(ports[0]);
  assert.equal((await post(ports[1], other, '1')).status, 200);
  for (const port of ports) assert.deepEqual(refusal(await get(port, other)), refusedWith(1));
});

test('large bodies and attachments pass between gateways', async () => {
  const engine = await Engine.open(ports[0], 'polling');
  await engine.close();
  const { sid } = await handshake(ports[0]);
  const big = 'x'.repeat(400_000);
  await post(ports[1], sid, '40');
  await get(ports[1], sid);
  await post(ports[1], sid, '421["join","big"]');
  await get(ports[2], sid);
  await post(ports[1], sid, `42["publish","big","e",${JSON.stringify(big)}]`);
  assert.ok((await get(ports[2], sid)).text.startsWith(`42["e","${big}","`));
  const bytes = Buffer.alloc(200_000, 5).toString('base64');
  await post(ports[1], sid, `451-["publish","big","b",{"_placeholder":true,"num":0}]\x1eb${bytes}`);
  const got = [];
  while (got.length < 2) got.push(...(await get(ports[2], sid)).text.split('\x1e'));
  assert.equal(got[1], `b${bytes}`);
});

// ---- the holder dies ----

for (const transports of [['polling'], ['polling', 'websocket']]) {
  test(`${transports.join(', then ')}: when the holder is killed the client recovers through another gateway`, async (t) => {
    const holder = await addGateway();
    const room = newRoom();
    // The session begins at the holder; what comes later goes through another gateway.
    const traveller = await Traveller.startAt(t, holder.port, { transports: ['polling'], agent: new http.Agent({ keepAlive: false }) }, room);
    traveller.proxy.retarget(ports[1]);
    await publishMany(publisher, room, 'n', 50);
    await fence(publisher, room, traveller.recorder);
    traveller.socket.io.opts.transports = transports;
    const [gone, back] = [nextDisconnect(traveller.socket), nextConnect(traveller.socket)];
    await holder.kill();
    const missed = publishMany(publisher, room, 'n', 50, { from: 50 });
    await gone;
    await back;
    await missed;
    traveller.assertRecovered();
    await fence(publisher, room, traveller.recorder);
    assertExactly(traveller.recorder, 'n', numbers(100));
  });
}

test('when the holder is killed, a waiting poll elsewhere ends and the next is refused with code 1', async () => {
  const holder = await addGateway();
  const { sid } = await handshake(holder.port);
  await post(ports[0], sid, '40');
  assert.match((await get(ports[0], sid)).text, /^40/);
  const [waiting] = await pendingGet(ports[0], sid);
  await holder.kill();
  assert.deepEqual(refusal(await waiting), refusedWith(1));
  assert.deepEqual(refusal(await get(ports[0], sid)), refusedWith(1));
  assert.deepEqual(refusal(await post(ports[1], sid, '4x')), refusedWith(1));
  assert.deepEqual(refusal(await Socket.refused(ports[1], `${WEBSOCKET}&sid=${sid}`)), refusedWith(1));
});

test('when the holder is killed, a WebSocket that came by another gateway ends', async () => {
  const holder = await addGateway();
  const engine = await Engine.open(holder.port, 'polling');
  await engine.upgrade(ports[0]);
  engine.send('40');
  await engine.packet(/^40/);
  await holder.kill();
  await engine.waitClosed();
});

test('when the gateway in between is killed, a polling client goes on through another with the same session', async (t) => {
  const between = await addGateway();
  const { sid } = await handshake(ports[0]);
  await post(between.port, sid, '40');
  assert.match((await get(between.port, sid)).text, /^40/);
  await between.kill();
  await post(ports[1], sid, '423["join","between"]');
  assert.match((await get(ports[2], sid)).text, /^433\[\{"ok":true/);
  t.diagnostic('the session outlived the gateway its requests went through');
});

// ---- forged ids ----

test('forged session ids are refused with code 1, over polling and WebSocket, by every gateway', async () => {
  const { sid } = await handshake(ports[0]);
  const random = (length) => Array.from({ length }, () => 'ABCDEFGHIJabcdefghij0123456789-_'[Math.floor(Math.random() * 32)]).join('');
  const forged = new Set(['x', random(20), random(sid.length), random(10_000), `${sid}x`, `x${sid}`, `${sid}${sid}`, sid.toLowerCase() === sid ? sid.toUpperCase() : sid.toLowerCase(), '../..', '%00', '%F0%9F%A6%8A', "'; drop table session; --"]);
  for (let cut = 1; cut < sid.length; cut++) {
    forged.add(sid.slice(0, cut)); // truncated
    forged.add(sid.slice(0, cut) + random(sid.length - cut)); // the holder's prefix with a random rest
  }
  forged.delete(sid);
  for (const bad of forged) {
    const query = `&sid=${bad.includes('%') ? bad : encodeURIComponent(bad)}`;
    for (const port of ports) {
      const answer = refusal(await request(port, POLLING + query));
      // A target of 10 kB may be too long for HTTP already.
      if (bad.length >= 10_000 && [414, 431].includes(answer.status)) continue;
      assert.deepEqual(answer, refusedWith(1), `${bad.slice(0, 100)} at ${ports.indexOf(port)}`);
    }
    const refused = refusal(await Socket.refused(ports[1], WEBSOCKET + query));
    if (bad.length < 10_000) assert.deepEqual(refused, refusedWith(1), `WebSocket, ${bad.slice(0, 100)}`);
  }
  assert.equal((await post(ports[1], sid, '40')).status, 200);
  assert.match((await get(ports[2], sid)).text, /^40/);
});

test('a gateway that was restarted at its port knows nothing of its old sessions, and serves new ones', async () => {
  const gateway = await addGateway();
  const { sid } = await handshake(gateway.port);
  await gateway.kill();
  await gateway.start();
  for (const port of [gateway.port, ports[0]]) assert.deepEqual(refusal(await get(port, sid)), refusedWith(1));
  const { sid: next } = await handshake(gateway.port);
  await post(gateway.port, next, '40'); // answered when it has its link, without which nobody can ask it
  assert.match((await get(gateway.port, next)).text, /^40/);
  assert.equal((await post(ports[2], next, '420["join","restarted"]')).status, 200);
  assert.match((await get(ports[0], next)).text, /^430/);
});

test('a broker that is killed and comes back: sessions behind the balancer go on', async (t) => {
  const { socket, recorder } = await balanced(t, ['polling'], 'a connection for each request');
  const room = newRoom();
  await join(socket, room);
  await publishMany(publisher, room, 'n', 10);
  await fence(publisher, room, recorder);
  await cluster.broker.kill();
  const later = publishMany(publisher, room, 'n', 10, { from: 10 });
  await cluster.broker.start();
  await later;
  await waitFor(() => socket.connected, { what: 'the client' });
  await fence(publisher, room, recorder);
  assertExactly(recorder, 'n', numbers(20));
  assert.equal(socket.connected, true);
});
