// From polling to WebSocket, rule by rule, against the echo program: nothing lost, doubled or out of order, whatever goes wrong.

import assert from 'node:assert/strict';

import { numbers } from './clients.mjs';
import { encodePayload, Engine, get, getPackets, handshake, pendingGet, post, refusal, refusedWith, Socket, WEBSOCKET } from './engine.mjs';
import { ECHOES, slow, startEcho, test, waitFor } from './harness.mjs';

const ROUNDS = 20;
const MESSAGES = 400;

const echo = await startEcho(ECHOES.engine);
const { port } = echo;

const open = (sid, where = port) => Socket.open(where, `${WEBSOCKET}&sid=${sid}`);

// A WebSocket of the session that has been probed.
async function probed(sid, where = port) {
  const socket = await open(sid, where);
  socket.send('2probe');
  assert.equal(await socket.next(), '3probe');
  return socket;
}

async function upgraded(where = port) {
  const { sid } = await handshake(where);
  const socket = await probed(sid, where);
  socket.send('5');
  return { sid, socket };
}

async function assertEchoes(socket, text = '4hello') {
  socket.send(text);
  let packet = await socket.next();
  while (packet === '6') packet = await socket.next(); // one that was meant for polling
  assert.equal(packet, text);
}

async function assertStillPolling(sid, where = port) {
  assert.equal((await post(where, sid, '4still')).status, 200);
  const packets = (await getPackets(where, sid, 1)).filter((packet) => packet !== '6');
  assert.deepEqual(packets.length > 0 ? packets : await getPackets(where, sid, 1), ['4still']);
}

test('a probe is answered, a poll after it with noop, and the session goes on over WebSocket', async () => {
  const { sid } = await handshake(port);
  const socket = await probed(sid);
  const { status, text } = await get(port, sid);
  assert.deepEqual([status, text], [200, '6']);
  socket.send('5');
  await assertEchoes(socket);
  socket.terminate();
});

test('a pending poll is answered with noop once the probe is there', async () => {
  const { sid } = await handshake(port);
  const [waiting] = await pendingGet(port, sid);
  const socket = await probed(sid);
  assert.equal((await waiting).text, '6');
  socket.send('5');
  await assertEchoes(socket);
  socket.terminate();
});

test('what the server has for the client while it moves comes over WebSocket, in order', async () => {
  const { sid } = await handshake(port);
  const socket = await probed(sid);
  const packets = ['4a', Buffer.from([1, 2]), ...numbers(50).map((i) => `4${i}`)];
  assert.equal((await post(port, sid, encodePayload(packets))).status, 200);
  socket.send('5', '4last');
  await waitFor(() => socket.packets.includes('4last'), { what: 'the last message' });
  assert.deepEqual(socket.packets, [...packets, '4last']);
  socket.terminate();
});

test('the upgrade and messages may follow the probe without waiting', async () => {
  const { sid } = await handshake(port);
  const socket = await open(sid);
  socket.send('2probe', '5', '4one', Buffer.from([2]));
  assert.equal(await socket.next(), '3probe');
  assert.deepEqual(await socket.next(2), ['4one', Buffer.from([2])]);
  socket.terminate();
});

test('polling with the id of an upgraded session is refused, and the session lives on', async () => {
  const { sid, socket } = await upgraded();
  await assertEchoes(socket);
  assert.deepEqual(refusal(await get(port, sid)), refusedWith(3));
  assert.deepEqual(refusal(await post(port, sid, '4x')), refusedWith(3));
  await assertEchoes(socket);
  socket.terminate();
});

test('a second WebSocket for an upgraded session is closed, and the first goes on', async () => {
  const { sid, socket } = await upgraded();
  await assertEchoes(socket);
  const second = new Socket(port, `${WEBSOCKET}&sid=${sid}`);
  await second.waitClosed();
  await assertEchoes(socket);
  socket.terminate();
});

test('a second WebSocket while one is being probed is closed, and the first goes on', async () => {
  const { sid } = await handshake(port);
  const socket = await probed(sid);
  const second = new Socket(port, `${WEBSOCKET}&sid=${sid}`);
  await second.waitClosed();
  socket.send('5');
  await assertEchoes(socket);
  socket.terminate();
});

test('a WebSocket with the id of a session that began as one is closed, and the session goes on', async () => {
  const engine = await Engine.open(port, 'websocket');
  const second = new Socket(port, `${WEBSOCKET}&sid=${engine.sid}`);
  await second.waitClosed();
  engine.send('4x');
  assert.equal(await engine.packet(/./), '4x');
  await engine.close();
});

test('a WebSocket that sends a message instead of a probe is closed, and the session goes on polling', async () => {
  for (const packet of ['4hello', '1', '2', 'x']) {
    const { sid } = await handshake(port);
    const socket = await open(sid);
    socket.send(packet);
    await socket.waitClosed();
    await assertStillPolling(sid);
  }
});

test('a WebSocket that is dropped before or after its probe leaves the session polling, which may try again', async () => {
  for (const wanted of [open, probed]) {
    const { sid } = await handshake(port);
    const socket = await wanted(sid);
    socket.terminate();
    await post(port, sid, '4x');
    let packets = [];
    while (packets.length === 0) packets = (await getPackets(port, sid, 1)).filter((packet) => packet !== '6'); // a noop: it was still to be noticed
    assert.deepEqual(packets, ['4x']);
    const again = await waitFor(async () => {
      const next = new Socket(port, `${WEBSOCKET}&sid=${sid}`);
      await waitFor(() => next.opened || next.closed, { what: 'an answer' });
      if (next.closed) return null;
      next.send('2probe');
      await waitFor(() => next.packets.length > 0 || next.closed, { what: 'the probe or a close' });
      return next.packets[0] === '3probe' ? next : null;
    }, { what: 'the second try' });
    again.send('5', '4y');
    assert.equal((await again.next(2))[1], '4y');
    again.terminate();
  }
});

test('a WebSocket that stays silent is closed after the upgrade timeout, and the session goes on polling', async () => {
  const server = await startEcho(ECHOES.engine, '--upgrade-timeout', `${1_000 * slow}ms`); // time enough for a probe
  for (const wanted of [open, probed]) {
    const { sid } = await handshake(server.port);
    const socket = await wanted(sid, server.port);
    await socket.waitClosed();
    await assertStillPolling(sid, server.port);
  }
});

test('a session that is closed over polling while it moves ends its WebSocket too', async () => {
  const { sid } = await handshake(port);
  const socket = await probed(sid);
  await post(port, sid, '1');
  await socket.waitClosed();
  assert.deepEqual(refusal(await get(port, sid)), refusedWith(1));
});

test('pings go on after the upgrade, and none disturbs the way there', async () => {
  const server = await startEcho(ECHOES.engine, '--ping-interval', '30ms', '--ping-timeout', '10s');
  for (let round = 0; round < 10; round++) {
    const engine = await Engine.open(server.port, 'polling');
    await waitFor(() => engine.pings > 0, { what: 'a ping while polling' });
    await engine.upgrade();
    const before = engine.pings;
    await waitFor(() => engine.pings >= before + 3 || engine.closed, { what: 'pings over WebSocket' });
    assert.equal(engine.closed, null);
    await engine.close();
  }
});

test(`an upgrade under constant traffic loses, doubles and reorders nothing, ${ROUNDS} times`, async (t) => {
  let before = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const engine = await Engine.open(port, 'polling');
    const expected = [];
    const say = () => {
      const n = expected.length;
      expected.push(n % 5 === 4 ? Buffer.from(`${n}`) : `4${n}`);
      engine.send(expected.at(-1));
    };
    // Each echo asks for more, so that both directions are busy from the first to the last message.
    const busy = setInterval(() => expected.length < MESSAGES && say(), 0);
    t.after(() => clearInterval(busy));
    await engine.waitForCount(1 + round * 5);
    await engine.upgrade();
    before += engine.packets.length;
    await engine.waitForCount(MESSAGES);
    clearInterval(busy);
    assert.deepEqual(engine.packets, expected);
    await engine.close();
  }
  t.diagnostic(`${ROUNDS} upgrades, ${before} of ${ROUNDS * MESSAGES} messages before them`);
});

test('many sessions move at once', async () => {
  const engines = await Promise.all(numbers(50).map(() => Engine.open(port, 'polling')));
  const expected = numbers(40).map((i) => `4${i}`);
  await Promise.all(engines.map(async (engine) => {
    engine.send(...expected.slice(0, 20));
    await engine.upgrade();
    engine.send(...expected.slice(20));
    await engine.waitForCount(expected.length);
  }));
  for (const engine of engines) {
    assert.deepEqual(engine.packets, expected);
    await engine.close();
  }
});

test('a server without upgrades offers none', async () => {
  const server = await startEcho(ECHOES.engine, '--allow-upgrades', 'off');
  const { sid, upgrades } = await handshake(server.port);
  assert.deepEqual(upgrades, []);
  await assertStillPolling(sid, server.port);
});
