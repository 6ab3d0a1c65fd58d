// The log as people read it: the documented queries, through the sqlite3 program, while the broker runs under load.

import assert from 'node:assert/strict';

import { close, connect, join, numbers, ok, publishMany } from './clients.mjs';
import { Cluster, test, waitFor } from './harness.mjs';

const cluster = await Cluster.start({ gateways: 2, broker: ['--segment-events', '1000'] });
const publisher = await connect(cluster.url(0));

// Publishes to `noise` as long as the body runs, which is given how many were acked so far; gives how many were in the end.
async function underLoad(body) {
  let running = true;
  let sent = 0;
  let acked = 0;
  const lane = async () => {
    while (running) {
      await ok(publisher, 'publish', 'noise', 'n', ++sent, 'x'.repeat(100));
      acked++;
    }
  };
  const lanes = Promise.all(numbers(50).map(lane));
  try {
    await waitFor(() => acked > 200, { what: 'the load to begin' });
    await body(() => acked);
  } finally {
    running = false;
    await lanes;
  }
  return acked;
}

test('messages shows events with seq, room, event, args as JSON text and a readable time', async () => {
  const { seq } = await ok(publisher, 'publish', 'shown', 'msg', 'hello', { a: [1, 'ž'] });
  await underLoad(async () => {
    const rows = await cluster.query("select *, json_extract(args, '$[1].a[1]') as inner, typeof(args) as type from messages where room = 'shown'");
    assert.equal(rows.length, 1);
    const [row] = rows;
    assert.deepEqual([row.seq, row.room, row.event, row.inner, row.type], [seq, 'shown', 'msg', 'ž', 'text']);
    assert.deepEqual(JSON.parse(row.args), ['hello', { a: [1, 'ž'] }]);
    assert.ok(Object.values(row).some((value) => /^20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d/.test(value)), `a time people can read: ${JSON.stringify(row)}`);
  });
});

test('messages and messages_in_room agree, over closed segments and the open one', async () => {
  for (let i = 0; i < 10; i++) {
    await publishMany(publisher, 'spread', 'n', 20, { from: 20 * i });
    await publishMany(publisher, 'filler', 'n', 300);
  }
  const all = "select seq, event, args from messages where room = 'spread' order by seq";
  const inRoom = "select seq, event, args from messages_in_room where room = 'spread' order by seq";
  await underLoad(async () => {
    const rows = await cluster.query(all);
    assert.deepEqual(rows.map(({ args }) => JSON.parse(args)[0]), numbers(200));
    assert.deepEqual(await cluster.query(inRoom), rows);
  });
});

test('counts per room, the newest events and a search in the arguments work under load', async () => {
  await publishMany(publisher, 'counted', 'n', 100);
  await underLoad(async () => {
    const [count] = await cluster.query("select room, count(*) as events from messages group by room having room = 'counted'");
    assert.equal(count.events, 100);
    const newest = await cluster.query("select seq, args from messages where room = 'counted' order by seq desc limit 3");
    assert.deepEqual(newest.map(({ args }) => JSON.parse(args)[0]), [99, 98, 97]);
    const found = await cluster.query("select args from messages where room = 'counted' and json_extract(args, '$[0]') = 42");
    assert.equal(found.length, 1);
  });
});

test('members and sessions show who is there, and forget who left', async (t) => {
  const clients = [await connect(cluster.url(0)), await connect(cluster.url(1))];
  t.after(() => close(...clients));
  for (const client of clients) await join(client, 'club');
  const members = "select sid from members where room = 'club' order by sid";
  const ids = clients.map(({ id }) => id).sort();
  await underLoad(async () => {
    assert.deepEqual((await cluster.query(members)).map(({ sid }) => sid), ids);
    const sessions = await cluster.query(`select sid from sessions where sid in ('${ids.join("','")}')`);
    assert.equal(sessions.length, 2);
    await ok(clients[0], 'leave', 'club');
    assert.deepEqual((await cluster.query(members)).map(({ sid }) => sid), [clients[1].id]);
  });
});

test('no pid can be read from the database', async (t) => {
  const client = await connect(cluster.url(0));
  t.after(() => close(client));
  const pid = client._pid;
  const dump = await cluster.query(`select * from sessions where sid = '${client.id}'`);
  assert.equal(dump.length, 1);
  assert.ok(!JSON.stringify(dump).includes(pid), 'the sessions view shows no pid');
  const tables = await cluster.query("select name from sqlite_master where type = 'table'");
  for (const { name } of tables) {
    const columns = await cluster.query(`select name from pragma_table_info('${name}')`);
    const match = columns.map((column) => `instr("${column.name}", '${pid}') > 0`).join(' or ');
    if (match) assert.deepEqual(await cluster.query(`select count(*) as n from "${name}" where ${match}`), [{ n: 0 }], name);
  }
});

const QUERIES_MIN = 100;
const EVENTS_MIN = 2_000;

test('readers never see "database is locked", and the log goes on while they read', async (t) => {
  let queries = 0;
  const acked = await underLoad(async (soFar) => {
    const before = soFar();
    while (queries < QUERIES_MIN || soFar() < before + EVENTS_MIN) {
      const rows = await Promise.all([
        cluster.query("select count(*) as n, min(seq) as first, max(seq) as last from messages where room = 'noise'"),
        cluster.query('select * from messages order by seq desc limit 50'),
      ]);
      assert.equal(rows[1].length, 50);
      queries += 2;
    }
  });
  t.diagnostic(`${queries} queries while ${acked} publishes were acked`);
  const [{ integrity_check: verdict }] = await cluster.query('pragma integrity_check');
  assert.equal(verdict, 'ok');
});

test('the schema carries a version, and every acked event is there', async () => {
  const [{ user_version: version }] = await cluster.query('pragma user_version');
  assert.ok(version > 0);
  const seqs = await publishMany(publisher, 'last', 'n', 100);
  const rows = await cluster.query("select seq from messages where room = 'last' order by seq");
  assert.deepEqual(rows.map(({ seq }) => seq), seqs);
});
