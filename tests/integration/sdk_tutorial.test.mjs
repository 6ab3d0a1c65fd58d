// The tutorial of README.md: its commands run as they are written, but for ports and directories, and two pages of Chromium chat.
// The first worker of sdk/README.md: it compiles and works.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import WebSocket from 'ws';

import { close, connect, emitAck, Recorder } from './clients.mjs';
import { Cluster, freePort, onCleanup, PROGRAMS, run, temporaryDirectory, test, waitFor, within, Worker, WORKERS } from './harness.mjs';

const CHROMIUM = '/usr/bin/chromium';
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.join(here, '../..');
const page = pathToFileURL(path.join(root, 'sdk/examples/chat.html')).href;

// ---- the commands ----

const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const section = readme.split(/^## /m).find((text) => text.startsWith('Your own server code'));
const blocks = [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text]) => text);

const ports = { 3000: await freePort(), 3002: await freePort(), 3003: await freePort(), 3004: await freePort() };
const brokerPort = await freePort();
const adminPort = await freePort();

// A shell in a directory where build/ and the client are.
class Shell {
  output = '';
  #commands = 0;

  constructor() {
    this.dir = temporaryDirectory();
    symlinkSync(path.resolve(PROGRAMS.broker, '../..'), path.join(this.dir, 'build'));
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('REPRISE_')));
    const broker = `tcp://127.0.0.1:${brokerPort}`;
    env.REPRISE_BROKER = broker;
    this.brokerOptions = `--listen ${broker} --admin 127.0.0.1:${adminPort}`;
    this.child = spawn('bash', ['-s'], { cwd: this.dir, env, stdio: 'pipe', detached: true });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.setEncoding('utf8').on('data', (text) => (this.output += text));
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    const kill = () => {
      try {
        process.kill(-this.child.pid, 'SIGKILL'); // with what it has started
      } catch {} // all have ended
    };
    process.once('exit', kill);
    onCleanup(async () => {
      kill();
      await this.ended;
      process.off('exit', kill);
    });
  }

  // Runs a block; gives what was printed until its last command returned.
  async run(text) {
    const from = this.output.length;
    const mark = `done ${++this.#commands}`;
    const own = text
      .replaceAll(/\b(3000|3002|3003|3004)\b/g, (port) => ports[port])
      .replaceAll('reprise-broker ', `reprise-broker ${this.brokerOptions} `)
      .replaceAll('deploy/client/node_modules', path.join(here, 'node_modules'));
    this.child.stdin.write(`${own}\necho ${mark} $?\n`);
    await waitFor(() => this.output.includes(`${mark} `), { what: () => `the end of:\n${own}\nprinted: ${this.output.slice(from)}` });
    return this.output.slice(from);
  }

  // Waits until that many programs of this kind have been ready.
  ready(pattern, count) {
    return waitFor(() => [...this.output.matchAll(pattern)].length >= count, { what: () => `${count} times ${pattern} in:\n${this.output}` });
  }
}

// ---- the first worker ----

// A library with a sanitizer needs it in the program, too.
async function sanitizers() {
  const { stdout } = await run('ldd', [WORKERS.echo]);
  const { stdout: symbols } = await run('nm', ['-D', path.join(path.dirname(PROGRAMS.broker), '../sdk/libreprise.so')]);
  return /libasan|__asan_init/.test(stdout + symbols) ? ['-fsanitize=address,undefined'] : [];
}

test('sdk/README.md: the first worker', async (t) => {
  const source = readFileSync(path.join(root, 'sdk/README.md'), 'utf8').match(/^```c\n(.*?)^```$/ms)[1];
  assert.ok(source.split('\n').length <= 36, 'thirty lines or so');
  const dir = temporaryDirectory();
  const library = path.resolve(PROGRAMS.broker, '../../sdk');
  writeFileSync(path.join(dir, 'first.c'), source);
  const compiler = await compilerOf(library);
  const flags = ['-std=c11', '-Wall', '-Wextra', '-Wpedantic', '-Werror', ...(await sanitizers()), '-I', path.join(root, 'sdk')];
  const built = await run(compiler, [...flags, path.join(dir, 'first.c'), '-o', path.join(dir, 'first'), '-L', library, '-lreprise', `-Wl,-rpath,${library}`], { timeout: 60_000 });
  assert.equal(built.code, 0, built.stderr);

  const cluster = await Cluster.start({ gateways: 1 });
  const first = new Worker('first', path.join(dir, 'first'), [], { env: { REPRISE_BROKER: cluster.brokerAddress } });
  first.spawn();
  await waitFor(async () => (await (await fetch(`http://127.0.0.1:${cluster.broker.adminPort}/metrics`)).text()).match(/^reprise_broker_workers 1$/m), { what: 'the link of the worker' });
  const [a, b] = [await connect(cluster.url(0)), await connect(cluster.url(0))];
  t.after(() => close(a, b));
  const recorder = new Recorder(b);
  assert.equal(await emitAck(a, 'message', 'hi'), 'thanks');
  await recorder.waitForCount('message', 1);
  assert.deepEqual(recorder.values('message'), ['hi']);
  close(a, b);
  await first.kill(); // it has no handlers of signals
});

// The compiler that the library was built with: sanitizers of one do not suit the other.
async function compilerOf(library) {
  const { stdout } = await run('readelf', ['-p', '.comment', path.join(library, 'libreprise.so')]);
  return /clang/.test(stdout) ? 'clang' : 'gcc';
}

// ---- the browser ----

class Browser {
  #id = 0;
  #answers = new Map();

  static async start() {
    const browser = new Browser();
    const directory = temporaryDirectory();
    const child = spawn(CHROMIUM, [
      '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-proxy-server', '--remote-debugging-port=0', `--user-data-dir=${directory}`, 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'pipe'], detached: true, env: { ...process.env, HOME: directory } });
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (log += text));
    const gone = new Promise((resolve) => child.once('close', resolve));
    const kill = () => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {} // it has ended
    };
    process.once('exit', kill);
    onCleanup(async () => {
      browser.ws?.terminate();
      kill();
      await gone;
      process.off('exit', kill);
    });
    const [, url] = await waitFor(() => log.match(/DevTools listening on (ws:\S+)/), { what: () => `the browser's port: ${log}` });
    browser.ws = new WebSocket(url);
    browser.ws.on('message', (data) => {
      const { id, result, error } = JSON.parse(data);
      if (id !== undefined) browser.#answers.get(id)?.(result ?? { error });
    });
    await within(60_000, 'the browser', new Promise((resolve) => browser.ws.once('open', resolve)));
    return browser;
  }

  async call(method, params = {}, sessionId) {
    const id = ++this.#id;
    const answer = new Promise((resolve) => this.#answers.set(id, resolve));
    this.ws.send(JSON.stringify({ id, method, params, sessionId }));
    return within(60_000, method, answer);
  }

  async open(url) {
    const { targetId } = await this.call('Target.createTarget', { url });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    return new Page(this, sessionId);
  }
}

class Page {
  constructor(browser, session) {
    Object.assign(this, { browser, session });
  }

  async evaluate(expression) {
    const { result } = await this.browser.call('Runtime.evaluate', { expression, returnByValue: true }, this.session);
    return result?.value;
  }

  say(text) {
    return this.evaluate(`document.getElementById('text').value = ${JSON.stringify(text)}; document.getElementById('form').requestSubmit()`);
  }

  async lines() {
    return (await this.evaluate("[...document.querySelectorAll('#log li')].map((line) => line.textContent)")) ?? [];
  }

  async shows(what) {
    let lines;
    const found = async () => (lines = await this.lines()).some((line) => (what instanceof RegExp ? what.test(line) : line === what));
    await waitFor(found, { what: () => `${what} on the page: ${JSON.stringify(lines)}` });
  }

  state(pattern) {
    return waitFor(async () => pattern.test(await this.evaluate("document.getElementById('state').textContent")), { what: `the state ${pattern}` });
  }
}

// ---- the story ----

test('README.md: a chat with two workers and two gateways, whose parts are killed while two pages chat', async () => {
  const [build, start, killWorker, killGateway, again, killBroker, end, ...rest] = blocks;
  assert.equal(rest.length, 0);
  assert.match(build, /^meson setup build .*ninja -C build\n\(cd deploy\/client && npm ci\)$/m);
  const shell = new Shell();
  await shell.run(start);
  await shell.ready(/^ready broker/gm, 1);
  await shell.ready(/^ready gateway/gm, 2);
  await shell.ready(/^ready chat/gm, 2);

  const browser = await Browser.start();
  const [ada, bob] = [await browser.open(`${page}?gateway=http://localhost:${ports[3000]}`), await browser.open(`${page}?gateway=http://localhost:${ports[3002]}`)];
  for (const [one, port] of [[ada, 3000], [bob, 3002]]) await one.state(new RegExp(`^connected to http://localhost:${ports[port]}`));
  await ada.say('ada');
  await ada.shows('welcome, ada (1)');
  await bob.say('bob');
  await bob.shows('welcome, bob (2)');
  await ada.shows('bob is here (2)');
  await ada.say('hello');
  await bob.shows('ada: hello');
  await bob.say('@ada psst');
  await ada.shows('bob: psst');
  await bob.say('/users');
  await bob.shows(/^(ada, bob|bob, ada)$/);

  await shell.run(killWorker);
  await ada.say('after the worker');
  await bob.shows('ada: after the worker');
  await bob.say('here too');
  await ada.shows('bob: here too');

  await shell.run(killGateway);
  await ada.state(/^transport/);
  await bob.say('are you there?');
  await bob.shows('bob: are you there?');

  await shell.run(again);
  await ada.state(/nothing was missed$/);
  await ada.shows('bob: are you there?');
  await ada.say('I am');
  await bob.shows('ada: I am');

  await shell.run(killBroker);
  await bob.say('and now?');
  await ada.shows('bob: and now?');
  await ada.say('end');
  await bob.shows('ada: end');

  const said = (lines) => lines.filter((line) => /^(ada|bob): (?!\(to)/.test(line));
  const story = ['ada: hello', 'ada: after the worker', 'bob: here too', 'bob: are you there?', 'ada: I am', 'bob: and now?', 'ada: end'];
  assert.deepEqual(said(await bob.lines()), story);
  assert.deepEqual(said(await ada.lines()), ['ada: hello', 'bob: psst', ...story.slice(1)]);

  const told = await shell.run(end);
  for (const line of story) assert.ok(told.includes(line.split(': ')[1]), `${line} is in the log:\n${told}`);
  assert.match(told, /done \d+ 0\n/);
});
