// Headless Chromium with the bundles a gateway serves: over polling, WebSocket and an upgrade, with either parser, from the same
// origin and from others.
//
// A page does its work and posts what came of it to the small server of this file, which also stands in front of the gateway where
// both shall have one origin.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { close, connect, join, ok, Recorder } from './clients.mjs';
import { Cluster, onCleanup, temporaryDirectory, test, waitFor } from './harness.mjs';

const CHROMIUM = '/usr/bin/chromium';
const dist = path.join(path.dirname(fileURLToPath(import.meta.url)), 'node_modules/socket.io-client/dist');

// ---- the server of pages ----

const pages = new Map(); // path → HTML
const reports = new Map(); // path → what the page said
const server = http.createServer(serve);
let front; // the port of the gateway behind /socket.io/

function serve(request, response) {
  if (request.url.startsWith('/socket.io/')) {
    const options = { host: '127.0.0.1', port: front, path: request.url, method: request.method, headers: request.headers };
    const onward = http.request(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  } else if (request.method === 'POST') {
    let body = '';
    request.setEncoding('utf8').on('data', (text) => (body += text));
    request.on('end', () => {
      reports.set(request.url, JSON.parse(body));
      response.end();
    });
  } else if (pages.has(request.url)) {
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
    response.end(pages.get(request.url));
  } else {
    response.writeHead(404).end();
  }
}

server.on('upgrade', (request, socket, head) => {
  const onward = net.connect({ port: front, host: '127.0.0.1' });
  const lines = request.rawHeaders.map((text, i) => (i % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
  onward.write(`GET ${request.url} HTTP/1.1\r\n${lines}\r\n`);
  onward.write(head);
  socket.pipe(onward).pipe(socket);
  for (const end of [socket, onward]) end.on('error', () => (socket.destroy(), onward.destroy()));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
onCleanup(() => {
  server.closeAllConnections();
  server.close();
});

const origin = `http://127.0.0.1:${server.address().port}`;
const otherOrigin = `http://localhost:${server.address().port}`; // the same server, another origin

// ---- the gateways ----

const own = ['--client-dir', dist];
const cluster = await Cluster.start({ gateways: 1, gateway: own });
await cluster.addGateway([...own, '--parser', 'msgpack']);
const allowing = await cluster.addGateway([...own, '--cors-origin', origin, '--cors-credentials', 'on', '--cookie', 'io']);
const allowingAny = await cluster.addGateway([...own, '--cors-origin', '*']);
const observer = await connect(cluster.url(0));
onCleanup(() => close(observer));
const recorder = new Recorder(observer);

// ---- the browser ----

// Opens the page in a browser of its own and gives what it reports.
async function visit(t, html, { at = origin } = {}) {
  const name = `/page-${pages.size}`;
  pages.set(name, html);
  const directory = temporaryDirectory();
  const browser = spawn(CHROMIUM, [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-proxy-server', `--user-data-dir=${directory}`, at + name,
  ], { stdio: ['ignore', 'ignore', 'pipe'], detached: true, env: { ...process.env, HOME: directory } });
  let log = '';
  let ended = false;
  browser.stderr.setEncoding('utf8').on('data', (text) => (log = (log + text).slice(-4000)));
  const gone = new Promise((resolve) => browser.once('close', resolve)).then(() => (ended = true));
  const kill = () => !ended && process.kill(-browser.pid, 'SIGKILL'); // with its children
  const killAtExit = () => kill();
  process.once('exit', killAtExit);
  t.after(async () => {
    kill();
    await gone;
    process.off('exit', killAtExit);
  });
  await waitFor(() => reports.has(name) || ended, { what: () => `the report of a page; the browser said: ${log}` });
  assert.ok(reports.has(name), `the browser ended without a report: ${log}`);
  const report = reports.get(name);
  assert.equal(report.error, undefined, JSON.stringify(report));
  return report;
}

// What every page can do. Nothing of it depends on the bundle but io().
const COMMON = `
  const report = (what) => fetch(location.pathname, { method: 'POST', body: JSON.stringify(what) });
  const fail = (err) => report({ error: String(err && err.stack || err) });
  addEventListener('error', (event) => fail(event.message + ' ' + event.filename));
  addEventListener('unhandledrejection', (event) => fail(event.reason));
  const bytes = (value) => Array.from(value instanceof ArrayBuffer ? new Uint8Array(value) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  async function talk(io, url, options, room) {
    const socket = io(url, { timeout: 60000, ...options });
    const errors = [];
    socket.on('connect_error', (err) => errors.push(err.message));
    await new Promise((resolve, reject) => {
      socket.on('connect', resolve);
      setTimeout(() => reject(new Error('no connect: ' + errors.join())), 100000);
    });
    if (!options.transports || options.transports.length > 1) {
      const { engine } = socket.io;
      if (engine.transport.name !== 'websocket') await new Promise((resolve) => engine.once('upgrade', resolve));
    }
    const events = [];
    const three = new Promise((resolve) => socket.on('said', (n, data) => {
      events.push([n, bytes(data)]);
      if (events.length === 3) resolve();
    }));
    const joined = await socket.timeout(20000).emitWithAck('join', room);
    // An ArrayBuffer: the msgpack bundle takes a Uint8Array for an object.
    for (const n of [1, 2, 3]) await socket.timeout(20000).emitWithAck('publish', room, 'said', n, new Uint8Array([n, n + 1]).buffer);
    await three;
    return report({ joined: joined.ok, events, transport: socket.io.engine.transport.name, sid: socket.id, cookie: document.cookie });
  }
`;
const classic = (src, call) => `<!doctype html><script>${COMMON}</script><script src="${src}"></script><script>${call}.catch(fail)</script>`;
const module = (src, call) => `<!doctype html><script>${COMMON}</script><script type="module">import { io } from '${src}'; ${call}.catch(fail)</script>`;

let rooms = 0;
const SAID = [1, 2, 3].map((n) => [n, [n, n + 1]]);

// The page made by `html(call)` talks, and a client of another kind hears it.
async function assertTalks(t, html, { gateway, url = '', options, transport, at }) {
  front = gateway.port;
  const room = `browser ${++rooms}`;
  await join(observer, room);
  recorder.clear();
  const report = await visit(t, html(`talk(io, ${JSON.stringify(url)} || undefined, ${JSON.stringify(options)}, ${JSON.stringify(room)})`), { at });
  assert.deepEqual([report.joined, report.events, report.transport], [true, SAID, transport]);
  await recorder.waitForCount('said', 3);
  assert.deepEqual(recorder.of('said').map(({ args: [n, data] }) => [n, [...data]]), SAID);
  const { members } = await ok(observer, 'presence', room);
  assert.equal(members.length, 2);
  return report;
}

const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrade: undefined };

test('Chromium is installed', () => assert.ok(existsSync(CHROMIUM), CHROMIUM));

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`the classic bundle over ${name}`, async (t) => {
    const options = transports === undefined ? {} : { transports };
    await assertTalks(t, (call) => classic('/socket.io/socket.io.min.js', call), { gateway: cluster.gateways[0], options, transport: transports?.[0] ?? 'websocket' });
  });
}

test('the module bundle', async (t) => {
  await assertTalks(t, (call) => module('/socket.io/socket.io.esm.min.js', call), { gateway: cluster.gateways[0], options: {}, transport: 'websocket' });
});

test('the unminified bundle', async (t) => {
  await assertTalks(t, (call) => classic('/socket.io/socket.io.js', call), { gateway: cluster.gateways[0], options: { transports: ['websocket'] }, transport: 'websocket' });
});

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`the msgpack bundle over ${name}`, async (t) => {
    const options = transports === undefined ? {} : { transports };
    await assertTalks(t, (call) => classic('/socket.io/socket.io.msgpack.min.js', call), { gateway: cluster.gateways[1], options, transport: transports?.[0] ?? 'websocket' });
  });
}

// ---- other origins ----

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`from another origin that is allowed, with credentials, over ${name}`, async (t) => {
    const url = `http://127.0.0.1:${allowing.port}`;
    const options = { withCredentials: true, ...(transports && { transports }) };
    const report = await assertTalks(t, (call) => module(`${url}/socket.io/socket.io.esm.min.js`, call), { gateway: allowing, url, options, transport: transports?.[0] ?? 'websocket' });
    assert.equal(report.cookie, '', 'the cookie is not for scripts');
  });
}

test('from any origin where * is allowed', async (t) => {
  const url = `http://127.0.0.1:${allowingAny.port}`;
  const html = (call) => module(`${url}/socket.io/socket.io.esm.min.js`, call);
  await assertTalks(t, html, { gateway: allowingAny, url, options: { transports: ['polling'] }, transport: 'polling', at: otherOrigin });
});

const TRY = (url, options) => `
  const seen = [];
  const socket = io(${JSON.stringify(url)}, ${JSON.stringify({ reconnection: false, ...options })});
  socket.on('connect', () => report({ connected: true }));
  socket.on('connect_error', (err) => report({ connected: false, message: err.message }));
  Promise.resolve()`;

for (const transports of [['polling'], ['websocket']]) {
  test(`from an origin that is not allowed, nothing over ${transports[0]}`, async (t) => {
    front = cluster.port(0);
    const html = classic('/socket.io/socket.io.min.js', TRY(`http://127.0.0.1:${allowing.port}`, { transports }));
    const { connected, message } = await visit(t, html, { at: otherOrigin });
    assert.equal(connected, false);
    assert.match(message, transports[0] === 'polling' ? /xhr poll error/ : /websocket error/);
  });
}

test('from another origin, polling does not get far with a gateway that names none', async (t) => {
  front = cluster.port(0);
  const html = classic('/socket.io/socket.io.min.js', TRY(`http://127.0.0.1:${cluster.port(0)}`, { transports: ['polling'] }));
  const { connected } = await visit(t, html);
  assert.equal(connected, false);
});
