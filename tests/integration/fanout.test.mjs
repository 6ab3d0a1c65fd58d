// A hundred clients over two gateways in ten rooms.

import assert from 'node:assert/strict';

import { assertSame, connect, fence, join, numbers, ok, Recorder } from './clients.mjs';
import { Cluster, test } from './harness.mjs';

const CLIENTS = 100;
const ROOMS = 10;
const EVENTS = 20; // published by each client

const cluster = await Cluster.start({ gateways: 2 });
const roomOf = (client) => `room ${client % ROOMS}`;

// Clients 0, 10, 20, … share a room; they sit on both gateways.
const members = await Promise.all(
  numbers(CLIENTS).map(async (i) => {
    const socket = await connect(cluster.url(Math.floor(i / ROOMS) % 2));
    const recorder = new Recorder(socket);
    await join(socket, roomOf(i));
    return { socket, recorder };
  }),
);

test('all members of a room get the same events in the same order, each once, and none from other rooms', async () => {
  const ownFirst = [];
  const publishAll = async ({ socket, recorder }, client) => {
    const publish = async (n) => {
      const name = `${roomOf(client)}: ${client}.${n}`;
      await ok(socket, 'publish', roomOf(client), 'n', name);
      ownFirst.push(recorder.values('n').includes(name));
    };
    for (let n = 0; n < EVENTS; n += 5) await Promise.all(numbers(5, n).map(publish));
  };
  await Promise.all(members.map(publishAll));
  for (let room = 0; room < ROOMS; room++) {
    const here = members.filter((_, client) => client % ROOMS === room);
    await fence(members[0].socket, `room ${room}`, ...here.map(({ recorder }) => recorder));
  }

  assert.equal(ownFirst.length, CLIENTS * EVENTS);
  assert.ok(ownFirst.every(Boolean), 'every publisher had its own copy when its ack came');
  for (let room = 0; room < ROOMS; room++) {
    const published = numbers(CLIENTS).filter((client) => client % ROOMS === room).flatMap((client) => numbers(EVENTS).map((n) => `room ${room}: ${client}.${n}`));
    const order = members[room].recorder.values('n');
    assertSame([...order].sort(), published.sort(), `room ${room}, client ${room}`);
    for (let client = room; client < CLIENTS; client += ROOMS) assertSame(members[client].recorder.values('n'), order, `room ${room}, client ${client}`);
  }
});

test('the events of one publisher arrive in the order it published them', async () => {
  const { socket } = members[0];
  const listener = members[ROOMS];
  const from = listener.recorder.entries.length;
  for (const n of numbers(500)) socket.emit('publish', roomOf(0), 'ordered', n);
  await fence(socket, roomOf(0), listener.recorder);
  assertSame(listener.recorder.entries.slice(from).filter(({ event }) => event === 'ordered').map(({ args }) => args[0]), numbers(500), 'ordered');
});
