// A client of another language: Debian's python3-socketio, over WebSocket, with recovery by hand.

import assert from 'node:assert/strict';

import { connect, numbers, ok, parseOffset, publishMany } from './clients.mjs';
import { Cluster, test, waitFor } from './harness.mjs';
import { PythonClient } from './python.mjs';

const cluster = await Cluster.start({ gateways: 2 });
const publisher = await connect(cluster.url(0));

test('a Python client connects, joins, publishes and receives', async () => {
  const python = new PythonClient();
  const { sid, pid } = (await python.connect(cluster.url(0))).connected;
  assert.match(sid, /^[\w-]{15,}$/);
  assert.match(pid, /^[\w-]{15,}$/);
  assert.notEqual(sid, pid);
  assert.equal((await python.emit('join', 'python')).ok, true);
  const ack = await python.emit('publish', 'python', 'msg', 'from Python', { n: 1 });
  assert.equal(ack.ok, true);
  const { seq } = await ok(publisher, 'publish', 'python', 'msg', 'from JavaScript', [null]);
  await waitFor(() => python.events('msg').length === 2, { what: 'both events' });
  const [own, other] = python.events('msg');
  assert.deepEqual([own.slice(0, -1), parseOffset(own.at(-1)).seq], [['from Python', { n: 1 }], ack.seq]);
  assert.deepEqual([other.slice(0, -1), parseOffset(other.at(-1)).seq], [['from JavaScript', [null]], seq]);
  const { members } = await ok(publisher, 'presence', 'python');
  assert.deepEqual(members.map((member) => member.sid), [sid]);
  assert.equal(await python.end(), 0, python.stderr);
});

test('a Python client recovers by hand with pid and offset, through the other gateway', async () => {
  const python = new PythonClient();
  const first = (await python.connect(cluster.url(0))).connected;
  await python.emit('join', 'cut');
  await publishMany(publisher, 'cut', 'n', 5);
  await waitFor(() => python.events('n').length === 5, { what: 'five events' });
  const offset = python.events('n').at(-1).at(-1);
  await python.cut();
  await publishMany(publisher, 'cut', 'n', 50, { from: 5 });
  const second = (await python.connect(cluster.url(1), { auth: { pid: first.pid, offset } })).connected;
  assert.deepEqual(second, first);
  await publishMany(publisher, 'cut', 'n', 5, { from: 55 });
  await waitFor(() => python.events('n').length >= 60, { what: 'all events' });
  assert.deepEqual(python.events('n').map(([n]) => n), numbers(60));
  assert.equal(await python.end(), 0, python.stderr);
});

test('a Python client that only knows join since misses nothing either', async () => {
  const python = new PythonClient();
  await python.connect(cluster.url(0));
  await python.emit('join', 'since');
  await publishMany(publisher, 'since', 'n', 5);
  await waitFor(() => python.events('n').length === 5, { what: 'five events' });
  const offset = python.events('n').at(-1).at(-1);
  await python.cut();
  await publishMany(publisher, 'since', 'n', 20, { from: 5 });
  await python.connect(cluster.url(1));
  const ack = await python.emit('join', 'since', { since: offset });
  assert.deepEqual([ack.ok, ack.replayed, ack.truncated], [true, 20, false]);
  assert.deepEqual(python.events('n').map(([n]) => n), numbers(25));
  assert.equal(await python.end(), 0, python.stderr);
});
