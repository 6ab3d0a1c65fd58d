// What the test suite of the Socket.IO protocol document checks, in our words, against the example echo: bytes over ws and fetch,
// without any client library. (That suite itself expects echo behind a gateway with the options below.)

import assert from 'node:assert/strict';

import WebSocket from 'ws';

import { Cluster, slow, test, waitFor, WORKERS } from './harness.mjs';

const INTERVAL = 300;
const TIMEOUT = 60_000;
const OPTIONS = ['--recovery', 'off', '--ping-interval', `${INTERVAL}ms`, '--max-payload', '1000000'];
const cluster = await Cluster.start({ gateways: 1, workers: 1, program: WORKERS.echo, gateway: [...OPTIONS, '--ping-timeout', `${TIMEOUT}ms`] });
const patient = cluster.port(0);
// For what a time ends, and nothing else: a busy machine is not quick.
const impatient = (await cluster.addGateway([...OPTIONS, '--ping-timeout', `${500 * slow}ms`])).port;
const hasty = (await cluster.addGateway([...OPTIONS, '--connect-timeout', '1s'])).port;

const endpoint = (query, port = patient) => `127.0.0.1:${port}/socket.io/?${new URLSearchParams(query)}`;
const http = (query, { port, ...options } = {}) => fetch(`http://${endpoint({ EIO: 4, transport: 'polling', ...query }, port)}`, options);

// ---- a WebSocket that keeps what comes ----

class Wire {
  messages = [];
  closed = false;
  #taken = 0;

  // Without the open packet, if there is one to be expected.
  static async open(t, query = {}, { begin = true, port } = {}) {
    const wire = new Wire();
    wire.ws = new WebSocket(`ws://${endpoint({ EIO: 4, transport: 'websocket', ...query }, port)}`);
    t.after(() => wire.ws.terminate());
    wire.ws.on('message', (data, binary) => wire.messages.push(binary ? data : data.toString()));
    wire.ws.on('close', () => (wire.closed = true));
    wire.ws.on('error', () => {});
    if (begin) wire.handshake = JSON.parse((await wire.next()).slice(1));
    return wire;
  }

  // The next message; pings are answered and skipped, unless they are waited for.
  async next({ pings = false } = {}) {
    for (;;) {
      await waitFor(() => this.messages.length > this.#taken || this.closed, { what: 'the next message' });
      assert.ok(this.messages.length > this.#taken, 'closed instead of a message');
      const message = this.messages[this.#taken++];
      if (message !== '2' || pings) return message;
      this.send('3');
    }
  }

  send(...messages) {
    for (const message of messages) this.ws.send(message);
  }

  waitClosed() {
    return waitFor(() => this.closed, { what: 'the end of the connection' });
  }

  // Connected to the main namespace, past its auth event.
  static async connected(t) {
    const wire = await Wire.open(t);
    wire.send('40');
    assert.match(await wire.next(), /^40\{"sid":"[^"]+"\}$/);
    assert.equal(await wire.next(), '42["auth",{}]');
    return wire;
  }
}

async function pollingSession(options) {
  const text = await (await http({}, options)).text();
  return JSON.parse(text.slice(1)).sid;
}

// ---- Engine.IO: handshake ----

function assertHandshake(handshake, upgrades) {
  assert.deepEqual(Object.keys(handshake).sort(), ['maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades']);
  assert.equal(typeof handshake.sid, 'string');
  assert.deepEqual(handshake.upgrades, upgrades);
  assert.deepEqual([handshake.pingInterval, handshake.pingTimeout, handshake.maxPayload], [INTERVAL, TIMEOUT, 1000000]);
}

test('handshake, long-polling: opens a session', async () => {
  const response = await http();
  assert.equal(response.status, 200);
  const text = await response.text();
  assert.equal(text[0], '0');
  assertHandshake(JSON.parse(text.slice(1)), ['websocket']);
});

test('handshake, long-polling: a wrong EIO is refused', async () => {
  for (const EIO of ['abc', '', '99']) assert.equal((await http({ EIO })).status, 400);
});

test('handshake, long-polling: a wrong transport is refused', async () => {
  for (const transport of ['abc', '']) assert.equal((await http({ transport })).status, 400);
});

test('handshake, long-polling: a wrong method is refused', async () => {
  for (const method of ['POST', 'PUT']) assert.equal((await http({}, { method })).status, 400);
});

test('handshake, WebSocket: opens a session', async (t) => {
  const wire = await Wire.open(t);
  assertHandshake(wire.handshake, []);
});

test('handshake, WebSocket: a wrong EIO is refused', async (t) => {
  for (const EIO of ['abc', '']) await (await Wire.open(t, { EIO }, { begin: false })).waitClosed();
});

test('handshake, WebSocket: a wrong transport is refused', async (t) => {
  for (const transport of ['abc', '']) await (await Wire.open(t, { transport }, { begin: false })).waitClosed();
});

// ---- Engine.IO: heartbeat, close, upgrade ----

test('heartbeat, long-polling: pings come and pongs keep the session', async () => {
  const sid = await pollingSession();
  await http({ sid }, { method: 'POST', body: '40' });
  let text = '';
  for (let pings = 0; pings < 3;) {
    text = await (await http({ sid })).text();
    if (text.split('\x1e').includes('2')) {
      pings++;
      assert.equal((await http({ sid }, { method: 'POST', body: '3' })).status, 200);
    }
  }
});

test('heartbeat, long-polling: without a pong the session ends', async () => {
  const sid = await pollingSession({ port: impatient });
  await waitFor(async () => {
    const response = await http({ sid }, { port: impatient });
    return response.status === 400 || (await response.text()).split('\x1e').includes('1');
  });
  assert.equal((await http({ sid }, { port: impatient })).status, 400);
});

test('heartbeat, WebSocket: pings come and pongs keep the session', async (t) => {
  const wire = await Wire.open(t);
  wire.send('40');
  for (let pings = 0; pings < 3;) {
    if ((await wire.next({ pings: true })) !== '2') continue;
    pings++;
    wire.send('3');
  }
  assert.equal(wire.closed, false);
});

test('heartbeat, WebSocket: without a pong the session ends', async (t) => {
  const wire = await Wire.open(t, {}, { port: impatient });
  await wire.waitClosed();
  assert.deepEqual(wire.messages.slice(1), ['2'], 'not before the first ping');
});

test('close, long-polling: the client ends the session', async () => {
  const sid = await pollingSession();
  const waiting = http({ sid });
  for (let i = 0; i < 3; i++) await http({ transport: 'none' }); // by then it is there
  const [poll, post] = await Promise.all([waiting, http({ sid }, { method: 'POST', body: '1' })]);
  assert.deepEqual([poll.status, post.status], [200, 200]);
  assert.equal((await http({ sid })).status, 400);
});

test('close, WebSocket: the client ends the session', async (t) => {
  const wire = await Wire.open(t);
  wire.send('1');
  await wire.waitClosed();
});

test('upgrade: from long-polling to WebSocket', async (t) => {
  const sid = await pollingSession();
  const wire = await Wire.open(t, { sid }, { begin: false });
  await waitFor(() => wire.ws.readyState === WebSocket.OPEN);
  wire.send('2probe');
  assert.equal(await wire.next(), '3probe');
  wire.send('5', '40');
  assert.match(await wire.next(), /^40\{"sid":/);
  assert.equal((await http({ sid })).status, 400);
});

test('upgrade: a session that is on WebSocket takes no second one and no polls', async (t) => {
  const wire = await Wire.open(t);
  const { sid } = wire.handshake;
  await (await Wire.open(t, { sid }, { begin: false })).waitClosed();
  assert.equal((await http({ sid })).status, 400);
});

// ---- Socket.IO: CONNECT ----

test('connect: to the main namespace', async (t) => {
  const wire = await Wire.open(t);
  wire.send('40');
  const answer = await wire.next();
  assert.match(answer, /^40\{/);
  assert.deepEqual(Object.keys(JSON.parse(answer.slice(2))), ['sid']);
  assert.equal(await wire.next(), '42["auth",{}]');
});

test('connect: to the main namespace with a payload', async (t) => {
  const wire = await Wire.open(t);
  wire.send('40{"token":"123"}');
  assert.match(await wire.next(), /^40\{"sid"/);
  assert.equal(await wire.next(), '42["auth",{"token":"123"}]');
});

test('connect: to a custom namespace', async (t) => {
  const wire = await Wire.open(t);
  wire.send('40/custom,');
  assert.match(await wire.next(), /^40\/custom,\{"sid":"[^"]+"\}$/);
  assert.equal(await wire.next(), '42/custom,["auth",{}]');
});

test('connect: to a custom namespace with a payload', async (t) => {
  const wire = await Wire.open(t);
  wire.send('40/custom,{"token":"abc"}');
  assert.match(await wire.next(), /^40\/custom,\{"sid"/);
  assert.equal(await wire.next(), '42/custom,["auth",{"token":"abc"}]');
});

test('connect: an unknown namespace is refused', async (t) => {
  const wire = await Wire.open(t);
  wire.send('40/random');
  assert.equal(await wire.next(), '44/random,{"message":"Invalid namespace"}');
});

test('connect: a wrong handshake closes the connection', async (t) => {
  const wire = await Wire.open(t);
  wire.send('4abc');
  await wire.waitClosed();
});

test('connect: without one the connection is closed after the time', async (t) => {
  const wire = await Wire.open(t, {}, { port: hasty });
  const pongs = setInterval(() => wire.ws.readyState === WebSocket.OPEN && wire.send('3'), INTERVAL);
  t.after(() => clearInterval(pongs));
  await wire.waitClosed();
});

// ---- Socket.IO: DISCONNECT ----

test('disconnect: the client leaves a namespace, the connection goes on', async (t) => {
  const wire = await Wire.connected(t);
  wire.send('41', '42["message","unheard"]');
  await wire.waitClosed(); // an event where it is not
  assert.ok(!wire.messages.some((message) => String(message).includes('message-back')));
});

test('disconnect: of one namespace leaves another', async (t) => {
  const wire = await Wire.connected(t);
  wire.send('40/custom');
  assert.match(await wire.next(), /^40\/custom,/);
  assert.equal(await wire.next(), '42/custom,["auth",{}]');
  wire.send('41/custom', '42["message","main"]');
  assert.equal(await wire.next(), '42["message-back","main"]');
});

test('disconnect: and back to the same namespace', async (t) => {
  const wire = await Wire.connected(t);
  wire.send('41', '40');
  assert.match(await wire.next(), /^40\{"sid"/);
  assert.equal(await wire.next(), '42["auth",{}]');
});

// ---- Socket.IO: events ----

test('message: plain text', async (t) => {
  const wire = await Wire.connected(t);
  wire.send('42["message",1,"2",{"3":[true]}]');
  assert.equal(await wire.next(), '42["message-back",1,"2",{"3":[true]}]');
});

test('message: plain text with an ack', async (t) => {
  const wire = await Wire.connected(t);
  wire.send('42456["message-with-ack",1,"2",{"3":[false]}]');
  assert.equal(await wire.next(), '43456[1,"2",{"3":[false]}]');
});

test('message: in a custom namespace', async (t) => {
  const wire = await Wire.open(t);
  wire.send('40/custom,');
  await wire.next();
  await wire.next();
  wire.send('42/custom,["message","a"]', '42/custom,7["message-with-ack","b"]');
  assert.equal(await wire.next(), '42/custom,["message-back","a"]');
  assert.equal(await wire.next(), '43/custom,7["b"]');
});

test('message: binary', async (t) => {
  const wire = await Wire.connected(t);
  wire.send('452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6]));
  assert.equal(await wire.next(), '452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
  assert.deepEqual([...(await wire.next())], [1, 2, 3]);
  assert.deepEqual([...(await wire.next())], [4, 5, 6]);
});

test('message: binary with an ack', async (t) => {
  const wire = await Wire.connected(t);
  wire.send('452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6]));
  assert.equal(await wire.next(), '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
  assert.deepEqual([...(await wire.next())], [1, 2, 3]);
  assert.deepEqual([...(await wire.next())], [4, 5, 6]);
});

test('message: binary over long-polling', async () => {
  const sid = await pollingSession();
  const post = (body) => http({ sid }, { method: 'POST', body });
  let text = '';
  const heard = (what) => waitFor(async () => {
    const more = await (await http({ sid })).text();
    if (more.split('\x1e').includes('2')) await post('3');
    text += `${more}\x1e`;
    return text.includes(what);
  });
  await post('40');
  await heard('42["auth",{}]');
  await post(['451-["message",{"_placeholder":true,"num":0}]', 'bAQID'].join('\x1e'));
  await heard('451-["message-back",{"_placeholder":true,"num":0}]\x1ebAQID');
});

// ---- Socket.IO: what closes a connection ----

for (const [what, packet] of [
  ['an unknown packet type', '4abc'],
  ['a payload that is no JSON', '42{'],
  ['an event without a name', '42[]'],
  ['an event whose name is no text', '42[{}]'],
  ['a payload that is no array', '42"x"'],
  ['an ack id that is none', '42abc["message"]'],
  ['a binary event without a number', '45["message"]'],
  ['a second CONNECT', '40'],
]) {
  test(`invalid: ${what} closes the connection`, async (t) => {
    const wire = await Wire.connected(t);
    wire.send(packet);
    await wire.waitClosed();
  });
}

test('invalid: an attachment that nothing announced closes the connection', async (t) => {
  const wire = await Wire.connected(t);
  wire.send(Buffer.from([1]));
  await wire.waitClosed();
});

test('invalid: an event before CONNECT closes the connection', async (t) => {
  const wire = await Wire.open(t);
  wire.send('42["message","early"]');
  await wire.waitClosed();
});
