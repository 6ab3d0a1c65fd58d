// The chaos run: members publish, join and leave while faults are done to processes, connections and the disk; then the faults
// stop, everybody must be there again, and the records are judged.

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { sleep, waitFor, within } from '../integration/harness.mjs';
import { Faults } from './faults.mjs';
import { judge } from './judge.mjs';
import { HERALD, History, Member } from './member.mjs';
import { Random } from './random.mjs';
import { Disk } from './servers.mjs';

const ROOMS = ['red', 'green', 'blue', 'white', 'black', 'quiet'];
const KINDS = [
  'websocket', 'websocket', 'websocket', 'polling', 'upgrade', 'websocket', 'python-websocket', 'websocket', 'polling',
  'websocket', 'websocket', 'upgrade', 'python-polling', 'websocket', 'websocket', 'polling', 'websocket', 'websocket',
];
const GATEWAYS = 2;
const RATE = 8; // publishes of a member, per second
const DISK_MEGABYTES = 192;
const LEAVE_MS = [1_500, 6_000]; // between what a restless member does
const BACK_MS = 60_000; // for everybody to be there after the faults
const WARM_UP_MS = 2_000; // of publishing, before the first fault
const QUIET_MS = 1_000; // after the fences, for what should not come

// `start`: makes the target. `keep`: the records also when nothing is broken. Gives {seed, seconds, events, …, violations}; see
// summary(). `say` takes lines.
export async function chaos({ start, seconds, seed, dir, keep = false, calm = false, say = () => {}, every = 10 }) {
  const random = new Random(seed);
  mkdirSync(dir, { recursive: true });
  const disk = new Disk(dir, DISK_MEGABYTES);
  say(`seed ${seed}, ${seconds} s, in ${dir}${disk.small ? '' : '; no right to mount a small disk: the budget is used up instead'}`);
  const target = await start({ dir, disk, gateways: GATEWAYS });
  const history = new History();
  const members = KINDS.map((kind, i) => new Member(`m${i}`, kind, history, target, random.fork()));
  const faults = new Faults({ target, members, disk, random: random.fork(), file: path.join(dir, 'faults.log'), now: () => history.now() });
  const run = { target, history, members, faults, say, violations: [] };

  await gather(members, random);
  const progress = setInterval(() => say(progressLine(run)), every * 1000);
  try {
    await disturb(run, calm ? 0 : seconds, calm ? seconds : 0, random.fork());
    await settle(run);
  } finally {
    clearInterval(progress);
    for (const member of members) member.end();
  }
  const verdict = await giveVerdict(run);
  const result = summary(run, verdict, { seed, seconds });
  if (keep || result.violations.length > 0) keepRecords(run, result, dir);
  return result;
}

// Everybody connects, and joins two or three rooms for good; everybody is in the first.
async function gather(members, random) {
  const first = members.map(async (member, i) => {
    await member.start(i % GATEWAYS);
    member.home = [ROOMS[0], ...random.some(ROOMS.slice(1, 4), 0.3)];
    await Promise.all(member.home.map((room) => member.join(room)));
  });
  await Promise.all(first);
}

// Everybody publishes and wanders, so many seconds with and so many without faults.
async function disturb({ target, members, faults, violations }, seconds, calmSeconds, random) {
  const working = [];
  let running = true;
  for (const member of members) {
    working.push(member.publishAt(RATE, ROOMS));
    if (random.chance(0.6)) working.push(wander(member, random.fork(), () => running));
  }
  await sleep(WARM_UP_MS + calmSeconds * 1000);
  const done = seconds > 0 ? faults.run() : null;
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end && target.died.length === 0 && faults.failures.length === 0) await sleep(100);
  running = false;
  await faults.stop();
  await done;
  for (const member of members) member.stop();
  violations.push(...faults.failures, ...target.died);
  if (violations.length === 0) await Promise.all(working); // else there may be nobody to answer
}

// Joins and leaves rooms that are not its home.
async function wander(member, random, isRunning) {
  while (isRunning()) {
    await sleep(random.between(...LEAVE_MS));
    const room = random.pick(ROOMS.filter((name) => !member.home.includes(name)));
    if (!isRunning()) return;
    if (member.rooms.has(room)) await member.leave(room);
    else await member.join(room);
  }
}

// Waits until everybody is there and all is answered; then for an event in each room, which comes after all others of it.
async function settle({ target, history, members, faults, violations, say }) {
  say(`${(history.now() / 1000).toFixed(0)} s: the faults are over`);
  const all = async () => {
    const away = () => members.filter(({ connected }) => !connected).map(({ name }) => name);
    await waitFor(() => away().length === 0, { timeout: BACK_MS, what: () => `${away()} being connected` });
    await within(BACK_MS, 'answers to everything', Promise.all(members.map((member) => member.settle())));
  };
  if (violations.length > 0) return;
  await all().catch((err) => violations.push(`stuck: ${err.message}`));
  const herald = new Member(HERALD, 'websocket', history, target, null);
  try {
    await herald.start(0);
    await fences(history, herald, members);
  } catch (err) {
    violations.push(`stuck: ${err.message}`);
  }
  await sleep(QUIET_MS);
  herald.end();
  faults.note('judging');
}

async function fences({ publishes }, herald, members) {
  const done = await within(BACK_MS, 'acks of the fences', Promise.all(ROOMS.map((room) => herald.publish(room))));
  for (const fence of done) if (fence.outcome !== 'acked') throw new Error(`the fence of ${fence.room}: ${JSON.stringify(fence)}`);
  const lacking = (member) => done.filter(({ room, key }) => member.rooms.has(room) && !member.fences.has(key));
  const missing = () => members.flatMap((member) => lacking(member).map(({ room }) => `${member.name} in ${room}`));
  const what = () => `the last event of ${publishes.size}: ${missing().join(', ')}`;
  await waitFor(() => missing().length === 0, { timeout: BACK_MS, what });
}

// Reads the log, ends the servers (in order, with status 0), checks the database, and judges.
async function giveVerdict({ target, history, members, violations }) {
  const log = (await target.log?.()) ?? null;
  for (const server of [...target.gateways, target.backend]) {
    await server.end().catch((err) => target.ended ?? violations.push(err.message)); // those of a supervisor may end as they like
  }
  violations.push(...((await target.check?.()) ?? []));
  for (const { link } of members) if (link.died) violations.push(link.died);
  return judge(history, { log, ...target.rules });
}

// ---- what is told ----

function tally({ target, history, members, faults }) {
  const outcomes = { acked: 0, refused: 0, unknown: 0 };
  const codes = {};
  for (const { outcome, ack } of history.publishes.values()) {
    outcomes[outcome]++;
    if (outcome === 'refused') codes[ack.error?.code ?? '?'] = (codes[ack.error?.code ?? '?'] ?? 0) + 1;
  }
  const returns = members.reduce((sum, { returns: { recovered, notRecovered } }) => [sum[0] + recovered, sum[1] + notRecovered], [0, 0]);
  return {
    events: history.publishes.size,
    ...outcomes,
    refusals: codes,
    deliveries: history.delivered,
    recovered: returns[0],
    notRecovered: returns[1],
    ...faults.counts,
    ended: target.ended,
  };
}

function progressLine(run) {
  const all = tally(run);
  const there = run.members.filter(({ connected }) => connected).length;
  const main = `${all.events} events, ${all.acked} acked, ${all.refused} refused, ${all.deliveries} deliveries`;
  const done = `${all.kills} kills, ${all.stops} stops, ${all.cuts} cuts, ${all.blackholes} blackholes, ${all.diskFull} times full`;
  const returns = `${all.recovered} returns recovered, ${all.notRecovered} not`;
  return `${(run.history.now() / 1000).toFixed(0)} s: ${main}; ${done}; ${returns}; ${there} of ${run.members.length} there`;
}

function summary(run, { counts, violations }, { seed, seconds }) {
  const { notRecovered, ...judged } = counts;
  const all = [...run.violations, ...violations];
  return { target: run.target.title, seed, seconds, members: run.members.length, ...tally(run), ...judged, violations: all };
}

function keepRecords({ history }, result, dir) {
  const lines = [...history.publishes.values()].map((publish) => JSON.stringify({ publish }));
  for (const { name, kind, records } of history.members) {
    for (const record of records) lines.push(JSON.stringify({ member: name, kind, ...record }));
  }
  writeFileSync(path.join(dir, 'records.jsonl'), `${lines.join('\n')}\n`);
  writeFileSync(path.join(dir, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
}
