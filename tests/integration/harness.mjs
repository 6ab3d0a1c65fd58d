// What every test file stands on: real broker and gateway processes with ports and a directory of their own, a `test`
// that shows the servers' logs only when it fails, and clean-up of everything at the end of the file.
//
// Beside it: proxy.mjs cuts connections from outside, clients.mjs drives the stock client, raw.mjs speaks bytes.
//
// Environment: REPRISE_BUILD      the build directory (default: build at the top of the source tree)
//              REPRISE_TEST_SLOW  factor on every time limit, for sanitizer builds and slow machines (default 1)

import { execFile, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, test as nodeTest } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = path.dirname(fileURLToPath(import.meta.url));
const build = path.resolve(process.env.REPRISE_BUILD ?? path.join(here, '../../build'));

export const PROGRAMS = {
  broker: path.join(build, 'broker/reprise-broker'),
  gateway: path.join(build, 'gateway/reprise-gateway'),
};
export const WORKERS = {
  test: path.join(build, 'tests/test-worker'), // does what tests tell it
  ...Object.fromEntries(['chat', 'echo', 'invite', 'notify'].map((name) => [name, path.join(build, 'sdk/examples', name)])),
};
export const CLI = path.join(build, 'cli/reprise'); // the tools
// Small servers around the same code, without a broker.
export const ECHOES = {
  webSocket: path.join(build, 'tests/ws-echo'), // messages come back, on any path
  engine: path.join(build, 'tests/eio-echo'), // Engine.IO messages come back, over every transport
};
export const slow = Number(process.env.REPRISE_TEST_SLOW ?? 1);
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---- clean-up ----

const cleaners = []; // run last to first
const temporaries = new Set(); // directories and servers, for an exit that skips the hooks
const servers = new Set();

export function onCleanup(clean) {
  cleaners.push(clean);
}

// Ends and removes everything; rejects with the first failure. Tests get it at the end of their file, others call it.
export async function cleanUp() {
  const failures = [];
  while (cleaners.length > 0) {
    try {
      await cleaners.pop()();
    } catch (err) {
      failures.push(err);
    }
  }
  if (failures.length > 0) throw failures[0];
}

const LINGER_MS = 5_000;
let cleansAfterTests = false;
let failed = false; // a test has

// Not when this file is loaded: a program without tests would get the output of a test run. What a failed test has left under way
// may go on for ever, and is not waited for.
function cleanUpAfterTests() {
  if (!cleansAfterTests) after(() => cleanUp().finally(() => failed && setTimeout(() => process.exit(), LINGER_MS).unref()));
  cleansAfterTests = true;
}

process.on('exit', () => {
  for (const server of servers) server.killNow();
  for (const dir of temporaries) rmSync(dir, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

export function temporaryDirectory() {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'reprise-test-'));
  temporaries.add(dir);
  return dir;
}

// ---- tests ----

// A node:test with a time limit, which prints what the servers logged if it fails. The limits here and below are for what
// hangs: they say nothing of how long something may take on a machine that is busy with other things.
export function test(name, body, { timeout = 300_000 } = {}) {
  cleanUpAfterTests();
  return nodeTest(name, { timeout: timeout * slow }, async (t) => {
    for (const server of servers) server.markLog();
    try {
      await body(t);
    } catch (err) {
      failed = true;
      for (const server of servers) {
        const log = server.logSinceMark();
        if (log) console.error(`---- ${server.name} (pid ${server.pid}) during "${name}":\n${log}`);
      }
      throw err;
    }
  });
}

const LIMIT_MS = 60_000;

// Polls until the condition gives something truthy, and returns that. `what` names it in the failure.
export async function waitFor(condition, { timeout = LIMIT_MS, what = condition.toString() } = {}) {
  const end = Date.now() + timeout * slow;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${timeout * slow} ms in vain for: ${resolveWhat(what)}`);
    await sleep(5);
  }
}

const resolveWhat = (what) => (typeof what === 'function' ? what() : what);

// The promise's outcome, or an error naming `what` after the time.
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms * slow} ms`)), ms * slow);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// ---- ports ----

// A port nobody listens on, for this process alone. Below the kernel's ephemeral range, not given by bind(0): a port from that range
// can become the local port of some outgoing connection while a killed server is away, and its restart on the same port would fail.
export async function freePort() {
  const low = 10_000;
  const high = Math.min(ephemeralStart(), 32_000);
  for (;;) {
    const port = low + Math.floor(Math.random() * (high - low));
    if ((await claim(port)) && (await canListen(port))) return port;
  }
}

// Other files and other runs choose at the same time, and a server may be away from its port: as long as this process lives it
// holds the UDP port of that number, which nothing here uses.
function claim(port) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => {
      socket.unref();
      resolve(true);
    });
  });
}

function ephemeralStart() {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/)[0]);
  } catch {
    return 32_000;
  }
}

function canListen(port) {
  return new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

// ---- server processes ----

const LOG_BYTES_MAX = 64 * 1024;
const REPORT = /Sanitizer|runtime error:|assertion|broken invariant/i; // of a sanitizer or RP_ASSERT
const REPORT_BYTES_MAX = 100; // that may have come before the end of its first words

// One program with its arguments: started, stopped, killed and started again. Whatever the tests saw, a file fails in the end if
// one of its servers ended without being asked to, or if a sanitizer or an assertion said something.
export class Server {
  readyLine = /^ready/m; // on standard output
  constructor(name, program, args = [], { env = {} } = {}) {
    Object.assign(this, { name, program, args, env, child: null, log: '', logMark: 0, stdout: '', report: null, died: null });
    servers.add(this);
    onCleanup(() => this.end());
  }

  get pid() {
    return this.child?.pid;
  }

  get running() {
    return this.child !== null && this.child.exitCode === null && this.child.signalCode === null;
  }

  // Starts the process; `exited` becomes a promise of {code, signal}. Does not wait for it to be ready. Sets `died` if it ends
  // without stop(), kill() or expectEnd().
  spawn() {
    if (this.running) throw new Error(`${this.name} runs already`);
    if (!existsSync(this.program)) throw new Error(`${this.program} is not there: build it, or set REPRISE_BUILD`);
    this.stdout = '';
    this.endExpected = false;
    this.child = spawn(this.program, this.args, { env: serverEnvironment(this.env), stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.setEncoding('utf8').on('data', (text) => (this.stdout += text));
    this.child.stderr.setEncoding('utf8').on('data', (text) => this.addLog(text));
    this.exited = new Promise((resolve) => this.child.once('close', (code, signal) => {
      if (!this.endExpected) this.died ??= { code, signal };
      resolve({ code, signal });
    }));
    return this;
  }

  // Starts the process and waits for its `ready` line.
  async start() {
    this.spawn();
    await this.ready();
    return this;
  }

  async ready() {
    const { child } = this;
    let ended = null;
    this.exited.then((how) => (ended = how));
    await waitFor(() => ended || this.readyLine.test(this.stdout), {
      what: () => `the ready line of ${this.name}; it printed: ${this.stdout}\n${this.log}`,
    });
    if (ended && this.child === child) {
      throw new Error(`${this.name} ended (${JSON.stringify(ended)}) before it was ready:\n${this.log}`);
    }
  }

  // The test itself ends the process, or starts it in a way that it cannot run; it looks at `exited` then.
  expectEnd() {
    this.endExpected = true;
    return this;
  }

  // SIGTERM; the process must end by itself with status 0 (a sanitizer's report makes it another).
  async stop() {
    if (!this.running) return;
    this.expectEnd().child.kill('SIGTERM');
    const how = await within(LIMIT_MS, `${this.name} ending after SIGTERM`, this.exited);
    if (how.code !== 0) throw new Error(`${this.name} ended with ${JSON.stringify(how)}:\n${this.log}`);
  }

  // SIGKILL, and wait until the process is gone.
  async kill() {
    if (!this.running) throw new Error(`${this.name} is not running, it cannot be killed`);
    this.expectEnd().child.kill('SIGKILL');
    const how = await this.exited;
    if (how.signal !== 'SIGKILL') throw new Error(`${this.name} ended with ${JSON.stringify(how)} before it was killed:\n${this.log}`);
  }

  // Hangs: the process is there and does nothing, until resume().
  hang() {
    this.child.kill('SIGSTOP');
  }

  resume() {
    this.child.kill('SIGCONT');
  }

  killNow() {
    if (this.running) this.child.kill('SIGKILL');
  }

  // At the end of a file.
  async end() {
    if (this.child === null) return;
    try {
      if (this.running) await this.stop();
      else await this.exited;
      if (this.died !== null) throw new Error(`${this.name} ended by itself with ${JSON.stringify(this.died)}:\n${this.log}`);
      if (this.report !== null) throw new Error(`${this.name} reported:\n${this.report}`);
    } finally {
      this.killNow();
      this.child = null;
      servers.delete(this);
    }
  }

  addLog(text) {
    const from = Math.max(0, this.log.length - REPORT_BYTES_MAX);
    this.log += text;
    if (this.report !== null) this.report = (this.report + text).slice(0, LOG_BYTES_MAX);
    else if (REPORT.test(this.log.slice(from))) this.report = this.log.slice(from);
    if (this.log.length > 2 * LOG_BYTES_MAX) {
      const cut = this.log.length - LOG_BYTES_MAX;
      this.log = this.log.slice(cut);
      this.logMark = Math.max(0, this.logMark - cut);
    }
  }

  markLog() {
    this.logMark = this.log.length;
  }

  logSinceMark() {
    return this.log.slice(this.logMark).trimEnd();
  }

  // Resident memory in bytes.
  residentBytes() {
    return this.#memory('VmRSS');
  }

  // The most that it has been since resetPeak().
  peakBytes() {
    return this.#memory('VmHWM');
  }

  resetPeak() {
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5'); // proc(5)
  }

  #memory(line) {
    const text = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(text.match(new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm'))[1]) * 1024;
  }

  hasSanitizer() {
    return /lib(asan|tsan)/.test(readFileSync(`/proc/${this.pid}/maps`, 'utf8'));
  }
}

// The caller's environment without settings that would leak into the servers, and with a small quarantine under ASan, so that
// resident memory says something.
function serverEnvironment(extra) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('REPRISE_')));
  env.ASAN_OPTIONS = [env.ASAN_OPTIONS, 'quarantine_size_mb=8'].filter(Boolean).join(':');
  return { ...env, ...extra };
}

// An app worker. What the test worker reports is in `reports`, one object per line that it printed, from all its lives.
export class Worker extends Server {
  reports = [];
  #rest = '';

  spawn() {
    super.spawn();
    this.#rest = '';
    this.child.stdout.on('data', (text) => this.#take(text));
    return this;
  }

  #take(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) if (line.startsWith('{')) this.reports.push(JSON.parse(line));
    if (this.stdout.length > LOG_BYTES_MAX && /^ready/m.test(this.stdout)) this.stdout = 'ready\n';
  }

  // The reports of one kind, with members as in `like`.
  of(what, like = {}) {
    const fits = (report) => report.what === what && Object.entries(like).every(([key, value]) => report[key] === value);
    return this.reports.filter(fits);
  }
}

// Waits for a report of one of the workers; gives it.
export function reported(workers, what, like = {}) {
  const find = () => [workers].flat().flatMap((worker) => worker.of(what, like))[0];
  return waitFor(find, { what: () => `the report ${what} ${JSON.stringify(like)}` });
}

// One of ECHOES, on a port of its own.
export async function startEcho(program, ...args) {
  const port = await freePort();
  const server = new Server(path.basename(program), program, [`127.0.0.1:${port}`, ...args]);
  server.port = port;
  return server.start();
}

// The value of a metric without labels, from the admin address of a broker or gateway.
export async function metric(server, name) {
  const text = await (await fetch(`http://127.0.0.1:${server.adminPort}/metrics`)).text();
  const line = text.match(new RegExp(`^${name} (\\S+)$`, 'm'));
  if (line === null) throw new Error(`no metric ${name} in:\n${text}`);
  return Number(line[1]);
}

// Runs a program to its end, for those that are expected to end by themselves; a sanitizer must have nothing to say.
export async function run(program, args = [], { env = {}, timeout = LIMIT_MS } = {}) {
  const options = { env: serverEnvironment(env), timeout: timeout * slow, killSignal: 'SIGKILL', maxBuffer: 64 << 20 };
  const done = await promisify(execFile)(program, args, options).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (err) => ({ code: err.code, signal: err.signal, stdout: err.stdout, stderr: err.stderr }),
  );
  if (REPORT.test(done.stderr)) throw new Error(`${program} reported:\n${done.stderr}`);
  return done;
}

// ---- a broker with gateways ----

export class Cluster {
  constructor() {
    this.dir = temporaryDirectory();
    this.db = path.join(this.dir, 'reprise.db');
    this.gateways = [];
    this.workers = [];
  }

  // Starts a broker, app workers and gateways; `broker`, `gateway` and `worker` are more arguments for them, `program` is one of WORKERS.
  static async start({ gateways = 2, broker = [], gateway = [], workers = 0, worker = [], program = WORKERS.test } = {}) {
    const cluster = new Cluster();
    cluster.brokerPort = await freePort();
    const adminPort = await freePort();
    cluster.broker = new Server('broker', PROGRAMS.broker, [
      '--listen', cluster.brokerAddress,
      '--db', cluster.db,
      '--admin', `127.0.0.1:${adminPort}`,
      ...broker,
    ]);
    cluster.broker.adminPort = adminPort;
    await cluster.broker.start();
    for (let i = 0; i < gateways; i++) await cluster.addGateway(gateway);
    for (let i = 0; i < workers; i++) await cluster.addWorker(program, worker);
    return cluster;
  }

  get brokerAddress() {
    return `tcp://127.0.0.1:${this.brokerPort}`;
  }

  // `listen`: more addresses to listen at; `env`: variables.
  async addGateway(args = [], { listen = [], env = {} } = {}) {
    const port = await freePort();
    const adminPort = await freePort();
    const server = new Server(`gateway ${this.gateways.length}`, PROGRAMS.gateway, [
      '--listen', [`127.0.0.1:${port}`, ...listen].join(','),
      '--broker', this.brokerAddress,
      '--admin', `127.0.0.1:${adminPort}`,
      ...args,
    ], { env });
    Object.assign(server, { port, adminPort });
    this.gateways.push(server);
    await server.start();
    return server;
  }

  async addWorker(program = WORKERS.test, args = []) {
    const name = `${path.basename(program)}-${this.workers.length}`;
    const worker = new Worker(name, program, ['--broker', this.brokerAddress, '--name', name, ...args]);
    this.workers.push(worker);
    await worker.start();
    return worker;
  }

  port(gateway = 0) {
    return this.gateways[gateway].port;
  }

  url(gateway = 0) {
    return `http://127.0.0.1:${this.port(gateway)}`;
  }

  // Rows of a query, through the sqlite3 program, as an operator would do it.
  async query(sql) {
    const { code, stdout, stderr } = await run('sqlite3', ['-readonly', '-json', this.db, sql]);
    if (code !== 0 || stderr) throw new Error(`sqlite3 failed (${code}): ${stderr}\n${sql}`);
    return stdout.trim() === '' ? [] : JSON.parse(stdout);
  }
}
