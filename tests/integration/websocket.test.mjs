// WebSocket alone, against the echo program: messages of every size and cut come back, with and without permessage-deflate.
// What is wrong on purpose is in malformed.test.mjs and hostile.test.mjs.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import zlib from 'node:zlib';

import { Socket } from './engine.mjs';
import { ECHOES, startEcho, test, waitFor } from './harness.mjs';
import { frame, RawSocket, upgradeRequest } from './raw.mjs';

const MAX_PAYLOAD = 4_000_000;
const SIZES = [0, 1, 2, 124, 125, 126, 127, 128, 1023, 1024, 65_535, 65_536, 65_537, 1_000_000, MAX_PAYLOAD];

const plain = await startEcho(ECHOES.webSocket, '--max-payload', String(MAX_PAYLOAD));
const deflating = await startEcho(ECHOES.webSocket, '--max-payload', String(MAX_PAYLOAD), '--per-message-deflate', 'on');

const text = (size) => 'añ🦊'.repeat(size / 7 + 1).slice(0, size);
const repeating = (size) => Buffer.from('abcd'.repeat(size / 4 + 1)).subarray(0, size);

// [name, the server, the stock client's options]
const KINDS = [
  ['plain', plain, {}],
  ['asked to compress, which is off', plain, { perMessageDeflate: true }],
  ['compressed', deflating, { perMessageDeflate: { threshold: 0 } }],
  ['compressed without context takeover', deflating, { perMessageDeflate: { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true } }],
  ['compressed, the client with a small window', deflating, { perMessageDeflate: { threshold: 0, clientMaxWindowBits: 9 } }],
  ['not compressed, though the server would', deflating, {}],
];

for (const [name, server, options] of KINDS) {
  test(`${name}: messages of all sizes come back, text and binary`, async () => {
    const socket = await Socket.open(server.port, '/any/path?x=y', { maxPayload: 2 * MAX_PAYLOAD, ...options });
    assert.equal(/permessage-deflate/.test(socket.ws.extensions), name.startsWith('compressed'));
    for (const size of SIZES) {
      // What cannot be compressed is a little longer so, and what is on the wire counts, too.
      for (const message of [text(Math.floor(size / 4)), crypto.randomBytes(Math.min(size, MAX_PAYLOAD - 10_000)), repeating(size)]) {
        socket.send(message);
        const back = await socket.next();
        assert.equal(typeof back, typeof message);
        assert.ok(Buffer.from(back).equals(Buffer.from(message)), `${size}: ${back.length} came back`);
      }
    }
    socket.terminate();
  });

  test(`${name}: a thousand messages without waiting come back in order`, async () => {
    const socket = await Socket.open(server.port, '/', options);
    const messages = Array.from({ length: 1000 }, (_, i) => (i % 3 === 0 ? Buffer.from(`binary ${i}`) : `text ${i} ${'x'.repeat(i)}`));
    socket.send(...messages);
    assert.deepEqual(await socket.next(messages.length), messages);
    socket.terminate();
  });

  test(`${name}: a message too big is closed with 1009`, async () => {
    const socket = await Socket.open(server.port, '/', options);
    socket.send(Buffer.alloc(MAX_PAYLOAD + 1));
    await socket.waitClosed();
    assert.equal(socket.closed.code, 1009);
  });

  test(`${name}: a close is answered with its code`, async () => {
    const socket = await Socket.open(server.port, '/', options);
    socket.ws.close(1000, 'done');
    await socket.waitClosed();
    assert.equal(socket.closed.code, 1000);
  });
}

async function openRaw(server, headers) {
  const raw = await RawSocket.open(server.port);
  raw.write(upgradeRequest({ path: '/', headers }));
  await waitFor(() => raw.received.includes('\r\n\r\n'), { what: 'an answer' });
  raw.received = raw.received.subarray(raw.received.indexOf('\r\n\r\n') + 4);
  return raw;
}

test('fragments of every size, with pings between them, come back as one message', async () => {
  const message = Buffer.from(text(1000));
  for (const step of [1, 2, 3, 7, 100, 999]) {
    const raw = await openRaw(plain);
    for (let i = 0; i < message.length; i += step) {
      raw.write(frame({ opcode: i === 0 ? 1 : 0, fin: i + step >= message.length, payload: message.subarray(i, i + step) }));
      if (i % 5 === 0) raw.write(frame({ opcode: 9, payload: 'p' }));
    }
    raw.write(frame({ opcode: 8, payload: Buffer.from([0x03, 0xe8]) }));
    await waitFor(() => raw.ended, { what: 'the end' });
    assert.ok(raw.received.includes(message), `in steps of ${step}`);
  }
});

test('a compressed message in fragments comes back', async () => {
  const message = repeating(50_000);
  const packed = zlib.deflateRawSync(message, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
  for (const step of [1, 5, packed.length]) {
    const raw = await openRaw(deflating, { 'Sec-WebSocket-Extensions': 'permessage-deflate; server_no_context_takeover' });
    for (let i = 0; i < packed.length; i += step) {
      raw.write(frame({ opcode: i === 0 ? 2 : 0, rsv: i === 0 ? 4 : 0, fin: i + step >= packed.length, payload: packed.subarray(i, i + step) }));
    }
    raw.write(frame({ opcode: 8, payload: Buffer.from([0x03, 0xe8]) }));
    await waitFor(() => raw.ended, { what: 'the end' });
    const { received } = raw;
    assert.equal(received[0], 0xc2, 'compressed, binary, whole');
    const length = received[1] < 126 ? received[1] : received.readUInt16BE(2);
    const start = received[1] < 126 ? 2 : 4;
    const unpacked = zlib.inflateRawSync(Buffer.concat([received.subarray(start, start + length), Buffer.from('0000ffff', 'hex')]), { finishFlush: zlib.constants.Z_SYNC_FLUSH });
    assert.ok(unpacked.equals(message));
  }
});

test('offers that cannot be met are left out, the first that can is taken', async () => {
  for (const [offer, answer] of [
    ['permessage-deflate; server_max_window_bits=8, permessage-deflate', /permessage-deflate/],
    ['permessage-deflate; nonsense', null],
    ['permessage-deflate; client_max_window_bits=7', null],
    ['permessage-deflate; client_max_window_bits; client_max_window_bits', null],
    ['x-webkit-deflate-frame, permessage-deflate; client_max_window_bits', /permessage-deflate/],
    ['permessage-deflate;client_no_context_takeover', /client_no_context_takeover|permessage-deflate/],
    ['permessage-deflate; server_no_context_takeover', /server_no_context_takeover/],
  ]) {
    const raw = await RawSocket.open(deflating.port);
    raw.write(upgradeRequest({ path: '/', headers: { 'Sec-WebSocket-Extensions': offer } }));
    await waitFor(() => raw.received.includes('\r\n\r\n'), { what: 'an answer' });
    const head = raw.received.toString('latin1');
    assert.match(head, /^HTTP\/1\.1 101 /);
    const extensions = head.match(/sec-websocket-extensions: *(.*)\r/i)?.[1] ?? null;
    if (answer === null) assert.equal(extensions, null, offer);
    else assert.match(extensions ?? '', answer, offer);
    raw.destroy();
  }
});
