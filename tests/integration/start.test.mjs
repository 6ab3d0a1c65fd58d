// Starting, stopping and options: what both programs say to the person who runs them.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { close, connect, join, nextDisconnect, ok, open, publishMany } from './clients.mjs';
import { Cluster, freePort, PROGRAMS, run, Server, slow, temporaryDirectory, test, waitFor } from './harness.mjs';
import { Proxy } from './proxy.mjs';
import { RawClient } from './raw.mjs';

const OPTIONS = {
  broker: ['listen', 'curve-key', 'allow', 'plain-links', 'db', 'sync', 'session-ttl', 'admin', 'retain-events', 'segment-events', 'check', 'backup', 'restore', 'help', 'version'],
  gateway: ['listen', 'broker', 'broker-key', 'curve-key', 'plain-links', 'admin', 'ping-interval', 'ping-timeout', 'connect-timeout', 'max-payload', 'client-dir', 'demo', 'help', 'version'],
};

// The broker with these arguments must end by itself, with a status that is not 0, saying what matches; nothing is `ready`.
async function assertBrokerRefuses(db, expected, more = []) {
  const args = ['--listen', `tcp://127.0.0.1:${await freePort()}`, '--admin', `127.0.0.1:${await freePort()}`, '--db', db, ...more];
  const { code, signal, stdout, stderr } = await run(PROGRAMS.broker, args);
  assert.equal(signal ?? null, null, `ended by ${signal}: ${stderr}`);
  assert.notEqual(code, 0, stderr);
  assert.doesNotMatch(stdout, /^ready/m);
  for (const pattern of [].concat(expected)) assert.match(stderr, pattern);
  assert.ok(stderr.includes(path.basename(db)), `the message names the file: ${stderr}`);
}

// ---- what a gateway says of its memory ----

test('a gateway says when the largest messages need more than its memory budget', async () => {
  const cluster = await Cluster.start({ gateways: 1, gateway: ['--memory-budget', '64M', '--max-payload', '16M'] });
  const small = await cluster.addGateway(['--memory-budget', '64M']);
  const told = /level=warn .*--max-payload.*--memory-budget.* budget=67108864 needs=[34]\d{8}\b/;
  assert.match(cluster.gateways[0].log, told);
  assert.doesNotMatch(small.log, told);
});

// ---- files the broker refuses ----

test('the broker refuses a text file, and leaves it as it is', async () => {
  const file = path.join(temporaryDirectory(), 'notes.txt');
  const content = 'These are my notes.\n'.repeat(1000);
  writeFileSync(file, content);
  await assertBrokerRefuses(file, /not (a database|one) of reprise/i);
  const { stdout } = await run('cat', [file]);
  assert.equal(stdout, content);
});

test('the broker refuses the SQLite file of another program, and leaves it as it is', async () => {
  const file = path.join(temporaryDirectory(), 'other.db');
  await run('sqlite3', [file, 'create table recipes(name); insert into recipes values (1); pragma user_version = 1']);
  await assertBrokerRefuses(file, /not (a database|one) of reprise/i);
  const { stdout } = await run('sqlite3', [file, 'select group_concat(name) from sqlite_master; pragma journal_mode']);
  assert.equal(stdout, 'recipes\ndelete\n');
});

test('the broker refuses a file of a newer version', async () => {
  const cluster = await Cluster.start({ gateways: 0 });
  await cluster.broker.stop();
  await run('sqlite3', [cluster.db, 'pragma user_version = 9999']);
  await assertBrokerRefuses(cluster.db, [/newer|version/i, /9999/]);
});

test('the broker refuses a file that another broker has open, which goes on', async () => {
  const cluster = await Cluster.start({ gateways: 1 });
  const client = await connect(cluster.url(0));
  await assertBrokerRefuses(cluster.db, /another|in use|locked/i);
  await publishMany(client, 'room', 'n', 10);
  close(client);
});

test('the broker refuses a directory that is not there', async () => {
  await assertBrokerRefuses(path.join(temporaryDirectory(), 'nowhere', 'reprise.db'), /no such file|not exist|cannot|unable/i);
});

test('the broker refuses a place it cannot write to', async () => {
  // Nobody can make files in /proc, not even root.
  await assertBrokerRefuses('/proc/reprise.db', /cannot|unable|denied|no such file|not permitted|read-only/i);
  if (process.getuid() === 0) return;
  const dir = path.join(temporaryDirectory(), 'closed');
  mkdirSync(dir);
  chmodSync(dir, 0o555);
  await assertBrokerRefuses(path.join(dir, 'reprise.db'), /denied|cannot|unable|read-only/i);
});

test('the broker refuses a database whose end is damaged, and says so', async () => {
  const cluster = await Cluster.start({ gateways: 1 });
  const client = await connect(cluster.url(0));
  await publishMany(client, 'room', 'n', 100);
  close(client);
  await cluster.broker.stop();
  const { code, stderr } = await run('sqlite3', [cluster.db, "update event set args = '[\"forged\"]' where seq = (select max(seq) from event where room = 'room')"]);
  assert.equal(code, 0, stderr);
  await assertBrokerRefuses(cluster.db, /checksum|damaged|corrupt/i);
});

// ---- options ----

for (const [name, program] of Object.entries(PROGRAMS)) {
  test(`${name}: --help explains every option and ends with 0`, async () => {
    const { code, stdout, stderr } = await run(program, ['--help']);
    assert.equal(code, 0, stderr);
    for (const option of OPTIONS[name]) assert.match(stdout, new RegExp(`--${option}\\b`));
    assert.match(stdout, /REPRISE_/);
    assert.ok(stdout.split('\n').every((line) => line.length <= 100), 'lines fit a terminal');
  });

  test(`${name}: --version says name and version and ends with 0`, async () => {
    const { code, stdout } = await run(program, ['--version']);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^reprise-${name} \\d+\\.\\d+\\.\\d+`));
  });

  test(`${name}: an unknown option is refused by name`, async () => {
    for (const args of [['--no-such-option'], ['--no-such-option=1'], ['stray']]) {
      const { code, stdout, stderr } = await run(program, args);
      assert.notEqual(code, 0);
      assert.match(stderr, /no-such-option|stray/);
      assert.doesNotMatch(stdout, /^ready/m);
    }
  });
}

// [program, option, wrong value, what the message must say is expected]
const WRONG_VALUES = [
  ['broker', 'session-ttl', 'abc', /duration|ms|s, m/i],
  ['broker', 'session-ttl', '-5s', /duration|ms/i],
  ['broker', 'session-ttl', '99999999999999999999d', /duration|large|range|most|between/i],
  ['broker', 'sync', 'sometimes', /full.*normal|normal.*full/i],
  ['broker', 'listen', 'nonsense', /tcp:\/\//i],
  ['broker', 'admin', '127.0.0.1:99999', /port|address|host/i],
  ['broker', 'retain-events', 'many', /number|count/i],
  ['broker', 'segment-events', '0', /number|least|between|count/i],
  ['gateway', 'listen', '127.0.0.1', /port|address/i],
  ['gateway', 'listen', '127.0.0.1:0x50', /port|address/i],
  ['gateway', 'broker', 'http://x', /tcp:\/\//i],
  ['gateway', 'ping-interval', '25 s', /duration|ms/i],
  ['gateway', 'ping-timeout', '', /duration|ms/i],
  ['gateway', 'connect-timeout', '45x', /duration|ms/i],
  ['gateway', 'max-payload', '1T', /size|bytes|k M G/i],
  ['gateway', 'client-dir', '/no/such/directory', /directory/i],
];

for (const [name, option, value, expected] of WRONG_VALUES) {
  test(`${name}: --${option} "${value}" is refused with the option and what is expected`, async () => {
    const { code, signal, stdout, stderr } = await run(PROGRAMS[name], [`--${option}`, value]);
    assert.equal(signal ?? null, null);
    assert.notEqual(code, 0);
    assert.match(stderr, new RegExp(option));
    assert.match(stderr, expected);
    assert.doesNotMatch(stdout, /^ready/m);
  });
}

test('a wrong value in the environment is refused with the name of the variable', async () => {
  const { code, stderr } = await run(PROGRAMS.broker, [], { env: { REPRISE_SESSION_TTL: 'abc' } });
  assert.notEqual(code, 0);
  assert.match(stderr, /REPRISE_SESSION_TTL/);
});

test('an option without its value is refused', async () => {
  const { code, stderr } = await run(PROGRAMS.broker, ['--db']);
  assert.notEqual(code, 0);
  assert.match(stderr, /db/);
});

test('options come from the environment, and flags win', async () => {
  const cluster = await Cluster.start({ gateways: 0 });
  const [port, other] = [await freePort(), await freePort()];
  const gateway = new Server('gateway', PROGRAMS.gateway, ['--listen', `127.0.0.1:${port}`, '--ping-timeout', '3s'], {
    env: {
      REPRISE_LISTEN: `127.0.0.1:${other}`,
      REPRISE_BROKER: cluster.brokerAddress,
      REPRISE_ADMIN: `127.0.0.1:${await freePort()}`,
      REPRISE_PING_INTERVAL: '7s',
      REPRISE_PING_TIMEOUT: '9s',
      REPRISE_MAX_PAYLOAD: '20k',
    },
  });
  await gateway.start();
  const raw = await RawClient.open(port);
  const { pingInterval, pingTimeout, maxPayload, upgrades } = raw.handshake;
  assert.deepEqual({ pingInterval, pingTimeout, upgrades }, { pingInterval: 7000, pingTimeout: 3000, upgrades: [] });
  assert.ok([20_000, 20_480].includes(maxPayload), String(maxPayload));
  raw.terminate();
  await assert.rejects(RawClient.open(other));
});

test('a gateway refuses a port that is taken', async () => {
  const cluster = await Cluster.start({ gateways: 1 });
  const args = ['--listen', `127.0.0.1:${cluster.port(0)}`, '--broker', cluster.brokerAddress, '--admin', `127.0.0.1:${await freePort()}`];
  const { code, stdout, stderr } = await run(PROGRAMS.gateway, args);
  assert.notEqual(code, 0);
  assert.match(stderr, new RegExp(String(cluster.port(0))));
  assert.doesNotMatch(stdout, /^ready/m);
});

// ---- life ----

test('pings come at the interval, and a client that does not answer is closed', async () => {
  const cluster = await Cluster.start({ gateways: 1, gateway: ['--ping-interval', '200ms', '--ping-timeout', `${2_000 * slow}ms`] });
  const client = await connect(cluster.url(0));
  let pings = 0;
  client.io.on('ping', () => pings++);
  await waitFor(() => pings >= 5, { what: 'five pings' });
  assert.equal(client.connected, true);
  const raw = await RawClient.open(cluster.port(0));
  await raw.connect();
  raw.ws.removeAllListeners('message'); // no pongs from here on
  await raw.waitClosed();
  assert.equal(client.connected, true);
  close(client);
});

test('a connection without CONNECT is closed after the connect timeout', async () => {
  const cluster = await Cluster.start({ gateways: 1, gateway: ['--connect-timeout', `${1_000 * slow}ms`] });
  const connected = await connect(cluster.url(0));
  const raw = await RawClient.open(cluster.port(0));
  await raw.waitClosed();
  assert.equal(connected.connected, true);
  close(connected);
});

test('a gateway that starts before its broker serves once the broker is there', async () => {
  const [brokerPort, port] = [await freePort(), await freePort()];
  const address = `tcp://127.0.0.1:${brokerPort}`;
  const gateway = new Server('gateway', PROGRAMS.gateway, ['--listen', `127.0.0.1:${port}`, '--broker', address, '--admin', `127.0.0.1:${await freePort()}`]);
  gateway.spawn();
  const early = open(`http://127.0.0.1:${port}`);
  const broker = new Server('broker', PROGRAMS.broker, ['--listen', address, '--db', path.join(temporaryDirectory(), 'reprise.db'), '--admin', `127.0.0.1:${await freePort()}`]);
  await broker.start();
  await gateway.ready();
  await waitFor(() => early.connected, { what: 'the client that came early' });
  await join(early, 'room');
  close(early);
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal} stops a gateway with status 0, and its clients get 1001`, async () => {
    const cluster = await Cluster.start({ gateways: 2 });
    const [gateway] = cluster.gateways;
    const raws = await Promise.all([1, 2, 3].map(() => RawClient.open(cluster.port(0))));
    for (const raw of raws) await raw.connect();
    const stock = await connect(cluster.url(0));
    const gone = nextDisconnect(stock);
    gateway.expectEnd().child.kill(signal);
    assert.deepEqual(await gateway.exited, { code: 0, signal: null });
    for (const raw of raws) assert.equal((await raw.waitClosed()).code, 1001);
    await gone;
    assert.equal(stock.active, true, 'the stock client comes back by itself');
    close(stock);
  });

  test(`${signal} stops the broker with status 0, and all it acked is there after a start`, async () => {
    const cluster = await Cluster.start({ gateways: 1 });
    const client = await connect(cluster.url(0));
    const seqs = await publishMany(client, 'room', 'n', 500);
    cluster.broker.expectEnd().child.kill(signal);
    assert.deepEqual(await cluster.broker.exited, { code: 0, signal: null });
    assert.deepEqual((await cluster.query("select seq from messages where room = 'room' order by seq")).map(({ seq }) => seq), seqs);
    await cluster.broker.start();
    const { events } = await ok(client, 'history', 'room', { since: 0 });
    assert.deepEqual(events.map(({ seq }) => seq), seqs);
    close(client);
  });
}

test('a client that was drained recovers through another gateway', async () => {
  const cluster = await Cluster.start({ gateways: 2 });
  const proxy = await Proxy.start(cluster.port(0));
  const client = await connect(proxy.url);
  const { id } = client;
  await join(client, 'room');
  proxy.retarget(cluster.port(1));
  await cluster.gateways[0].stop();
  await waitFor(() => client.connected && client.recovered, { what: 'the recovery' });
  assert.equal(client.id, id);
  close(client);
});
