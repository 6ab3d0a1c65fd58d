// Keys of the links: `reprise keygen`, who gets a link and who does not, what both ends say about it, and which starts are refused.

import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { assertExactly, close, connect, fence, join, numbers, ok, publishMany, Recorder } from './clients.mjs';
import { CLI, Cluster, freePort, metric, PROGRAMS, run, temporaryDirectory, test, waitFor, within } from './harness.mjs';

const dir = temporaryDirectory();
const file = (name) => path.join(dir, name);
const keygen = (...args) => run(CLI, ['keygen', ...args]);

// Makes a pair in the directory; gives its files and the public key.
async function makeKeys(name) {
  const { code, stdout, stderr } = await keygen(file(`${name}.key`), '--json');
  assert.equal(code, 0, stderr);
  return { name, secret: file(`${name}.key`), public: file(`${name}.key.pub`), key: JSON.parse(stdout).public };
}

// Writes a list of keys: [[role, keys], …].
function writeAllow(entries, to = file('allow')) {
  writeFileSync(to, ['# made by a test', ...entries.map(([role, { name, key }]) => `${role} ${name} ${key}`)].join('\n') + '\n');
  return to;
}

const [broker, first, second, worker, stranger] = await Promise.all(['broker', 'first', 'second', 'chat-1', 'stranger'].map(makeKeys));
const ALLOWED = [['gateway', first], ['any', second], ['worker', worker]];
const allow = writeAllow(ALLOWED);
const cluster = await Cluster.start({ gateways: 0, broker: ['--curve-key', broker.secret, '--allow', allow] });
const withKeys = (own, brokerKey = broker.public) => ['--curve-key', own.secret, '--broker-key', brokerKey];
await cluster.addGateway(withKeys(first));
await cluster.addGateway(withKeys(second, broker.key));

// The list is this one now, and the broker knows.
async function changeAllow(entries) {
  const told = cluster.broker.log.length;
  writeAllow(entries);
  cluster.broker.child.kill('SIGHUP');
  await waitFor(() => cluster.broker.log.slice(told).includes(`read the list of keys again" file=${allow} keys=${entries.length}`));
}

// A gateway that must not get a link: what it says matches `told`, what the broker says has all of `named`, the broker's counter
// rises, and a client at another gateway notices nothing.
async function assertGetsNoLink(args, { told, named, counter }) {
  const client = await connect(cluster.url(0));
  const recorder = new Recorder(client);
  const room = `beside ${cluster.gateways.length}`;
  await join(client, room);
  const before = await metric(cluster.broker, counter);
  cluster.broker.markLog();
  const gateway = await cluster.addGateway(args);
  await waitFor(() => told.test(gateway.log), { what: () => `${told} in the gateway's log:\n${gateway.log}` });
  await waitFor(() => named.every((name) => cluster.broker.logSinceMark().includes(name)), {
    what: () => `${named} in the broker's log:\n${cluster.broker.logSinceMark()}`,
  });
  assert.ok((await metric(cluster.broker, counter)) > before, `${counter} does not rise`);
  assert.equal(await metric(gateway, 'reprise_gateway_linked'), 0);
  assert.doesNotMatch(gateway.log, /linked to the broker/);
  await publishMany(client, room, 'n', 50);
  await fence(client, room, recorder);
  assertExactly(recorder, 'n', numbers(50));
  close(client);
  await gateway.stop();
}

// ---- keygen ----

test('keygen writes a secret file, a public one, and says what to do with them', async () => {
  const target = file('a b.key');
  const { code, stdout, stderr } = await keygen(target);
  assert.equal(code, 0, stderr);
  assert.equal(statSync(target).mode & 0o7777, 0o600);
  assert.equal(statSync(`${target}.pub`).mode & 0o7777 & ~0o044, 0o600);
  const pair = readFileSync(target, 'utf8');
  const published = readFileSync(`${target}.pub`, 'utf8');
  const [key] = pair.match(/(?<=^public = )\S{40}$/m);
  const [secret] = pair.match(/(?<=^secret = )\S{40}$/m);
  assert.notEqual(key, secret);
  assert.ok(published.includes(`\npublic = ${key}\n`));
  assert.ok(!published.includes(secret) && !published.includes('secret ='));
  assert.ok(stdout.includes(`\ngateway a-b ${key}\n`), stdout);
  assert.ok(!stdout.includes(secret), 'the secret is not printed');
});

test('keygen never overwrites without --force, and then makes other keys', async () => {
  const target = file('once.key');
  await keygen(target);
  const before = readFileSync(target, 'utf8');
  const again = await keygen(target);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /once\.key: it is there already; --force replaces it/);
  assert.equal(readFileSync(target, 'utf8'), before);
  chmodSync(target, 0o644);
  const forced = await keygen(target, '--force');
  assert.equal(forced.code, 0, forced.stderr);
  assert.notEqual(readFileSync(target, 'utf8'), before);
  assert.equal(statSync(target).mode & 0o7777, 0o600);
  assert.deepEqual(readdirSync(dir).filter((name) => name.startsWith('once')).sort(), ['once.key', 'once.key.pub']);
});

test('keygen leaves nothing behind when one of the files is in the way', async () => {
  const target = file('half.key');
  writeFileSync(`${target}.pub`, 'mine\n');
  const { code, stderr } = await keygen(target);
  assert.equal(code, 1);
  assert.match(stderr, /half\.key\.pub: it is there already/);
  assert.ok(!existsSync(target));
  assert.equal(readFileSync(`${target}.pub`, 'utf8'), 'mine\n');
});

test('keygen --json prints one object', async () => {
  const target = file('say "json".key');
  const { code, stdout } = await keygen('--json', target);
  assert.equal(code, 0);
  const told = JSON.parse(stdout);
  assert.deepEqual(told, { public: told.public, file: target, public_file: `${target}.pub`, allow: `gateway say-"json" ${told.public}` });
  assert.equal(told.public.length, 40);
});

test('reprise says what it can do, and refuses what it cannot with status 2', async () => {
  for (const args of [['help'], ['--help']]) {
    const { code, stdout } = await run(CLI, args);
    assert.equal(code, 0);
    assert.match(stdout, /^ {2}keygen /m);
  }
  const topic = await run(CLI, ['help', 'keygen']);
  assert.match(topic.stdout, /^Usage: reprise keygen FILE/);
  assert.equal((await run(CLI, ['keygen', '--help'])).stdout, topic.stdout);
  assert.match((await run(CLI, ['--version'])).stdout, /^reprise \d+\.\d+\.\d+\n$/);
  const wrong = [[], ['nothing'], ['help', 'nothing'], ['help', 'keygen', 'x'], ['keygen'], ['keygen', ''], ['keygen', '--quick', 'x'], ['keygen', file('x'), 'y']];
  for (const args of wrong) {
    const { code, stdout, stderr } = await run(CLI, args);
    assert.equal(code, 2, `${args}: ${stderr}`);
    assert.equal(stdout, '');
    assert.match(stderr, /^reprise.*help.*\n$/);
  }
  const nowhere = await keygen(path.join(dir, 'nowhere', 'x.key'));
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /No such file or directory/);
});

// ---- who gets a link ----

test('with the right keys events flow through both gateways', async () => {
  const here = await connect(cluster.url(0));
  const there = await connect(cluster.url(1));
  const recorder = new Recorder(there);
  await join(there, 'room');
  await publishMany(here, 'room', 'n', 500);
  const big = 'x'.repeat(800_000); // many frames of the link
  await ok(here, 'publish', 'room', 'big', big);
  await fence(here, 'room', recorder);
  assertExactly(recorder, 'n', numbers(500));
  assert.deepEqual(recorder.of('big')[0].args, [big]);
  close(here, there);
});

test('a broker and a gateway that are restarted find each other again, and clients recover', async () => {
  const client = await connect(cluster.url(0));
  const recorder = new Recorder(client);
  await join(client, 'restart');
  await publishMany(client, 'restart', 'n', 20);
  await cluster.broker.kill();
  await cluster.broker.start();
  await publishMany(client, 'restart', 'n', 20, { from: 20 });
  await fence(client, 'restart', recorder);
  assertExactly(recorder, 'n', numbers(40));
  close(client);
});

test('a key that is not in the list gets no link', async () => {
  await assertGetsNoLink(withKeys(stranger), {
    told: /cannot reach the broker.*not in the broker's --allow/,
    named: ['its key is not in --allow', 'address=127.0.0.1', stranger.key],
    counter: 'reprise_broker_keys_refused_total',
  });
});

test('whoever takes another broker for this one gets no link', async () => {
  await assertGetsNoLink(withKeys(first, stranger.public), {
    told: /cannot reach the broker.*is --broker-key the key of this broker/,
    named: ['it has another --broker-key'],
    counter: 'reprise_broker_handshakes_failed_total',
  });
});

test('a gateway without keys gets no link', async () => {
  await assertGetsNoLink([], {
    told: /cannot reach the broker.*(want a key|wants a key)/,
    named: ['it has no keys: it wants --broker-key and --curve-key'],
    counter: 'reprise_broker_handshakes_failed_total',
  });
});

test("a worker's key makes no gateway", async () => {
  await assertGetsNoLink(withKeys(worker), {
    told: /the broker refuses this gateway: its key is not allowed as a gateway's/,
    named: ['not as what it says it is', `entry="worker chat-1 ${worker.key}"`],
    counter: 'reprise_broker_roles_refused_total',
  });
});

test('a broker without keys gives no link to a gateway with keys, and says so', async () => {
  const plain = await Cluster.start({ gateways: 1 });
  const gateway = await plain.addGateway(withKeys(first));
  await waitFor(() => /cannot reach the broker.*(does it have keys at all|has no keys)/.test(gateway.log), { what: () => gateway.log });
  await waitFor(() => plain.broker.log.includes('it has keys and this broker has none'), { what: () => plain.broker.log });
  const client = await connect(plain.url(0));
  await publishMany(client, 'room', 'n', 5);
  close(client);
  assert.equal(await metric(plain.gateways[0], 'reprise_gateway_linked'), 1);
  assert.equal(await metric(gateway, 'reprise_gateway_linked'), 0);
});

// Whether the broker closes a connection on which this is said (and answers nothing but its own greeting).
async function isClosed(bytes) {
  const socket = net.connect(cluster.brokerPort, '127.0.0.1');
  socket.on('error', () => {}).resume();
  socket.write(Buffer.from(bytes));
  const ended = new Promise((resolve) => socket.once('close', () => resolve(true)));
  return within(60_000, 'the broker closing the connection', ended).finally(() => socket.destroy());
}

test('older ZeroMQ, which knows no keys, and what is no ZeroMQ at all', async () => {
  const signature = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f];
  const junk = [4, ...Buffer.from('junk')];
  const malformed = await metric(cluster.broker, 'reprise_broker_messages_malformed_total');
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    [1, 0, 5, 0, ...Buffer.from('junk')], // ZMTP 1.0: no identity, a message
    [...signature, 1, 5, 0, 0, 0, ...junk], // ZMTP 2.0: a DEALER without identity, a message
  ]) {
    assert.ok(await isClosed(bytes));
  }
  assert.equal(await metric(cluster.broker, 'reprise_broker_messages_malformed_total'), malformed, 'a message came in');
  const client = await connect(cluster.url(0));
  await publishMany(client, 'room', 'n', 5);
  close(client);
});

test('a connection that ends in its handshake is counted, and not worth a line', async () => {
  const before = await metric(cluster.broker, 'reprise_broker_handshakes_failed_total');
  cluster.broker.markLog();
  net.connect(cluster.brokerPort, '127.0.0.1').end(Buffer.from([0xff, 0, 0]));
  await waitFor(async () => (await metric(cluster.broker, 'reprise_broker_handshakes_failed_total')) > before);
  assert.equal(cluster.broker.logSinceMark(), '');
});

// ---- SIGHUP ----

test('SIGHUP lets in a key that was added, and ends the link of one that was removed', async () => {
  const gateway = await cluster.addGateway(withKeys(stranger));
  await waitFor(() => gateway.log.includes("not in the broker's --allow"));
  await changeAllow([...ALLOWED, ['gateway', stranger]]);
  await waitFor(() => gateway.log.includes('linked to the broker'));
  const client = await connect(`http://127.0.0.1:${gateway.port}`);
  const beside = await connect(cluster.url(0));
  const recorder = new Recorder(beside);
  const lost = new Recorder(client);
  await join(client, 'shared');
  await join(beside, 'shared');
  await publishMany(client, 'shared', 'n', 10);
  await fence(beside, 'shared', recorder);
  assertExactly(recorder, 'n', numbers(10));

  const told = gateway.log.length;
  await changeAllow(ALLOWED);
  await waitFor(() => cluster.broker.log.includes(`gave up a link: what let it in is not in --allow any more" entry="gateway stranger ${stranger.key}"`));
  await waitFor(() => gateway.log.slice(told).includes("not in the broker's --allow"), { what: () => gateway.log.slice(told) });
  assert.equal(await metric(gateway, 'reprise_gateway_linked'), 0);
  assert.ok((await metric(cluster.broker, 'reprise_broker_messages_revoked_total')) > 0);
  const had = lost.of('n').length;
  await publishMany(beside, 'shared', 'n', 10, { from: 10 });
  await fence(beside, 'shared', recorder);
  assertExactly(recorder, 'n', numbers(20));
  assert.equal(lost.of('n').length, had, 'a link that was given up still gets events');

  // and in again: nothing of what came meanwhile is lost
  await changeAllow([...ALLOWED, ['gateway', stranger]]);
  await waitFor(() => lost.of('n').length >= 20, { what: () => `${lost.of('n').length} of 20 events` });
  assertExactly(lost, 'n', numbers(20));
  close(client, beside);
  await changeAllow(ALLOWED);
  await gateway.stop();
});

test('SIGHUP: a key that was replaced under the same name does not live on', async () => {
  const [before, after] = await Promise.all(['old', 'new'].map(makeKeys));
  await changeAllow([...ALLOWED, ['gateway', { ...before, name: 'rotating' }]]);
  const gateway = await cluster.addGateway(withKeys(before));
  await waitFor(() => gateway.log.includes('linked to the broker'));
  await changeAllow([...ALLOWED, ['gateway', { ...after, name: 'rotating' }]]);
  await waitFor(() => gateway.log.includes("not in the broker's --allow"), { what: () => gateway.log });
  const next = await cluster.addGateway(withKeys(after));
  await waitFor(() => next.log.includes('linked to the broker'));
  await changeAllow(ALLOWED);
  await gateway.stop();
  await next.stop();
});

test('SIGHUP: a key whose role has changed is judged anew', async () => {
  const keys = await makeKeys('changing');
  await changeAllow([...ALLOWED, ['any', keys]]);
  const gateway = await cluster.addGateway(withKeys(keys));
  await waitFor(() => gateway.log.includes('linked to the broker'));
  await changeAllow([...ALLOWED, ['worker', keys]]);
  await waitFor(() => gateway.log.includes("its key is not allowed as a gateway's"), { what: () => gateway.log });
  await changeAllow(ALLOWED);
  await gateway.stop();
});

test('SIGHUP: a list that cannot be read leaves the one from before', async () => {
  cluster.broker.markLog();
  writeFileSync(allow, `gateway first ${first.key}\ngateway broken key\n`);
  cluster.broker.child.kill('SIGHUP');
  await waitFor(() => cluster.broker.logSinceMark().includes('cannot read --allow again, the list from before stays'));
  assert.ok(cluster.broker.logSinceMark().includes('error="line 2: expected a key of 40 characters'), cluster.broker.logSinceMark());
  const client = await connect(cluster.url(1)); // the second is in the old list alone
  await publishMany(client, 'room', 'n', 5);
  close(client);
  await changeAllow(ALLOWED);
});

test('SIGHUP does no harm to a broker without keys', async () => {
  const plain = await Cluster.start({ gateways: 1 });
  plain.broker.child.kill('SIGHUP');
  await waitFor(() => plain.broker.log.includes('nothing to read again'));
  const client = await connect(plain.url(0));
  await publishMany(client, 'room', 'n', 5);
  close(client);
});

// ---- other addresses ----

test('keys also on a Unix socket, and from the environment', async () => {
  const endpoint = `ipc://${path.join(dir, 'b.sock')}`;
  const other = await Cluster.start({ gateways: 0, broker: ['--listen', endpoint, '--curve-key', broker.secret, '--allow', writeAllow(ALLOWED, file('allow-ipc'))] });
  const refused = await other.addGateway(['--broker', endpoint, ...withKeys(stranger)]);
  await waitFor(() => refused.log.includes("not in the broker's --allow"));
  const env = { REPRISE_CURVE_KEY: first.secret, REPRISE_BROKER_KEY: broker.key };
  const right = await other.addGateway(['--broker', endpoint], { env });
  await waitFor(() => right.log.includes('linked to the broker'));
  for (const [name, content] of [['pub', readFileSync(broker.public)], ['bare', `${broker.key}\n`]]) { // as secrets of containers
    writeFileSync(file(`secret-${name}`), content);
    const env = { REPRISE_CURVE_KEY_FILE: first.secret, REPRISE_BROKER_KEY_FILE: file(`secret-${name}`) };
    const mounted = await other.addGateway(['--broker', endpoint], { env });
    await waitFor(() => mounted.log.includes('linked to the broker'));
  }
  const unreadable = await run(PROGRAMS.gateway, [], { env: { REPRISE_BROKER_FILE: file('nowhere') } });
  assert.equal(unreadable.code, 2);
  assert.match(unreadable.stderr, /REPRISE_BROKER_FILE in the environment: cannot take a value from .*nowhere: No such file/);
});

test('--plain-links: other machines without keys, if somebody says so at both ends', async () => {
  const port = await freePort();
  const open = await Cluster.start({ gateways: 0, broker: ['--listen', `tcp://0.0.0.0:${port}`, '--plain-links'] });
  const gateway = await open.addGateway(['--broker', `tcp://0.0.0.0:${port}`, '--plain-links']); // is not loopback by its name
  await waitFor(() => gateway.log.includes('linked to the broker'));
  const client = await connect(open.url(0));
  await publishMany(client, 'room', 'n', 5);
  close(client);
});

// ---- starts that are refused ----

const brokerWith = async (...args) =>
  run(PROGRAMS.broker, ['--db', file('none.db'), '--admin', 'off', '--listen', `tcp://127.0.0.1:${await freePort()}`, ...args]);
const gatewayWith = async (...args) => run(PROGRAMS.gateway, ['--listen', `127.0.0.1:${await freePort()}`, '--admin', 'off', ...args]);

// It ends with the status, prints nothing on standard output, and what it says has all the words.
function assertRefused({ code, stdout, stderr }, status, ...words) {
  assert.equal(code, status, stderr);
  assert.equal(stdout, '');
  for (const word of words) assert.ok(stderr.includes(word), `"${word}" in: ${stderr}`);
}

for (const host of ['0.0.0.0', '*', '[::]', '', '192.0.2.1', 'lo']) {
  test(`a broker does not listen at ${host || '(any)'} without keys, and names both ways out`, async () => {
    const done = await brokerWith('--listen', `tcp://${host}:${await freePort()}`);
    assertRefused(done, 2, 'reprise-broker: other machines can reach this --listen', '--curve-key and --allow', '--plain-links');
  });
}

test('a gateway does not connect to another machine without keys, and names both ways out', async () => {
  for (const endpoint of ['tcp://192.0.2.1:5570', 'tcp://0.0.0.0:5570']) {
    assertRefused(await gatewayWith('--broker', endpoint), 2, 'this --broker is on another machine', '--broker-key and --curve-key', '--plain-links');
  }
});

test('options of keys that make no sense together are refused', async () => {
  assertRefused(await brokerWith('--curve-key', broker.secret), 2, '--curve-key needs --allow');
  assertRefused(await brokerWith('--allow', allow), 2, '--allow is of no use without --curve-key');
  assertRefused(await brokerWith('--curve-key', broker.secret, '--allow', allow, '--plain-links'), 2, 'contradict each other');
  assertRefused(await gatewayWith('--curve-key', first.secret), 2, '--curve-key needs --broker-key');
  assertRefused(await gatewayWith('--broker-key', broker.key), 2, '--broker-key needs --curve-key');
  assertRefused(await gatewayWith(...withKeys(first), '--plain-links'), 2, 'contradict each other');
  assert.ok(!existsSync(file('none.db')));
});

test('files of keys that cannot be used stop the start', async () => {
  const start = (secret, list = allow) => brokerWith('--curve-key', secret, '--allow', list);
  assertRefused(await start(file('missing')), 1, 'cannot use --curve-key', 'missing: No such file or directory');
  assertRefused(await start(broker.public), 1, 'no line `secret = KEY`');
  const wide = file('wide.key');
  writeFileSync(wide, readFileSync(broker.secret));
  for (const mode of [0o644, 0o640, 0o604]) {
    chmodSync(wide, mode);
    assertRefused(await start(wide), 1, `wide.key: its mode is 0${mode.toString(8)}`, 'chmod 600');
    assertRefused(await gatewayWith('--curve-key', wide, '--broker-key', broker.key), 1, `its mode is 0${mode.toString(8)}`);
  }
  const mixed = file('mixed.key');
  const secretLine = (name) => readFileSync(name, 'utf8').match(/^secret = .*$/m)[0];
  writeFileSync(mixed, readFileSync(first.secret, 'utf8').replace(/^secret = .*$/m, () => secretLine(second.secret)), { mode: 0o600 });
  assertRefused(await start(mixed), 1, 'the two keys do not belong together');
  assertRefused(await start(broker.secret, file('missing')), 1, 'cannot use --allow', 'missing: No such file or directory');
  writeFileSync(file('twice'), `gateway a ${first.key}\nworker b ${first.key}\n`);
  assertRefused(await start(broker.secret, file('twice')), 1, 'line 2: the key is in line 1 already');
  assertRefused(await gatewayWith('--curve-key', first.secret, '--broker-key', broker.secret), 1, "it has a peer's secret key");
  assertRefused(await gatewayWith('--curve-key', first.secret, '--broker-key', 'short'), 1, 'short: No such file or directory');
});
