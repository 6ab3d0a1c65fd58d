// Malformed input of every layer, byte by byte: the right error, nobody else harmed, no memory kept.

import assert from 'node:assert/strict';
import net from 'node:net';

import { assertExactly, connect, fence, join, numbers, ok, Recorder, watchDisconnects } from './clients.mjs';
import { Cluster, test, waitFor } from './harness.mjs';
import { ENDPOINT, frame, http, RawSocket, RawWebSocket, upgradeRequest } from './raw.mjs';

const MAX_PAYLOAD = 1_000_000;

const cluster = await Cluster.start({ gateways: 1, gateway: ['--max-payload', String(MAX_PAYLOAD)] });
const port = cluster.port(0);

// The well-behaved client that must notice nothing.
const bystander = await connect(cluster.url(0));
const bystanderRecord = new Recorder(bystander);
const bystanderDisconnects = watchDisconnects(bystander);
await join(bystander, 'quiet');

let checks = 0;
async function assertOthersUnharmed() {
  await ok(bystander, 'publish', 'quiet', 'check', ++checks);
  await waitFor(() => bystanderRecord.count('check') >= checks, { what: 'the bystander getting its event' });
  assertExactly(bystanderRecord, 'check', numbers(checks, 1));
  assert.deepEqual(bystanderDisconnects.reasons.splice(0), []); // each harm is one test's failure
}

// ---- HTTP ----

const upgrade = (changes) => upgradeRequest(changes);
const header = (name, value) => upgrade({ headers: { [name]: value } });
const get = (path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const post = (...lines) => `POST ${ENDPOINT} HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n`;
const ENGINE_ERRORS = ['Transport unknown', 'Session ID unknown', 'Bad handshake method', 'Bad request', 'Forbidden', 'Unsupported protocol version'];

// A server that refuses early closes with input unread, and the reset that follows may overtake its answer: no status, 0.
const OVERTAKEN = 0;

// [name, request, statuses that are right, Engine.IO error code of the body]
const HTTP_CASES = [
  ['lines that end in a bare LF', upgrade().replaceAll('\r\n', '\n'), [400]],
  ['one bare LF between headers', upgrade().replace('\r\nUpgrade', '\nUpgrade'), [400]],
  ['a bare CR in a header', header('X', 'a\rb'), [400]],
  ['a NUL in a header', header('X', 'a\0b'), [400]],
  ['a NUL in the target', get('/socket.io/\0'), [400]],
  ['a control character in a header', header('X', 'a\x01b'), [400]],
  ['a space before the colon of a header', upgrade().replace('Host:', 'Host :'), [400]],
  ['a space in the name of a header', upgrade().replace('Host:', 'Ho st:'), [400]],
  ['a header without a colon', upgrade().replace('Host: 127.0.0.1', 'Host'), [400]],
  ['a header without a name', upgrade().replace('Host: 127.0.0.1', ': x'), [400]],
  ['a folded header', header('X', 'a\r\n b'), [400]],
  ['no Host', upgrade({ headers: { Host: undefined } }), [400]],
  ['two Hosts', upgrade().replace('Upgrade:', 'Host: b\r\nUpgrade:'), [400]],
  ['two different content lengths', post('Content-Length: 1', 'Content-Length: 2'), [400]],
  ['a list of content lengths', post('Content-Length: 1, 2'), [400]],
  ['a content length that is no number', post('Content-Length: x'), [400]],
  ['a negative content length', post('Content-Length: -1'), [400]],
  ['a content length with a sign', post('Content-Length: +1'), [400]],
  ['a content length past 64 bits', post('Content-Length: 18446744073709551617'), [400, 413]],
  ['content length and transfer encoding', post('Content-Length: 5', 'Transfer-Encoding: chunked'), [400]],
  ['an unknown transfer encoding', post('Transfer-Encoding: gzip'), [400, 501]],
  ['a giant header', header('X', 'x'.repeat(1 << 20)), [400, 431, OVERTAKEN]],
  ['too many headers', upgrade().replace('Upgrade:', `${'X: y\r\n'.repeat(20_000)}Upgrade:`), [400, 431, OVERTAKEN]],
  ['a giant target', get(`/${'x'.repeat(1 << 20)}`), [400, 414, 431, OVERTAKEN]],
  ['HTTP/2.0', upgrade({ version: 'HTTP/2.0' }), [400, 505]],
  ['HTTP/1.10', upgrade({ version: 'HTTP/1.10' }), [400, 505]],
  ['http/1.1 in small letters', upgrade({ version: 'http/1.1' }), [400, 505]],
  ['no version', `GET ${ENDPOINT}\r\n\r\n`, [400]],
  ['two spaces in the first line', `GET  ${ENDPOINT} HTTP/1.1\r\nHost: x\r\n\r\n`, [400]],
  ['an empty method', ` ${ENDPOINT} HTTP/1.1\r\nHost: x\r\n\r\n`, [400]],
  ['a method with strange characters', `G(T ${ENDPOINT} HTTP/1.1\r\nHost: x\r\n\r\n`, [400, 405, 501]],
  ['no request at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', [400, OVERTAKEN], undefined, true],
  ['an unknown path', get('/nowhere'), [404]],
  ['a path that climbs', get('/socket.io/../../etc/passwd'), [400, 404]],
  ['a path that climbs in disguise', get('/socket.io/%2e%2e/%2e%2e/etc/passwd'), [400, 404]],
  ['POST as handshake', upgrade({ method: 'POST', headers: { 'Content-Length': '0' } }), [400], 2],
  ['DELETE as handshake', upgrade({ method: 'DELETE' }), [400], 2],
  ['EIO=3', upgrade({ path: '/socket.io/?EIO=3&transport=websocket' }), [400], 5],
  ['EIO=5', upgrade({ path: '/socket.io/?EIO=5&transport=websocket' }), [400], 5],
  ['no EIO', upgrade({ path: '/socket.io/?transport=websocket' }), [400], 5],
  ['an unknown transport', upgrade({ path: '/socket.io/?EIO=4&transport=pigeon' }), [400], 0],
  ['no transport', upgrade({ path: '/socket.io/?EIO=4' }), [400], 0],
  ['an unknown sid', upgrade({ path: `${ENDPOINT}&sid=nobody` }), [400], 1],
  ['the websocket transport without an upgrade', get(ENDPOINT), [400], 3],
  ['an upgrade to something else', header('Upgrade', 'h2c'), [400], 3],
  ['no Connection: Upgrade', header('Connection', 'keep-alive'), [400]],
  ['no Sec-WebSocket-Key', header('Sec-WebSocket-Key', undefined), [400]],
  ['a Sec-WebSocket-Key that is too short', header('Sec-WebSocket-Key', 'dGhlIHNhbXBsZQ=='), [400]],
  ['a Sec-WebSocket-Key that is not base64', header('Sec-WebSocket-Key', '!!!!!!!!!!!!!!!!!!!!!!=='), [400]],
  ['an old Sec-WebSocket-Version', header('Sec-WebSocket-Version', '8'), [400, 426]],
  ['no Sec-WebSocket-Version', header('Sec-WebSocket-Version', undefined), [400, 426]],
];

for (const [name, request, statuses, engineCode, half] of HTTP_CASES) {
  test(`HTTP: ${name} is answered with ${statuses.join(' or ')}`, async () => {
    const { status, body } = await httpAnswer(request, half);
    assert.ok(statuses.includes(status), `status ${status}: ${body.slice(0, 200)}`);
    if (engineCode !== undefined) assert.deepEqual(JSON.parse(body), { code: engineCode, message: ENGINE_ERRORS[engineCode] });
    await assertOthersUnharmed();
  });
}

// What is no request at all may wait for its end, so the sender gives up.
async function httpAnswer(request, half) {
  if (!half) return http(port, Buffer.from(request, 'latin1'));
  const raw = await RawSocket.open(port);
  raw.write(Buffer.from(`${request}\r\n\r\n`, 'latin1'));
  await waitFor(() => raw.ended || raw.received.length > 0, { what: 'an answer or the end' });
  raw.destroy();
  return { status: Number(raw.received.toString('latin1').split(' ')[1] ?? 0), body: '' };
}

test('HTTP: a request that comes byte by byte is served', async () => {
  const raw = await RawSocket.open(port);
  for (const byte of Buffer.from(upgrade())) {
    raw.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  await waitFor(() => raw.received.includes('"pingInterval"'), { what: 'the open packet' });
  assert.match(raw.received.toString('latin1'), /^HTTP\/1\.1 101 /);
  raw.destroy();
});

test('HTTP: the accept key of RFC 6455 is answered', async () => {
  const raw = await RawSocket.open(port);
  raw.write(header('Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='));
  await waitFor(() => raw.received.includes('\r\n\r\n'), { what: 'an answer' });
  assert.match(raw.received.toString('latin1'), /^sec-websocket-accept: *s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/im);
  raw.destroy();
});

test('HTTP: frames sent together with the request are taken', async () => {
  const raw = await RawSocket.open(port);
  raw.write(Buffer.concat([Buffer.from(upgrade()), frame({ payload: '40' })]));
  await waitFor(() => raw.received.includes('40{"sid"'), { what: 'the answer to CONNECT' });
  raw.destroy();
});

// ---- WebSocket ----

const text = (payload, more) => frame({ payload, ...more });
const close = (code, reason = '') => {
  const payload = Buffer.concat([Buffer.alloc(2), Buffer.from(reason, 'latin1')]);
  payload.writeUInt16BE(code);
  return frame({ opcode: 8, payload });
};
const bytes = (...values) => Buffer.from(values);

// [name, bytes, close codes that are right]
const WEBSOCKET_CASES = [
  ['an unmasked frame', text('3', { mask: false }), [1002]],
  ...[4, 2, 1, 7].map((rsv) => [`reserved bits ${rsv.toString(2).padStart(3, '0')}`, text('3', { rsv }), [1002]]),
  ...[3, 4, 7, 11, 15].map((opcode) => [`opcode ${opcode}`, frame({ opcode, payload: '3' }), [1002]]),
  ...[8, 9, 10].map((opcode) => [`a fragmented control frame, opcode ${opcode}`, frame({ opcode, fin: false }), [1002]]),
  ...[8, 9, 10].map((opcode) => [`a control frame of 126 bytes, opcode ${opcode}`, frame({ opcode, payload: 'x'.repeat(126) }), [1002]]),
  ['a continuation of nothing', frame({ opcode: 0, payload: '3' }), [1002]],
  ['a last continuation too many', Buffer.concat([text('3', { fin: false }), frame({ opcode: 0 }), frame({ opcode: 0 })]), [1002]],
  ['a text inside a fragmented one', Buffer.concat([text('4', { fin: false }), text('3')]), [1002]],
  ['a binary inside a fragmented text', Buffer.concat([text('4', { fin: false }), frame({ opcode: 2 })]), [1002]],
  ['a length of 64 bits with the highest set', frame({ payload: '3', length: 1n << 63n }), [1002, 1009]],
  ['a byte that is not UTF-8', text(bytes(0x34, 0xff)), [1007]],
  ['an overlong UTF-8 form', text(bytes(0x34, 0xc0, 0xaf)), [1007]],
  ['a surrogate in UTF-8', text(bytes(0x34, 0xed, 0xa0, 0x80)), [1007]],
  ['UTF-8 past U+10FFFF', text(bytes(0x34, 0xf4, 0x90, 0x80, 0x80)), [1007]],
  ['UTF-8 that ends early', text(bytes(0x34, 0xe2, 0x82)), [1007]],
  ['UTF-8 that breaks across fragments', Buffer.concat([text(bytes(0x34, 0xe2), { fin: false }), frame({ opcode: 0, payload: bytes(0x28, 0xa1) })]), [1007]],
  ['UTF-8 that ends early across fragments', Buffer.concat([text(bytes(0x34, 0xe2), { fin: false }), frame({ opcode: 0, payload: bytes(0x82) })]), [1007]],
  ['a message one byte too big', frame({ payload: '4', length: MAX_PAYLOAD + 1 }), [1009]],
  ['a message of 2^62 bytes', frame({ payload: '4', length: 1n << 62n }), [1009]],
  ['fragments that grow too big', Buffer.concat([text('4'.repeat(MAX_PAYLOAD), { fin: false }), frame({ opcode: 0, payload: '4', fin: false })]), [1009]],
  ['a close frame of one byte', frame({ opcode: 8, payload: 'x' }), [1002]],
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535].map((code) => [`close code ${code}`, close(code), [1002]]),
  ['a close reason that is not UTF-8', close(1000, '\xff'), [1007]],
  ['close code 1000', close(1000), [1000]],
  ['close code 1001 with a reason', close(1001, 'bye'), [1000, 1001]],
  ['close code 3000', close(3000), [1000, 3000]],
  ['close code 4999', close(4999), [1000, 4999]],
  ['a close frame without a code', frame({ opcode: 8 }), [1000, 1005]],
];

async function webSocketCase(input) {
  const ws = await RawWebSocket.open(port);
  ws.write(input);
  try {
    return await ws.closeCode();
  } finally {
    ws.destroy();
  }
}

for (const [name, input, codes] of WEBSOCKET_CASES) {
  test(`WebSocket: ${name} is closed with ${codes.join(' or ')}`, async () => {
    const code = await webSocketCase(input);
    assert.ok(codes.includes(code), `close code ${code}`);
    await assertOthersUnharmed();
  });
}

test('WebSocket: fragments with pings between them make one message, and the pings are answered', async () => {
  const ws = await RawWebSocket.open(port);
  ws.write(text('4', { fin: false }));
  ws.write(frame({ opcode: 9, payload: 'first' }));
  ws.write(frame({ opcode: 0, fin: false }));
  ws.write(frame({ opcode: 9, payload: 'second' }));
  ws.write(frame({ opcode: 0, payload: '0' }));
  await ws.packet(/^40\{"sid"/);
  const pongs = ws.frames.filter(({ opcode }) => opcode === 10).map(({ payload }) => payload.toString());
  assert.deepEqual(pongs, ['first', 'second']);
  ws.destroy();
});

test('WebSocket: a character split across fragments is whole again', async () => {
  const ws = await RawWebSocket.open(port);
  ws.text('40');
  await ws.packet(/^40\{"sid"/);
  ws.text('421["join","split"]');
  await ws.packet(/^431\[/);
  const packet = Buffer.from('422["publish","split","n","🦊"]');
  for (let i = 0; i < packet.length; i++) ws.write(frame({ opcode: i === 0 ? 1 : 0, fin: i === packet.length - 1, payload: packet.subarray(i, i + 1) }));
  await ws.packet(/^42\["n","🦊","/u);
  ws.destroy();
});

test('WebSocket: a message of exactly the largest size is taken', async () => {
  const ws = await RawWebSocket.open(port);
  ws.text('40');
  await ws.packet(/^40\{"sid"/);
  const head = '421["unknown","';
  ws.text(`${head}${'x'.repeat(MAX_PAYLOAD - head.length - 2)}"]`);
  await ws.packet(/^431\[\{"ok":false/);
  ws.destroy();
});

// ---- Engine.IO and Socket.IO ----

const RESERVED = ['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'];
const deep = (depth) => '['.repeat(depth) + ']'.repeat(depth);

// [name, packet]: closed before a CONNECT
const CLOSED_BEFORE_CONNECT = [
  ['Engine.IO: an unknown packet type', '9'],
  ['Engine.IO: a letter as packet type', 'x'],
  ['Engine.IO: an empty packet', ''],
  ['Socket.IO: an event before CONNECT', '42["join","r"]'],
  ['Socket.IO: an ack before CONNECT', '430[]'],
  ['Socket.IO: a CONNECT with a list', '40[]'],
  ['Socket.IO: a CONNECT with a text', '40"x"'],
  ['Socket.IO: a CONNECT that is not JSON', '40{pid}'],
  ['Socket.IO: a CONNECT with something after it', '40{}x'],
];

// [name, packet]: closed after a CONNECT
const CLOSED_AFTER_CONNECT = [
  ['a second CONNECT', '40'],
  ['a CONNECT_ERROR from a client', '44{"message":"x"}'],
  ['a message without a packet type', '4'],
  ['packet type 7', '47'],
  ['packet type 9', '49["e"]'],
  ['a letter as packet type', '4x'],
  ['an event without arguments', '42'],
  ['an event that is an object', '42{}'],
  ['an event that is a text', '42"e"'],
  ['an event of an empty list', '42[]'],
  ['an event whose name is null', '42[null]'],
  ['an event whose name is an object', '42[{}]'],
  ['an event that ends early', '42["e"'],
  ['an event with something after it', '42["e"]x'],
  ['an event with a trailing comma', '42["e",]'],
  ['an event with a doubled comma', '42["e",,1]'],
  ['an event with a bad escape', '42["e","\\x"]'],
  ['an event with a raw control character', '42["e","\u0001"]'],
  ['an event with a number like 01', '42["e",01]'],
  ['an event with NaN', '42["e",NaN]'],
  ['an event with single quotes', "42['e']"],
  ['an event to a namespace not joined', '42/other,["e"]'],
  ['an ack that is an object', '431{}'],
  ['a DISCONNECT with something after it', '41["x"]'],
  ['a count of attachments that is none', '45x-["e"]'],
  ['attachments without a dash', '451["e"]'],
  ['5,999,999,999 attachments', '455999999999-["e",{"_placeholder":true,"num":0}]'],
  ['a binary frame that nobody announced', null],
  ...RESERVED.map((name) => [`the reserved event ${name}`, `42[${JSON.stringify(name)}]`]),
];

async function connectedRaw() {
  const ws = await RawWebSocket.open(port);
  ws.text('40');
  await ws.packet(/^40\{"sid"/);
  return ws;
}

async function assertClosed(ws, packet) {
  if (packet === null) ws.write(frame({ opcode: 2, payload: bytes(1, 2, 3) }));
  else ws.text(packet);
  const code = await ws.closeCode();
  ws.destroy();
  assert.ok([1000, 1002, 1003, 1005, 1007, 1008].includes(code), `close code ${code}`);
  assert.ok(!ws.texts().some((answer) => answer.startsWith('43')), 'no ack came');
}

for (const [name, packet] of CLOSED_BEFORE_CONNECT) {
  test(`${name} is closed`, async () => {
    await assertClosed(await RawWebSocket.open(port), packet);
    await assertOthersUnharmed();
  });
}

for (const [name, packet] of CLOSED_AFTER_CONNECT) {
  test(`Socket.IO: ${name} is closed`, async () => {
    await assertClosed(await connectedRaw(), packet);
    await assertOthersUnharmed();
  });
}

test('Engine.IO: a close packet ends the connection', async () => {
  const ws = await connectedRaw();
  ws.text('1');
  assert.notEqual(await ws.closeCode(), 1011);
});

test('Socket.IO: CONNECT to an unknown namespace is answered with CONNECT_ERROR, and others still work', async () => {
  const ws = await RawWebSocket.open(port);
  for (const name of ['/nope', '/a/b', `/${'n'.repeat(250)}`]) {
    ws.text(`40${name},`);
    await ws.packet(new RegExp(`^44${name},`));
    assert.ok(ws.texts().includes(`44${name},{"message":"Invalid namespace"}`), JSON.stringify(ws.texts()));
  }
  ws.text('40');
  await ws.packet(/^40\{"sid"/);
  ws.destroy();
});

test('Socket.IO: an ack for an unknown id is ignored', async () => {
  const ws = await connectedRaw();
  ws.text('4312345[]');
  ws.text('430["x",{"y":1}]');
  ws.text('421["join","r"]');
  await ws.packet(/^431\[\{"ok":true/);
  ws.destroy();
});

test('Socket.IO: an event after DISCONNECT is closed', async () => {
  const ws = await connectedRaw();
  ws.text('41');
  await assertClosed(ws, '42["join","r"]');
});

for (const [name, json] of [['lists', deep(100_000)], ['objects', '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)], ['lists that never end', '['.repeat(200_000)]]) {
  test(`Socket.IO: ${name} 100,000 deep are refused without harm`, async () => {
    const ws = await connectedRaw();
    ws.text(`421["publish","deep","n",${json}]`);
    await ws.packetOrClose(/^431\[\{"ok":false/);
    ws.destroy();
    await assertOthersUnharmed();
    assert.deepEqual((await ok(bystander, 'history', 'deep')).events, []);
  });
}

test('a client that sends nothing after connecting, or half a frame, harms nobody', async () => {
  const idle = await Promise.all(numbers(20).map(() => RawSocket.open(port)));
  for (const raw of idle.slice(10)) raw.write('GET /socket.io/?EIO=4');
  const half = await connectedRaw();
  half.write(frame({ payload: 'x'.repeat(1000) }).subarray(0, 500));
  await assertOthersUnharmed();
  for (const raw of idle) raw.destroy();
  half.destroy();
});

// ---- all together ----

// Every case above once more, as [input before the answer is awaited, upgraded or not].
const ALL = [
  ...HTTP_CASES.map(([, request]) => async () => dropAfterAnswer(await RawSocket.open(port), Buffer.from(request, 'latin1'))),
  ...WEBSOCKET_CASES.map(([, input]) => () => webSocketCase(input)),
  ...CLOSED_BEFORE_CONNECT.map(([, packet]) => async () => assertClosed(await RawWebSocket.open(port), packet)),
  ...CLOSED_AFTER_CONNECT.map(([, packet]) => async () => assertClosed(await connectedRaw(), packet)),
];

async function dropAfterAnswer(raw, request) {
  raw.write(request);
  await waitFor(() => raw.ended || raw.received.length > 0 || request[0] === 0x16, { what: 'an answer' });
  raw.destroy();
}

async function runCases(count, atOnce = 20) {
  let next = 0;
  const lane = async () => {
    while (next < count) await ALL[next++ % ALL.length]();
  };
  await Promise.all(numbers(atOnce).map(lane));
}

test('2,000 malformed connections leave the memory of the gateway as it was', async (t) => {
  const [gateway] = cluster.gateways;
  await runCases(1000);
  await assertOthersUnharmed();
  const before = gateway.residentBytes();
  await runCases(2000);
  await assertOthersUnharmed();
  const grown = gateway.residentBytes() - before;
  t.diagnostic(`resident memory: ${(before / 1024) | 0} kB, ${(grown / 1024) | 0} kB more after 2,000 connections`);
  const bound = (gateway.hasSanitizer() ? 24 : 4) << 20;
  assert.ok(grown < bound, `grown by ${grown} bytes`);
});

test('garbage on the port for gateways leaves the broker working', async () => {
  const inputs = [Buffer.alloc(0), Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(100_000, 0xff), Buffer.from('ff00000000000000017f03004e554c4c', 'hex')];
  for (const input of inputs) {
    const socket = net.connect(cluster.brokerPort, '127.0.0.1');
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('connect', resolve));
    await new Promise((resolve) => socket.end(input, resolve));
    await assertOthersUnharmed();
    socket.destroy();
  }
});

test('the bystander saw nothing of all this', async () => {
  await fence(bystander, 'quiet', bystanderRecord);
  await assertOthersUnharmed();
});
