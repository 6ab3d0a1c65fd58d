// What the tests of app workers share: clients that tell the test worker (tests/worker) what to do.

import assert from 'node:assert/strict';

import { connect, emitAck, nextConnect, nextDisconnect, parseOffset, Recorder } from './clients.mjs';
import { reported, waitFor, within } from './harness.mjs';

// Has the socket's worker do something; the answer must be without error. Its form: {err, …}.
export async function tell(socket, op, spec = {}) {
  const answer = await emitAck(socket, 'do', { op, ...spec });
  assert.equal(answer?.err, 'OK', `${op} ${JSON.stringify(spec)}: ${JSON.stringify(answer)}`);
  return answer;
}

// The same, and it must fail in this way.
export async function tellFails(err, socket, op, spec = {}) {
  const answer = await emitAck(socket, 'do', { op, ...spec });
  assert.equal(answer?.err, err, `${op} ${JSON.stringify(spec)}: ${JSON.stringify(answer)}`);
  return answer;
}

let marks = 0;

// All that this socket's worker has reported until now is in its `reports`.
export async function settle(socket, workers) {
  const n = ++marks;
  await tell(socket, 'mark', { n });
  await reported(workers, 'mark', { n });
}

// A client of a gateway of the cluster, closed at the end of the test: {socket, recorder, id}.
export async function client(t, cluster, { gateway = 0, nsp = '/', ...options } = {}) {
  const socket = await connect(cluster.url(gateway) + nsp, options);
  const recorder = new Recorder(socket);
  t.after(() => {
    socket.disconnect();
    socket.io._close(); // also with other namespaces on it, or none
  });
  return { socket, recorder, id: socket.id };
}

export const clients = (t, cluster, count, options = {}) =>
  Promise.all(Array.from({ length: count }, (_, i) => client(t, cluster, { gateway: i % cluster.gateways.length, ...options })));

// Each socket's worker is told to join rooms: join([a, ['x', 'y']], [b, ['y']]).
export async function joinRooms(...pairs) {
  for (const [{ socket }, rooms] of pairs) await tell(socket, 'join', { rooms });
}

let fences = 0;

// An event to all of the namespace: when it is there, so is what was emitted before, or it never comes.
export async function fence(sender, ...receivers) {
  const mark = `fence ${++fences}`;
  await tell(sender.socket, 'emit', { name: 'fence', args: [mark], stored: true });
  for (const { recorder } of receivers) {
    await waitFor(() => recorder.values('fence').includes(mark), { what: mark });
  }
}

// Who of the clients got the event, by their places in the list: [0, 2]. Nobody twice.
export async function receivers(sender, list, name) {
  await fence(sender, ...list);
  for (const { recorder } of list) assert.ok(recorder.count(name) <= 1, `${name} came ${recorder.count(name)} times`);
  return list.flatMap(({ recorder }, i) => (recorder.count(name) > 0 ? [i] : []));
}

// Emits with this target and tells who got it.
let emits = 0;
export async function reach(sender, list, target) {
  const name = `e${++emits}`;
  await tell(sender.socket, 'emit', { target, name, args: [name] });
  return receivers(sender, list, name);
}

// The next event of that name: its arguments, without the offset.
export const nextEvent = (socket, name) =>
  within(60_000, `the event ${name}`, new Promise((resolve) => {
    socket.once(name, (...args) => resolve(typeof args.at(-1) === 'string' && parseOffset(args.at(-1)) !== null ? args.slice(0, -1) : args));
  }));

// Cuts the connection below, as a lost network does; the client comes back by itself.
export const cut = (socket) => socket.io.engine.close();

// The same, but it stays away until what this gives is called.
export async function leave(socket) {
  const gone = nextDisconnect(socket);
  socket.io.reconnection(false);
  cut(socket);
  await gone;
  return async () => {
    const back = nextConnect(socket);
    socket.io.reconnection(true);
    socket.connect();
    await back;
  };
}
