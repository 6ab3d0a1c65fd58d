// Debian's python3-socketio in a process of its own, which python_client.py makes do one thing after the other.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { onCleanup, waitFor, within } from './harness.mjs';

const PROGRAM = fileURLToPath(new URL('python_client.py', import.meta.url));

export class PythonClient {
  lines = [];
  #rest = '';
  stderr = '';

  // `kind`: 'async' or 'sync'
  constructor(kind = 'async') {
    this.child = spawn('/usr/bin/python3', [PROGRAM, ...(kind === 'sync' ? ['sync'] : [])], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stdout.setEncoding('utf8').on('data', (text) => this.#take(text));
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.stderr += text));
    this.child.stdin.on('error', () => {}); // its end is seen elsewhere
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
    return answer();
  }

  #refuseIfGone() {
    if (this.code !== undefined) throw new Error(`the Python client ended with ${this.code}: ${this.stderr}`);
    return undefined;
  }

  // Gives {connected, greetings, transport}.
  connect(url, options = {}) {
    return this.order({ do: 'connect', url, ...options }, 'connected');
  }

  async emit(event, ...args) {
    return (await this.order({ do: 'emit', event, args }, 'ack')).ack;
  }

  async emitIn(namespace, event, ...args) {
    return (await this.order({ do: 'emit', namespace, event, args }, 'ack')).ack;
  }

  cut() {
    return this.order({ do: 'cut' }, 'cut');
  }

  // Arguments of the events of that name so far.
  events(name, namespace = '/') {
    return this.lines.filter((line) => line.event === name && line.namespace === namespace).map(({ args }) => args);
  }

  async end() {
    this.child.stdin.end();
    return within(60_000, 'the end of the Python client', this.exited);
  }
}
