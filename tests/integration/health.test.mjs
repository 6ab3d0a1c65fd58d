// `reprise health`, the probe: what it says of programs that serve, that do not, and of what is none of ours. And the name of a
// gateway that got none.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';

import { CLI, Cluster, freePort, onCleanup, run, Server, PROGRAMS, test, waitFor } from './harness.mjs';

const cluster = await Cluster.start({ gateways: 1 });
const [gateway] = cluster.gateways;
const health = (...args) => run(CLI, ['health', ...args], { timeout: 2 * LIMIT });
const at = ({ adminPort }) => `127.0.0.1:${adminPort}`;
const LIMIT = 30_000; // ms, far above the timeouts given here: whoever waits for something else fails
const PATIENT = `--timeout=${LIMIT}ms`; // for what is answered, in some way
const BRIEF = '--timeout=300ms';

async function listening(server, host = '127.0.0.1') {
  server.listen(0, host);
  await once(server, 'listening');
  onCleanup(() => {
    server.close();
    server.closeAllConnections?.();
  });
  return server.address().port;
}

// A server that does this with each connection.
async function answering(onConnection) {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    onCleanup(() => socket.destroy());
    onConnection(socket);
  });
  return `127.0.0.1:${await listening(server)}`;
}

test('a broker and a gateway that serve: their lines, and status 0', async () => {
  const { code, stdout, stderr } = await health(at(cluster.broker), at(gateway));
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  const lines = stdout.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ status, program }) => [status, program]), [['ok', 'reprise-broker'], ['ok', 'reprise-gateway']]);
});

test('names, and the address that the programs have from the environment', async () => {
  const named = await health(`localhost:${gateway.adminPort}`);
  assert.equal(named.code, 0, named.stderr);
  for (const host of ['127.0.0.1', '0.0.0.0', '*', '']) {
    const { code, stdout, stderr } = await run(CLI, ['health'], { env: { REPRISE_ADMIN: `${host}:${cluster.broker.adminPort}` } });
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout).program, 'reprise-broker');
  }
});

test('a name that there is not is no address', async () => {
  const { code, stdout, stderr } = await run(CLI, ['health', '--timeout', '300ms', 'nobody.invalid:3001'], { timeout: LIMIT });
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /nobody\.invalid:3001: (no such name|no answer|no connection)/); // by what answers for names here
});

test('IPv6 in brackets', async (t) => {
  const server = http.createServer((request, response) => response.end(`${request.method} ${request.url} ${request.headers.host}\n`));
  const port = await listening(server, '::1').catch(() => null);
  if (port === null) return t.skip('there is no IPv6 here');
  const { code, stdout, stderr } = await health(`[::1]:${port}`);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, `GET /health [::1]:${port}\n`);
});

test('one that is not ready makes it 1, and says so; the others are told all the same', async () => {
  const lonely = new Server('lonely', PROGRAMS.gateway, ['--listen', `127.0.0.1:${await freePort()}`, '--broker', `tcp://127.0.0.1:${await freePort()}`, '--admin', `127.0.0.1:${(await freePort())}`]);
  lonely.adminPort = Number(lonely.args.at(-1).split(':')[1]);
  await lonely.start();
  const { code, stdout, stderr } = await health(at(lonely), at(cluster.broker));
  assert.equal(code, 1);
  assert.deepEqual(stdout.trimEnd().split('\n').map((line) => JSON.parse(line).status), ['unavailable', 'ok']);
  assert.equal(stderr, `reprise health: ${at(lonely)}: not ready, it answers 503\n`);
  await lonely.stop();
  const gone = await health(at(lonely));
  assert.equal(gone.code, 1);
  assert.equal(gone.stdout, '');
  assert.match(gone.stderr, /nobody listens/);
});

test('a program that hangs is not waited for longer than --timeout', async () => {
  gateway.hang();
  try {
    const { code, stdout, stderr } = await run(CLI, ['health', '--timeout', '300ms', at(gateway)], { timeout: LIMIT });
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.equal(stderr, `reprise health: ${at(gateway)}: no answer within 300 ms\n`);
  } finally {
    gateway.resume();
  }
});

test('what answers in no way, in parts, in vain or for ever', async () => {
  const drip = (text) => (socket) => {
    socket.write(text);
    const timer = setInterval(() => socket.write('x'), 20);
    socket.on('close', () => clearInterval(timer));
  };
  const flood = (text, again = 'x'.repeat(16384)) => (socket) => {
    const more = () => { while (socket.write(again));};
    socket.write(text);
    socket.on('drain', more);
    more();
  };
  const cases = [
    [BRIEF, () => {}, /no answer within 300 ms/],
    [BRIEF, drip('HTTP/1.1 200 OK\r\nX: '), /no answer within 300 ms|longer/],
    [BRIEF, drip('HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n'), /no answer within 300 ms/],
    [PATIENT, (socket) => socket.once('data', () => socket.end()), /closed|broke/],
    [PATIENT, (socket) => socket.once('data', () => socket.end('SSH-2.0-OpenSSH\r\n\r\n')), /does not speak HTTP|closed/],
    [PATIENT, flood('HTTP/1.1 200 OK\r\nX: '), /longer|does not speak HTTP/],
    [PATIENT, flood('HTTP/1.1 200 OK\r\n\r\n'), /longer/],
    [PATIENT, flood('', `HTTP/1.1 100 Continue\r\nX: ${'x'.repeat(16000)}\r\n\r\n`), /continue/],
    [PATIENT, flood('HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n'), /longer/],
    [PATIENT, (socket) => socket.once('data', () => socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')), /it answers 404/],
  ];
  for (const [time, behaviour, expected] of cases) {
    const address = await answering(behaviour);
    const { code, signal, stderr } = await run(CLI, ['health', time, address], { timeout: 2 * LIMIT });
    assert.equal(signal ?? null, null, `ended by ${signal}`);
    assert.equal(code, 1, `${behaviour}: ${stderr}`);
    assert.match(stderr, expected, String(behaviour));
    assert.ok(stderr.includes(address));
  }
});

test('a terminal is told nothing that it would obey', async () => {
  const body = '{"a":"\u001b[31m\u0007é"}\nsecond line\n';
  const address = await answering((socket) => socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)));
  const { code, stdout } = await health(address);
  assert.equal(code, 0);
  assert.equal(stdout, '{"a":"?[31m?é"}\n');
});

test('a wrong command line is refused with 2, and nobody is asked', async () => {
  const wrong = [['--timeout'], ['--timeout', '5'], ['--timeout=0s'], ['--timeout', '2h'], ['--quick'], ['nonsense'], ['127.0.0.1'], ['::1:80'], ['127.0.0.1:0'], ['127.0.0.1:70000'], Array(17).fill('127.0.0.1:1')];
  for (const args of wrong) {
    const { code, stdout, stderr } = await health(...args);
    assert.equal(code, 2, `${args}: ${stderr}`);
    assert.equal(stdout, '');
    assert.match(stderr, /^reprise health: .*help health.*\n$/);
  }
  const off = await run(CLI, ['health'], { env: { REPRISE_ADMIN: 'off' } });
  assert.equal(off.code, 2);
});

test('a gateway at all addresses is called after the machine, one at an address after that', async () => {
  const name = async ({ adminPort }) => (await (await fetch(`http://127.0.0.1:${adminPort}/health`)).json()).gateway;
  assert.equal(await name(gateway), `127.0.0.1:${gateway.port}`);
  for (const host of ['0.0.0.0', '*']) {
    const port = await freePort();
    const everywhere = await cluster.addGateway(['--listen', `${host}:${port}`]);
    assert.equal(await name(everywhere), `${os.hostname()}:${port}`);
    await everywhere.stop();
  }
  const called = await cluster.addGateway(['--listen', `0.0.0.0:${await freePort()}`, '--name', 'eu-1']);
  assert.equal(await name(called), 'eu-1');
});
