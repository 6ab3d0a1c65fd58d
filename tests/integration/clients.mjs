// The stock socket.io-client, and what tests do with it again and again.

import assert from 'node:assert/strict';

import { io } from 'socket.io-client';

import { onCleanup, slow, waitFor, within } from './harness.mjs';

const openSockets = new Set();
onCleanup(() => {
  for (const socket of openSockets) socket.disconnect();
});

// A socket that is on its way; WebSocket only, quick and regular reconnection.
export function open(url, options = {}) {
  const socket = io(url, {
    transports: ['websocket'],
    forceNew: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
    randomizationFactor: 0,
    ...options,
  });
  openSockets.add(socket);
  return socket;
}

// A connected socket.
export async function connect(url, options = {}) {
  const socket = open(url, options);
  await waitFor(() => socket.connected, { what: `a connection to ${url}` });
  return socket;
}

export function close(...sockets) {
  for (const socket of sockets) {
    socket.disconnect();
    openSockets.delete(socket);
  }
}

// Resolves at the socket's next `connect`. Call it before what makes that happen.
export function nextConnect(socket, ms = 60_000) {
  return within(ms, 'the next connect', new Promise((resolve) => socket.once('connect', resolve)));
}

export function nextDisconnect(socket, ms = 60_000) {
  return within(ms, 'the next disconnect', new Promise((resolve) => socket.once('disconnect', resolve)));
}

// Counts a socket's disconnects from now on: {count, reasons}.
export function watchDisconnects(socket) {
  const seen = { count: 0, reasons: [] };
  socket.on('disconnect', (reason) => {
    seen.count++;
    seen.reasons.push(reason);
  });
  return seen;
}

// ---- acks ----

// The event's ack, whatever it says.
export function emitAck(socket, event, ...args) {
  return socket.timeout(60_000 * slow).emitWithAck(event, ...args);
}

// The event's ack, which must be ok.
export async function ok(socket, event, ...args) {
  const ack = await emitAck(socket, event, ...args);
  assert.equal(ack?.ok, true, `${event} was refused: ${JSON.stringify(ack)}`);
  return ack;
}

// The event must be refused with the code, in the documented form.
export async function refused(code, socket, event, ...args) {
  const ack = await emitAck(socket, event, ...args);
  const shown = `${event}(${args.map((arg) => JSON.stringify(arg)?.slice(0, 80)).join(', ')})`;
  assert.equal(ack?.ok, false, `${shown} should be refused with ${code}, but: ${JSON.stringify(ack)}`);
  assert.equal(ack.error?.code, code, `${shown}: ${JSON.stringify(ack)}`);
  assert.equal(typeof ack.error.message, 'string');
  assert.notEqual(ack.error.message, '');
}

export async function join(socket, ...rooms) {
  for (const room of rooms) await ok(socket, 'join', room);
}

// Publishes event(from), event(from + 1), … to the room, some hundred at a time; gives their seqs, in order.
export async function publishMany(socket, room, event, count, { from = 0, atOnce = 500 } = {}) {
  const seqs = [];
  for (let start = 0; start < count; start += atOnce) {
    const acks = [];
    for (let i = start; i < Math.min(count, start + atOnce); i++) acks.push(ok(socket, 'publish', room, event, from + i));
    seqs.push(...(await Promise.all(acks)).map((ack) => ack.seq));
  }
  return seqs;
}

// [from, from + 1, …]: what a receiver of publishMany() should have.
export const numbers = (count, from = 0) => Array.from({ length: count }, (_, i) => from + i);

// ---- offsets ----

const OFFSET = /^(?:(?<pos>\d+)\.)?(?<seq>\d+)-(?<tag>[A-Za-z0-9]{4,})$/;

// {pos, seq, tag} of an offset, or null; pos is only there in what `join` with `since` replays.
export function parseOffset(text) {
  const match = typeof text === 'string' ? text.match(OFFSET) : null;
  if (match === null) return null;
  const { pos, seq, tag } = match.groups;
  return { pos: pos === undefined ? null : Number(pos), seq: Number(seq), tag };
}

// ---- receiving ----

// Every event a socket receives, in order: {event, args, offset, seq}, the trailing offset taken off the args.
export class Recorder {
  entries = [];

  constructor(socket) {
    this.socket = socket;
    socket.onAny((event, ...args) => {
      const offset = parseOffset(args.at(-1));
      this.entries.push({
        event,
        args: offset === null ? args : args.slice(0, -1),
        offset: offset === null ? null : args.at(-1),
        seq: offset?.seq ?? null,
      });
    });
  }

  of(event) {
    return this.entries.filter((entry) => entry.event === event);
  }

  // First arguments of the events of that name.
  values(event) {
    return this.of(event).map((entry) => entry.args[0]);
  }

  count(event) {
    let count = 0;
    for (const entry of this.entries) if (entry.event === event) count++;
    return count;
  }

  async waitForCount(event, count, options) {
    await waitFor(() => this.count(event) >= count, {
      what: () => `${count} events "${event}", ${this.count(event)} came`,
      ...options,
    });
  }

  clear() {
    this.entries = [];
  }
}

let fences = 0;

// Publishes a marker to the room and waits until each recorder has it: whatever was to arrive before it has arrived.
export async function fence(publisher, room, ...recorders) {
  const mark = `fence ${++fences}`;
  await ok(publisher, 'publish', room, 'fence', mark);
  for (const recorder of recorders) {
    await waitFor(() => recorder.values('fence').includes(mark), { what: `${mark} in ${room}` });
  }
}

// The recorder has exactly these values of the event, in this order. Says what is wrong without printing thousands of numbers.
export function assertExactly(recorder, event, expected) {
  assertSame(recorder.values(event), expected, `"${event}"`);
}

export function assertSame(got, expected, what) {
  const seen = new Set(got);
  const wanted = new Set(expected);
  const missing = expected.filter((value) => !seen.has(value));
  const twice = repeated(got);
  const foreign = got.filter((value) => !wanted.has(value));
  const some = (list) => `${list.length}${list.length > 0 ? ` (${JSON.stringify(list.slice(0, 8))})` : ''}`;
  const wrong = `${what}: missing ${some(missing)}, twice ${some(twice)}, foreign ${some(foreign)}`;
  assert.ok(missing.length === 0 && twice.length === 0 && foreign.length === 0, wrong);
  const first = got.findIndex((value, i) => value !== expected[i]);
  assert.equal(first, -1, `${what}: out of order at ${first}: ${JSON.stringify(got.slice(Math.max(0, first - 2), first + 6))}`);
}

// The values that come again, once for each further time.
export function repeated(values) {
  const seen = new Set();
  return values.filter((value) => seen.size === seen.add(value).size);
}
