// A client of the chaos run: it joins and leaves rooms, publishes, connects again by itself, and writes down all it does and sees.
// A stock socket.io-client, or python-socketio in a process of its own, behind a proxy that is cut, stalled and redirected.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { close, open } from '../integration/clients.mjs';
import { onCleanup, sleep, slow, waitFor } from '../integration/harness.mjs';
import { Proxy } from '../integration/proxy.mjs';

const ACK_MS = 10_000; // what is not answered by then is of unknown fate; longer than a fault
const CONNECT_MS = 4_000; // of one try
const OUTSTANDING_MAX = 8; // publishes of one member that wait for their acks
const PROGRAM = fileURLToPath(new URL('member.py', import.meta.url));

export const HERALD = 'herald'; // who publishes the last event of each room

// What all members did and saw, on one clock.
export class History {
  publishes = new Map(); // key → {key, room, by, id, echo, sentAt, outcome, endedAt, ack}
  members = [];
  delivered = 0;
  begin = performance.now();

  now() {
    return Math.round((performance.now() - this.begin) * 1000) / 1000;
  }
}

export class Member {
  records = []; // {t, what, …}, see judge.mjs
  rooms = new Set(); // where it wants to be
  fences = new Set(); // keys of the herald's events that it got
  connected = false;
  returns = { recovered: 0, notRecovered: 0 };
  #pid = null;
  #count = 0; // publishes
  #outstanding = new Set();
  #operations = Promise.resolve(); // joins and leaves, one after the other
  #running = true;

  // `kind`: 'websocket', 'polling', 'upgrade', or 'python-websocket', 'python-polling'. `target` is where it connects.
  constructor(name, kind, history, target, random) {
    Object.assign(this, { name, kind, history, target, random });
    history.members.push(this);
  }

  async start(server) {
    this.server = server;
    this.proxy = await Proxy.start(this.target.port(server), this.target.host);
    this.link = this.kind.startsWith('python') ? new PythonLink(this) : new SocketLink(this);
    await waitFor(() => this.connected, { what: () => `the first connection of ${this.name}; ${this.link.died ?? ''}` });
  }

  // Its next connections go to that server.
  move(server) {
    this.server = server;
    this.proxy.retarget(this.target.port(server));
  }

  // ---- what happens to it ----

  #record(what, more = {}) {
    this.records.push({ t: this.history.now(), what, ...more });
  }

  onConnect(sid, pid) {
    const first = this.#pid === null;
    const recovered = !first && pid === this.#pid;
    this.#pid = pid;
    this.connected = true;
    this.#record('connect', { sid, first, recovered });
    if (first) return;
    this.returns[recovered ? 'recovered' : 'notRecovered']++;
    if (!recovered) for (const room of this.rooms) this.#operate('join', room);
  }

  onDisconnect(reason) {
    if (this.connected) this.#record('disconnect', { reason });
    this.connected = false;
  }

  onEvent(name, args) {
    if (name !== 'n') return;
    const [key, room, offset] = args;
    this.history.delivered++;
    if (key.startsWith(`${HERALD}.`)) this.fences.add(key);
    this.#record('event', { key, room, at: this.target.position(offset) });
  }

  // ---- rooms ----

  // Resolves when it was acked.
  join(room) {
    this.rooms.add(room);
    return this.#operate('join', room);
  }

  leave(room) {
    this.rooms.delete(room);
    return this.#operate('leave', room);
  }

  // Everything that was asked for is answered.
  async settle() {
    await this.#operations;
    await Promise.all(this.#outstanding);
  }

  #operate(what, room) {
    const operation = this.#operations.then(() => this.#operateUntilAcked(what, room));
    this.#operations = operation;
    return operation;
  }

  async #operateUntilAcked(what, room) {
    this.#record(what, { room });
    for (;;) {
      const ack = await this.link.emit(what, [room]).catch(() => null);
      if (ack?.ok) {
        this.#record(what === 'join' ? 'joined' : 'left', { room, seq: ack.seq });
        return;
      }
      await sleep(50);
    }
  }

  // ---- publishing ----

  // Publishes about so many events a second, to any of the rooms, until stop().
  async publishAt(rate, rooms) {
    while (this.#running) {
      await sleep((this.random.next() * 2000) / rate);
      if (!this.#running || this.#outstanding.size >= OUTSTANDING_MAX) continue;
      const id = this.target.hasIds && this.random.chance(0.5);
      this.publish(this.random.pick(rooms), { id, echo: !this.random.chance(0.1) });
    }
  }

  stop() {
    this.#running = false;
  }

  // With an id, what has no answer is published again under it.
  publish(room, { id = false, echo = true } = {}) {
    const key = `${this.name}.${++this.#count}`;
    const publish = { key, room, by: this.name, id, echo, sentAt: this.history.now(), outcome: 'unknown', tries: 0 };
    this.history.publishes.set(key, publish);
    const done = this.#publishUntilKnown(publish).finally(() => this.#outstanding.delete(done));
    this.#outstanding.add(done);
    return done;
  }

  async #publishUntilKnown(publish) {
    const { key, room, id, echo } = publish;
    const event = { room, event: 'n', args: [key, room], ...(id && { id: key }), ...(!echo && { echo }) };
    for (;;) {
      publish.tries++;
      const ack = await this.link.emit('publish', [event]).catch(() => null);
      publish.endedAt = this.history.now();
      if (ack !== null) {
        publish.outcome = ack.ok ? 'acked' : 'refused';
        publish.ack = ack;
      }
      if (ack !== null || !id) return publish;
      await sleep(20);
    }
  }

  end() {
    this.link?.end();
  }
}

// ---- the two clients ----

const TRANSPORTS = { websocket: ['websocket'], polling: ['polling'], upgrade: ['polling', 'websocket'] };

class SocketLink {
  constructor(member) {
    this.socket = open(member.proxy.url, {
      transports: TRANSPORTS[member.kind],
      timeout: CONNECT_MS * slow,
      reconnectionDelay: 100,
      reconnectionDelayMax: 1_000,
      randomizationFactor: 0.5,
    });
    this.socket.on('connect', () => member.onConnect(this.socket.id, this.socket._pid));
    this.socket.on('disconnect', (reason) => {
      member.onDisconnect(reason);
      if (reason === 'io server disconnect') this.socket.connect(); // the client leaves that to the application
    });
    this.socket.onAny((name, ...args) => member.onEvent(name, args));
  }

  // The ack; rejects when there is none.
  emit(event, args) {
    return this.socket.timeout(ACK_MS * slow).emitWithAck(event, ...args);
  }

  end() {
    close(this.socket);
  }
}

class PythonLink {
  #rest = '';
  #count = 0;
  #waiting = new Map();

  constructor(member) {
    this.member = member;
    const transport = member.kind.slice('python-'.length);
    this.child = spawn('/usr/bin/python3', [PROGRAM, member.proxy.url, transport], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stdout.setEncoding('utf8').on('data', (text) => this.#take(text));
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.log = ((this.log ?? '') + text).slice(-4_000)));
    this.child.stdin.on('error', () => {});
    this.child.once('close', (code) => this.#gone(code));
    process.once('exit', () => this.child.kill('SIGKILL'));
    onCleanup(() => this.child.kill('SIGKILL'));
  }

  #take(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) this.#happened(JSON.parse(line));
  }

  #happened(line) {
    if (line.connected) this.member.onConnect(line.connected.sid, line.connected.pid);
    else if (line.disconnected) this.#disconnected();
    else if (line.event) this.member.onEvent(line.event, line.args);
    else this.#answer(line);
  }

  #disconnected() {
    this.member.onDisconnect('python');
    for (const n of [...this.#waiting.keys()]) this.#answer({ n, error: 'disconnected' });
  }

  #answer({ n, ack, error }) {
    const waiting = this.#waiting.get(n);
    this.#waiting.delete(n);
    if (error === undefined) waiting?.resolve(ack);
    else waiting?.reject(new Error(error));
  }

  #gone(code) {
    if (!this.ending) this.died = `the process of ${this.member.name} ended with ${code}: ${this.log}`;
    this.#disconnected();
  }

  emit(event, args) {
    const n = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(n, { resolve, reject });
      this.child.stdin.write(`${JSON.stringify({ n, event, args, seconds: (ACK_MS * slow) / 1000 })}\n`);
    });
  }

  end() {
    this.ending = true;
    this.child.stdin.end();
  }
}
