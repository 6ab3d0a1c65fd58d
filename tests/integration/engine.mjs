// Engine.IO by hand, over both transports and through an upgrade; and the HTTP requests it is made of.
//
// Beside it: raw.mjs speaks bytes, for what is not valid HTTP or WebSocket any more.

import http from 'node:http';
import https from 'node:https';

import WebSocket from 'ws';

import { onCleanup, waitFor, within } from './harness.mjs';

export const POLLING = '/socket.io/?EIO=4&transport=polling';
export const WEBSOCKET = '/socket.io/?EIO=4&transport=websocket';
export const SEPARATOR = '\x1e';
export const ERRORS = ['Transport unknown', 'Session ID unknown', 'Bad handshake method', 'Bad request', 'Forbidden', 'Unsupported protocol version'];

// ---- HTTP ----

// Connections that are idle are given up before a server may do so, or it could happen just when the next request is on its way.
const KEPT_MS = 1_000;
const agents = [new http.Agent({ keepAlive: true, timeout: KEPT_MS }), new https.Agent({ keepAlive: true, timeout: KEPT_MS, rejectUnauthorized: false })];
const live = new Set();
onCleanup(() => {
  for (const socket of live) socket.terminate();
  for (const agent of agents) agent.destroy();
});

// One request; gives {status, headers, body, text}. `where` is a port of 127.0.0.1 or options of http.request(), with `tls` for HTTPS.
export function request(where, path, { method = 'GET', headers = {}, body, ...more } = {}) {
  const { tls = false, ...place } = typeof where === 'number' ? { host: '127.0.0.1', port: where } : where;
  const answer = new Promise((resolve, reject) => {
    const options = { agent: agents[tls ? 1 : 0], rejectUnauthorized: false, method, path, headers, ...place, ...more };
    const sent = (tls ? https : http).request(options, (got) => {
      const chunks = [];
      got.on('data', (bytes) => chunks.push(bytes));
      got.on('error', reject);
      got.on('end', () => resolve(whole(got, Buffer.concat(chunks))));
    });
    sent.on('error', reject);
    sent.end(body);
  });
  return within(60_000, `the answer to ${method} ${path}`, answer);
}

const whole = (got, body) => ({ status: got.statusCode, headers: got.headers, body, text: body.toString() });

// {status, code, message} of an Engine.IO refusal.
export function refusal({ status, text }) {
  try {
    return { status, ...JSON.parse(text) };
  } catch {
    return { status, text };
  }
}

export const refusedWith = (code) => ({ status: code === 4 ? 403 : 400, code, message: ERRORS[code] });

// Opens a session over polling and gives the open packet's content.
export async function handshake(where, path = POLLING, options = {}) {
  const { status, text } = await request(where, path, options);
  if (status !== 200 || text[0] !== '0') throw new Error(`handshake: ${status} ${text}`);
  return JSON.parse(text.slice(1));
}

export const get = (where, sid, options) => request(where, `${POLLING}&sid=${sid}`, options);
export const post = (where, sid, body, options) => request(where, `${POLLING}&sid=${sid}`, { method: 'POST', body, ...options });

// The packets of a payload: text as it is, binary as a buffer.
export const decodePayload = (text) => text.split(SEPARATOR).map((packet) => (packet[0] === 'b' ? Buffer.from(packet.slice(1), 'base64') : packet));
export const encodePayload = (packets) => packets.map((packet) => (Buffer.isBuffer(packet) ? `b${packet.toString('base64')}` : packet)).join(SEPARATOR);

// Polls until as many packets have come, and gives them all. Pings are left out.
export async function getPackets(where, sid, count) {
  const packets = [];
  while (packets.length < count) {
    const { status, text } = await get(where, sid);
    if (status !== 200) throw new Error(`poll: ${status} ${text}, after ${JSON.stringify(packets)}`);
    packets.push(...decodePayload(text).filter((packet) => packet !== '2'));
  }
  return packets;
}

// Starts a poll, and resolves to [its promise] once the server has surely read it: it answers what was sent later, elsewhere.
export async function pendingGet(where, sid) {
  const answer = get(where, sid);
  answer.catch(() => {});
  for (let i = 0; i < 3; i++) await request(where, '/socket.io/?EIO=4&transport=none');
  return [answer];
}

// ---- WebSocket ----

// A WebSocket that keeps what comes: `packets` with text as strings and binary as buffers, `closed` once it is.
export class Socket {
  packets = [];
  closed = null; // {code, reason}
  opened = false;

  constructor(where, path = WEBSOCKET, { headers, ...more } = {}) {
    const { tls = false, ...place } = typeof where === 'number' ? { host: '127.0.0.1', port: where } : where;
    const { socketPath, host = 'localhost', port } = place;
    const url = socketPath === undefined ? `${tls ? 'wss' : 'ws'}://${host.includes(':') ? `[${host}]` : host}:${port}${path}` : `ws+unix:${socketPath}:${path}`;
    this.ws = new WebSocket(url, { headers, rejectUnauthorized: false, perMessageDeflate: false, ...more });
    live.add(this.ws);
    this.ws.on('open', () => (this.opened = true));
    this.ws.on('message', (data, binary) => this.take(binary ? data : data.toString()));
    this.ws.on('unexpected-response', (_, answer) => {
      const chunks = [];
      answer.on('data', (bytes) => chunks.push(bytes));
      answer.on('end', () => {
        this.refused = whole(answer, Buffer.concat(chunks));
        this.closed ??= { code: null, reason: `${answer.statusCode}` };
      });
    });
    this.ws.on('error', (err) => (this.closed ??= { code: null, reason: err.message }));
    this.ws.on('close', (code, reason) => {
      this.closed ??= { code, reason: reason.toString() };
      live.delete(this.ws);
    });
  }

  static async open(...args) {
    const socket = new Socket(...args);
    await waitFor(() => socket.opened || socket.closed, { what: 'the opening of a WebSocket' });
    if (!socket.opened) throw new Error(`WebSocket refused: ${JSON.stringify(socket.closed)}`);
    return socket;
  }

  // The answer to a handshake that must be refused.
  static async refused(...args) {
    const socket = new Socket(...args);
    await waitFor(() => socket.refused || socket.opened, { what: 'the refusal of a WebSocket' });
    if (socket.refused === undefined) throw new Error('the WebSocket was not refused');
    return socket.refused;
  }

  take(packet) {
    this.packets.push(packet);
  }

  send(...packets) {
    for (const packet of packets) this.ws.send(packet);
  }

  // Waits until as many packets have come, and takes them out.
  async next(count = 1) {
    await waitFor(() => this.packets.length >= count || this.closed, {
      what: () => `${count} packets, came: ${JSON.stringify(this.packets.slice(0, 10))}`,
    });
    if (this.packets.length < count) throw new Error(`closed (${JSON.stringify(this.closed)}) after ${JSON.stringify(this.packets)}`);
    return count === 1 ? this.packets.shift() : this.packets.splice(0, count);
  }

  waitClosed() {
    return waitFor(() => this.closed, { what: () => `the close of a WebSocket, which got ${JSON.stringify(this.packets.slice(-5))}` });
  }

  terminate() {
    this.ws.terminate();
  }
}

// ---- a session ----

// An Engine.IO client. `packets` are all that came after the open packet but pings and noops, which are counted; pings are answered.
export class Engine {
  packets = [];
  pings = 0;
  noops = 0;
  payloads = []; // packets in each polling answer
  closed = null;
  #queue = []; // not yet posted
  #posting = null;
  #polling = null;
  #paused = false;

  constructor(where, transport, options) {
    Object.assign(this, { where, transport, options });
  }

  static async open(where, transport = 'websocket', options = {}) {
    const engine = new Engine(where, transport, options);
    if (transport === 'websocket') {
      engine.#attach(await Socket.open(where, WEBSOCKET, options));
      await waitFor(() => engine.handshake || engine.closed, { what: 'the open packet' });
      if (engine.closed) throw new Error(`closed before the open packet: ${JSON.stringify(engine.closed)}`);
    } else {
      engine.handshake = await handshake(where, POLLING, options);
      engine.#polling = engine.#poll();
    }
    return engine;
  }

  get sid() {
    return this.handshake.sid;
  }

  #attach(socket) {
    this.socket = socket;
    for (const packet of socket.packets.splice(0)) this.#take(packet);
    socket.take = (packet) => this.#take(packet);
    if (socket.closed) this.closed = socket.closed;
    socket.ws.on('close', (code, reason) => (this.closed ??= { code, reason: reason.toString() }));
  }

  async #poll() {
    while (!this.#paused && this.closed === null) {
      try {
        const answer = await get(this.where, this.sid, this.options);
        if (answer.status !== 200) throw new Error(`poll: ${answer.status} ${answer.text}`);
        const packets = decodePayload(answer.text);
        this.payloads.push(packets.length);
        for (const packet of packets) this.#take(packet);
      } catch (err) {
        this.closed ??= { code: null, reason: err.message };
      }
    }
  }

  #take(packet) {
    if (typeof packet === 'string' && packet[0] === '0') this.handshake = JSON.parse(packet.slice(1));
    else if (packet === '6') this.noops++;
    else if (packet === '1') this.closed ??= { code: 1, reason: 'close packet' };
    else if (packet === '2') {
      this.pings++;
      this.send('3');
    } else this.packets.push(packet);
  }

  // Packets, each with its type in front; buffers are binary messages.
  send(...packets) {
    if (this.transport === 'websocket') {
      if (this.socket.ws.readyState === WebSocket.OPEN) this.socket.send(...packets);
      return;
    }
    this.#queue.push(...packets);
    this.#posting ??= this.#post();
  }

  async #post() {
    while (this.#queue.length > 0 && !this.#paused && this.closed === null) {
      const body = encodePayload(this.#queue.splice(0));
      try {
        const { status, text } = await post(this.where, this.sid, body, this.options);
        if (status !== 200) throw new Error(`post: ${status} ${text}`);
      } catch (err) {
        this.closed ??= { code: null, reason: err.message };
      }
    }
    this.#posting = null;
  }

  // Moves the session to a WebSocket, as a client must: probe, pause, upgrade, go on.
  async upgrade(where = this.where) {
    const socket = await Socket.open(where, `${WEBSOCKET}&sid=${this.sid}`, this.options);
    socket.send('2probe');
    const answer = await socket.next();
    if (answer !== '3probe') throw new Error(`the probe was answered with ${answer}`);
    this.#paused = true;
    await within(60_000, 'the end of polling', Promise.all([this.#polling, this.#posting]));
    socket.send('5');
    this.transport = 'websocket';
    this.#attach(socket);
    this.send(...this.#queue.splice(0));
    return this;
  }

  // Waits for a text packet that matches; gives it and what came after it stays.
  async packet(pattern) {
    const find = () => this.packets.find((packet) => typeof packet === 'string' && pattern.test(packet));
    await waitFor(() => find() !== undefined || this.closed, {
      what: () => `a packet like ${pattern}, there are: ${JSON.stringify(this.packets.slice(-10))}`,
    });
    if (find() === undefined) throw new Error(`closed (${JSON.stringify(this.closed)}) before a packet like ${pattern}`);
    return find();
  }

  async waitForCount(count) {
    await waitFor(() => this.packets.length >= count || this.closed, { what: () => `${count} packets, ${this.packets.length} came` });
    if (this.packets.length < count) throw new Error(`closed (${JSON.stringify(this.closed)}) after ${this.packets.length} packets`);
  }

  waitClosed() {
    return waitFor(() => this.closed, { what: () => `the end of a session, which got ${JSON.stringify(this.packets.slice(-5))}` });
  }

  // Goes away: over polling with a close packet, over WebSocket with a closed connection.
  async close() {
    if (this.closed !== null) return;
    this.closed = { code: 1000, reason: 'by the client' };
    if (this.transport === 'websocket') this.socket.ws.close();
    else await post(this.where, this.sid, '1', this.options).catch(() => {});
  }
}
