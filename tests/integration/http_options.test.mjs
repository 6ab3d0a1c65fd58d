// What a gateway's options change of its HTTP answers: CORS, cookie, compression; and permessage-deflate.

import assert from 'node:assert/strict';
import zlib from 'node:zlib';

import WebSocket from 'ws';

import { close, connect, fence, join, ok, Recorder, numbers } from './clients.mjs';
import { Engine, get, handshake, POLLING, post, refusal, refusedWith, request, Socket, WEBSOCKET } from './engine.mjs';
import { Cluster, test, waitFor } from './harness.mjs';

const GOOD = 'http://a.example';
const BAD = 'http://evil.example';

const cluster = await Cluster.start({ gateways: 1 });
const plain = cluster.port(0);
const cors = (await cluster.addGateway(['--cors-origin', `${GOOD},https://*.b.example:8443`, '--cors-credentials', 'on'])).port;
const any = (await cluster.addGateway(['--cors-origin', '*'])).port;
const cookie = (await cluster.addGateway(['--cookie', 'io'])).port;

const preflight = { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type,x-custom' };
const listed = (value) => (value ?? '').toLowerCase().split(/ *, */);
const corsHeaders = (headers) => Object.keys(headers).filter((name) => name.startsWith('access-control-'));

// ---- CORS ----

test('without --cors-origin no origin is refused, and none is named', async () => {
  for (const headers of [{}, { Origin: GOOD }, { Origin: BAD }, { Origin: 'null' }]) {
    const answer = await request(plain, POLLING, { headers });
    assert.equal(answer.status, 200);
    assert.deepEqual(corsHeaders(answer.headers), []);
  }
  const socket = await Socket.open(plain, WEBSOCKET, { headers: { Origin: BAD } });
  socket.terminate();
});

for (const origin of [GOOD, 'https://x.b.example:8443', 'https://x.y.b.example:8443']) {
  test(`an allowed origin is named, with credentials: ${origin}`, async () => {
    const answer = await request(cors, POLLING, { headers: { Origin: origin } });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['access-control-allow-origin'], origin);
    assert.equal(answer.headers['access-control-allow-credentials'], 'true');
    assert.ok(listed(answer.headers.vary).includes('origin'), answer.headers.vary);
    const { sid } = JSON.parse(answer.text.slice(1));
    for (const later of [await post(cors, sid, '40', { headers: { Origin: origin } }), await get(cors, sid, { headers: { Origin: origin } })]) {
      assert.deepEqual([later.status, later.headers['access-control-allow-origin']], [200, origin]);
    }
    const socket = await Socket.open(cors, WEBSOCKET, { headers: { Origin: origin } });
    socket.terminate();
  });
}

for (const origin of [BAD, 'http://a.example.evil.example', 'http://xa.example', 'https://a.example', 'http://a.example:81', 'https://b.example:8443', 'https://x.b.example', 'https://evil.example/.b.example:8443', 'null']) {
  test(`any other origin is refused with 403 and code 4, for polling and WebSocket: ${JSON.stringify(origin)}`, async () => {
    const headers = { Origin: origin };
    const answer = await request(cors, POLLING, { headers });
    assert.deepEqual(refusal(answer), refusedWith(4));
    assert.notEqual(answer.headers['access-control-allow-origin'], origin || '*');
    assert.deepEqual(refusal(await Socket.refused(cors, WEBSOCKET, { headers })), refusedWith(4));
    const { sid } = await handshake(cors);
    assert.deepEqual(refusal(await post(cors, sid, '4x', { headers })), refusedWith(4));
  });
}

test('a request without an origin is no browser\'s, and is served', async () => {
  assert.equal((await request(cors, POLLING)).status, 200);
  const engine = await Engine.open(cors);
  await engine.close();
});

test('with * every origin is allowed', async () => {
  for (const origin of [GOOD, BAD, 'null']) {
    const { status, headers } = await request(any, POLLING, { headers: { Origin: origin } });
    assert.equal(status, 200);
    assert.ok(['*', origin].includes(headers['access-control-allow-origin']));
    assert.equal(headers['access-control-allow-credentials'], undefined);
  }
});

test('a preflight is answered with what is allowed', async () => {
  const answer = await request(cors, POLLING, { method: 'OPTIONS', headers: { Origin: GOOD, ...preflight } });
  assert.ok([200, 204].includes(answer.status), `status ${answer.status}`);
  assert.equal(answer.headers['access-control-allow-origin'], GOOD);
  assert.equal(answer.headers['access-control-allow-credentials'], 'true');
  const methods = listed(answer.headers['access-control-allow-methods']);
  assert.ok(methods.includes('post') && methods.includes('get'), methods.join());
  const allowed = listed(answer.headers['access-control-allow-headers']);
  assert.ok(allowed.includes('content-type') && allowed.includes('x-custom'), allowed.join());
  assert.equal(answer.text, '');
});

test('a preflight of a refused origin allows nothing', async () => {
  const { headers } = await request(cors, POLLING, { method: 'OPTIONS', headers: { Origin: BAD, ...preflight } });
  assert.equal(headers['access-control-allow-origin'], undefined);
});

test('a preflight for a session does not touch it', async () => {
  const { sid } = await handshake(cors);
  for (let i = 0; i < 3; i++) await request(cors, `${POLLING}&sid=${sid}`, { method: 'OPTIONS', headers: { Origin: GOOD, ...preflight } });
  assert.equal((await post(cors, sid, '40')).status, 200);
  assert.match((await get(cors, sid)).text, /^40/);
});

test('errors can be read by an allowed origin too', async () => {
  const { status, headers } = await request(cors, `${POLLING}&sid=nobody`, { headers: { Origin: GOOD } });
  assert.deepEqual([status, headers['access-control-allow-origin']], [400, GOOD]);
});

// ---- cookie ----

test('--cookie sets a cookie with the session id on the handshake, and only there', async () => {
  const answer = await request(cookie, POLLING);
  const { sid } = JSON.parse(answer.text.slice(1));
  assert.deepEqual(answer.headers['set-cookie'], [`io=${sid}; Path=/; HttpOnly; SameSite=Lax`]);
  assert.equal((await post(cookie, sid, '40')).headers['set-cookie'], undefined);
  assert.equal((await get(cookie, sid)).headers['set-cookie'], undefined);
  assert.equal((await request(plain, POLLING)).headers['set-cookie'], undefined);
});

// ---- compression of bodies ----

const DECODERS = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync };

// A poll's answer with an event of that many characters, and what was sent.
async function bigPoll(port, headers, size) {
  const { sid } = await handshake(port);
  await post(port, sid, '40');
  await get(port, sid);
  await post(port, sid, '421["join","big"]');
  await get(port, sid);
  const text = 'ab'.repeat(size / 2);
  await post(port, sid, `42["publish","big","e","${text}"]`);
  return { answer: await get(port, sid, { headers }), text };
}

for (const [accept, encoding] of [['gzip', 'gzip'], ['deflate', 'deflate'], ['gzip, deflate, br', /^(gzip|deflate)$/], ['br;q=1, gzip;q=0.5', 'gzip']]) {
  test(`a large answer is compressed for who accepts ${accept}`, async () => {
    const { answer, text } = await bigPoll(plain, { 'Accept-Encoding': accept }, 20_000);
    const got = answer.headers['content-encoding'];
    if (typeof encoding === 'string') assert.equal(got, encoding);
    else assert.match(got, encoding);
    assert.ok(answer.body.length < 2000, `${answer.body.length} bytes`);
    assert.equal(Number(answer.headers['content-length'] ?? answer.body.length), answer.body.length);
    assert.ok(DECODERS[got](answer.body).toString().startsWith(`42["e","${text}","`));
  });
}

for (const accept of [undefined, 'identity', 'br', 'gzip;q=0', 'gzip;q=0, deflate;q=0.0']) {
  test(`a large answer stays as it is for Accept-Encoding ${accept}`, async () => {
    const { answer, text } = await bigPoll(plain, accept === undefined ? {} : { 'Accept-Encoding': accept }, 20_000);
    assert.equal(answer.headers['content-encoding'], undefined);
    assert.ok(answer.text.startsWith(`42["e","${text}","`));
  });
}

test('an answer below 1,024 bytes is not compressed', async () => {
  const { answer } = await bigPoll(plain, { 'Accept-Encoding': 'gzip' }, 500);
  assert.equal(answer.headers['content-encoding'], undefined);
});

test('--http-compression off compresses nothing', async () => {
  const { port } = await cluster.addGateway(['--http-compression', 'off']);
  const { answer } = await bigPoll(port, { 'Accept-Encoding': 'gzip' }, 20_000);
  assert.equal(answer.headers['content-encoding'], undefined);
});

// ---- permessage-deflate ----

test('permessage-deflate is off unless asked for', async () => {
  const socket = await Socket.open(plain, WEBSOCKET, { perMessageDeflate: true });
  assert.equal(socket.ws.extensions, '');
  socket.terminate();
});

for (const [name, offer] of [
  ['as offered by default', true],
  ['without context takeover', { serverNoContextTakeover: true, clientNoContextTakeover: true }],
  ['with a small window of the client', { clientMaxWindowBits: 10 }],
]) {
  test(`permessage-deflate ${name}: messages come as they are, and smaller`, async (t) => {
    const { port } = await cluster.addGateway(['--per-message-deflate', 'on']);
    const ws = new WebSocket(`ws://127.0.0.1:${port}${WEBSOCKET}`, { perMessageDeflate: { threshold: 0, ...(offer === true ? {} : offer) } });
    t.after(() => ws.terminate());
    const texts = [];
    ws.on('message', (data) => texts.push(data.toString()));
    let socket;
    ws.on('upgrade', (response) => (socket = response.socket));
    await waitFor(() => texts.length === 1, { what: 'the open packet' });
    assert.match(ws.extensions, /^permessage-deflate/);
    ws.send('40');
    await waitFor(() => texts.length === 2, { what: 'the answer to CONNECT' });
    ws.send('421["join","deflated"]');
    const text = 'abcdefgh'.repeat(10_000);
    for (const i of numbers(20)) ws.send(`42["publish","deflated","e",${i},"${text}"]`);
    await waitFor(() => texts.filter((packet) => packet.startsWith('42["e"')).length === 20, { what: 'the events' });
    for (const [i, packet] of texts.filter((found) => found.startsWith('42["e"')).entries()) {
      assert.ok(packet.startsWith(`42["e",${i},"${text}","`), packet.slice(0, 50));
    }
    const bytes = socket.bytesRead;
    assert.ok(bytes < (20 * text.length) / 10, `${bytes} bytes came`);
    t.diagnostic(`${20 * text.length} characters came in ${bytes} bytes, with ${ws.extensions}`);
  });
}

test('permessage-deflate with a small window of the server, which it has not: messages come as they are', async (t) => {
  const { port } = await cluster.addGateway(['--per-message-deflate', 'on']);
  const socket = await Socket.open(port, WEBSOCKET, { perMessageDeflate: { serverMaxWindowBits: 10 } });
  t.after(() => socket.terminate());
  assert.equal(socket.ws.extensions, '');
  assert.match(await socket.next(), /^0\{/);
});

test('permessage-deflate: clients with and without it hear each other', async (t) => {
  const gateway = await cluster.addGateway(['--per-message-deflate', 'on']);
  const url = `http://127.0.0.1:${gateway.port}`;
  const clients = [await connect(url), await connect(url, { perMessageDeflate: { threshold: 0 } }), await connect(url, { transports: ['polling'] })];
  t.after(() => close(...clients));
  const recorders = clients.map((socket) => new Recorder(socket));
  for (const socket of clients) await join(socket, 'mixed');
  for (const [i, socket] of clients.entries()) await ok(socket, 'publish', 'mixed', 'e', i, 'z'.repeat(5000), Buffer.alloc(3000, i));
  await fence(clients[0], 'mixed', ...recorders);
  for (const recorder of recorders) {
    assert.deepEqual(recorder.of('e').map(({ args }) => args), [0, 1, 2].map((i) => [i, 'z'.repeat(5000), Buffer.alloc(3000, i)]));
  }
});
