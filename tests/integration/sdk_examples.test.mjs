// The examples of sdk/examples, as they are, each between two workers and two gateways.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { close, connect, emitAck, nextConnect, ok, open, Recorder, refused } from './clients.mjs';
import { Cluster, run, temporaryDirectory, test, waitFor, within, WORKERS } from './harness.mjs';
import { cut } from './sdk.mjs';

const start = (program, worker = []) => Cluster.start({ gateways: 2, workers: 2, program, worker });

// A client with a recorder, closed at the end of the test.
async function client(t, cluster, gateway, options) {
  const socket = await connect(cluster.url(gateway), options);
  t.after(() => close(socket));
  return { socket, recorder: new Recorder(socket) };
}

const last = ({ recorder }, event) => recorder.of(event).at(-1)?.args[0];
const got = (one, event, count = 1) => one.recorder.waitForCount(event, count);

// ---- chat ----

const chat = await start(WORKERS.chat);

async function user(t, name, gateway) {
  const one = await client(t, chat, gateway);
  const { numUsers } = await ok(one.socket, 'add user', name);
  return { ...one, name, numUsers };
}

// The users of a test are gone before the next begins.
async function alone(t, users) {
  for (const { socket } of users) close(socket);
  const probe = await client(t, chat, 0);
  await waitFor(async () => (await ok(probe.socket, 'users')).users.length === 0);
}

test('chat: names, who comes, who goes, who is online', async (t) => {
  const ada = await user(t, 'ada', 0);
  const bob = await user(t, 'bob', 1);
  assert.deepEqual([ada.numUsers, bob.numUsers], [1, 2]);
  await got(ada, 'user joined');
  assert.deepEqual(last(ada, 'user joined'), { username: 'bob', numUsers: 2 });
  assert.equal(bob.recorder.count('user joined'), 0);
  for (const { socket } of [ada, bob]) assert.deepEqual((await ok(socket, 'users')).users.sort(), ['ada', 'bob']);
  close(bob.socket);
  await got(ada, 'user left');
  assert.deepEqual(last(ada, 'user left'), { username: 'bob', numUsers: 1 });
  await alone(t, [ada]);
});

test('chat: messages and typing reach the others, not the sender, and nobody without a name', async (t) => {
  const stranger = await client(t, chat, 0);
  const ada = await user(t, 'ada', 0);
  const bob = await user(t, 'bob', 1);
  ada.socket.emit('typing');
  await got(bob, 'typing');
  ada.socket.emit('stop typing');
  await got(bob, 'stop typing');
  await ok(ada.socket, 'new message', 'hello "bob" \u2603', 'id-1');
  await got(bob, 'new message');
  assert.deepEqual(last(bob, 'typing'), { username: 'ada' });
  assert.deepEqual(last(bob, 'new message'), { username: 'ada', message: 'hello "bob" \u2603', id: 'id-1' });
  assert.deepEqual([ada, stranger].map(({ recorder }) => recorder.count('new message') + recorder.count('typing')), [0, 0]);
  await alone(t, [ada, bob]);
});

test('chat: a private message reaches that user, at all of their devices', async (t) => {
  const ada = await user(t, 'ada', 0);
  const [bob, bobs] = [await user(t, 'bob', 1), await user(t, 'bob', 0)];
  const eve = await user(t, 'eve', 1);
  await ok(ada.socket, 'private message', 'bob', 'psst', 'p1');
  await ok(ada.socket, 'new message', 'end');
  for (const one of [bob, bobs, eve]) await got(one, 'new message');
  for (const one of [bob, bobs]) assert.deepEqual(last(one, 'private message'), { username: 'ada', message: 'psst', id: 'p1' });
  assert.equal(eve.recorder.count('private message'), 0);
  await alone(t, [ada, bob, bobs, eve]);
});

test('chat: wrong names and messages are refused', async (t) => {
  const { socket } = await client(t, chat, 0);
  const says = async (...args) => (await emitAck(socket, ...args)).error;
  for (const name of [[], [''], [7], ['x'.repeat(64)], [null]]) assert.match(await says('add user', ...name), /a name is a text/);
  assert.match(await says('new message', 'x'), /say your name first/);
  assert.match(await says('private message', 'bob', 'x'), /say your name first/);
  await ok(socket, 'add user', 'ada');
  assert.match(await says('add user', 'bob'), /you have a name/);
  for (const text of [[], [''], [{}], ['x'.repeat(4001)]]) assert.match(await says('new message', ...text), /a message is a text/);
  assert.match(await says('private message', 5, 'x'), /no such user/);
  await alone(t, [{ socket }]);
});

test('chat: a worker and a gateway die, and the chat goes on', async (t) => {
  const ada = await user(t, 'ada', 0);
  const bob = await user(t, 'bob', 1);
  await chat.workers[0].kill();
  for (let i = 0; i < 10; i++) await ok(ada.socket, 'new message', `${i}`, `k${i}`);
  const back = nextConnect(bob.socket, 30_000);
  await chat.gateways[1].kill();
  for (let i = 10; i < 20; i++) await ok(ada.socket, 'new message', `${i}`, `k${i}`);
  await chat.gateways[1].start();
  await back;
  assert.equal(bob.socket.recovered, true);
  await ok(ada.socket, 'new message', 'end', 'end');
  await waitFor(() => bob.recorder.values('new message').some(({ id }) => id === 'end'));
  const seen = new Set();
  const texts = bob.recorder.values('new message').filter(({ id }) => seen.size !== seen.add(id).size).map(({ message }) => message);
  assert.deepEqual(texts, [...Array.from({ length: 20 }, (_, i) => `${i}`), 'end']);
  await ok(bob.socket, 'new message', 'I am still bob');
  await waitFor(() => last(ada, 'new message')?.message === 'I am still bob');
  await chat.workers[0].start();
  await alone(t, [ada, bob]);
});

// ---- notify ----

const tokens = path.join(temporaryDirectory(), 'tokens');
writeFileSync(tokens, 'a-token ada\nb-token bob\nother-token bob\n');
const notify = await start(WORKERS.notify, ['--tokens', tokens]);
const device = (t, token, gateway = 0) => client(t, notify, gateway, { auth: { token } });

test('notify: without a token nobody comes in', async (t) => {
  for (const auth of [{}, { token: 'wrong' }, { token: 7 }, { token: '' }, { token: 'a-toke' }, { token: 'a-token ' }]) {
    const socket = open(notify.url(0), { auth });
    t.after(() => close(socket));
    const err = await within(60_000, 'connect_error', new Promise((resolve) => socket.once('connect_error', resolve)));
    assert.deepEqual([err.message, err.data], ['unauthorized', { code: 401 }]);
  }
});

test('notify: all devices of a user get it and ack it', async (t) => {
  const ada = await device(t, 'a-token');
  const bobs = [await device(t, 'b-token', 0), await device(t, 'other-token', 1)];
  for (const { socket } of bobs) socket.on('notification', (n, ack) => ack(true));
  const { acked, seq } = await ok(ada.socket, 'notify', 'bob', 'lunch?');
  assert.equal(acked, 2);
  assert.ok(seq > 0);
  for (const one of bobs) assert.deepEqual(last(one, 'notification'), { from: 'ada', title: 'lunch?' });
  assert.equal(ada.recorder.count('notification'), 0);
});

test('notify: a device that is away for a moment gets it when it is back, until it has acked', async (t) => {
  const ada = await device(t, 'a-token');
  const bob = await device(t, 'b-token', 1);
  let silent = true;
  bob.socket.on('notification', (n, ack) => silent || ack(true));
  bob.socket.io.reconnectionDelay(500);
  let back = nextConnect(bob.socket);
  cut(bob.socket);
  await waitFor(async () => (await ok(ada.socket, 'notify', 'bob', 'probe')).acked === 0); // nobody is there
  const probes = 1;
  await back;
  await got(bob, 'notification', probes);
  const first = bob.recorder.count('notification');
  silent = false;
  back = nextConnect(bob.socket);
  cut(bob.socket);
  await back;
  await got(bob, 'notification', first + 1); // again, as it was not acked
  const answer = await ok(ada.socket, 'notify', 'bob', 'now');
  assert.equal(answer.acked, 1);
});

test('notify: what came while nobody was there is in the history, which only its owner may read', async (t) => {
  const ada = await device(t, 'a-token');
  const { seq } = await ok(ada.socket, 'notify', 'bob', 'marker');
  await ok(ada.socket, 'notify', 'bob', 'you were not there');
  const bob = await device(t, 'b-token', 1);
  const { events } = await ok(bob.socket, 'history', 'user:bob', { since: seq });
  assert.deepEqual(events.map(({ event, args }) => [event, args[0]]), [['notification', { from: 'ada', title: 'you were not there' }]]);
  await refused('forbidden', ada.socket, 'history', 'user:bob');
  for (const event of ['join', 'leave', 'presence']) await refused('forbidden', bob.socket, event, 'user:bob');
  await refused('forbidden', bob.socket, 'publish', 'user:bob', 'notification', {});
});

test('notify: wrong calls are refused', async (t) => {
  const ada = await device(t, 'a-token');
  for (const args of [[], ['bob'], [7, 'x'], ['', 'x'], ['bob', 5], ['b'.repeat(64), 'x']]) {
    assert.equal((await emitAck(ada.socket, 'notify', ...args)).ok, false);
  }
});

// ---- invite ----

const invite = await start(WORKERS.invite);
const guest = (t, name, gateway = 0) => client(t, invite, gateway, { auth: { user: name } });

test('invite: names', async (t) => {
  for (const auth of [{}, { user: '' }, { user: 'a/b' }, { user: 'x'.repeat(40) }]) {
    const socket = open(invite.url(0), { auth });
    t.after(() => close(socket));
    const err = await within(60_000, 'connect_error', new Promise((resolve) => socket.once('connect_error', resolve)));
    assert.equal(err.message, 'a name is needed');
  }
});

test('invite: a room needs an invitation, for everything', async (t) => {
  const [ada, bob] = [await guest(t, 'ada', 0), await guest(t, 'bob', 1)];
  await ok(ada.socket, 'join', 'ada/garden');
  await ok(ada.socket, 'publish', 'ada/garden', 'msg', 'before');
  for (const event of ['join', 'history', 'presence']) await refused('not_invited', bob.socket, event, 'ada/garden');
  await refused('not_invited', bob.socket, 'publish', 'ada/garden', 'msg', 1);
  for (const room of ['invited ada/garden', 'user ada', 'ada', 'bob/', 'garden']) await refused('not_invited', bob.socket, 'join', room);

  await ok(ada.socket, 'invite', 'ada/garden', 'bob');
  await got(bob, 'invitation');
  assert.deepEqual(last(bob, 'invitation'), { room: 'ada/garden', from: 'ada' });
  await ok(bob.socket, 'join', 'ada/garden', { since: 0 });
  await ok(ada.socket, 'publish', 'ada/garden', 'msg', 'after');
  await got(bob, 'msg', 2);
  assert.deepEqual(bob.recorder.values('msg'), ['before', 'after']);
});

test('invite: an invitation survives a recovery and another worker, and can be taken back', async (t) => {
  const [ada, bob] = [await guest(t, 'ada', 0), await guest(t, 'bob', 1)];
  await ok(ada.socket, 'invite', 'ada/pond', 'bob');
  await got(bob, 'invitation');
  const back = nextConnect(bob.socket);
  cut(bob.socket);
  await back;
  assert.equal(bob.socket.recovered, true);
  await invite.workers[0].stop();
  await ok(bob.socket, 'join', 'ada/pond');
  await invite.workers[0].start();
  await invite.workers[1].stop();
  await ok(bob.socket, 'publish', 'ada/pond', 'msg', 1);
  await invite.workers[1].start();
  await ok(ada.socket, 'uninvite', 'ada/pond', 'bob');
  await waitFor(async () => (await emitAck(bob.socket, 'join', 'ada/pond')).error?.code === 'not_invited');
  await ok(ada.socket, 'join', 'ada/pond');
  assert.equal((await ok(ada.socket, 'presence', 'ada/pond')).members.length, 1);
});

test('invite: only the owner invites', async (t) => {
  const bob = await guest(t, 'bob');
  for (const args of [['ada/garden', 'bob'], [], ['bob/x'], ['bob/', 'ada'], ['bob/x', 'a/b'], [7, 'ada']]) {
    for (const event of ['invite', 'uninvite']) assert.equal((await emitAck(bob.socket, event, ...args)).ok, false);
  }
});

// ---- the programs ----

test('every example tells its options, and what is wrong with them', async () => {
  for (const name of ['chat', 'echo', 'invite', 'notify']) {
    const help = await run(WORKERS[name], ['--help']);
    assert.equal(help.code, 0);
    for (const option of ['--broker', '--broker-key', '--curve-key', '--name']) assert.ok(help.stdout.includes(option));
    assert.equal((await run(WORKERS[name], ['--nonsense'])).code, 2);
    assert.equal((await run(WORKERS[name], ['nonsense'])).code, 2);
    assert.equal((await run(WORKERS[name], ['--broker', 'nonsense'])).code, 1);
    assert.equal((await run(WORKERS[name], ['--curve-key', '/nowhere'])).code, 2);
  }
  const { code, stderr } = await run(WORKERS.notify);
  assert.equal(code, 1);
  assert.match(stderr, /--tokens/);
});
