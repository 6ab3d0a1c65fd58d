// Clients that want to do harm, beyond single malformed inputs (malformed.test.mjs): slow ones, huge ones, smugglers, bombs, and
// thousands at once. The gateway's memory stays bounded, and a well-behaved client is served all the while.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { Agent } from 'node:http';
import net from 'node:net';
import zlib from 'node:zlib';

import { close, connect, fence, join, numbers, ok, Recorder, watchDisconnects } from './clients.mjs';
import { Engine, get, getPackets, handshake, pendingGet, POLLING, post, refusal, refusedWith, request, Socket, WEBSOCKET } from './engine.mjs';
import { Cluster, metric, sleep, slow, test, waitFor } from './harness.mjs';
import { Proxy } from './proxy.mjs';
import { frame, http, RawSocket, RawWebSocket, upgradeRequest } from './raw.mjs';

const MEGABYTE = 1 << 20;
const MAX_PAYLOAD = 1_000_000;

const compressed = (bytes) => {
  const packed = zlib.deflateRawSync(bytes, { finishFlush: zlib.constants.Z_SYNC_FLUSH });
  return packed.subarray(0, packed.length - 4);
};

// Made before anybody is connected: packing them takes long, and nothing else happens in this process meanwhile.
const BOMBS = [Buffer.alloc(200 * MEGABYTE), Buffer.alloc(50 * MEGABYTE, '4x'), Buffer.alloc(MAX_PAYLOAD + 1, '4')].map(compressed);
const GZIP_BOMB = zlib.gzipSync(Buffer.alloc(64 * MEGABYTE, '4'));

// Short times, so that what is bounded by time ends within a test. The ping timeout is not: the good clients are in this process,
// which has the bad ones to drive as well. Where it is what ends the bad ones there is a gateway of its own, `impatient`.
const PING_TIMEOUT_MS = 2000 * slow;
const cluster = await Cluster.start({
  gateways: 1,
  gateway: ['--max-payload', String(MAX_PAYLOAD), '--header-timeout', '3s', '--ping-interval', '300ms', '--ping-timeout', '120s', '--connect-timeout', `${3000 * slow}ms`, '--max-connections', '15000'],
});
const impatient = await cluster.addGateway(['--max-payload', String(MAX_PAYLOAD), '--ping-interval', '300ms', '--ping-timeout', `${PING_TIMEOUT_MS}ms`]);
const [gateway] = cluster.gateways;
const { port } = gateway;
const deflating = await cluster.addGateway(['--per-message-deflate', 'on', '--max-payload', String(MAX_PAYLOAD)]);
const packing = await cluster.addGateway(['--parser', 'msgpack', '--max-payload', String(MAX_PAYLOAD)]);

// A connection that has served a request and waits for the next; looked at again at the end.
const idle = await RawSocket.open(port);
idle.write(`GET ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\n`);
const idleSince = performance.now();

// ---- the others ----

class Bystander {
  static async start(server, options) {
    const bystander = new Bystander();
    bystander.socket = await connect(`http://127.0.0.1:${server.port}`, options);
    bystander.recorder = new Recorder(bystander.socket);
    bystander.disconnects = watchDisconnects(bystander.socket);
    bystander.room = `quiet ${server.port} ${Math.random()}`;
    await join(bystander.socket, bystander.room);
    return bystander;
  }

  async assertUnharmed() {
    await ok(this.socket, 'publish', this.room, 'check', 1);
    await fence(this.socket, this.room, this.recorder);
    assert.deepEqual(this.disconnects.reasons.splice(0), []);
  }
}

// A connection for each request: the short --header-timeout ends idle ones, and one that is used again just then is lost.
const unkept = new Agent({ keepAlive: false });
const bystanders = [await Bystander.start(gateway), await Bystander.start(gateway, { transports: ['polling'], agent: unkept }), await Bystander.start(deflating)];
const assertOthersUnharmed = () => Promise.all(bystanders.map((bystander) => bystander.assertUnharmed()));

// A sanitizer keeps what was freed for a while.
async function assertBounded(server, megabytes, body) {
  const before = server.residentBytes();
  server.resetPeak();
  await body();
  const most = server.peakBytes() - before;
  const bound = (server.hasSanitizer() ? 8 : 1) * megabytes * MEGABYTE;
  assert.ok(most < bound, `grown by ${(most / MEGABYTE).toFixed(1)} MiB, allowed are ${bound / MEGABYTE}`);
}

// Sends a byte now and then until the server has had enough, and gives what it said.
async function trickle(raw, byte = 'x') {
  while (!raw.ended) {
    raw.write(byte);
    await sleep(20);
  }
  return raw.received.toString('latin1');
}

// ---- slow ----

test('heads that come slowly or never end are cut off', async () => {
  const starts = ['', 'G', `GET ${POLLING} HTTP/1.1\r\n`, `GET ${POLLING} HTTP/1.1\r\nHost: x\r\nX: `, `POST ${POLLING} HTTP/1.1\r\nHost: x\r\n`];
  const raws = [];
  for (const start of numbers(50).flatMap(() => starts)) {
    const raw = await RawSocket.open(port);
    raw.write(start);
    raws.push(raw);
  }
  const ends = raws.map((raw, i) => (i % 2 === 0 ? trickle(raw) : waitFor(() => raw.ended, { what: 'the end of a silent connection' })));
  await assertOthersUnharmed();
  await Promise.all(ends);
  await assertOthersUnharmed();
});

test('a request of a connection that served some already is bounded like the first', async () => {
  const raw = await RawSocket.open(port);
  raw.write(`GET ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await waitFor(() => raw.received.includes('maxPayload'), { what: 'the first answer' });
  raw.write('GET /');
  await trickle(raw);
});

test('a body that comes slowly ends with its session at the latest', async () => {
  const other = await Bystander.start(impatient);
  const raws = [];
  for (let i = 0; i < 20; i++) {
    const { sid } = await handshake(impatient.port);
    const raw = await RawSocket.open(impatient.port);
    raw.write(`POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n4`);
    raws.push(raw);
  }
  const ends = raws.map((raw) => trickle(raw));
  await other.assertUnharmed();
  await Promise.all(ends);
  close(other.socket);
});

test('a body for no session is not waited for', async () => {
  for (const line of ['Content-Length: 900000', 'Transfer-Encoding: chunked']) {
    const { status, ended } = await http(port, `POST ${POLLING}&sid=nobody HTTP/1.1\r\nHost: x\r\n${line}\r\n\r\n`, { waitEnd: true });
    assert.deepEqual([status, ended], [400, true]);
  }
});

test('a WebSocket frame that comes slowly ends with the ping timeout', async () => {
  const begin = performance.now();
  const raw = await RawSocket.open(impatient.port);
  raw.write(upgradeRequest());
  await waitFor(() => raw.received.includes('maxPayload'), { what: 'the open packet' });
  raw.write(frame({ opcode: 2, payload: Buffer.alloc(500_000) }).subarray(0, 1000)); // bytes: of text each must be right
  await trickle(raw);
  assert.ok(performance.now() - begin > PING_TIMEOUT_MS / 2, 'it has its time, which began at the last ping');
});

// ---- huge ----

test('a giant head is refused before it has come', async () => {
  await assertBounded(gateway, 16, async () => {
    const heads = [
      `GET ${POLLING} HTTP/1.1\r\nX: ${'x'.repeat(4 * MEGABYTE)}`,
      `GET /${'x'.repeat(4 * MEGABYTE)}`,
      `GET ${POLLING} HTTP/1.1\r\n${'X: y\r\n'.repeat(500_000)}`,
      'x'.repeat(4 * MEGABYTE),
      '\r\n'.repeat(2 * MEGABYTE),
    ];
    await Promise.all(heads.flatMap((head) => numbers(5).map(async () => {
      const raw = await RawSocket.open(port);
      raw.write(head);
      await waitFor(() => raw.ended, { what: `the end of ${head.slice(0, 20)}` });
      raw.destroy();
    })));
  });
  await assertOthersUnharmed();
});

test('bodies over the limit are refused before they have come, declared or chunked', async () => {
  await assertBounded(gateway, 16, async () => {
    await Promise.all(numbers(30).map(async (i) => {
      const { sid } = await handshake(port);
      const raw = await RawSocket.open(port);
      const head = `POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\n`;
      if (i % 3 === 0) raw.write(`${head}Content-Length: ${MAX_PAYLOAD + 1}\r\n\r\n`);
      else if (i % 3 === 1) raw.write(`${head}Content-Length: 9007199254740993\r\n\r\n`);
      else raw.write(`${head}Transfer-Encoding: chunked\r\n\r\n${`10000\r\n${'x'.repeat(65_536)}\r\n`.repeat(64)}`);
      await waitFor(() => raw.ended || /^HTTP\/1\.1 \d/.test(raw.received.toString('latin1')), { what: 'an answer' });
      const text = raw.received.toString('latin1');
      assert.ok(text === '' || text.startsWith('HTTP/1.1 413'), text.slice(0, 40)); // a reset may overtake it
      raw.destroy();
    }));
  });
  await assertOthersUnharmed();
});

test('a chunk size past all limits is refused', async () => {
  for (const size of ['ffffffff', 'ffffffffffffffff', '10000000000000000', 'f4241', '000000000000000000000000000f4241']) {
    const { sid } = await handshake(port);
    const { status } = await http(port, `POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\n`);
    assert.ok([400, 413].includes(status), `${size}: ${status}`);
  }
});

test('a compressed body is not unpacked', async () => {
  await assertBounded(gateway, 16, async () => {
    for (let i = 0; i < 10; i++) {
      const { sid } = await handshake(port);
      const { status } = await post(port, sid, GZIP_BOMB, { headers: { 'Content-Encoding': 'gzip', 'Content-Type': 'text/plain' } });
      assert.ok([400, 415].includes(status), `status ${status}`);
    }
  });
});

// ---- smugglers ----

const SMUGGLED = (victim) => `POST ${POLLING}&sid=${victim} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1x`;

// [name, the header lines and the body of a POST, in which {smuggled} is another request]
const SMUGGLERS = [
  ['content length and chunked', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}'],
  ['chunked and content length', 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}'],
  ['two content lengths', 'Content-Length: 2\r\nContent-Length: 3\r\n\r\n4x{smuggled}'],
  ['the same content length twice, in one line', 'Content-Length: 2, 2\r\n\r\n4x{smuggled}'],
  ['a content length in hexadecimal', 'Content-Length: 0x2\r\n\r\n4x{smuggled}'],
  ['a content length with a plus', 'Content-Length: +2\r\n\r\n4x{smuggled}'],
  ['a content length with a space inside', 'Content-Length: 2 0\r\n\r\n4x{smuggled}'],
  ['a content length with a vertical tab', 'Content-Length: \v2\r\n\r\n4x{smuggled}'],
  ['no number as content length', 'Content-Length: \r\n\r\n4x{smuggled}'],
  ['a space before the colon', 'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}'],
  ['a tab before the colon', 'Content-Length\t: 2\r\n\r\n4x{smuggled}'],
  ['an unknown encoding before chunked', 'Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{smuggled}'],
  ['chunked not last', 'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}'],
  ['xchunked', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}'],
  ['chunked twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}'],
  ['chunked and identity in two lines', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{smuggled}'],
  ['chunked in quotes', 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n{smuggled}'],
  ['chunked with a vertical tab', 'Transfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n{smuggled}'],
  ['a bare LF after a header', 'X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}'],
  ['a bare LF at the end of the head', 'Content-Length: 2\r\n\n4x{smuggled}'],
  ['a bare CR in a header', 'X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}'],
  ['a folded header', 'X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n4x{smuggled}'],
  ['a NUL in a header', 'X: y\0\r\nContent-Length: 2\r\n\r\n4x{smuggled}'],
  ['a bare LF after a chunk size', 'Transfer-Encoding: chunked\r\n\r\n2\n4x\r\n0\r\n\r\n{smuggled}'],
  ['a bare LF after a chunk', 'Transfer-Encoding: chunked\r\n\r\n2\r\n4x\n0\r\n\r\n{smuggled}'],
  ['a bare CR after a chunk size', 'Transfer-Encoding: chunked\r\n\r\n2\r4x\r\n0\r\n\r\n{smuggled}'],
  ['nothing after a chunk', 'Transfer-Encoding: chunked\r\n\r\n2\r\n4x0\r\n\r\n{smuggled}'],
  ['a chunk size with 0x', 'Transfer-Encoding: chunked\r\n\r\n0x2\r\n4x\r\n0\r\n\r\n{smuggled}'],
  ['a chunk size with a sign', 'Transfer-Encoding: chunked\r\n\r\n+2\r\n4x\r\n0\r\n\r\n{smuggled}'],
  ['a chunk size with a space before it', 'Transfer-Encoding: chunked\r\n\r\n 2\r\n4x\r\n0\r\n\r\n{smuggled}'],
  ['an empty chunk size', 'Transfer-Encoding: chunked\r\n\r\n\r\n{smuggled}'],
  ['a bare LF in a chunk extension', 'Transfer-Encoding: chunked\r\n\r\n2;a\n4x\r\n0\r\n\r\n{smuggled}'],
  ['a bare LF in the trailer', 'Transfer-Encoding: chunked\r\n\r\n2\r\n4x\r\n0\r\nX: y\n\r\n{smuggled}'],
  ['chunked in HTTP/1.0', null],
];

for (const [name, rest] of SMUGGLERS) {
  test(`smuggling: ${name} is refused, and nothing behind it is read`, async () => {
    const victim = await Engine.open(port, 'polling');
    const { sid } = await handshake(port);
    const version = rest === null ? 'HTTP/1.0' : 'HTTP/1.1';
    const tail = (rest ?? 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}').replace('{smuggled}', SMUGGLED(victim.sid));
    const raw = await RawSocket.open(port);
    raw.write(`POST ${POLLING}&sid=${sid} ${version}\r\nHost: x\r\n${tail}`);
    await waitFor(() => raw.ended, { what: () => `the end of the connection, which said ${JSON.stringify(raw.received.toString('latin1'))}` });
    const answers = raw.received.toString('latin1').match(/HTTP\/1\.\d \d{3}/g) ?? [];
    assert.ok(answers.length <= 1, answers.join());
    assert.ok(answers.every((answer) => /400|411|501/.test(answer)), answers.join());
    victim.send('40');
    await victim.packet(/^40/);
    await victim.close();
  });
}

test('a body of a request without one is the next request, not a part of it', async () => {
  const raw = await RawSocket.open(port);
  raw.write(`GET ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\nxx GET / HTTP/1.1\r\n\r\n`);
  await waitFor(() => raw.ended, { what: 'the end of the connection' });
  const answers = raw.received.toString('latin1').match(/HTTP\/1\.1 \d{3}/g);
  assert.deepEqual([answers[0], answers.length <= 2], ['HTTP/1.1 200', true]);
  assert.ok(answers.slice(1).every((answer) => /400|501|505/.test(answer)), answers.join());
});

test('a request without a body has none: GET with a length', async () => {
  const raw = await RawSocket.open(port);
  raw.write(`GET ${POLLING} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /GET ${POLLING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  await waitFor(() => raw.ended, { what: 'the end of the connection' });
  const answers = raw.received.toString('latin1').match(/HTTP\/1\.1 \d{3}/g);
  // It is read and thrown away, or not read any more, or refused; never taken for a request.
  assert.ok(['HTTP/1.1 200,HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 400', 'HTTP/1.1 413'].includes(answers.join()), answers.join());
});

// ---- many ----

test('10,000 connections that are opened and dropped leave nothing behind', async (t) => {
  const starts = ['', 'GET /socket', `GET ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\n`, upgradeRequest(), `${upgradeRequest()}x`, `POST ${POLLING} HTTP/1.1\r\nContent-Length: 9\r\n\r\n4`];
  const storm = async (count) => {
    let opened = 0;
    const lane = async () => {
      while (opened < count) {
        const start = starts[opened++ % starts.length];
        const socket = net.connect({ port, host: '127.0.0.1' });
        socket.on('error', () => {});
        await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
        if (start !== '') await new Promise((resolve) => socket.write(start, resolve));
        socket.resetAndDestroy();
      }
    };
    await Promise.all(numbers(200).map(lane));
  };
  const settled = () => waitFor(async () => (await metric(gateway, 'reprise_gateway_clients')) <= bystanders.length, { what: 'the clients to be gone' });
  await storm(3000);
  await settled();
  const before = gateway.residentBytes();
  const during = assertOthersUnharmed();
  await storm(10_000);
  await during;
  await settled();
  const grown = gateway.residentBytes() - before;
  t.diagnostic(`${(grown / 1024) | 0} kB more after 10,000 connections`);
  assert.ok(grown < (gateway.hasSanitizer() ? 64 : 8) * MEGABYTE, `grown by ${grown} bytes`);
  await assertOthersUnharmed();
});

test('5,000 connections that stay and say nothing are cut off, and others are served meanwhile', async () => {
  const raws = [];
  for (let i = 0; i < 5000; i += 250) raws.push(...(await Promise.all(numbers(250).map(() => RawSocket.open(port)))));
  await assertOthersUnharmed();
  await waitFor(() => raws.every((raw) => raw.ended), { what: 'the end of all of them' });
  await assertOthersUnharmed();
});

test('fifty upgrades of one session at once: at most one wins, and the session is not harmed', async () => {
  const { sid } = await handshake(port);
  const sockets = numbers(50).map(() => new Socket(port, `${WEBSOCKET}&sid=${sid}`));
  await waitFor(() => sockets.every((socket) => socket.opened || socket.closed), { what: 'an answer to each' });
  for (const socket of sockets) if (socket.opened && !socket.closed) socket.send('2probe');
  await waitFor(() => sockets.every((socket) => socket.closed || socket.packets.length > 0), { what: 'a close or a probe of each' });
  const alive = sockets.filter((socket) => !socket.closed && socket.packets[0] === '3probe');
  assert.equal(alive.length, 1);
  alive[0].send('5', '40');
  await waitFor(() => alive[0].packets.some((packet) => String(packet).startsWith('40{')), { what: 'the session over WebSocket' });
  alive[0].terminate();
  await assertOthersUnharmed();
});

test('polls left behind by clients that died without a word end with the ping timeout', async () => {
  const other = await Bystander.start(impatient);
  const proxy = await Proxy.start(impatient.port);
  for (let i = 0; i < 50; i++) {
    const { sid } = await handshake(proxy.port, POLLING, { agent: false });
    get(proxy.port, sid, { agent: false }).catch(() => {});
  }
  const clients = () => metric(impatient, 'reprise_gateway_clients');
  const came = await clients();
  assert.ok(came > 1, `${came} clients`); // those that came first may be over already
  proxy.abandon();
  await waitFor(async () => (await clients()) <= 1, { what: 'the end of the dead' });
  await other.assertUnharmed();
  close(other.socket);
});

test('2,000 polls of sessions that exist nowhere', async () => {
  const answers = await Promise.all(numbers(2000).map((i) => get(port, `nobody${i}`)));
  for (const answer of answers) assert.deepEqual(refusal(answer), refusedWith(1));
  await assertOthersUnharmed();
});

test('a second POST while the first is still being taken is refused, and the session is closed', async () => {
  const own = await Cluster.start({ gateways: 1 });
  const where = own.port(0);
  const { sid } = await handshake(where);
  await post(where, sid, '40');
  await getPackets(where, sid, 1);
  await own.broker.kill();
  // More events than the gateway keeps for one client, so that the rest of the payload has to wait.
  const many = post(where, sid, numbers(5000).map((i) => `42["publish","r","n",${i}]`).join('\x1e'));
  const clients = () => metric(own.gateways[0], 'reprise_gateway_clients_paused_total');
  await waitFor(async () => (await clients()) > 0, { what: 'the first POST to wait' });
  const [first, second] = await Promise.all([many, post(where, sid, '4x')]);
  assert.deepEqual([first.status, refusal(second)], [400, refusedWith(3)]);
  assert.deepEqual(refusal(await get(where, sid)), refusedWith(1));
  await own.broker.start();
});

// ---- packets ----

const deep = (depth) => '['.repeat(depth) + ']'.repeat(depth);

test('polling: JSON 100,000 deep, and counts of attachments past all limits', async () => {
  for (const packet of [`42["publish","r","e",${deep(100_000)}]`, `42["publish","r","e",${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}]`, '['.repeat(200_000), `40${deep(100_000)}`, '455999999999-["e"]', '4518446744073709551617-["e"]', `45${'9'.repeat(100_000)}-["e"]`, `42/${'n'.repeat(500_000)},["e"]`, `42${'1'.repeat(500_000)}["e"]`, `4${'2'.repeat(900_000)}`]) {
    const { sid } = await handshake(port);
    await post(port, sid, '40');
    await getPackets(port, sid, 1);
    const { status } = await post(port, sid, packet).catch(() => ({ status: 0 }));
    assert.ok([0, 200, 400, 413].includes(status), `${status} for ${packet.slice(0, 40)}`);
  }
  await assertOthersUnharmed();
});

test('polling: payloads of nothing but separators, pongs, noops or invalid base64', async () => {
  for (const body of ['\x1e'.repeat(900_000), '3\x1e'.repeat(400_000), '6\x1e'.repeat(400_000), `b${'!'.repeat(1000)}`, 'b'.repeat(900_000), 'bAAA\x1e'.repeat(100_000), `4${'\0'.repeat(900_000)}`, Buffer.alloc(900_000, 0xff), '']) {
    const { sid } = await handshake(port);
    const { status } = await post(port, sid, body).catch(() => ({ status: 0 }));
    assert.ok([0, 200, 400].includes(status), `${status} for ${String(body).slice(0, 10)}`);
  }
  await assertOthersUnharmed();
});

test('clients that announce attachments and never send the last are bounded', async () => {
  await assertBounded(gateway, 160, async () => {
    const engines = await Promise.all(numbers(20).map(() => Engine.open(port)));
    for (const engine of engines) {
      engine.send('40');
      await engine.packet(/^40/);
      engine.send(`4510-["publish","r","e"${numbers(10).map((num) => `,{"_placeholder":true,"num":${num}}`).join('')}]`);
      for (let i = 0; i < 9; i++) engine.send(Buffer.alloc(500_000));
    }
    await assertOthersUnharmed();
    assert.ok(engines.every(({ closed }) => closed === null));
    for (const engine of engines) await engine.close();
  });
});

// ---- bombs ----

const DEFLATE = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };
const ROUND_TRIPS_MIN = 20; // one or two may be served before or after all the bombs; more only between them

async function openDeflate() {
  const raw = await RawSocket.open(deflating.port);
  raw.write(upgradeRequest({ headers: DEFLATE }));
  await waitFor(() => raw.received.includes('\r\n\r\n'), { what: 'an answer' });
  assert.match(raw.received.toString('latin1'), /sec-websocket-extensions: *permessage-deflate/i);
  return raw;
}

test('WebSocket: what unpacks to more than a message may have is closed, with little memory', async () => {
  await assertBounded(deflating, 24, async () => {
    await Promise.all(numbers(12).map(async (i) => {
      const raw = await openDeflate();
      raw.write(frame({ payload: BOMBS[i % BOMBS.length], rsv: 4, opcode: i % 2 === 0 ? 1 : 2 }));
      await waitFor(() => raw.ended, { what: 'the end of the connection' });
      raw.destroy();
    }));
  });
  await assertOthersUnharmed();
});

// They are unpacked once they are all there, which the pong tells.
test('WebSocket: a bomb in many fragments is closed with 1009, with little memory', async () => {
  const [bomb] = BOMBS;
  await assertBounded(deflating, 24, async () => {
    const ws = await RawWebSocket.open(deflating.port, DEFLATE);
    const fragment = (from, to) => frame({ payload: bomb.subarray(from, to), rsv: from === 0 ? 4 : 0, opcode: from === 0 ? 2 : 0, fin: to >= bomb.length });
    const last = bomb.length - 1;
    for (let i = 0; i < last; i += 100) ws.write(fragment(i, Math.min(i + 100, last)));
    ws.write(frame({ opcode: 9, payload: 'all but one' }));
    await ws.frame(({ opcode, payload }) => opcode === 10 && payload.toString() === 'all but one', 'the pong');
    ws.write(fragment(last, bomb.length));
    assert.equal(await ws.closeCode(), 1009);
  });
  await assertOthersUnharmed();
});

test('WebSocket: fragments of a compressed message are not kept beyond the limit, though it never ends', async () => {
  await assertBounded(deflating, 24, async () => {
    const ws = await RawWebSocket.open(deflating.port, DEFLATE);
    const part = crypto.randomBytes(100_000);
    for (let i = 0; i < 200; i++) ws.write(frame({ payload: part, rsv: i === 0 ? 4 : 0, opcode: i === 0 ? 2 : 0, fin: false }));
    await waitFor(() => ws.raw.ended, { what: 'the end of the connection' });
  });
  await assertOthersUnharmed();
});

test('WebSocket: what cannot be unpacked is closed', async () => {
  for (const input of [
    frame({ payload: Buffer.alloc(100, 0xff), rsv: 4 }),
    frame({ payload: '', rsv: 4 }),
    frame({ payload: compressed(Buffer.from('40')).subarray(0, 1), rsv: 4 }),
    frame({ payload: compressed(Buffer.from([0x34, 0xff, 0xfe])), rsv: 4 }),
    Buffer.concat([frame({ payload: '4', fin: false }), frame({ payload: compressed(Buffer.from('0')), rsv: 4, opcode: 0 })]),
    frame({ opcode: 9, payload: compressed(Buffer.from('x')), rsv: 4 }),
    frame({ payload: compressed(Buffer.from('40')), rsv: 6 }),
  ]) {
    const raw = await openDeflate();
    raw.write(input);
    await waitFor(() => raw.ended, { what: `the end after ${input.toString('hex').slice(0, 40)}` });
  }
  await assertOthersUnharmed();
});

test('WebSocket: 2,000 messages of almost a megabyte each, in a kilobyte, do not stop the others', async (t) => {
  const packed = frame({ payload: compressed(Buffer.from(`42["x","${'y'.repeat(900_000)}"]`)), rsv: 4 });
  const [, , bystander] = bystanders; // of the same gateway
  const raw = await openDeflate();
  raw.write(frame({ payload: '40' }));
  await waitFor(() => raw.received.includes('40{'), { what: 'the answer to CONNECT' });
  // The answer to what is behind all the bombs tells that they have been taken.
  raw.write(Buffer.concat([...numbers(2000).map(() => packed), frame({ payload: '427["presence","r"]' })]));
  let trips = 0;
  let longest = 0;
  for (;;) {
    const begin = performance.now();
    await ok(bystander.socket, 'publish', bystander.room, 'check', trips);
    assert.equal(raw.ended, false, 'who breaks no rule is not closed');
    if (raw.received.includes('437[')) break;
    trips++;
    longest = Math.max(longest, performance.now() - begin);
  }
  t.diagnostic(`${trips} round trips of another client meanwhile, the longest took ${longest.toFixed(0)} ms`);
  assert.ok(trips >= ROUND_TRIPS_MIN, `${trips} round trips`);
  raw.destroy();
  await assertOthersUnharmed();
});

// A msgpack packet of Socket.IO whose parts are bytes.
const text = (value) => Buffer.concat([Buffer.from([0xd9, Buffer.byteLength(value)]), Buffer.from(value)]);
const eventOf = (...args) => Buffer.concat([Buffer.from([0x83]), text('type'), Buffer.from([2]), text('nsp'), text('/'), text('data'), Buffer.from([0x90 + args.length]), ...args]);
const hex = (value) => Buffer.from(value, 'hex');
const publish = (bytes) => eventOf(text('publish'), text('r'), text('e'), bytes);
const CONNECT = Buffer.concat([Buffer.from([0x82]), text('type'), Buffer.from([0]), text('nsp'), text('/')]);

const MSGPACK = [
  ['nothing', Buffer.alloc(0)],
  ['an array of 2^32 - 1', hex('ddffffffff')],
  ['a map of 2^32 - 1', hex('dfffffffff')],
  ['a text of 2^32 - 1 bytes', hex('dbffffffff78')],
  ['bytes of 2^32 - 1', hex('c6ffffffff78')],
  ['an extension of 2^32 - 1 bytes', hex('c9ffffffff0178')],
  ['the reserved c1', hex('c1')],
  ['arrays 900,000 deep', Buffer.alloc(900_000, 0x91)],
  ['maps 400,000 deep', Buffer.from('81a1'.repeat(400_000), 'hex')],
  ['an argument 100,000 deep', publish(Buffer.concat([Buffer.alloc(100_000, 0x91), Buffer.from([0xc0])]))],
  ['an argument of 2^32 - 1 items', publish(hex('ddffffffff'))],
  ['an argument of 2^31 nils that are not there', publish(hex('dd80000000c0c0'))],
  ['an argument that ends early', publish(hex('d9ff78'))],
  ['an array of 65,535 maps of 65,535', publish(Buffer.concat([hex('dcffff'), hex('deffff')]))],
  ['a text that is not UTF-8', publish(hex('a2fffe'))],
  ['a key that is a map', publish(hex('818001'))],
  ['two packets in one frame', Buffer.concat([CONNECT, CONNECT])],
  ['a packet that is a list', hex('9102')],
  ['a type of 5', Buffer.concat([Buffer.from([0x82]), text('type'), Buffer.from([5]), text('nsp'), text('/')])],
  ['a type that is a text', Buffer.concat([Buffer.from([0x82]), text('type'), text('2'), text('nsp'), text('/')])],
  ['no namespace', Buffer.concat([Buffer.from([0x81]), text('type'), Buffer.from([2])])],
];

for (const [name, bytes] of MSGPACK) {
  test(`msgpack: ${name} ends the connection or is answered with an error, with little memory`, async () => {
    await assertBounded(packing, 24, async () => {
      for (const transport of ['websocket', 'polling']) {
        const engine = await Engine.open(packing.port, transport);
        engine.send(CONNECT);
        await engine.waitForCount(1);
        engine.send(bytes, CONNECT); // a second CONNECT would close it at the latest
        await engine.waitClosed();
      }
    });
    const bystander = await Bystander.start(packing, { parser: (await import('socket.io-msgpack-parser')).default });
    await bystander.assertUnharmed();
    close(bystander.socket);
  });
}

test('text packets to a gateway that speaks msgpack end the connection', async () => {
  for (const packet of ['40', '42["join","r"]', '4x']) {
    const engine = await Engine.open(packing.port);
    engine.send(packet);
    await engine.waitClosed();
  }
});

test('a kept connection is not told that a head is late before one has begun, for that would be taken for the next answer', async () => {
  await waitFor(() => performance.now() - idleSince > 4000 || idle.ended, { what: 'more than --header-timeout to pass' });
  assert.match(idle.received.toString(), /^HTTP\/1\.1 200 [^]*\r\n\r\n0\{[^}]*\}$/);
  if (idle.ended) return;
  idle.write(`GET ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await waitFor(() => idle.received.toString().split('"maxPayload"').length === 3, { what: 'the second answer' });
  idle.destroy();
});

test('after all this the gateways serve as before', async () => {
  await assertOthersUnharmed();
  for (const server of [gateway, deflating, packing]) {
    assert.equal(server.running, true);
    assert.equal((await request(server.port, POLLING)).status, 200);
    const [waiting] = await pendingGet(server.port, (await handshake(server.port)).sid);
    waiting.catch(() => {});
  }
});
