// Copies of the log: made while the broker runs, checked, put back. Whatever is put back, no client takes what it gets for
// everything it missed, and none loses anything from then on.

import assert from 'node:assert/strict';
import { copyFileSync, existsSync, openSync, readSync, renameSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';

import { assertExactly, close, connect, fence, join, numbers, ok, publishMany } from './clients.mjs';
import { Cluster, PROGRAMS, run, sleep, temporaryDirectory, test, waitFor } from './harness.mjs';
import { Traveller } from './travel.mjs';

const broker = (...args) => run(PROGRAMS.broker, args, { timeout: 60_000 });

async function done(...args) {
  const { code, stdout, stderr } = await broker(...args);
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

const assertSound = async (db) => assert.match(await done('--check', db), /^checked \d+ events.*: sound$/m);
const backUp = (cluster, file) => done('--backup', file, '--db', cluster.db);

// The broker stops (or is killed), its file is moved away with what belongs to it, and `put` puts another one there.
async function replace(cluster, put, { kill = false } = {}) {
  await (kill ? cluster.broker.kill() : cluster.broker.stop());
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(cluster.db + suffix)) renameSync(cluster.db + suffix, `${cluster.db}.gone${suffix}`);
  }
  await put();
  await cluster.broker.start();
}

const epochOf = async (cluster) => (await cluster.query("select value from meta where key = 'epoch'"))[0].value;
const noticed = (cluster, what) => waitFor(() => what.test(cluster.broker.logSinceMark()), { what: () => `${what} in ${cluster.broker.log}` });
const rows = async (file, sql) => JSON.parse((await run('sqlite3', ['-readonly', '-json', file, sql])).stdout || '[]');

// Publishes to the room as long as the body runs; gives the seqs that were acked.
async function underLoad(publisher, room, body) {
  const acked = [];
  let running = true;
  const lane = async () => {
    while (running) acked.push((await ok(publisher, 'publish', room, 'load', 'x'.repeat(200))).seq);
  };
  const lanes = Promise.all(numbers(20).map(lane));
  try {
    await waitFor(() => acked.length > 500, { what: 'the load to begin' });
    await body(acked);
  } finally {
    running = false;
    await lanes;
  }
  return acked;
}

test('a backup under load has every event acked before it, is sound, and does not stop the broker', async (t) => {
  const cluster = await Cluster.start({ gateways: 1, broker: ['--segment-events', '200'] });
  const publisher = await connect(cluster.url(0));
  t.after(() => close(publisher));
  const file = path.join(cluster.dir, 'backup.db');
  let before;
  const acked = await underLoad(publisher, 'room', async (seqs) => {
    for (let i = 0; i < 3; i++) {
      before = [...seqs];
      await backUp(cluster, `${file}.${i}`);
      const during = seqs.length;
      await waitFor(() => seqs.length > during + 20, { what: 'the load to go on' });
    }
  });
  const stored = (await rows(`${file}.2`, 'select seq from event where kind = 1 order by seq')).map(({ seq }) => seq);
  const there = new Set(stored);
  assert.deepEqual(before.filter((seq) => !there.has(seq)), [], 'acked before the backup and not in it');
  assert.ok(stored.length < acked.length);
  for (let i = 0; i < 3; i++) await assertSound(`${file}.${i}`);
  assert.ok(!existsSync(`${file}.2.tmp`) && !existsSync(`${file}.2-wal`), 'one file and nothing beside it');
  assert.equal(statSync(`${file}.2`).mode & 0o777, statSync(cluster.db).mode & 0o777);
});

test('--check says sound of a log under load, and changes nothing', async (t) => {
  const cluster = await Cluster.start({ gateways: 2, broker: ['--segment-events', '100'] });
  const publisher = await connect(cluster.url(0));
  const comers = [];
  t.after(() => close(publisher, ...comers));
  await underLoad(publisher, 'room', async () => {
    for (let i = 0; i < 5; i++) {
      comers.push(await connect(cluster.url(1)));
      await join(comers[i], 'room', `room ${i}`);
      await assertSound(cluster.db);
      if (i > 2) close(comers[i]);
    }
  });
  await cluster.broker.kill();
  await assertSound(cluster.db);
  await cluster.broker.start();
  await cluster.broker.stop();
  await assertSound(cluster.db);
});

test('after a restore clients do not recover, lose nothing from then on, and old numbers mean nothing else', async (t) => {
  const cluster = await Cluster.start({ gateways: 2 });
  const publisher = await connect(cluster.url(0));
  t.after(() => close(publisher));
  const file = path.join(cluster.dir, 'backup.db');
  const there = await Traveller.start(t, cluster, 'room'); // connected all the time
  const away = await Traveller.start(t, cluster, 'room');
  await publishMany(publisher, 'room', 'n', 10);
  await fence(publisher, 'room', there.recorder, away.recorder);
  await backUp(cluster, file);
  await publishMany(publisher, 'room', 'lost', 10);
  await fence(publisher, 'room', there.recorder, away.recorder);
  const lastSeen = away.recorder.entries.at(-1);
  await away.leave();
  const [{ seq: head }] = await cluster.query('select max(seq) as seq from event');
  const epoch = await epochOf(cluster);

  const gone = new Promise((resolve) => there.socket.once('disconnect', resolve));
  let told;
  await replace(cluster, async () => (told = await done('--restore', file, '--db', cluster.db)));
  assert.match(told, /a backup of 20\d\d-/);
  assert.notEqual(await epochOf(cluster), epoch);
  assert.ok(told.includes(await epochOf(cluster)) && told.includes(epoch));
  await gone;
  await waitFor(() => there.socket.connected, { what: 'the client that was there' });
  there.assertNotRecovered();
  await away.comeBack();
  away.assertNotRecovered();

  const clients = [there, away];
  for (const { socket, recorder } of clients) {
    recorder.clear();
    await join(socket, 'room');
  }
  await waitFor(() => publisher.connected, { what: 'the publisher' });
  const seqs = await publishMany(publisher, 'room', 'n', 20, { from: 10 });
  assert.ok(seqs[0] > head, `${seqs[0]} is above ${head}, the last that was lost`);
  await fence(publisher, 'room', there.recorder, away.recorder);
  for (const { recorder } of clients) assertExactly(recorder, 'n', numbers(20, 10));

  // a number of the lost part: all that is new, and nothing that is old; an offset of it: all there is
  const reader = await connect(cluster.url(1));
  t.after(() => close(reader));
  const values = ({ events }) => events.filter(({ event }) => event === 'n').map(({ args }) => args[0]);
  const since = await ok(reader, 'history', 'room', { since: head });
  assert.deepEqual([values(since), since.truncated], [numbers(20, 10), false]);
  const offset = await ok(reader, 'history', 'room', { since: lastSeen.offset });
  assert.deepEqual(values(offset), numbers(30));

  // and the new epoch recovers like any other
  const id = there.socket.id;
  await there.leave();
  await publishMany(publisher, 'room', 'n', 5, { from: 30 });
  await there.comeBack();
  assert.deepEqual([there.socket.recovered, there.socket.id], [true, id]);
  await fence(publisher, 'room', there.recorder);
  assertExactly(there.recorder, 'n', numbers(25, 10));
  await assertSound(cluster.db);
});

// How a copy gets to the log's place, and what is said of it.
const COPIES = [
  ['written over the file', (copy, db) => copyFileSync(copy, db), {}],
  ['written over the file of a broker that was killed', (copy, db) => copyFileSync(copy, db), { kill: true }],
  ['renamed to it', (copy, db) => renameSync(copy, db), {}],
];

for (const [how, put, { kill }] of COPIES) {
  test(`an older file that is ${how} gets a new epoch, and nobody recovers`, async (t) => {
    const cluster = await Cluster.start({ gateways: 1 });
    const client = await Traveller.start(t, cluster, 'room');
    const copy = path.join(cluster.dir, 'copy.db');
    await publishMany(client.socket, 'room', 'n', 10);
    await client.leave();
    await cluster.broker.stop();
    copyFileSync(cluster.db, copy);
    await cluster.broker.start();
    const epoch = await epochOf(cluster);
    const publisher = await connect(cluster.url(0));
    t.after(() => close(publisher));
    const [lost] = (await publishMany(publisher, 'room', 'n', 50, { from: 10 })).slice(-1);
    await sleep(200); // the mark beside the log moves ten times a second
    await publishMany(publisher, 'other', 'n', 1);

    await (kill ? cluster.broker.kill() : cluster.broker.stop());
    for (const suffix of ['-wal', '-shm']) {
      if (existsSync(cluster.db + suffix)) renameSync(cluster.db + suffix, `${cluster.db}.gone${suffix}`);
    }
    put(copy, cluster.db);
    await cluster.broker.start();
    await noticed(cluster, /new epoch/);
    assert.notEqual(await epochOf(cluster), epoch);
    await client.comeBack();
    client.assertNotRecovered();
    client.recorder.clear();
    await join(client.socket, 'room');
    await waitFor(() => publisher.connected, { what: 'the publisher' });
    const [first] = await publishMany(publisher, 'room', 'n', 5, { from: 100 });
    assert.ok(first > lost);
    await fence(publisher, 'room', client.recorder);
    assertExactly(client.recorder, 'n', numbers(5, 100));
    await assertSound(cluster.db);
  });
}

test('a backup that is started as a log gets a new epoch, once', async (t) => {
  const cluster = await Cluster.start({ gateways: 1 });
  const client = await Traveller.start(t, cluster, 'room');
  await publishMany(client.socket, 'room', 'n', 10);
  const epoch = await epochOf(cluster);
  const file = path.join(cluster.dir, 'backup.db');
  await backUp(cluster, file);
  await client.leave();
  await replace(cluster, () => renameSync(file, cluster.db));
  await noticed(cluster, /new epoch.*backup/);
  const renewed = await epochOf(cluster);
  assert.notEqual(renewed, epoch);
  await client.comeBack();
  client.assertNotRecovered();
  await cluster.broker.stop();
  await cluster.broker.start();
  assert.equal(await epochOf(cluster), renewed);
});

test('a log that is moved within its disk, or whose broker is killed, keeps its epoch', async (t) => {
  const cluster = await Cluster.start({ gateways: 1 });
  const client = await Traveller.start(t, cluster, 'room');
  const epoch = await epochOf(cluster);
  await cluster.broker.stop();
  renameSync(cluster.db, `${cluster.db}.elsewhere`);
  renameSync(`${cluster.db}.elsewhere`, cluster.db);
  await cluster.broker.start();
  for (let i = 0; i < 3; i++) {
    await waitFor(() => client.socket.connected, { what: 'the client' });
    await publishMany(client.socket, 'room', 'n', 10);
    await cluster.broker.kill();
    await cluster.broker.start();
  }
  assert.equal(await epochOf(cluster), epoch);
  assert.equal(client.socket.id, client.id);
});

test('nothing is ever written over: --backup and --restore refuse what is there', async () => {
  const cluster = await Cluster.start({ gateways: 0 });
  const file = path.join(cluster.dir, 'backup.db');
  await backUp(cluster, file);
  const again = await broker('--backup', file, '--db', cluster.db);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /backup\.db is there already/);
  const running = await broker('--restore', file, '--db', cluster.db);
  assert.equal(running.code, 1);
  assert.match(running.stderr, /in use by another broker/);
  await cluster.broker.stop();
  const existing = await broker('--restore', file, '--db', cluster.db);
  assert.equal(existing.code, 1);
  assert.match(existing.stderr, /is there; move it away/);
  const missing = await broker('--backup', `${file}.2`, '--db', `${cluster.db}.none`);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /there is no/);
  const nowhere = await broker('--backup', path.join(cluster.dir, 'no', 'such', 'folder'), '--db', cluster.db);
  assert.equal(nowhere.code, 1);
  const both = await broker('--backup', `${file}.3`, '--restore', file, '--db', cluster.db);
  assert.equal(both.code, 2);
  assert.ok(![`${file}.2`, `${file}.3`].some(existsSync));
});

test('a damaged backup is found out and not restored', async () => {
  const cluster = await Cluster.start({ gateways: 1 });
  const client = await connect(cluster.url(0));
  await publishMany(client, 'room', 'n', 200);
  close(client);
  const file = path.join(cluster.dir, 'backup.db');
  await backUp(cluster, file);
  const [{ page }] = await rows(file, "select max(pageno) as page from dbstat where name = 'event'");
  const fd = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, page * 4096 - 20);
  writeSync(fd, Buffer.from([byte[0] ^ 1]), 0, 1, page * 4096 - 20);
  const { code, stdout } = await broker('--check', file);
  assert.equal(code, 1, stdout);
  assert.match(stdout, /^damaged: .*checksum/m);
  assert.match(stdout, /^checked .*: 1 damage$/m);
  const db = path.join(cluster.dir, 'restored.db');
  const restored = await broker('--restore', file, '--db', db);
  assert.equal(restored.code, 1);
  assert.match(restored.stderr, /damaged and was not restored/);
  assert.ok(!existsSync(db) && !existsSync(`${db}.tmp`));
});

test('--check ends with 2 for what it cannot look at', async () => {
  const dir = temporaryDirectory();
  for (const file of [path.join(dir, 'none.db'), dir, PROGRAMS.broker]) {
    const { code, stdout, stderr } = await broker('--check', file);
    assert.equal(code, 2, stderr);
    assert.equal(stdout, '');
    assert.ok(stderr.includes(file), stderr);
  }
});
