// A broker whose disk is full: publishes are refused, everybody stays, what is in the log is served, and when there is room again
// it goes on by itself. The disk is a small tmpfs; where that cannot be mounted the test is skipped and says why.

import assert from 'node:assert/strict';
import { mkdtempSync, rmdirSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { assertSame, connect, emitAck, fence, join, numbers, ok, Recorder, watchDisconnects } from './clients.mjs';
import { Cluster, onCleanup, run, test, waitFor } from './harness.mjs';
import { Traveller } from './travel.mjs';

const ROOM = 'room';
const KIB = 1024;

// A tmpfs, or why there is none.
async function smallDisk(kib) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'reprise-disk-'));
  const { code, stderr } = await run('mount', ['-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs', dir]).catch((err) => ({ code: 1, stderr: err.message }));
  if (code !== 0) {
    rmdirSync(dir);
    return { why: `a tmpfs cannot be mounted here: ${stderr.trim()}` };
  }
  onCleanup(async () => {
    await run('umount', ['-l', dir]);
    rmdirSync(dir);
  });
  return { dir };
}

// Takes all the room there is but `leave` KiB.
function fill(dir, name, leave = 0) {
  const { bavail, bsize } = statfsSync(dir);
  const bytes = bavail * bsize - leave * KIB;
  if (bytes > 0) writeFileSync(path.join(dir, name), Buffer.alloc(bytes));
}

test('a full disk refuses publishes, keeps everybody, and goes on when there is room', async (t) => {
  const disk = await smallDisk(16 * KIB);
  if (disk.why) return t.skip(disk.why);
  const db = path.join(disk.dir, 'reprise.db');
  const cluster = await Cluster.start({ gateways: 2, broker: ['--db', db, '--disk-reserve', 'off'] });
  cluster.db = db;
  const acked = new Map(); // text → seq
  const refused = new Set();
  const text = (n) => `${n} ${'x'.repeat(2000)}`;
  const publisher = await connect(cluster.url(0));
  const listener = await connect(cluster.url(1));
  const recorder = new Recorder(listener);
  await join(listener, ROOM);
  const watched = [publisher, listener].map((socket) => watchDisconnects(socket));
  const publish = async (n) => {
    const ack = await emitAck(publisher, 'publish', ROOM, 'n', text(n));
    if (ack.ok) acked.set(text(n), ack.seq);
    else {
      assert.equal(ack.error.code, 'no_space', JSON.stringify(ack));
      refused.add(text(n));
    }
    return ack.ok;
  };
  const publishAll = (count, from) => Promise.all(numbers(count, from).map(publish));

  // some events, and a client that is away when the disk fills
  await publishAll(20, 0);
  const traveller = await Traveller.start(t, cluster, ROOM);
  await publishAll(5, 20);
  await fence(publisher, ROOM, recorder, traveller.recorder);
  await traveller.leave();
  await publishAll(5, 25);

  fill(disk.dir, 'filler', 64);
  let next = 100;
  await waitFor(async () => {
    await publishAll(50, next);
    next += 50;
    return refused.size >= 200;
  }, { what: () => `refusals; ${acked.size} acked, ${refused.size} refused` });
  assert.equal(await publish(next++), false, 'it stays full');

  // what is there is read as ever
  const page = await ok(publisher, 'history', ROOM, { limit: 10 });
  assert.equal(page.events.length, 10);
  assert.ok(page.events.every(({ seq }) => seq <= Math.max(...acked.values())));
  await waitFor(() => recorder.count('n') >= acked.size, { what: 'what was acked at the listener' });
  assertSame(recorder.values('n'), [...acked].sort(([, a], [, b]) => a - b).map(([value]) => value), 'the listener');
  assert.ok(watched.every(({ count }) => count === 0), 'everybody is still connected');

  // room again: by itself
  unlinkSync(path.join(disk.dir, 'filler'));
  await waitFor(() => publish(next++), { what: 'a publish being taken again' });
  await traveller.comeBack();
  traveller.assertRecovered();
  assert.deepEqual(await publishAll(50, 5000), Array(50).fill(true));
  for (const to of [recorder, traveller.recorder]) {
    const own = (value) => to === recorder || Number(value.split(' ')[0]) >= 20; // it joined after the first
    const expected = [...acked].sort(([, a], [, b]) => a - b).map(([value]) => value).filter(own);
    await waitFor(() => to.count('n') >= expected.length, { what: 'the newest events' });
    assertSame(to.values('n'), expected, 'what somebody has, who was there or away');
  }
  assert.ok(watched.every(({ count }) => count === 0), 'nobody noticed but publishers');

  // and all of it is there after a kill
  await cluster.broker.kill('SIGKILL');
  await cluster.broker.start();
  assert.equal((await emitAck(publisher, 'publish', ROOM, 'n', text(9999))).ok, true);
  const log = await cluster.query(`select seq, json_extract(args, '$[0]') as text from messages where room = '${ROOM}' and event = 'n'`);
  const stored = new Map(log.map((row) => [row.text, row.seq]));
  assert.deepEqual([...acked].filter(([value, seq]) => stored.get(value) !== seq).map(([, seq]) => seq), [], 'acked events that are lost');
  assert.deepEqual([...refused].filter((value) => stored.has(value)).length, 0, 'refused events that are stored');
});

// The write-ahead log is copied into the file later, which takes room once more.
test('the reserve of a small disk stays, however fast it fills, and clients come and go in it', async (t) => {
  const disk = await smallDisk(24 * KIB);
  if (disk.why) return t.skip(disk.why);
  const cluster = await Cluster.start({ gateways: 1, broker: ['--db', path.join(disk.dir, 'reprise.db'), '--disk-reserve', '4M'] });
  const publisher = await connect(cluster.url(0));
  await join(publisher, ROOM);
  const text = 'x'.repeat(20_000);
  let acks = [];
  for (let i = 0; i < 100 && !acks.some((ack) => !ack.ok); i++) {
    acks = await Promise.all(numbers(10, 0).map((n) => emitAck(publisher, 'publish', ROOM, 'n', n, text)));
  }
  assert.ok(acks.some((ack) => ack.error?.code === 'no_space'), 'the disk did not fill');
  const free = () => {
    const { bavail, bsize } = statfsSync(disk.dir);
    return bavail * bsize;
  };
  await cluster.broker.kill();
  await cluster.broker.start();
  for (let i = 0; i < 10; i++) {
    const client = await connect(cluster.url(0));
    await ok(client, 'join', ROOM, { since: 0, limit: 5 });
    client.close();
  }
  assert.ok(free() > 2 * KIB * KIB, `${free()} bytes are free`);
});
