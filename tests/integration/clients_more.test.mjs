// Other stock clients: engine.io-client alone, against the echo program; python-socketio with asyncio and with threads, over every
// transport.

import assert from 'node:assert/strict';

import { Socket as EngineSocket } from 'engine.io-client';

import { connect, numbers, ok, publishMany, Recorder, parseOffset } from './clients.mjs';
import { Cluster, ECHOES, onCleanup, startEcho, test, waitFor } from './harness.mjs';
import { PythonClient } from './python.mjs';

const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] };

// ---- engine.io-client ----

const MAX_PAYLOAD = 4_000_000;
const echo = await startEcho(ECHOES.engine, '--max-payload', String(MAX_PAYLOAD), '--ping-interval', '300ms', '--ping-timeout', '20s');

// `atOnce` is sent as soon as the session is open, while it may be on its way to another transport.
async function openEngine(t, transports, atOnce = []) {
  const socket = new EngineSocket(`ws://127.0.0.1:${echo.port}`, { path: '/socket.io/', transports });
  socket.binaryType = 'arraybuffer';
  const seen = { messages: [], pings: 0, closed: null, socket };
  // It gives undefined for an empty text.
  socket.on('message', (data = '') => seen.messages.push(typeof data === 'string' ? data : Buffer.from(data)));
  socket.on('open', () => atOnce.forEach((message) => socket.send(message)));
  socket.on('ping', () => seen.pings++);
  socket.on('close', (reason) => (seen.closed = reason));
  t.after(() => socket.close());
  await waitFor(() => socket.readyState === 'open', { what: 'the opening of an engine.io-client' });
  return seen;
}

const came = (seen, count) => waitFor(() => seen.messages.length >= count || seen.closed, { what: () => `${count} messages, came ${seen.messages.length}` });

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`engine.io-client over ${name}: texts and binary messages come back in order`, async (t) => {
    const seen = await openEngine(t, transports);
    // Polling has no way to say a text with the separator of packets.
    const sent = ['', 'hello', Buffer.from([0, 1, 255]), name === 'websocket' ? 'é🦊\x1e\n' : 'é🦊\n', Buffer.alloc(0), ...numbers(500).map((i) => (i % 3 === 0 ? Buffer.from(`${i}`) : `${i}`))];
    for (const message of sent) seen.socket.send(message);
    await came(seen, sent.length);
    assert.deepEqual(seen.messages, sent);
    if (name === 'upgrade') await waitFor(() => seen.socket.transport.name === 'websocket', { what: 'the upgrade' });
    assert.equal(seen.closed, null);
  });

  test(`engine.io-client over ${name}: messages of 1 MB come back`, async (t) => {
    const seen = await openEngine(t, transports);
    const sent = ['x'.repeat(1_000_000), Buffer.alloc(1_000_000, 0xa5), 'é'.repeat(500_000), Buffer.alloc(1_000_000, 1)];
    for (const message of sent) seen.socket.send(message);
    await came(seen, sent.length);
    assert.equal(seen.messages.length, sent.length, String(seen.closed));
    for (const [i, message] of sent.entries()) assert.ok(Buffer.from(seen.messages[i]).equals(Buffer.from(message)), `message ${i}`);
  });

  test(`engine.io-client over ${name}: messages of 1 MB sent at the very beginning come back`, async (t) => {
    const sent = ['x'.repeat(1_000_000), Buffer.alloc(1_000_000, 0xa5), 'é'.repeat(500_000), Buffer.alloc(1_000_000, 1)];
    for (let round = 0; round < 5; round++) {
      const seen = await openEngine(t, transports, sent);
      await came(seen, sent.length);
      assert.equal(seen.messages.length, sent.length, `round ${round}: ${seen.closed}`);
      seen.socket.close();
    }
  });

  test(`engine.io-client over ${name}: pings keep it open, and it closes in order`, async (t) => {
    const seen = await openEngine(t, transports);
    await waitFor(() => seen.pings >= 3 || seen.closed, { what: 'three pings' });
    seen.socket.send('alive');
    await came(seen, 1);
    assert.deepEqual([seen.messages, seen.closed], [['alive'], null]);
    seen.socket.close();
    await waitFor(() => seen.closed, { what: 'the close' });
    assert.equal(seen.closed, 'forced close');
  });
}

// ---- python-socketio ----

const cluster = await Cluster.start({ gateways: 2, gateway: ['--namespaces', '/,/admin'] });
const url = cluster.url(0);
const publisher = await connect(url);
const admin = await connect(`${url}/admin`);
onCleanup(() => (publisher.disconnect(), admin.disconnect()));

// The client with threads gives every event to a thread of its own, so that its handlers run in no order.
const inOrder = (kind, values) => (kind === 'sync' ? values.sort((a, b) => a - b) : values);
const newestOffset = (events) => events.map((args) => args.at(-1)).sort((a, b) => parseOffset(a).seq - parseOffset(b).seq).at(-1);
const base64 = (bytes) => ({ base64: Buffer.from(bytes).toString('base64') });

for (const kind of ['async', 'sync']) {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    const about = (what, body) => test(`python-socketio, ${kind}, ${name}: ${what}`, body);

    about('events, acks and binary arguments', async (t) => {
      const python = new PythonClient(kind);
      const { connected, transport } = await python.connect(url, { transports });
      assert.match(connected.sid, /^[\w-]{15,}$/);
      assert.equal(transport, name === 'polling' ? 'polling' : 'websocket');
      const room = `python ${kind} ${name}`;
      const other = new Recorder(publisher);
      t.after(() => publisher.offAny());
      await ok(publisher, 'join', room);
      assert.equal((await python.emit('join', room)).ok, true);
      const ack = await python.emit('publish', room, 'bin', base64('abc'), { deep: [base64([0, 255]), 'x'] });
      assert.equal(ack.ok, true);
      await ok(publisher, 'publish', room, 'bin', Buffer.from('from JavaScript'), [null]);
      await publishMany(publisher, room, 'n', 100);
      await waitFor(() => python.events('n').length >= 100 && python.events('bin').length >= 2, { what: () => `all events, came ${python.events('n').length}: ${python.stderr}` });
      const [own, theirs] = python.events('bin').sort(([a]) => (a.base64 === base64('abc').base64 ? -1 : 1));
      assert.deepEqual([own.slice(0, -1), parseOffset(own.at(-1)).seq], [[base64('abc'), { deep: [base64([0, 255]), 'x'] }], ack.seq]);
      assert.deepEqual(theirs.slice(0, -1), [base64('from JavaScript'), [null]]);
      assert.deepEqual(inOrder(kind, python.events('n').map(([n]) => n)), numbers(100));
      await other.waitForCount('bin', 2);
      assert.deepEqual(other.of('bin')[0].args, [Buffer.from('abc'), { deep: [Buffer.from([0, 255]), 'x'] }]);
      assert.equal(await python.end(), 0, python.stderr);
    });

    about('several namespaces', async () => {
      const python = new PythonClient(kind);
      const { greetings } = await python.connect(url, { transports, namespaces: ['/', '/admin'] });
      assert.deepEqual(Object.keys(greetings).sort(), ['/', '/admin']);
      assert.notEqual(greetings['/'].sid, greetings['/admin'].sid);
      const room = `both ${kind} ${name}`;
      for (const namespace of ['/', '/admin']) assert.equal((await python.emitIn(namespace, 'join', room)).ok, true);
      await ok(publisher, 'publish', room, 'where', 'main', Buffer.from('m'));
      await ok(admin, 'publish', room, 'where', 'admin', Buffer.from('a'));
      for (const [namespace, word] of [['/', 'main'], ['/admin', 'admin']]) {
        await waitFor(() => python.events('where', namespace).length >= 1, { what: `the event in ${namespace}` });
        assert.deepEqual(python.events('where', namespace).map((args) => args.slice(0, -1)), [[word, base64(word[0])]]);
      }
      assert.equal(await python.end(), 0, python.stderr);
    });

    about('a message of 500 kB each way', async () => {
      const python = new PythonClient(kind);
      await python.connect(url, { transports });
      const room = `big ${kind} ${name}`;
      await python.emit('join', room);
      const big = 'y'.repeat(500_000);
      assert.equal((await python.emit('publish', room, 'big', big)).ok, true);
      await waitFor(() => python.events('big').length === 1, { what: 'the message' });
      assert.equal(python.events('big')[0][0], big);
      assert.equal(await python.end(), 0, python.stderr);
    });

    about('recovery by hand, through the other gateway', async () => {
      const python = new PythonClient(kind);
      const first = await python.connect(url, { transports });
      const room = `cut ${kind} ${name}`;
      await python.emit('join', room);
      await publishMany(publisher, room, 'n', 5);
      await waitFor(() => python.events('n').length === 5, { what: 'five events' });
      const offset = newestOffset(python.events('n'));
      await python.cut();
      await publishMany(publisher, room, 'n', 50, { from: 5 });
      const second = await python.connect(cluster.url(1), { transports, auth: { pid: first.connected.pid, offset } });
      assert.deepEqual(second.connected, first.connected);
      await publishMany(publisher, room, 'n', 5, { from: 55 });
      await waitFor(() => python.events('n').length >= 60, { what: () => `all events, came ${python.events('n').length}` });
      assert.deepEqual(inOrder(kind, python.events('n').map(([n]) => n)), numbers(60));
      assert.equal(await python.end(), 0, python.stderr);
    });
  }
}
