// Socket.IO protocol v5, rule by rule, by hand over both transports: namespaces, acks, attachments, and what ends a connection.

import assert from 'node:assert/strict';

import { numbers, parseOffset } from './clients.mjs';
import { Engine } from './engine.mjs';
import { Cluster, slow, test, waitFor } from './harness.mjs';

const TRANSPORTS = ['websocket', 'polling'];

const cluster = await Cluster.start({ gateways: 1, gateway: ['--namespaces', '/,/custom,/tenant-*'] });
const port = cluster.port(0);
const plain = (await cluster.addGateway(['--recovery', 'off', '--namespaces', '/,/custom'])).port;

let rooms = 0;
const newRoom = () => `room ${++rooms}`;

// An Engine.IO session, gone at the end of the test.
async function open(t, transport, where = port) {
  const engine = await Engine.open(where, transport);
  t.after(() => engine.close());
  return engine;
}

const prefix = (namespace) => (namespace === '/' ? '' : `${namespace},`);

// Connects to the namespace and gives what the server said.
async function connect(engine, namespace = '/', auth) {
  const head = `40${prefix(namespace)}`;
  engine.send(`${head}${auth === undefined ? '' : JSON.stringify(auth)}`);
  const packet = await engine.packet(new RegExp(`^${head}\\{`));
  return JSON.parse(packet.slice(head.length));
}

async function connected(t, transport, where = port) {
  const engine = await open(t, transport, where);
  await connect(engine);
  return engine;
}

let ackId = 0;

// The answer to an event with an ack, whose arguments may hold placeholders for the attachments.
async function ask(engine, args, { namespace = '/', attachments = [] } = {}) {
  const id = ++ackId;
  const type = attachments.length > 0 ? `5${attachments.length}-` : '2';
  engine.send(`4${type}${prefix(namespace)}${id}${JSON.stringify(args)}`, ...attachments);
  const head = `43${prefix(namespace)}${id}`;
  const packet = await engine.packet(new RegExp(`^${head}\\[`));
  const answer = JSON.parse(packet.slice(head.length));
  assert.equal(answer.length, 1);
  return answer[0];
}

async function askOk(...args) {
  const answer = await ask(...args);
  assert.equal(answer.ok, true, JSON.stringify(answer));
  return answer;
}

const member = async (engine, room, namespace) => askOk(engine, ['join', room], { namespace });
const placeholder = (num) => ({ _placeholder: true, num });

// The text events of a namespace so far, each without its offset.
const events = (engine, namespace = '/') => {
  const head = `42${prefix(namespace)}[`;
  return engine.packets
    .filter((packet) => typeof packet === 'string' && packet.startsWith(head))
    .map((packet) => JSON.parse(packet.slice(head.length - 1)))
    .map((event) => (parseOffset(event.at(-1)) === null ? event : event.slice(0, -1)));
};

// It still does its work.
async function assertWorks(engine, namespace = '/') {
  await member(engine, newRoom(), namespace);
  assert.equal(engine.closed, null);
}

async function assertClosed(engine) {
  await engine.waitClosed();
  assert.ok(!engine.packets.some((packet) => /^43/.test(packet)), 'no ack came');
}

for (const transport of TRANSPORTS) {
  const about = (name, body, options) => test(`${transport}: ${name}`, body, options);

  // ---- CONNECT ----

  about('CONNECT to the main namespace', async (t) => {
    const engine = await open(t, transport);
    const content = await connect(engine);
    assert.deepEqual(Object.keys(content).sort(), ['pid', 'sid']);
    assert.match(content.sid, /^[\w-]{15,}$/);
    assert.notEqual(content.sid, engine.sid, 'the id of the session below is a secret');
    assert.notEqual(content.pid, content.sid);
    assert.equal(engine.packets.length, 1);
  });

  about('CONNECT without recovery tells the sid only', async (t) => {
    const engine = await open(t, transport, plain);
    assert.deepEqual(Object.keys(await connect(engine)), ['sid']);
  });

  about('CONNECT to a namespace, with and without auth, with and without a comma', async (t) => {
    for (const text of ['40/custom,', '40/custom', '40/custom,{"token":"abc"}', '40/tenant-7,{}']) {
      const engine = await open(t, transport);
      engine.send(text);
      const name = text.match(/^40(\/[\w-]+)/)[1];
      const packet = await engine.packet(/^40/);
      assert.ok(packet.startsWith(`40${name},{"`), packet);
    }
  });

  about('CONNECT to an unknown namespace is answered with CONNECT_ERROR, and the connection goes on', async (t) => {
    const engine = await open(t, transport);
    for (const name of ['/random', '/custom/x', '/customs', '/Custom', '/tenant']) {
      engine.send(`40${name},`);
      assert.equal(await engine.packet(new RegExp(`^44${name},`)), `44${name},{"message":"Invalid namespace"}`);
    }
    await connect(engine);
    await assertWorks(engine);
  });

  about('two namespaces have two sids on one connection', async (t) => {
    const engine = await open(t, transport);
    const [main, custom] = [await connect(engine), await connect(engine, '/custom')];
    assert.notEqual(main.sid, custom.sid);
    await assertWorks(engine);
    await assertWorks(engine, '/custom');
  });

  about('acks and events carry their namespace', async (t) => {
    const engine = await open(t, transport);
    await connect(engine);
    await connect(engine, '/custom');
    const room = newRoom();
    await member(engine, room, '/custom');
    await askOk(engine, ['publish', room, 'e', 'custom'], { namespace: '/custom' });
    await member(engine, room);
    await askOk(engine, ['publish', room, 'e', 'main']);
    assert.deepEqual(events(engine, '/custom'), [['e', 'custom']]);
    assert.deepEqual(events(engine), [['e', 'main']]);
  });

  // ---- DISCONNECT ----

  about('DISCONNECT of one namespace leaves the other', async (t) => {
    const engine = await open(t, transport);
    await connect(engine);
    await connect(engine, '/custom');
    engine.send('41/custom,');
    await assertWorks(engine);
    engine.send('41');
    engine.packets.length = 0;
    await connect(engine, '/custom');
    await assertWorks(engine, '/custom');
  });

  about('DISCONNECT of the last namespace leaves the connection, which may CONNECT again with a new sid', async (t) => {
    const engine = await open(t, transport);
    const first = await connect(engine);
    engine.send('41');
    engine.packets.length = 0;
    const second = await connect(engine);
    assert.notEqual(second.sid, first.sid);
    await assertWorks(engine);
  });

  about('who has left a namespace gets nothing of it', async (t) => {
    const [engine, other] = [await connected(t, transport), await connected(t, transport)];
    await connect(engine, '/custom');
    const room = newRoom();
    await member(engine, room);
    await member(other, room);
    engine.send('41');
    await askOk(other, ['publish', room, 'e', 1]);
    await assertWorks(engine, '/custom');
    await waitFor(() => events(other).length === 1, { what: 'the event of the other' });
    assert.deepEqual(events(engine), []);
  });

  // ---- what ends the connection ----

  for (const [name, packet] of [
    ['packet type 7', '47'],
    ['a letter as packet type', '4abc'],
    ['an event that is an object', '42{}'],
    ['an event of an empty list', '42[]'],
    ['an event whose name is no text', '42[{}]'],
    ['an event that ends early', '42["e"'],
    ['a reserved event', '42["disconnect"]'],
    ['an event to a namespace not joined', '42/custom,["e"]'],
    ['an event to an unknown namespace', '42/random,["e"]'],
    ['an ack to a namespace not joined', '43/custom,1[]'],
    ['a second CONNECT', '40'],
    ['a CONNECT_ERROR from a client', '44{"message":"x"}'],
    ['an ack that is no list', '431{}'],
  ]) {
    about(`${name} ends the connection`, async (t) => {
      const engine = await connected(t, transport);
      engine.send(packet);
      await assertClosed(engine);
    });
  }

  for (const [name, packet] of [['an event', '421["join","r"]'], ['an ack', '431[]'], ['no JSON', '40{"a"']]) {
    about(`${name} before CONNECT ends the connection`, async (t) => {
      const engine = await open(t, transport);
      engine.send(packet);
      await assertClosed(engine);
    });
  }

  // ---- events and acks ----

  about('an event with an ack is answered with its id, others are not', async (t) => {
    const engine = await connected(t, transport);
    const room = newRoom();
    engine.send(`42["join",${JSON.stringify(room)}]`, `420["join","r"]`, `429007199254740991["join","r"]`);
    await engine.packet(/^439007199254740991\[\{"ok":true/);
    assert.equal(engine.packets.filter((packet) => packet.startsWith('43')).length, 2);
    assert.ok(engine.packets.some((packet) => packet.startsWith('430[{"ok":true')));
  });

  about('an ack for an id that was never asked for is ignored', async (t) => {
    const engine = await connected(t, transport);
    engine.send('4312345[]', '430["x"]', '461-7[{"_placeholder":true,"num":0}]', Buffer.from([1]));
    await assertWorks(engine);
  });

  about('an event right before the end of the connection is published', async (t) => {
    const [engine, other] = [await connected(t, transport), await connected(t, 'websocket')];
    const room = newRoom();
    await member(other, room);
    engine.send(`42["publish",${JSON.stringify(room)},"last",1]`, '1'); // in one payload over polling
    await other.packet(/^42\["last",1/);
    await engine.waitClosed();
  });

  about('events arrive in the order they were published', async (t) => {
    const engine = await connected(t, transport);
    const room = newRoom();
    await member(engine, room);
    engine.send(...numbers(500).map((i) => `42["publish",${JSON.stringify(room)},"n",${i}]`));
    await waitFor(() => events(engine).length >= 500 || engine.closed, { what: 'all events' });
    assert.deepEqual(events(engine).map(([, n]) => n), numbers(500));
  });

  about('every event to a client that can recover ends with an offset, to others not', async (t) => {
    const room = newRoom();
    const [able, unable] = [await connected(t, transport), await connected(t, transport, plain)];
    await member(able, room);
    await member(unable, room);
    await askOk(able, ['publish', room, 'e', 'x']);
    const event = JSON.parse((await able.packet(/^42\["e"/)).slice(2));
    assert.notEqual(parseOffset(event.at(-1)), null, JSON.stringify(event));
    assert.equal(await unable.packet(/^42\["e"/), '42["e","x"]');
  });

  about('numbers, texts and nesting arrive as they were sent', async (t) => {
    const engine = await connected(t, transport, plain);
    const room = newRoom();
    await member(engine, room);
    const args = '1,-0.5,1e300,"2","é🦊\\u2028","\\ud800",null,true,{"3":[true,{}],"":[]},[[[]]],12345678901234567890';
    engine.send(`42["publish",${JSON.stringify(room)},"e",${args}]`);
    assert.equal(await engine.packet(/^42\["e"/), `42["e",${args}]`);
  });

  // ---- attachments ----

  // What a member gets of an event with attachments: [text, …buffers].
  async function binaryOf(engine, name, count) {
    const head = new RegExp(`^45${count}-\\["${name}"`);
    const text = await engine.packet(head);
    await engine.waitForCount(engine.packets.indexOf(text) + 1 + count);
    return engine.packets.slice(engine.packets.indexOf(text), engine.packets.indexOf(text) + 1 + count);
  }

  about('an event with two attachments arrives with them, in order, and its ack', async (t) => {
    const [sender, receiver] = [await connected(t, transport), await connected(t, transport === 'polling' ? 'websocket' : 'polling')];
    const room = newRoom();
    await member(sender, room);
    await member(receiver, room);
    const attachments = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
    const args = [placeholder(0), { deep: [placeholder(1), 'x'] }];
    await askOk(sender, ['publish', room, 'bin', ...args], { attachments });
    for (const engine of [sender, receiver]) {
      const [text, ...buffers] = await binaryOf(engine, 'bin', 2);
      assert.deepEqual(JSON.parse(text.slice(4)).slice(0, -1), ['bin', ...args]);
      assert.deepEqual(buffers, attachments);
    }
  });

  about('attachments of zero bytes and of 100,000 arrive', async (t) => {
    const engine = await connected(t, transport);
    const room = newRoom();
    await member(engine, room);
    const attachments = [Buffer.alloc(0), Buffer.alloc(100_000, 7)];
    await askOk(engine, ['publish', room, 'bin', placeholder(0), placeholder(1)], { attachments });
    const [, ...buffers] = await binaryOf(engine, 'bin', 2);
    assert.deepEqual(buffers, attachments);
  });

  about('ten attachments arrive', async (t) => {
    const engine = await connected(t, transport);
    const room = newRoom();
    await member(engine, room);
    const attachments = numbers(10).map((i) => Buffer.from([i]));
    await askOk(engine, ['publish', room, 'bin', ...numbers(10).map(placeholder)], { attachments });
    const [, ...buffers] = await binaryOf(engine, 'bin', 10);
    assert.deepEqual(buffers, attachments);
  });

  about('attachments arrive in a namespace', async (t) => {
    const engine = await open(t, transport);
    await connect(engine, '/custom');
    const room = newRoom();
    await member(engine, room, '/custom');
    await askOk(engine, ['publish', room, 'bin', placeholder(0)], { namespace: '/custom', attachments: [Buffer.from([9])] });
    const text = await engine.packet(/^451-\/custom,\["bin",\{"_placeholder":true,"num":0\},"/);
    await engine.waitForCount(engine.packets.indexOf(text) + 2);
    assert.deepEqual(engine.packets[engine.packets.indexOf(text) + 1], Buffer.from([9]));
  });

  about('a pong between attachments disturbs nothing', async (t) => {
    const engine = await connected(t, transport);
    const room = newRoom();
    await member(engine, room);
    engine.send(`452-["publish",${JSON.stringify(room)},"bin",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`);
    engine.send(Buffer.from([1]), '3', Buffer.from([2]));
    const [, ...buffers] = await binaryOf(engine, 'bin', 2);
    assert.deepEqual(buffers, [Buffer.from([1]), Buffer.from([2])]);
  });

  about('an object that looks like a placeholder in an event without attachments stays an object', async (t) => {
    const engine = await connected(t, transport, plain);
    const room = newRoom();
    await member(engine, room);
    engine.send(`42["publish",${JSON.stringify(room)},"e",{"_placeholder":true,"num":0}]`);
    assert.equal(await engine.packet(/^42\["e"/), '42["e",{"_placeholder":true,"num":0}]');
  });

  for (const [name, num] of [['of a number not there', '1'], ['of a negative number', '-1'], ['of a text', '"0"'], ['of no number', undefined], ['of null', 'null'], ['of a number past 32 bits', '99999999999']]) {
    about(`a placeholder ${name} ends the connection`, async (t) => {
      const engine = await connected(t, transport);
      engine.send(`451-1["publish","r","bin",{"_placeholder":true${num === undefined ? '' : `,"num":${num}`}}]`, Buffer.from([1]));
      await assertClosed(engine);
    });
  }

  about('an attachment too many ends the connection', async (t) => {
    const engine = await connected(t, transport);
    engine.send('451-["publish","r","bin",{"_placeholder":true,"num":0}]', Buffer.from([1]), Buffer.from([2]));
    await engine.waitClosed();
  });

  about('an attachment that nobody announced ends the connection', async (t) => {
    const engine = await connected(t, transport);
    engine.send(Buffer.from([1]));
    await assertClosed(engine);
  });

  about('a text between attachments ends the connection', async (t) => {
    const engine = await connected(t, transport);
    engine.send('452-1["publish","r","bin",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', Buffer.from([1]), '422["join","r"]', Buffer.from([2]));
    await assertClosed(engine);
  });

  for (const count of ['x', '', '-1', '1.5', '5999999999', '1e3']) {
    about(`${JSON.stringify(count)} as a count of attachments ends the connection`, async (t) => {
      const engine = await connected(t, transport);
      engine.send(`45${count}-["e",{"_placeholder":true,"num":0}]`);
      await assertClosed(engine);
    });
  }

  about('an event whose attachments never come is never delivered, and no other client waits for it', async (t) => {
    const [engine, other] = [await connected(t, transport), await connected(t, transport)];
    const room = newRoom();
    await member(other, room);
    engine.send(`452-["publish",${JSON.stringify(room)},"bin",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, Buffer.from([1]));
    await askOk(other, ['publish', room, 'e', 1]);
    await engine.close();
    await askOk(other, ['publish', room, 'e', 2]);
    await waitFor(() => events(other).length === 2, { what: 'both events' });
    assert.ok(!other.packets.some((packet) => /^45/.test(packet)));
  });
}

// ---- time ----

const hasty = (await cluster.addGateway(['--connect-timeout', `${1_000 * slow}ms`, '--namespaces', '/,/custom'])).port;

for (const transport of TRANSPORTS) {
  test(`${transport}: who connects to no namespace in time is closed, who connects to one is not`, async (t) => {
    const [silent, refused, good] = [await open(t, transport, hasty), await open(t, transport, hasty), await open(t, transport, hasty)];
    refused.send('40/random,');
    await connect(good, '/custom');
    await silent.waitClosed();
    await refused.waitClosed();
    assert.ok(refused.packets[0].startsWith('44/random,'));
    await assertWorks(good, '/custom');
  });
}

test('a gateway without the main namespace refuses it', async (t) => {
  const other = await cluster.addGateway(['--namespaces', '/only']);
  const engine = await open(t, 'websocket', other.port);
  engine.send('40');
  assert.equal(await engine.packet(/^44/), '44{"message":"Invalid namespace"}');
  await connect(engine, '/only');
});
