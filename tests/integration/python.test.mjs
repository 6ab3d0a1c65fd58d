// A client of another language: Debian's python3-socketio, over WebSocket, with recovery by hand.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { connect, numbers, ok, parseOffset, publishMany } from './clients.mjs';
import { Cluster, onCleanup, test, waitFor, within } from './harness.mjs';

const cluster = await Cluster.start({ gateways: 2 });
const publisher = await connect(cluster.url(0));

// The Python process, which does one thing after the other.
class PythonClient {
  lines = [];
  #rest = '';
  stderr = '';

  constructor() {
    this.child = spawn('/usr/bin/python3', [fileURLToPath(new URL('python_client.py', import.meta.url))], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stdout.setEncoding('utf8').on('data', (text) => this.#take(text));
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.stderr += text));
    this.exited = new Promise((resolve) => this.child.once('close', (code) => resolve((this.code = code))));
    onCleanup(() => this.child.kill('SIGKILL'));
  }

  #take(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    this.lines.push(...lines.map((line) => JSON.parse(line)));
  }

  // Orders something and waits for its answer, which has the key.
  async order(what, key) {
    const from = this.lines.length;
    this.child.stdin.write(`${JSON.stringify(what)}\n`);
    const answer = () => this.lines.slice(from).find((line) => key in line);
    await waitFor(() => answer() ?? this.#refuseIfGone(), { what: () => `${key} of the Python client: ${this.stderr}` });
    return answer()[key];
  }

  #refuseIfGone() {
    if (this.code !== undefined) throw new Error(`the Python client ended with ${this.code}: ${this.stderr}`);
    return undefined;
  }

  connect(gateway, auth) {
    return this.order({ do: 'connect', url: cluster.url(gateway), auth }, 'connected');
  }

  emit(event, ...args) {
    return this.order({ do: 'emit', event, args }, 'ack');
  }

  events(name) {
    return this.lines.filter(({ event }) => event === name).map(({ args }) => args);
  }

  async end() {
    this.child.stdin.end();
    return within(10_000, 'the end of the Python client', this.exited);
  }
}

test('a Python client connects, joins, publishes and receives', async () => {
  const python = new PythonClient();
  const { sid, pid } = await python.connect(0);
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
  const first = await python.connect(0);
  await python.emit('join', 'cut');
  await publishMany(publisher, 'cut', 'n', 5);
  await waitFor(() => python.events('n').length === 5, { what: 'five events' });
  const offset = python.events('n').at(-1).at(-1);
  await python.order({ do: 'cut' }, 'cut');
  await publishMany(publisher, 'cut', 'n', 50, { from: 5 });
  const second = await python.connect(1, { pid: first.pid, offset });
  assert.deepEqual(second, first);
  await publishMany(publisher, 'cut', 'n', 5, { from: 55 });
  await waitFor(() => python.events('n').length >= 60, { what: 'all events' });
  assert.deepEqual(python.events('n').map(([n]) => n), numbers(60));
  assert.equal(await python.end(), 0, python.stderr);
});

test('a Python client that only knows join since misses nothing either', async () => {
  const python = new PythonClient();
  await python.connect(0);
  await python.emit('join', 'since');
  await publishMany(publisher, 'since', 'n', 5);
  await waitFor(() => python.events('n').length === 5, { what: 'five events' });
  const offset = python.events('n').at(-1).at(-1);
  await python.order({ do: 'cut' }, 'cut');
  await publishMany(publisher, 'since', 'n', 20, { from: 5 });
  await python.connect(1);
  const ack = await python.emit('join', 'since', { since: offset });
  assert.deepEqual([ack.ok, ack.replayed, ack.truncated], [true, 20, false]);
  assert.deepEqual(python.events('n').map(([n]) => n), numbers(25));
  assert.equal(await python.end(), 0, python.stderr);
});
