// Clients below the stock client: RawClient says Engine.IO and Socket.IO text by hand over the `ws` package; http() and
// RawSocket send any bytes whatever.

import crypto from 'node:crypto';
import net from 'node:net';

import WebSocket from 'ws';

import { onCleanup, waitFor, within } from './harness.mjs';

export const ENDPOINT = '/socket.io/?EIO=4&transport=websocket';

const live = new Set();
onCleanup(() => {
  for (const socket of live) socket.terminate();
});

// ---- Engine.IO and Socket.IO by hand ----

export class RawClient {
  packets = []; // everything after the open packet but pings, as text
  closed = null; // {code, reason} once it is

  // Connected as far as the Engine.IO open packet, whose content is in `handshake`.
  static async open(port) {
    const client = new RawClient();
    client.ws = new WebSocket(`ws://127.0.0.1:${port}${ENDPOINT}`);
    live.add(client.ws);
    client.ws.on('message', (data, binary) => client.#take(binary ? `binary:${data.toString('hex')}` : data.toString()));
    client.ws.on('close', (code, reason) => {
      client.closed = { code, reason: reason.toString() };
      live.delete(client.ws);
    });
    client.ws.on('error', (err) => (client.error = err));
    await waitFor(() => client.handshake || client.closed, { what: 'the open packet' });
    if (client.closed) throw new Error(`no open packet: ${client.error}`);
    return client;
  }

  #take(text) {
    if (text === '2') this.ws.send('3');
    else if (text[0] === '0') this.handshake = JSON.parse(text.slice(1));
    else this.packets.push(text);
  }

  send(text) {
    this.ws.send(text);
  }

  // Sends CONNECT, with what a returning client presents; gives the content of the answer: {sid, pid}, or {message}.
  async connect(auth) {
    this.send(auth === undefined ? '40' : `40${JSON.stringify(auth)}`);
    const answer = await this.packet(/^4[04]/);
    const content = JSON.parse(answer.slice(2));
    Object.assign(this, content);
    return content;
  }

  // Waits for a packet that matches.
  async packet(pattern) {
    return waitFor(() => this.packets.find((text) => pattern.test(text)) ?? this.#refuseIfClosed(pattern), {
      what: () => `a packet like ${pattern}, there are: ${JSON.stringify(this.packets.slice(-10))}`,
    });
  }

  #refuseIfClosed(pattern) {
    if (this.closed) throw new Error(`closed (${JSON.stringify(this.closed)}) before a packet like ${pattern}`);
    return undefined;
  }

  #ackId = 0;

  async emitAck(...args) {
    const id = ++this.#ackId;
    this.send(`42${id}${JSON.stringify(args)}`);
    const answer = await this.packet(new RegExp(`^43${id}\\[`));
    return JSON.parse(answer.slice(2 + String(id).length))[0];
  }

  // All events so far, each as an array with its name first and the offset last.
  events(name) {
    const events = this.packets.filter((text) => text.startsWith('42[')).map((text) => JSON.parse(text.slice(2)));
    return name === undefined ? events : events.filter((event) => event[0] === name);
  }

  waitClosed() {
    return waitFor(() => this.closed, { what: 'the close of a raw client' });
  }

  // Drops the connection without a close frame.
  terminate() {
    this.ws.terminate();
  }
}

// ---- bytes ----

// A TCP connection that collects what comes.
export class RawSocket {
  received = Buffer.alloc(0);
  ended = false;

  static async open(port) {
    const raw = new RawSocket();
    raw.socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    raw.socket.on('data', (bytes) => (raw.received = Buffer.concat([raw.received, bytes])));
    raw.socket.on('close', () => (raw.ended = true));
    raw.socket.on('error', () => {}); // a reset is an end like any other here
    await within(60_000, 'a TCP connection', new Promise((resolve) => raw.socket.once('connect', resolve)));
    return raw;
  }

  write(bytes) {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  destroy() {
    this.socket.destroy();
  }
}

// Sends the bytes as a request and gives {status, headers, body, ended}: the answer, and whether the server closed after it.
export async function http(port, bytes, { waitEnd = false } = {}) {
  const raw = await RawSocket.open(port);
  try {
    raw.write(bytes);
    await waitFor(() => raw.ended || (!waitEnd && wholeAnswer(raw.received)), {
      what: () => `an answer, came: ${JSON.stringify(raw.received.toString('latin1').slice(0, 300))}`,
    });
    return { ...parseAnswer(raw.received), ended: raw.ended };
  } finally {
    raw.destroy();
  }
}

function parseAnswer(bytes) {
  const text = bytes.toString('latin1');
  const split = text.indexOf('\r\n\r\n');
  if (split < 0) return { status: 0, headers: {}, body: text };
  const [first, ...lines] = text.slice(0, split).split('\r\n');
  const headers = Object.fromEntries(lines.map((line) => [line.split(':')[0].toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  return { status: Number(first.split(' ')[1]), headers, body: text.slice(split + 4) };
}

function wholeAnswer(bytes) {
  const { status, headers, body } = parseAnswer(bytes);
  if (status === 101) return true;
  return status !== 0 && headers['content-length'] !== undefined && body.length >= Number(headers['content-length']);
}

// A request for the WebSocket endpoint. `headers` replaces or, with undefined, removes.
export function upgradeRequest({ path = ENDPOINT, method = 'GET', version = 'HTTP/1.1', headers = {} } = {}) {
  const all = {
    Host: '127.0.0.1',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': crypto.randomBytes(16).toString('base64'),
    'Sec-WebSocket-Version': '13',
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} ${version}\r\n${lines.join('')}\r\n`;
}

// A WebSocket whose frames are made by hand.
export class RawWebSocket {
  frames = []; // {opcode, payload} as they came, open packet included

  static async open(port, headers = {}) {
    const ws = new RawWebSocket();
    ws.raw = await RawSocket.open(port);
    ws.raw.write(upgradeRequest({ headers }));
    await waitFor(() => ws.#parse() > 0 || ws.raw.ended, { what: 'the open packet' });
    return ws;
  }

  // Frames parsed so far. The server's frames are not masked and not split.
  #parse() {
    if (this.rest === undefined) {
      const split = this.raw.received.indexOf('\r\n\r\n');
      if (split < 0) return 0;
      this.rest = split + 4;
    }
    const bytes = this.raw.received;
    for (;;) {
      if (bytes.length < this.rest + 2) return this.frames.length;
      let length = bytes[this.rest + 1] & 0x7f;
      let head = 2;
      if (length === 126) {
        if (bytes.length < this.rest + 4) return this.frames.length;
        length = bytes.readUInt16BE(this.rest + 2);
        head = 4;
      } else if (length === 127) {
        if (bytes.length < this.rest + 10) return this.frames.length;
        length = Number(bytes.readBigUInt64BE(this.rest + 2));
        head = 10;
      }
      if (bytes.length < this.rest + head + length) return this.frames.length;
      this.frames.push({ opcode: bytes[this.rest] & 0x0f, payload: bytes.subarray(this.rest + head, this.rest + head + length) });
      this.rest += head + length;
    }
  }

  write(bytes) {
    this.raw.write(bytes);
  }

  text(text) {
    this.write(frame({ payload: text }));
  }

  async frame(condition, what) {
    return waitFor(() => (this.#parse(), this.frames.find(condition)) ?? this.#refuseIfEnded(what), { what });
  }

  #refuseIfEnded(what) {
    if (this.raw.ended) throw new Error(`ended before ${what}: ${JSON.stringify(this.texts())}`);
    return undefined;
  }

  packet(pattern) {
    return this.frame(({ opcode, payload }) => opcode === 1 && pattern.test(payload.toString()), `a packet like ${pattern}`);
  }

  // A packet that matches, or null if the connection is closed instead.
  packetOrClose(pattern) {
    const matches = ({ opcode, payload }) => opcode === 1 && pattern.test(payload.toString());
    const look = () => {
      this.#parse();
      if (this.frames.some(matches)) return { packet: this.frames.find(matches) };
      return (this.raw.ended || this.frames.some(({ opcode }) => opcode === 8)) && { packet: null };
    };
    return waitFor(look, { what: `a packet like ${pattern}, or a close` }).then(({ packet }) => packet);
  }

  texts() {
    return this.frames.filter(({ opcode }) => opcode === 1).map(({ payload }) => payload.toString());
  }

  // Waits for the end of the connection; gives the code of the close frame: 1005 if it had none, null if no frame came.
  async closeCode() {
    await waitFor(() => {
      this.#parse();
      return this.raw.ended || this.frames.some(({ opcode }) => opcode === 8);
    }, { what: 'a close frame or the end of the connection' });
    this.#parse();
    const close = this.frames.find(({ opcode }) => opcode === 8);
    const code = close === undefined ? null : close.payload.length >= 2 ? close.payload.readUInt16BE(0) : 1005;
    // An answer to the close frame lets the server end in order.
    if (close !== undefined) this.write(frame({ opcode: 8, payload: close.payload }));
    await waitFor(() => this.raw.ended, { what: 'the end of the connection' });
    return code;
  }

  destroy() {
    this.raw.destroy();
  }
}

// The bytes of one client frame, right or wrong: `length` claims another length, `mask: false` leaves the mask out.
export function frame({ opcode = 1, fin = true, rsv = 0, payload = '', mask = true, length } = {}) {
  const body = Buffer.from(payload);
  const size = BigInt(length ?? body.length);
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const flag = mask ? 0x80 : 0;
  let head;
  if (size < 126n) head = Buffer.from([first, flag | Number(size)]);
  else if (size < 65536n) head = Buffer.from([first, flag | 126, Number(size >> 8n), Number(size & 255n)]);
  else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = flag | 127;
    head.writeBigUInt64BE(BigInt.asUintN(64, size), 2);
  }
  if (!mask) return Buffer.concat([head, body]);
  const key = crypto.randomBytes(4);
  const masked = Buffer.from(body);
  for (let i = 0; i < masked.length; i++) masked[i] ^= key[i & 3];
  return Buffer.concat([head, key, masked]);
}
