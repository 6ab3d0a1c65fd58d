// Engine.IO v4, rule by rule, against the echo program: handshake, messages, heartbeat, errors and limits on both transports.
// The upgrade from one to the other is in upgrade.test.mjs.

import assert from 'node:assert/strict';

import { decodePayload, encodePayload, Engine, get, getPackets, handshake, pendingGet, POLLING, post, refusal, refusedWith, request, SEPARATOR, Socket, WEBSOCKET } from './engine.mjs';
import { ECHOES, startEcho, test, waitFor } from './harness.mjs';
import { http, RawSocket, upgradeRequest } from './raw.mjs';

const MAX_PAYLOAD = 10_000;

const echo = await startEcho(ECHOES.engine, '--max-payload', String(MAX_PAYLOAD), '--ping-interval', '24s', '--ping-timeout', '19s');
const { port } = echo;
const pinging = await startEcho(ECHOES.engine, '--ping-interval', '100ms', '--ping-timeout', '10s');
const impatient = await startEcho(ECHOES.engine, '--ping-interval', '50ms', '--ping-timeout', '50ms');

async function assertGone(sid, where = port) {
  assert.deepEqual(refusal(await get(where, sid)), refusedWith(1));
  assert.deepEqual(refusal(await post(where, sid, '4x')), refusedWith(1));
}

// The session does its work.
async function assertAlive(sid, where = port) {
  assert.equal((await post(where, sid, '4alive')).status, 200);
  assert.deepEqual(await getPackets(where, sid, 1), ['4alive']);
}

// ---- handshake ----

function assertOpenPacket(open, upgrades) {
  assert.deepEqual(Object.keys(open).sort(), ['maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades']);
  assert.match(open.sid, /^[\w-]{20,}$/);
  assert.deepEqual({ ...open, sid: '' }, { sid: '', upgrades, pingInterval: 24_000, pingTimeout: 19_000, maxPayload: MAX_PAYLOAD });
}

test('polling: a handshake is answered with the open packet', async () => {
  const { status, headers, text } = await request(port, POLLING);
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^text\/plain; *charset=utf-8$/i);
  assert.equal(Number(headers['content-length']), text.length);
  assert.equal(text[0], '0');
  assertOpenPacket(JSON.parse(text.slice(1)), ['websocket']);
});

test('WebSocket: a handshake is answered with the open packet, and there is nothing left to upgrade to', async () => {
  const socket = await Socket.open(port);
  const text = await socket.next();
  assert.equal(text[0], '0');
  assertOpenPacket(JSON.parse(text.slice(1)), []);
  socket.terminate();
});

test('every session has an id of its own', async () => {
  const sids = new Set();
  for (let i = 0; i < 100; i++) sids.add((await handshake(port)).sid);
  assert.equal(sids.size, 100);
});

test('a cache buster and unknown parameters change nothing, nor their order', async () => {
  for (const query of ['t=abc123&EIO=4&transport=polling', 'transport=polling&EIO=4', 'EIO=4&transport=polling&b64=1&x=%20y&z', 'EIO=4&transport=polling&&']) {
    assertOpenPacket(await handshake(port, `/socket.io/?${query}`), ['websocket']);
  }
});

// [name, method, path, code, headers]
const REFUSED = [
  ['no transport', 'GET', '/socket.io/?EIO=4', 0],
  ['an unknown transport', 'GET', '/socket.io/?EIO=4&transport=abc', 0],
  ['WebTransport, which is not spoken', 'GET', '/socket.io/?EIO=4&transport=webtransport', 0],
  ['an empty transport', 'GET', '/socket.io/?EIO=4&transport=', 0],
  ['a transport of Object.prototype', 'GET', '/socket.io/?EIO=4&transport=constructor', 0],
  ['no EIO', 'GET', '/socket.io/?transport=polling', 5],
  ['EIO=abc', 'GET', '/socket.io/?EIO=abc&transport=polling', 5],
  ['EIO=3', 'GET', '/socket.io/?EIO=3&transport=polling', 5],
  ['an unknown sid', 'GET', `${POLLING}&sid=abc`, 1],
  ['a sid of Object.prototype', 'GET', `${POLLING}&sid=__proto__`, 1],
  ['POST to an unknown sid', 'POST', `${POLLING}&sid=abc`, 1],
  ['POST without a sid', 'POST', POLLING, 2],
  ['PUT without a sid', 'PUT', POLLING, 2],
  ['DELETE without a sid', 'DELETE', POLLING, 2],
  ['WebSocket without an upgrade', 'GET', WEBSOCKET, 3],
];

for (const [name, method, path, code] of REFUSED) {
  test(`refused with code ${code}: ${name}`, async () => {
    const answer = await request(port, path, { method, body: method === 'POST' ? '4x' : undefined });
    assert.deepEqual(refusal(answer), refusedWith(code));
    assert.match(answer.headers['content-type'], /^application\/json/);
  });
}

for (const [name, path, code] of [
  ['no EIO', '/socket.io/?transport=websocket', 5],
  ['EIO=abc', '/socket.io/?EIO=abc&transport=websocket', 5],
  ['no transport', '/socket.io/?EIO=4', 0],
  ['an unknown transport', '/socket.io/?EIO=4&transport=abc', 0],
  ['an unknown sid', `${WEBSOCKET}&sid=abc`, 1],
]) {
  test(`a WebSocket handshake is refused with code ${code}: ${name}`, async () => {
    assert.deepEqual(refusal(await Socket.refused(port, path)), refusedWith(code));
  });
}

test('a request of one transport for a session of the other is refused with code 3', async () => {
  const engine = await Engine.open(port, 'websocket');
  assert.deepEqual(refusal(await get(port, engine.sid)), refusedWith(3));
  assert.deepEqual(refusal(await post(port, engine.sid, '4x')), refusedWith(3));
  engine.send('4still');
  assert.equal(await engine.packet(/./), '4still');
  await engine.close();
});

test('a method that is neither GET nor POST is refused with code 3, and the session lives on', async () => {
  const { sid } = await handshake(port);
  for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD']) {
    const answer = await request(port, `${POLLING}&sid=${sid}`, { method });
    assert.deepEqual(refusal(answer), method === 'HEAD' ? { status: 400, text: '' } : refusedWith(3), method);
  }
  await assertAlive(sid);
});

test('the answer to HEAD has no body', async () => {
  const raw = await RawSocket.open(port);
  raw.write(`HEAD ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\nGET ${POLLING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  await waitFor(() => raw.ended, { what: 'the end of the connection' });
  const text = raw.received.toString();
  const [first, second] = text.split('\r\n\r\n');
  assert.match(first, /^HTTP\/1\.1 4\d\d /);
  assert.match(second, /^HTTP\/1\.1 200 /, text);
  raw.destroy();
});

// ---- messages ----

test('polling: a message comes back, and POST is answered with ok', async () => {
  const { sid } = await handshake(port);
  const { status, text } = await post(port, sid, '4hello');
  assert.deepEqual([status, text], [200, 'ok']);
  const answer = await get(port, sid);
  assert.equal(answer.status, 200);
  assert.match(answer.headers['content-type'], /^text\/plain; *charset=utf-8$/i);
  assert.equal(answer.text, '4hello');
});

for (const transport of ['polling', 'websocket']) {
  test(`${transport}: texts and binary messages of all kinds come back in order`, async () => {
    const packets = ['4', '4hello', Buffer.from([1, 2, 3, 4]), '4a b', Buffer.from([0]), '4héllo 🦊', '4\u2028\0\n\r', Buffer.alloc(1000, 0xff), '4b', '42["x"]', Buffer.alloc(2), '4end'];
    const engine = await Engine.open(port, transport);
    engine.send(...packets);
    await engine.waitForCount(packets.length);
    assert.deepEqual(engine.packets, packets);
    await engine.close();
  });

  test(`${transport}: an empty binary message comes back`, async () => {
    const engine = await Engine.open(port, transport);
    engine.send(Buffer.alloc(0), '4after');
    await engine.waitForCount(2);
    assert.deepEqual(engine.packets, [Buffer.alloc(0), '4after']);
    await engine.close();
  });

  test(`${transport}: 2,000 messages sent at once come back in order`, async () => {
    const engine = await Engine.open(port, transport);
    const packets = Array.from({ length: 2000 }, (_, i) => (i % 7 === 0 ? Buffer.from(`${i}`) : `4${i}`));
    for (let i = 0; i < packets.length; i += 500) {
      engine.send(...packets.slice(i, i + 500)); // below the maximum of a payload
      if (transport === 'polling') await engine.waitForCount(i + 1);
    }
    await engine.waitForCount(packets.length);
    assert.deepEqual(engine.packets, packets);
    await engine.close();
  });

  test(`${transport}: two sessions do not mix`, async () => {
    const engines = [await Engine.open(port, transport), await Engine.open(port, transport)];
    for (let i = 0; i < 50; i++) engines.forEach((engine, n) => engine.send(`4${n}:${i}`));
    for (const [n, engine] of engines.entries()) {
      await engine.waitForCount(50);
      assert.deepEqual(engine.packets, Array.from({ length: 50 }, (_, i) => `4${n}:${i}`));
      await engine.close();
    }
  });
}

test('polling: one payload with several packets, text and binary', async () => {
  const { sid } = await handshake(port);
  assert.equal((await post(port, sid, `4test1${SEPARATOR}bAQIDBA==${SEPARATOR}4test2`)).text, 'ok');
  const answer = await get(port, sid);
  assert.equal(answer.text, `4test1${SEPARATOR}bAQIDBA==${SEPARATOR}4test2`);
});

test('polling: a GET waits until there is something', async () => {
  const { sid } = await handshake(port);
  const [waiting] = await pendingGet(port, sid);
  await post(port, sid, '4late');
  assert.equal((await waiting).text, '4late');
});

test('polling: at most 16 packets in one answer, as some clients take no more', async () => {
  const { sid } = await handshake(port);
  const packets = Array.from({ length: 100 }, (_, i) => `4${i}`);
  await post(port, sid, encodePayload(packets));
  const got = [];
  while (got.length < packets.length) {
    const payload = decodePayload((await get(port, sid)).text);
    assert.ok(payload.length <= 16, `${payload.length} packets in one answer`);
    got.push(...payload);
  }
  assert.deepEqual(got, packets);
});

test('polling: any text type of content is taken, with or without a charset', async () => {
  const { sid } = await handshake(port);
  const types = ['text/plain;charset=UTF-8', 'text/plain; charset=utf-8', 'text/plain', undefined, 'application/x-www-form-urlencoded'];
  for (const [i, type] of types.entries()) {
    const headers = type === undefined ? {} : { 'Content-Type': type };
    assert.equal((await post(port, sid, `4é${i}`, { headers })).status, 200, type);
  }
  assert.deepEqual(await getPackets(port, sid, types.length), types.map((_, i) => `4é${i}`));
});

test('polling: a chunked body is taken', async () => {
  const { sid } = await handshake(port);
  const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  const head = `POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const { status } = await http(port, `${head}${chunk('4one')}${chunk(SEPARATOR)}${chunk('4tw')}${chunk('o')}0\r\n\r\n`);
  assert.equal(status, 200);
  assert.deepEqual(await getPackets(port, sid, 2), ['4one', '4two']);
});

// ---- one at a time ----

test('polling: a second GET at once is refused, the first ends, and the session is closed', async () => {
  const { sid } = await handshake(port);
  const answers = await Promise.all([get(port, sid), get(port, sid)]);
  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [200, 400]);
  assert.equal(answers.find(({ status }) => status === 200).text, '1');
  await assertGone(sid);
});

// Which of them is second is told by their ends, or by their beginnings as in the reference, where the second ends the session.
test('polling: two POSTs whose bodies come at once do not mix', async () => {
  const { sid } = await handshake(port);
  const half = `POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n`;
  const [first, second] = [await RawSocket.open(port), await RawSocket.open(port)];
  first.write(`${half}4half`);
  await handshake(port);
  second.write(`${half}4seco`);
  await handshake(port);
  second.write('nd333');
  await waitFor(() => /\r\n\r\n/.test(second.received.toString()), { what: 'an answer to the second' });
  first.write('-first');
  if (second.received.includes('HTTP/1.1 200')) {
    await waitFor(() => first.received.includes('ok'), { what: 'an answer to the first' });
    assert.deepEqual(await getPackets(port, sid, 2), ['4second333', '4half-firs']);
  } else {
    assert.match(second.received.toString(), /^HTTP\/1\.1 400 /);
    await assertGone(sid);
  }
  for (const raw of [first, second]) raw.destroy();
});

test('polling: GET and POST at once are as it should be', async () => {
  const { sid } = await handshake(port);
  for (let i = 0; i < 20; i++) {
    const [poll, sent] = await Promise.all([get(port, sid), post(port, sid, `4${i}`)]);
    assert.deepEqual([poll.text, sent.text], [`4${i}`, 'ok']);
  }
});

test('polling: a client that drops its pending GET may poll again', async () => {
  const { sid } = await handshake(port);
  const raw = await RawSocket.open(port);
  raw.write(`GET ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await handshake(port);
  raw.socket.resetAndDestroy();
  // The server closes the session (as the reference does) or lets it poll again; a poll must not hang either way.
  await handshake(port);
  await post(port, sid, '4x');
  const answer = await get(port, sid);
  assert.ok([200, 400].includes(answer.status), `status ${answer.status}`);
});

// ---- limits and invalid input ----

test('polling: a body above the maximum is answered with 413, declared or not', async () => {
  const { sid } = await handshake(port);
  const head = `POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\n`;
  assert.equal((await http(port, `${head}Content-Length: ${MAX_PAYLOAD + 1}\r\n\r\n`)).status, 413);
  const chunk = `${(1000).toString(16)}\r\n${'4'.repeat(1000)}\r\n`;
  const { sid: other } = await handshake(port);
  assert.equal((await http(port, `${head.replace(sid, other)}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(11)}`)).status, 413);
});

test('polling: a body of exactly the maximum is taken', async () => {
  const { sid } = await handshake(port);
  const body = `4${'x'.repeat(MAX_PAYLOAD - 1)}`;
  assert.equal((await post(port, sid, body)).status, 200);
  assert.deepEqual(await getPackets(port, sid, 1), [body]);
});

test('WebSocket: a message above the maximum is closed with 1009, one of exactly the maximum comes back', async () => {
  const engine = await Engine.open(port, 'websocket');
  const body = `4${'x'.repeat(MAX_PAYLOAD - 1)}`;
  engine.send(body);
  assert.equal(await engine.packet(/./), body);
  engine.send(`${body}x`);
  assert.equal((await engine.waitClosed()).code, 1009);
});

for (const [name, body] of [
  ['an unknown packet type', 'abc'],
  ['an unknown packet type behind a message', `4a${SEPARATOR}9`],
  ['type 7', '7'],
]) {
  test(`polling: ${name} closes the session`, async () => {
    const { sid } = await handshake(port);
    const { status } = await post(port, sid, body).catch(() => ({ status: 0 }));
    assert.ok([0, 200, 400].includes(status), `status ${status}`);
    await assertGone(sid);
  });
}

for (const packet of ['abc', '7', '9x', '']) {
  test(`WebSocket: the packet ${JSON.stringify(packet)} closes the session`, async () => {
    const engine = await Engine.open(port, 'websocket');
    engine.send(packet);
    await engine.waitClosed();
  });
}

// ---- heartbeat ----

for (const transport of ['polling', 'websocket']) {
  test(`${transport}: the server pings, and a session that answers lives on`, async () => {
    const engine = await Engine.open(pinging.port, transport);
    await waitFor(() => engine.pings >= 5 || engine.closed, { what: 'five pings' });
    engine.send('4alive');
    assert.equal(await engine.packet(/./), '4alive');
    assert.equal(engine.closed, null);
    await engine.close();
  });
}

test('polling: a ping is a packet of its own in the pending GET, which POST answers', async () => {
  const { sid } = await handshake(pinging.port);
  for (let i = 0; i < 3; i++) {
    assert.equal((await get(pinging.port, sid)).text, '2');
    assert.equal((await post(pinging.port, sid, '3')).text, 'ok');
  }
});

test('polling: a session that does not answer pings ends', async () => {
  const { sid } = await handshake(impatient.port);
  await waitFor(async () => (await get(impatient.port, sid)).status === 400, { what: 'the end of the session' });
  await assertGone(sid, impatient.port);
});

test('polling: a session that never polls ends', async () => {
  const { sid } = await handshake(impatient.port);
  // Not asked with its own sid, which would be a poll: a POST of nothing but a message tells.
  await waitFor(async () => (await post(impatient.port, sid, '4x')).status === 400, { what: 'the end of the session' });
  await assertGone(sid, impatient.port);
});

test('WebSocket: a session that does not answer pings ends', async () => {
  const socket = await Socket.open(impatient.port);
  await socket.waitClosed();
  assert.equal(socket.packets[1], '2');
});

// ---- close ----

test('polling: a close packet ends the session, and the pending GET is answered with noop', async () => {
  const { sid } = await handshake(port);
  const [waiting] = await pendingGet(port, sid);
  assert.equal((await post(port, sid, '1')).status, 200);
  const answer = await waiting;
  assert.deepEqual([answer.status, answer.text], [200, '6']);
  await assertGone(sid);
});

test('WebSocket: a close packet ends the connection', async () => {
  const engine = await Engine.open(port, 'websocket');
  engine.send('1');
  await engine.waitClosed();
  assert.deepEqual(refusal(await get(port, engine.sid)), refusedWith(1));
});

// ---- HTTP ----

test('one connection serves one request after the other', async () => {
  const raw = await RawSocket.open(port);
  for (let i = 1; i <= 5; i++) {
    raw.write(`GET ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await waitFor(() => raw.received.toString().split('"maxPayload"').length > i, { what: `answer ${i}` });
  }
  assert.equal(raw.ended, false);
  raw.destroy();
});

test('two requests in one segment are both answered, in order', async () => {
  const { sid } = await handshake(port);
  const raw = await RawSocket.open(port);
  const body = '4pipelined';
  raw.write(`POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}GET ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await waitFor(() => raw.received.includes(body), { what: 'both answers' });
  assert.match(raw.received.toString(), /^HTTP\/1\.1 200 [^]*\r\n\r\nokHTTP\/1\.1 200 [^]*\r\n\r\n4pipelined$/);
  raw.destroy();
});

test('a request behind a pending GET on the same connection is answered after it', async () => {
  const { sid } = await handshake(port);
  const raw = await RawSocket.open(port);
  raw.write(`GET ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\n\r\nGET ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await handshake(port);
  await post(port, sid, '4first');
  await waitFor(() => raw.received.includes('"maxPayload"'), { what: 'both answers' });
  assert.match(raw.received.toString(), /4firstHTTP\/1\.1 200 [^]*\r\n\r\n0\{/);
  raw.destroy();
});

test('an upgrade request for the polling transport does not hang', async () => {
  const { status } = await http(port, upgradeRequest({ path: POLLING }));
  assert.ok([101, 200, 400].includes(status), `status ${status}`);
});

test('Connection: close is honoured', async () => {
  const { status, ended } = await http(port, `GET ${POLLING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, { waitEnd: true });
  assert.deepEqual([status, ended], [200, true]);
});

// ---- transports ----

for (const [only, other] of [['polling', 'websocket'], ['websocket', 'polling']]) {
  test(`a server of ${only} only refuses ${other}`, async () => {
    const server = await startEcho(ECHOES.engine, '--transports', only);
    const engine = await Engine.open(server.port, only);
    assert.deepEqual(engine.handshake.upgrades, []);
    engine.send('4x');
    assert.equal(await engine.packet(/./), '4x');
    await engine.close();
    const answer = other === 'polling' ? await request(server.port, POLLING) : await Socket.refused(server.port);
    assert.deepEqual(refusal(answer), refusedWith(0));
  });
}
