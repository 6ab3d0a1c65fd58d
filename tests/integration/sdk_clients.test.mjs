// Reference 1.8, what the stock client does for reliability, and python3-socketio, against app workers.

import assert from 'node:assert/strict';

import { emitAck, nextConnect, nextDisconnect, numbers, open } from './clients.mjs';
import { Cluster, reported, slow, test, waitFor } from './harness.mjs';
import { PythonClient } from './python.mjs';
import { client, cut, fence, settle, tell } from './sdk.mjs';

const cluster = await Cluster.start({ gateways: 2, workers: 1 });
const [worker] = cluster.workers;

test('retries: what was not acked in time is sent again, one after the other', async (t) => {
  const a = await client(t, cluster, { nsp: '/tenant-retries', retries: 2, ackTimeout: 1_000 * slow });
  const answers = [];
  a.socket.emit('silence', 'first', (err) => answers.push(['first', err?.message]));
  a.socket.emit('do', { op: 'later', ms: 0, value: 'second' }, (err, ack) => answers.push(['second', err ?? ack.value]));
  await waitFor(() => answers.length === 2);
  assert.deepEqual(answers, [['first', 'operation has timed out'], ['second', 'second']]);
});

test('retries: over a cut each event is acked, and handled at least once in its order', async (t) => {
  const a = await client(t, cluster, { retries: 50, ackTimeout: 2000 * slow });
  const acks = numbers(60).map((n) => a.socket.emitWithAck('work', [a.id, n]));
  for (const n of [10, 25, 40]) {
    await acks[n];
    const back = nextConnect(a.socket);
    cut(a.socket);
    await back;
  }
  assert.deepEqual((await Promise.all(acks)).map(({ n }) => n[1]), numbers(60));
  await settle(a.socket, worker);
  const handled = worker.of('work').filter(({ n }) => n[0] === a.id).map(({ n }) => n[1]);
  assert.deepEqual([...new Set(handled)], numbers(60));
});

test('what is emitted while offline is sent in its order on coming back', async (t) => {
  const a = await client(t, cluster);
  a.socket.io.reconnectionDelay(300);
  const away = nextDisconnect(a.socket);
  cut(a.socket);
  await away;
  for (const n of [1, 2, 3]) a.socket.emit('work', [a.id, n]);
  const last = emitAck(a.socket, 'work', [a.id, 4]);
  assert.equal(a.socket.connected, false);
  assert.deepEqual(await last, { n: [a.id, 4] });
  await settle(a.socket, worker);
  assert.deepEqual(worker.of('work').filter(({ n }) => n[0] === a.id).map(({ n }) => n[1]), [1, 2, 3, 4]);
});

test('several namespaces on one connection have sockets of their own', async (t) => {
  const a = await client(t, cluster);
  const other = a.socket.io.socket('/tenant-multiplex');
  await waitFor(() => other.connected);
  const infos = await Promise.all([tell(a.socket, 'info'), tell(other, 'info')]);
  assert.deepEqual(infos.map(({ id, nsp }) => [id, nsp]), [[a.id, '/'], [other.id, '/tenant-multiplex']]);
  assert.notEqual(a.id, other.id);
  const { id } = other;
  other.disconnect();
  await reported(worker, 'disconnect', { sid: id });
  await fence(a, a);
});

test('the msgpack parser: the same worker, other bytes', async (t) => {
  const parser = await import('socket.io-msgpack-parser');
  const gateway = await cluster.addGateway(['--parser', 'msgpack']);
  const socket = open(`http://127.0.0.1:${gateway.port}/`, { parser: parser.default ?? parser });
  t.after(() => socket.io._close());
  await waitFor(() => socket.connected);
  const value = { n: [1, 2.5, -3, 1e9], text: 'é', none: null, bytes: Buffer.from([0, 255]) };
  const answer = await tell(socket, 'later', { ms: 0, value });
  assert.deepEqual({ ...answer.value, bytes: Buffer.from(answer.value.bytes) }, value);
  cluster.gateways.pop();
  socket.io._close();
  await gateway.stop();
});

for (const kind of ['async', 'sync']) {
  test(`python-socketio (${kind}): auth, events, acks in both directions, binary, namespaces`, async (t) => {
    const a = await client(t, cluster);
    const python = new PythonClient(kind);
    const { greetings } = await python.connect(cluster.url(1), { auth: { token: 'py' }, namespaces: ['/', '/tenant-python'] });
    const { sid } = greetings['/'];
    const info = await python.emit('do', { op: 'info' });
    assert.deepEqual([info.id, info.handshake.auth], [sid, { token: 'py' }]);
    assert.equal((await python.emitIn('/tenant-python', 'do', { op: 'info' })).nsp, '/tenant-python');

    assert.equal((await python.emit('do', { op: 'join', rooms: ['py'] })).err, 'OK');
    await tell(a.socket, 'emit', { target: { kind: 'to', room: 'py' }, name: 'news', args: [1, { b: Buffer.from('xyz') }], stored: true });
    await waitFor(() => python.events('news').length === 1);
    assert.deepEqual(python.events('news')[0].slice(0, 2), [1, { b: { base64: 'eHl6' } }]);

    const value = await python.emit('do', { op: 'later', ms: 0, value: { base64: 'AP8=' } });
    assert.deepEqual(value.value, { base64: 'AP8=' });

    // python-socketio acks what its handlers return, and nothing without a handler
    const { responses } = await tell(a.socket, 'emit_ack', { target: { kind: 'to', room: 'py', timeout: 60_000 }, name: 'question', args: [1] });
    assert.deepEqual(responses.map((response) => response.sid), [sid]);
    assert.equal(await python.end(), 0);
    // whether its goodbye is sent before the connection is dropped is python-socketio's
  assert.match((await reported(worker, 'disconnect', { sid })).reason, /^(client namespace disconnect|transport close)$/);
  });
}
