// The oracle of the chaos run: what the members wrote down, held against what is promised. It knows nothing of the faults: none of
// them is an excuse.
//
//     promised                                                           counted when it is broken
//     an acked event is stored once, under the seq of its ack            unstored, doubled
//     one refused at its first try is not stored and seen by nobody      refusedSeen
//     who is in a room, from the ack of the join until it asks to        lost
//       leave, gets every event of it, through any number of returns
//     once                                                               doubled
//     in the order of the log, over all its rooms                        disordered
//     nothing from before a join, from after the ack of a leave, or      strangers
//       that it published without echo
//     a return is recovered, under the old sid                           notRecovered
//     everybody is there again when the faults have stopped              stuck (by whoever waits for the fences)
//
// Of a publish without an answer nothing is known: it may be stored or not, but not twice. If it is stored, it is due to members like
// any other.
//
// A member that returned without recovery knows that it missed something. What it missed there is counted as `told`; it is not `lost`.
//
// A member's records, in order: {t, what, …}, what being connect {sid first recovered}, disconnect {reason}, event {key room at},
// join and leave {room} (asked for), joined {room seq} and left {room} (acked). `at` is a number that
// orders events, or null where the server gave none.

const SHOWN_MAX = 8; // of each kind

// `log`: [{key, room, seq}] by seq, or null if the server has none that is promised. `marginMs`: how long before a leave an event
// must have been acked to be due. `wholeOrder`: the log's, over all rooms; else that in which each member sent, for each room.
// Gives {counts, violations: [text]}.
export function judge({ members, publishes }, { log = null, marginMs = 0, wholeOrder = true, recoveryPromised = true } = {}) {
  const verdict = new Verdict();
  const world = makeWorld(members, publishes, log, { marginMs, wholeOrder, recoveryPromised });
  if (log !== null) judgeLog(verdict, world);
  for (const member of members) judgeMember(verdict, world, member);
  return { counts: verdict.counts, violations: verdict.texts() };
}

class Verdict {
  counts = { lost: 0, told: 0, doubled: 0, disordered: 0, strangers: 0, refusedSeen: 0, unstored: 0, notRecovered: 0 };
  #shown = {};

  add(kind, text, n = 1) {
    this.counts[kind] += n;
    if (n > 0) (this.#shown[kind] ??= []).push(text);
  }

  texts() {
    return Object.entries(this.#shown).flatMap(([kind, texts]) => [
      ...texts.slice(0, SHOWN_MAX).map((text) => `${kind}: ${text}`),
      ...(texts.length > SHOWN_MAX ? [`${kind}: and ${texts.length - SHOWN_MAX} more`] : []),
    ]);
  }
}

function makeWorld(members, publishes, log, rules) {
  const at = new Map(); // key → where it is in the order, as far as anybody knows
  for (const { what, key, at: place } of members.flatMap(({ records }) => records)) {
    if (what === 'event' && place !== null) at.set(key, place);
  }
  for (const { key, seq } of log ?? []) at.set(key, seq);
  const acked = groupBy([...publishes.values()].filter(({ outcome }) => outcome === 'acked'), ({ room }) => room);
  for (const list of acked.values()) list.sort((a, b) => a.sentAt - b.sentAt);
  const seqs = log === null ? null : new Map(log.map(({ key, seq }) => [key, seq]));
  return { publishes, log, seqs, at, acked, stored: groupBy(log ?? [], ({ room }) => room), ...rules };
}

function groupBy(list, keyOf) {
  const groups = new Map();
  for (const item of list) {
    const key = keyOf(item);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return groups;
}

// A refusal speaks of its own try: of the tries before it, which had no answer, one may be stored.
const isRefused = ({ outcome, tries }) => outcome === 'refused' && !(tries > 1);

// ---- the log against the publishers ----

function judgeLog(verdict, { log, publishes }) {
  const seqs = new Map();
  for (const { key, seq } of log) {
    if (seqs.has(key)) verdict.add('doubled', `${key} is in the log under ${seqs.get(key)} and ${seq}`);
    seqs.set(key, seq);
    const publish = publishes.get(key);
    if (publish === undefined) verdict.add('strangers', `${key} is in the log under ${seq}, and nobody published it`);
    else if (isRefused(publish)) verdict.add('refusedSeen', `${key} was refused and is in the log under ${seq}`);
  }
  for (const { key, outcome, ack } of publishes.values()) {
    if (outcome !== 'acked' || seqs.get(key) === ack.seq) continue;
    verdict.add('unstored', `${key} was acked as ${ack.seq}, and is in the log under ${seqs.get(key) ?? 'nothing'}`);
  }
}

// ---- one member ----

function judgeMember(verdict, world, member) {
  const { stays, strays } = staysOf(member.records);
  for (const { key, room, t } of strays) verdict.add('strangers', `${member.name} got ${key} of ${room} at ${t} and was not there`);
  judgeEvents(verdict, world, member);
  judgeReturns(verdict, world, member);
  for (const stay of stays) judgeStay(verdict, world, member, stay);
  for (const stay of stays) if (stay.end === 'session') countTold(verdict, world, member, stay, stays);
}

// The times it was in a room, within one session: [{room, askedAt, joinedAt, seq, leavingAt, end, endAt, keys, lastAt}]; `end` is
// 'left', 'session' (it came back without recovery), or null. And the events that came outside of them.
function staysOf(records) {
  const stays = [];
  const strays = [];
  const open = new Map();
  let asked = null; // the join that is not acked yet
  const begin = (room, t) => {
    const stay = { room, askedAt: t, joinedAt: null, seq: null, leavingAt: null, end: null, keys: new Set(), lastAt: t };
    stays.push(stay);
    open.set(room, stay);
    return stay;
  };
  const finish = (room, end, t) => {
    const stay = open.get(room);
    if (stay !== undefined) Object.assign(stay, { end, endAt: t });
    open.delete(room);
  };
  for (const { t, what, room, key, seq, first, recovered } of records) {
    const stay = open.get(room);
    if (what === 'join') {
      asked = room;
      if (stay === undefined) begin(room, t);
    } else if (what === 'joined') {
      asked = null;
      const joined = stay ?? begin(room, t);
      if (joined.joinedAt === null) Object.assign(joined, { joinedAt: t, seq: seq ?? null });
    } else if (what === 'leave') {
      if (stay !== undefined) stay.leavingAt ??= t;
    } else if (what === 'left') {
      finish(room, 'left', t);
    } else if (what === 'event') {
      if (stay === undefined) strays.push({ t, key, room });
      else Object.assign(stay, { lastAt: t }).keys.add(key);
    } else if (what === 'connect' && !first && !recovered) {
      for (const other of [...open.keys()]) finish(other, 'session', t);
      if (asked !== null) begin(asked, t);
    }
  }
  return { stays, strays };
}

// Order, and what no member may get.
function judgeEvents(verdict, { publishes, seqs, wholeOrder }, { name, records }) {
  const got = new Set();
  let newest = new Map();
  for (const { t, what, key, room, at: position, first, recovered } of records) {
    if (what === 'connect' && !first && !recovered) newest = new Map();
    if (what !== 'event') continue;
    if (got.has(key)) {
      verdict.add('doubled', `${name} got ${key} again at ${t}`);
      continue;
    }
    got.add(key);
    const publish = publishes.get(key);
    const [line, place] = wholeOrder ? ['', position] : [`${room} ${publish?.by}`, publish?.sentAt];
    const before = newest.get(line) ?? -Infinity;
    if (place <= before) verdict.add('disordered', `${name} got ${key} (${place}) after ${before} at ${t}`);
    newest.set(line, Math.max(place, before));
    if (publish === undefined || publish.room !== room) verdict.add('strangers', `${name} got ${key} of ${room}, which nobody published`);
    else if (isRefused(publish)) verdict.add('refusedSeen', `${name} got ${key}, which was refused`);
    else if (!publish.echo && publish.by === name) verdict.add('strangers', `${name} got its own ${key}, which was to have no echo`);
    if (seqs !== null && seqs.get(key) !== position) {
      verdict.add('unstored', `${name} got ${key} as ${position}, and it is in the log under ${seqs.get(key) ?? 'nothing'}`);
    }
  }
}

function judgeReturns(verdict, { recoveryPromised }, { name, records }) {
  let sid = null;
  for (const record of records) {
    if (record.what !== 'connect') continue;
    const { t, first, recovered } = record;
    if (!first && !recovered && recoveryPromised) verdict.add('notRecovered', `${name} came back as a new session at ${t}`);
    else if (recovered && record.sid !== sid) verdict.add('notRecovered', `${name} was recovered as ${record.sid} and was ${sid}, at ${t}`);
    sid = record.sid;
  }
}

function judgeStay(verdict, world, member, stay) {
  const missing = new Set([...dueByAcks(world, member, stay), ...dueByLog(world, member, stay)].filter((key) => !stay.keys.has(key)));
  const lost = [...missing].filter((key) => stay.end !== 'session' || !isTold(world, stay, key));
  stay.lost = new Set(lost);
  const some = lost.slice(0, 5).map((key) => `${key} (${world.at.get(key) ?? 'nobody got it'})`).join(', ');
  const where = `in ${stay.room} from ${stay.joinedAt} to ${stay.leavingAt ?? stay.endAt ?? 'the end'}`;
  verdict.add('lost', `${member.name}, ${where}: ${lost.length}: ${some}`, lost.length);
}

// At the end of a session that was not recovered: what came after the newest event it got, it knows it may have missed. Where an
// event lies that nobody got is not known; the time when it was published decides.
function isTold({ at, publishes }, { keys, lastAt }, key) {
  if (!at.has(key)) return publishes.get(key).sentAt >= lastAt;
  for (const got of keys) if (at.get(got) > at.get(key)) return false;
  return true;
}

const isFor = ({ echo, by }, { name }) => echo || by !== name;

// What was published after the join was acked, and acked before the leave was asked for.
function dueByAcks({ acked, marginMs }, member, { room, joinedAt, leavingAt }) {
  if (joinedAt === null) return [];
  const until = leavingAt === null ? Infinity : leavingAt - marginMs;
  return (acked.get(room) ?? [])
    .filter((publish) => publish.sentAt >= joinedAt && publish.endedAt <= until && isFor(publish, member))
    .map(({ key }) => key);
}

// What the log has after the join's seq, up to the newest event it got, or to the end if it stayed.
function dueByLog({ stored, publishes, at }, member, { room, seq, end, leavingAt, keys }) {
  const got = [...keys].map((key) => at.get(key));
  const from = got.reduce((a, b) => Math.min(a, b), seq === null ? Infinity : seq + 1);
  const to = end === null && leavingAt === null && seq !== null ? Infinity : got.reduce((a, b) => Math.max(a, b), -Infinity);
  return (stored.get(room) ?? [])
    .filter((row) => row.seq >= from && row.seq <= to && (!publishes.has(row.key) || isFor(publishes.get(row.key), member)))
    .map(({ key }) => key);
}

// What was acked from the join on until it was in the room again, and it never got.
function countTold(verdict, { acked }, member, stay, stays) {
  const next = stays.find((other) => other.room === stay.room && other.askedAt >= stay.endAt && other.joinedAt !== null);
  if (stay.joinedAt === null || next === undefined) return;
  const due = (acked.get(stay.room) ?? []).filter(
    (publish) => publish.sentAt >= stay.joinedAt && publish.sentAt < next.joinedAt && isFor(publish, member),
  );
  verdict.counts.told += due.filter(({ key }) => !stay.lost.has(key) && !stays.some(({ keys }) => keys.has(key))).length;
}
