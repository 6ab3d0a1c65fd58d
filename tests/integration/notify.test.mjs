// What the programs tell a service manager: that they serve, not earlier; that their loop turns; that they read files again; that
// they end.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { connect, close } from './clients.mjs';
import { Cluster, freePort, onCleanup, PROGRAMS, run, Server, sleep, temporaryDirectory, test, waitFor } from './harness.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));

// A manager with a socket of its own; what programs told it is in `told`, the oldest first.
class Manager {
  told = [];

  static async start() {
    const manager = new Manager();
    manager.socket = path.join(temporaryDirectory(), 'notify');
    const child = spawn('python3', [path.join(here, 'notify_manager.py'), manager.socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    onCleanup(() => child.kill('SIGKILL'));
    let text = '';
    let ready = false;
    child.stdout.setEncoding('utf8').on('data', (more) => {
      const lines = (text + more).split('\n');
      text = lines.pop();
      for (const line of lines) {
        if (line === 'ready') ready = true;
        else manager.told.push(JSON.parse(line));
      }
    });
    await waitFor(() => ready, { what: 'the manager' });
    return manager;
  }

  // Waits for a message that has this line; gives its place.
  async heard(pattern, from = 0) {
    await waitFor(() => this.told.slice(from).some((text) => pattern.test(text)), { what: () => `${pattern} in ${JSON.stringify(this.told.slice(from))}` });
    return from + this.told.slice(from).findIndex((text) => pattern.test(text));
  }

  count(pattern) {
    return this.told.filter((text) => pattern.test(text)).length;
  }

  // What was told until now is in `told`: it comes in its order, and so after it what is told here.
  async settle() {
    const mark = `FENCE=${++this.#fences}`;
    const { code, stderr } = await run('python3', ['-c', TELL, this.socket, mark]);
    assert.equal(code, 0, stderr);
    await this.heard(new RegExp(`^${mark}$`, 'm'));
  }

  #fences = 0;
}

const TELL = 'import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[2].encode(), sys.argv[1])';
const READY = /^READY=1$/m;
const WATCHDOG = /^WATCHDOG=1$/m;
const isHealthy = async (port) => (await fetch(`http://127.0.0.1:${port}/health`)).status === 200;

async function broker(manager, args = [], env = {}) {
  const adminPort = await freePort();
  const port = await freePort();
  const db = path.join(temporaryDirectory(), 'reprise.db');
  const server = new Server('told broker', PROGRAMS.broker, ['--listen', `tcp://127.0.0.1:${port}`, '--db', db, '--admin', `127.0.0.1:${adminPort}`, ...args], {
    env: { NOTIFY_SOCKET: manager.socket, ...env },
  });
  return Object.assign(server, { adminPort, port, db });
}

test('a broker: opening, serving, alive, reading again, stopping', async () => {
  const manager = await Manager.start();
  const server = await broker(manager, [], { WATCHDOG_USEC: '200000' });
  server.spawn();
  const ready = await manager.heard(READY);
  assert.ok(await isHealthy(server.adminPort), 'it serves when it says so');
  assert.ok((await manager.heard(/^STATUS=Opening the log in .*reprise\.db$/m)) < ready);
  assert.ok((await manager.heard(new RegExp(`^STATUS=Links at tcp://127.0.0.1:${server.port},`, 'm'))) <= ready);
  await waitFor(() => manager.count(WATCHDOG) >= 5);

  server.child.kill('SIGHUP');
  const reloading = await manager.heard(/^RELOADING=1\nMONOTONIC_USEC=\d+$/m);
  await manager.heard(READY, reloading + 1);
  const stopping = manager.told.length;
  await server.stop();
  await manager.heard(/^STOPPING=1$/m, stopping);
});

test('the watchdog is not fed while the process hangs, and is afterwards', async () => {
  const manager = await Manager.start();
  const server = await broker(manager, [], { WATCHDOG_USEC: '100000' });
  await server.start();
  await waitFor(() => manager.count(WATCHDOG) >= 2);
  server.hang();
  await waitFor(() => /^\d+ \(.*\) T /.test(readFileSync(`/proc/${server.pid}/stat`, 'utf8')), { what: 'the process to hang' });
  await manager.settle(); // what was under way
  const before = manager.count(WATCHDOG);
  await sleep(500);
  await manager.settle();
  assert.equal(manager.count(WATCHDOG), before);
  server.resume();
  await waitFor(() => manager.count(WATCHDOG) > before);
  await server.stop();
});

test('a broker that cannot begin does not say that it serves', async () => {
  const manager = await Manager.start();
  const cluster = await Cluster.start({ gateways: 0 });
  const server = await broker(manager, ['--db', cluster.db]); // which that one has open
  server.spawn().expectEnd();
  assert.notEqual((await server.exited).code, 0);
  await manager.heard(/^STATUS=Opening/m);
  assert.equal(manager.count(READY), 0);
});

test('a gateway: serving, linked or not, reading again, stopping', async () => {
  const manager = await Manager.start();
  const cluster = await Cluster.start({ gateways: 0 });
  const env = { NOTIFY_SOCKET: manager.socket, WATCHDOG_USEC: '200000' };
  const gateway = await cluster.addGateway([], { env });
  const ready = await manager.heard(READY);
  const client = await connect(cluster.url(0));
  await manager.heard(/^STATUS=Linked to the broker, clients at 127\.0\.0\.1:\d+$/m);
  await waitFor(() => manager.count(WATCHDOG) >= 5);
  assert.ok(manager.told.findIndex((text) => WATCHDOG.test(text)) > ready, 'not before it serves');

  gateway.child.kill('SIGHUP');
  const reloading = await manager.heard(/^RELOADING=1\nMONOTONIC_USEC=\d+$/m);
  await manager.heard(READY, reloading + 1);
  const killed = manager.told.length;
  await cluster.broker.kill();
  await manager.heard(/^STATUS=Waiting for the broker/m, killed);
  await cluster.broker.start();
  const stopping = await manager.heard(/^STATUS=Linked/m, killed);
  await gateway.stop();
  await manager.heard(/^STOPPING=1$/m, stopping);
  await manager.heard(/^STATUS=Sending \d+ clients away$/m, stopping);
  close(client);
});

test('a manager that is not there, or does not listen, stops nobody', async () => {
  for (const socket of ['/no/such/socket', '@reprise-nobody', 'vsock:2:1234', '']) {
    const server = await broker({ socket });
    await server.start();
    assert.ok(await isHealthy(server.adminPort));
    await server.stop();
  }
});
