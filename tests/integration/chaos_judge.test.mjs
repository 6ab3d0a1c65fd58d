// The oracle of tests/chaos finds what it is there to find: histories with one thing wrong.

import assert from 'node:assert/strict';

import { judge } from '../chaos/judge.mjs';
import { test } from './harness.mjs';

// One member "m" that joins at 10 and gets the keys; "p" publishes e1 … e5, one each 10 ms from 20 on, acked 5 ms later.
function history(keys, { before = [], after = [], publishes = {} } = {}) {
  const all = new Map();
  for (let i = 1; i <= 5; i++) {
    const publish = { key: `e${i}`, room: 'r', by: 'p', id: false, echo: true, sentAt: 10 + 10 * i, endedAt: 15 + 10 * i, outcome: 'acked', ack: { ok: true, seq: 100 + i } };
    all.set(publish.key, { ...publish, ...publishes[publish.key] });
  }
  const events = keys.map((key, i) => (typeof key === 'string' ? { t: 30 + i, what: 'event', key, room: 'r', at: 100 + Number(key.slice(1)) } : key));
  const records = [
    { t: 0, what: 'connect', sid: 's', first: true, recovered: false },
    ...(before.length > 0 ? before : [{ t: 5, what: 'join', room: 'r' }, { t: 10, what: 'joined', room: 'r', seq: 100 }]),
    ...events,
    ...after,
  ];
  return { members: [{ name: 'm', records }], publishes: all };
}

const rows = (...keys) => keys.map((key) => ({ key, room: 'r', seq: 100 + Number(key.slice(1)) }));
const ALL = ['e1', 'e2', 'e3', 'e4', 'e5'];

function counts(given, options = {}) {
  const { counts: all } = judge(given, { log: rows(...ALL), ...options });
  return Object.fromEntries(Object.entries(all).filter(([, n]) => n > 0));
}

test('the judge of the chaos run has nothing to say about a history that is right', () => {
  assert.deepEqual(counts(history(ALL)), {});
  assert.deepEqual(counts(history(ALL), { log: null }), {});
});

test('it sees an event that is lost: in the middle, at the end, for who was recovered, and when only the log knows it', () => {
  assert.deepEqual(counts(history(['e1', 'e2', 'e4', 'e5'])), { lost: 1 });
  assert.deepEqual(counts(history(['e1', 'e2', 'e3'])), { lost: 2 });
  assert.deepEqual(counts(history([]), { log: null }), { lost: 5 });
  const back = { t: 35, what: 'connect', sid: 's', first: false, recovered: true };
  assert.deepEqual(counts(history(['e1', 'e2', back, 'e5'])), { lost: 2 });
  assert.deepEqual(counts(history(['e1', 'e2', 'e4', 'e5'], { publishes: { e3: { outcome: 'unknown' } } })), { lost: 1 });
});

test('it sees what comes twice, in another order, or under another seq', () => {
  assert.deepEqual(counts(history(['e1', 'e2', 'e2', 'e3', 'e4', 'e5'])), { doubled: 1 });
  assert.deepEqual(counts(history(['e2', 'e1', 'e3', 'e4', 'e5'])), { disordered: 1 });
  assert.deepEqual(counts(history(['e2', 'e1', 'e3', 'e4', 'e5']), { log: null, wholeOrder: false }), { disordered: 1 });
  assert.deepEqual(counts(history(['e2', 'e1', 'e3', 'e4', 'e5'], { publishes: { e1: { by: 'q' } } }), { log: null, wholeOrder: false }), {});
  assert.deepEqual(counts(history(ALL), { log: [...rows(...ALL), { key: 'e3', room: 'r', seq: 106 }] }).doubled, 1);
  const wrong = { t: 31, what: 'event', key: 'e2', room: 'r', at: 101.5 };
  assert.deepEqual(counts(history(['e1', wrong, 'e3', 'e4', 'e5'])), { unstored: 1 });
});

test('it sees what is acked and not stored, or refused and seen', () => {
  assert.equal(counts(history(ALL), { log: rows('e1', 'e2', 'e3', 'e4') }).unstored, 2); // the publisher's, and the member's
  assert.deepEqual(counts(history(ALL, { publishes: { e2: { ack: { ok: true, seq: 7 } } } })), { unstored: 1 });
  const refused = { outcome: 'refused', ack: { ok: false, error: { code: 'unavailable' } } };
  assert.deepEqual(counts(history(ALL, { publishes: { e2: refused } })), { refusedSeen: 2 });
  assert.deepEqual(counts(history(ALL, { publishes: { e2: { ...refused, tries: 2 } } })), {});
  assert.deepEqual(counts(history(['e1', 'e3', 'e4', 'e5'], { publishes: { e2: refused } }), { log: rows('e1', 'e3', 'e4', 'e5') }), {});
});

test('it sees what comes before a join, after a leave, from nobody, or in spite of no echo', () => {
  const early = { t: 3, what: 'event', key: 'e1', room: 'r', at: 101 };
  const before = [early, { t: 5, what: 'join', room: 'r' }, { t: 10, what: 'joined', room: 'r', seq: 101 }];
  assert.equal(counts(history(['e2', 'e3', 'e4', 'e5'], { before })).strangers, 1);
  const left = [{ t: 34, what: 'leave', room: 'r' }, { t: 35, what: 'left', room: 'r' }];
  assert.deepEqual(counts(history(['e1', 'e2', ...left, 'e3'])), { strangers: 1 });
  assert.equal(counts(history(['e1', 'e2', 'e3', 'e4', 'e5', 'e6'])).strangers, 1);
  assert.deepEqual(counts(history(ALL, { publishes: { e2: { by: 'm', echo: false } } })), { strangers: 1 });
  assert.deepEqual(counts(history(['e1', 'e3', 'e4', 'e5'], { publishes: { e2: { by: 'm', echo: false } } })), {});
});

test('it asks nothing of the time between a leave and its ack, but no holes', () => {
  const left = [{ t: 41, what: 'leave', room: 'r' }, { t: 61, what: 'left', room: 'r' }];
  assert.deepEqual(counts(history(['e1', 'e2'], { after: left })), {});
  assert.deepEqual(counts(history(['e1', 'e2', 'e3'], { after: left })), {});
  assert.deepEqual(counts(history(['e1', 'e2', 'e4'], { after: left })), { lost: 1 });
  assert.deepEqual(counts(history(['e1'], { after: left })), { lost: 1 }); // e2 was acked at 35
});

test('a return without recovery is seen, and what was missed there is told, not lost', () => {
  const back = [
    { t: 45, what: 'connect', sid: 'new', first: false, recovered: false },
    { t: 46, what: 'join', room: 'r' },
    { t: 47, what: 'joined', room: 'r', seq: 103 },
  ];
  assert.deepEqual(counts(history(['e1', 'e2', ...back, 'e4', 'e5'])), { told: 1, notRecovered: 1 });
  const late = { publishes: { e3: { sentAt: 40 } } };
  assert.deepEqual(counts(history(['e1', 'e2', ...back, 'e4', 'e5'], late), { log: null, recoveryPromised: false }), { told: 1 });
  assert.deepEqual(counts(history(['e2', ...back, 'e4', 'e5'], late), { log: null, recoveryPromised: false }), { lost: 1, told: 1 });
  const changed = { t: 45, what: 'connect', sid: 'other', first: false, recovered: true };
  assert.deepEqual(counts(history(['e1', 'e2', 'e3', changed, 'e4', 'e5'])), { notRecovered: 1 });
});
