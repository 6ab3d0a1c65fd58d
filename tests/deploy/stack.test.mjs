// deploy/docker-compose.yml on a real engine, used as deploy/README.md says: stock clients through the balancer, over both
// transports, while every container is killed, stopped, or made anew. tests/deploy/run builds the images.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { close, connect, numbers, ok, Recorder } from '../integration/clients.mjs';
import { onCleanup, run, sleep, temporaryDirectory, test, waitFor, within } from '../integration/harness.mjs';
import { judge } from '../chaos/judge.mjs';
import { HERALD, History, Member } from '../chaos/member.mjs';
import { Random } from '../chaos/random.mjs';
import { composes, DEPLOY, docker, SERVICES, Stack } from './stack.mjs';

const MEGABYTE = 1_000_000;
const SIZE_MAX = 60 * MEGABYTE; // beyond the base
const TAG = process.env.REPRISE_TEST_TAG;
const BASE = 'debian:bookworm-slim';
const IMAGES = { broker: 'reprise-broker', gateway: 'reprise-gateway', worker: 'reprise-worker-chat', balancer: 'reprise-balancer' };
const image = (service) => `${IMAGES[service]}:${TAG}`;
const LONG = { timeout: 120_000 };

assert.ok(TAG, 'REPRISE_TEST_TAG: of the images; tests/deploy/run builds them');
const installed = await composes();
const PROJECT = process.env.REPRISE_TEST_PROJECT ?? `reprise-test-${process.pid}`;
const stack = new Stack({ compose: installed[0], name: PROJECT, tag: TAG });

// ---- what was built, and how it is run ----

test('the compose file is taken by whatever compose is installed', async (t) => {
  for (const [program, ...first] of installed) {
    const files = ['docker-compose.yml', 'docker-compose.keys.yml'].map((name) => path.join(DEPLOY, name));
    for (const some of [files.slice(0, 1), files]) {
      const args = [...first, ...some.flatMap((file) => ['-f', file]), 'config', '--quiet'];
      const { code, stderr } = await run(program, args, { timeout: 30_000 });
      assert.equal(code, 0, `${program} ${args.join(' ')}: ${stderr}`);
      assert.equal(stderr, '');
    }
    t.diagnostic([program, ...first].join(' '));
  }
});

test('images: small, without root, compiler and Node, and they say what they are', async (t) => {
  const inspect = async (name) => JSON.parse(await docker('image', 'inspect', name))[0];
  const base = (await inspect(BASE)).Size;
  for (const service of SERVICES) {
    const { Size, Config } = await inspect(image(service));
    t.diagnostic(`${service}: ${((Size - base) / MEGABYTE).toFixed(1)} MB beyond ${BASE}`);
    assert.ok(Size - base < SIZE_MAX, `${service} has ${Size - base} bytes`);
    assert.ok(!['', 'root', '0', '0:0'].includes(Config.User), `${service} runs as ${Config.User}`);
    assert.ok(Config.Healthcheck?.Test?.length > 0, `${service} has a health check`);
    assert.equal(Config.StopSignal, service === 'balancer' ? 'SIGUSR1' : 'SIGTERM');
    assert.equal(Config.Labels['org.opencontainers.image.title'], IMAGES[service]);
    const look = 'for p in gcc cc node npm meson python3; do ! command -v $p || exit 1; done; ! find / -xdev -type f -perm /6000 2> /dev/null | grep .';
    await docker('run', '--rm', '--network', 'none', '--entrypoint', 'sh', image(service), '-c', look);
  }
  const said = await docker('run', '--rm', '--network', 'none', image('broker'), '--version');
  const { Config } = await inspect(image('broker'));
  assert.match(said, new RegExp(`\\b${Config.Labels['org.opencontainers.image.version'].replaceAll('.', '\\.')}\\b`));
});

test('the stack comes up, and only the balancer can be reached', async () => {
  await stack.start();
  for (const service of SERVICES) {
    for (const id of await stack.containers(service)) {
      const { HostConfig, NetworkSettings, State } = JSON.parse(await docker('inspect', id))[0];
      const published = Object.entries(NetworkSettings.Ports).flatMap(([port, hosts]) => (hosts ?? []).map(({ HostIp }) => `${HostIp} ${port}`));
      assert.deepEqual(published, service === 'balancer' ? ['127.0.0.1 3000/tcp'] : [], `${service} publishes ${published}`);
      assert.equal(HostConfig.ReadonlyRootfs, true, `${service}: root file system`);
      assert.deepEqual(HostConfig.CapDrop, ['ALL'], `${service}: capabilities`);
      assert.ok(HostConfig.SecurityOpt.some((option) => option.startsWith('no-new-privileges')), `${service}: privileges`);
      // haproxy: a thread for each processor, 64 at most, the master, and what `docker exec` and health checks need for themselves
      assert.ok(HostConfig.Memory > 0 && HostConfig.PidsLimit >= (service === 'balancer' ? 100 : 64), `${service}: limits`);
      assert.equal(HostConfig.RestartPolicy.Name, 'unless-stopped');
      assert.ok(HostConfig.LogConfig.Config['max-size'] && HostConfig.LogConfig.Config['max-file'], `${service}: log rotation`);
      assert.equal(State.OOMKilled, false);
    }
  }
  for (const id of await stack.containers('gateway')) { // what slow clients make it hold follows its limit
    const { stderr } = await run('docker', ['logs', id]);
    assert.match(stderr, /"the memory limit bounds .*limit=536870912 budget=268435456/);
  }
}, LONG);

test('pages and the stock client come through the balancer', async () => {
  const get = async (where) => {
    const answer = await fetch(stack.url + where);
    return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
  };
  const demo = await get('/');
  assert.equal(demo.status, 200);
  assert.match(demo.text, /socket\.io/);
  const chat = await get('/chat'); // redirected
  assert.equal(chat.status, 200);
  assert.match(chat.type, /^text\/html/);
  assert.match(chat.text, /<title>Chat<\/title>/);
  const client = await get('/socket.io/socket.io.min.js');
  assert.equal(client.status, 200);
  const lock = JSON.parse(readFileSync(path.join(DEPLOY, 'client/package-lock.json')));
  const { version } = lock.packages['node_modules/socket.io-client'];
  assert.match(client.text, new RegExp(`Socket\\.IO v${version.replaceAll('.', '\\.')}\\b`));
  for (const where of ['/metrics', '/health']) assert.equal((await get(where)).status, 404, 'what is for watchers is not for clients');
});

// What a newcomer does with npm at home; here the hashes must be there, for they are all the image's build relies on.
test('every package of the client is pinned by its hash', () => {
  const { packages } = JSON.parse(readFileSync(path.join(DEPLOY, 'client/package-lock.json')));
  for (const [name, { integrity }] of Object.entries(packages)) {
    if (name !== '') assert.match(integrity ?? '', /^sha512-/, name);
  }
});

// A balancer with another haproxy in the gateways' place, which says what it is told.
test('where a client comes from is what the balancer says, not what the client does', async () => {
  const network = `${PROJECT}-told`;
  const label = ['--label', `com.docker.compose.project=${network}`]; // for tests/deploy/run
  const begun = [];
  onCleanup(async () => {
    if (begun.length > 0) await docker('rm', '--force', ...begun);
    await docker('network', 'rm', network);
  });
  await docker('network', 'create', ...label, network);
  const begin = async (...args) => begun.push(await docker('run', '--detach', '--network', network, ...label, ...args));
  const echo = 'defaults\n mode http\n timeout client 9s\nfrontend echo\n bind :3000\n bind :3003\n'
    + ' http-request return status 200 content-type text/plain lf-string "%[req.hdrs]"\n';
  await begin('--network-alias', 'gateway', '--entrypoint', 'sh', image('balancer'), '-c', `printf %s '${echo}' > /tmp/echo && exec haproxy -f /tmp/echo`);
  const heard = async (proxies) => {
    const id = (await begin('--publish', '127.0.0.1::3000', '--env', `REPRISE_TRUSTED_PROXIES=${proxies}`, image('balancer')), begun.at(-1));
    const where = `http://${await docker('port', id, '3000/tcp')}/`;
    const ask = async () => (await fetch(where, { headers: { 'X-Forwarded-For': '6.6.6.6' } }).catch(() => ({}))).text?.();
    let said;
    await waitFor(async () => /^x-forwarded-for/im.test((said = decodeURIComponent((await ask()) ?? ''))), { timeout: 30_000, what: () => `an answer: ${said}` });
    return [...said.matchAll(/^x-forwarded-for: *(\S+)/gim)].map(([, address]) => address);
  };
  const alone = await heard('');
  assert.equal(alone.length, 1);
  assert.notEqual(alone[0], '6.6.6.6');
  assert.deepEqual(await heard('10.0.0.1'), ['6.6.6.6', ...alone], 'a proxy in front may say so');
}, LONG);

// ---- scaling ----

test('--scale gateway=4: the balancer finds the new ones, and spreads clients over all', async () => {
  await stack.run('up', '-d', '--no-recreate', '--scale', 'gateway=4');
  await stack.healthy({ gateway: 4 });
  const sockets = [];
  const spread = async () => {
    sockets.push(...(await Promise.all(numbers(8).map(() => connect(stack.url, { transports: ['websocket'] })))));
    return (await stack.gateways()).every(({ clients }) => clients > 0);
  };
  await waitFor(spread, { timeout: 30_000, what: 'clients at all four gateways' });
  const clients = (await stack.gateways()).map((gateway) => gateway.clients);
  assert.equal(clients.length, 4);
  close(...sockets);
}, LONG);

// ---- nothing is lost ----

const ROOMS = ['red', 'green', 'blue'];
const KINDS = ['websocket', 'polling', 'upgrade', 'websocket', 'polling', 'python-websocket', 'websocket', 'python-polling'];
const RATE = 6; // publishes of a member, per second
const PAUSE_MS = 800; // of traffic, between two faults
const BACK_MS = 60_000;

// Everything that is done to the stack; after each the stack is well, and everybody there again.
async function disturb(t, away) {
  let victim;
  const faults = {
    'the gateway with the most clients is killed': async () => docker('kill', (victim = await busiest())),
    'and comes back': async () => docker('start', victim),
    'the gateway with the most clients is stopped': async () => docker('stop', (victim = await busiest())),
    'and starts again': async () => docker('start', victim),
    'the worker is killed': async () => bounce('worker', 'kill'),
    'the broker is killed': async () => bounce('broker', 'kill'),
    'the broker is stopped': async () => bounce('broker', 'stop'),
    'the balancer is killed': async () => bounce('balancer', 'kill'),
    'the balancer is stopped': async () => bounce('balancer', 'stop'),
    'all gateways are killed': async () => bounce('gateway', 'kill'),
    'the gateways are made anew': async () => stack.run('up', '-d', '--no-deps', '--force-recreate', '--scale', 'gateway=4', 'gateway'),
    'there are fewer gateways': async () => stack.run('up', '-d', '--no-deps', '--no-recreate', '--scale', 'gateway=2', 'gateway'),
    'the broker is made anew': async () => stack.run('up', '-d', '--no-deps', '--force-recreate', 'broker'),
  };
  for (const [what, fault] of Object.entries(faults)) {
    const begin = performance.now();
    await fault();
    const done = performance.now();
    await waitFor(() => away().length === 0, { timeout: BACK_MS, what: () => `everybody being back when ${what}: ${away()}` });
    t.diagnostic(`${what}: done in ${seconds(begin, done)} s, and everybody back ${seconds(done, performance.now())} s later`);
    await sleep(PAUSE_MS);
  }
}

const seconds = (from, to) => ((to - from) / 1000).toFixed(1);

async function busiest() {
  const ids = await stack.containers('gateway');
  const clients = (await stack.gateways()).map((gateway) => gateway.clients);
  return ids[clients.indexOf(Math.max(...clients))];
}

async function bounce(service, how) {
  await stack.run(how, service);
  await sleep(PAUSE_MS);
  await stack.run('start', service);
}

test('every container is killed, stopped and made anew under traffic: nothing is lost or doubled', async (t) => {
  const history = new History();
  const random = new Random(1);
  const members = KINDS.map((kind, i) => new Member(`m${i}`, kind, history, stack, random.fork()));
  onCleanup(() => members.forEach((member) => member.end()));
  await Promise.all(members.map(async (member, i) => {
    await member.start(0);
    await Promise.all([ROOMS[0], ROOMS[1 + (i % 2)]].map((room) => member.join(room)));
  }));
  const publishing = members.map((member) => member.publishAt(RATE, ROOMS));
  await sleep(PAUSE_MS);
  await disturb(t, () => members.filter(({ connected }) => !connected).map(({ name }) => name));
  for (const member of members) member.stop();
  await within(BACK_MS, 'answers to everything', Promise.all([...publishing, ...members.map((member) => member.settle())]));

  const herald = new Member(HERALD, 'websocket', history, stack, null);
  await herald.start(0);
  const fences = await within(BACK_MS, 'acks of the fences', Promise.all(ROOMS.map((room) => herald.publish(room))));
  const lacking = () => members.filter(({ rooms, fences: got }) => fences.some(({ room, key }) => rooms.has(room) && !got.has(key)));
  await waitFor(() => lacking().length === 0, { timeout: BACK_MS, what: () => `the last events at ${lacking().map(({ name }) => name)}` });

  const log = await stack.sql("select seq, room, json_extract(args, '$[0]') as key from messages where event = 'n' order by seq");
  const { counts, violations } = judge(history, { log, wholeOrder: true, recoveryPromised: true });
  const recovered = members.reduce((sum, { returns }) => sum + returns.recovered, 0);
  t.diagnostic(JSON.stringify({ events: log.length, delivered: history.delivered, recovered, ...counts }));
  assert.deepEqual(violations, []);
  assert.ok(log.length > 100 && recovered >= members.length, 'something happened');
  for (const member of [...members, herald]) member.end();
}, LONG);

test('a process that crashes is started again by itself', async (t) => {
  const socket = await connect(stack.url, { transports: ['polling'] });
  await ok(socket, 'join', 'crash');
  for (const service of ['broker', 'gateway']) {
    const [id] = await stack.containers(service);
    const state = async () => JSON.parse(await docker('inspect', '--format', '{{json .State}}', id));
    const { Pid, StartedAt } = await state();
    if (!existsSync(`/proc/${Pid}/comm`) || !readFileSync(`/proc/${Pid}/comm`, 'utf8').startsWith('reprise')) {
      t.skip('the engine is on another machine');
      return;
    }
    process.kill(Pid, 'SIGKILL');
    await waitFor(async () => (await state()).StartedAt !== StartedAt, { timeout: 30_000, what: `${service} starting again` });
    const publish = () => socket.timeout(2_000).emitWithAck('publish', { room: 'crash', event: 'e', args: [service], id: service }).catch(() => null);
    await waitFor(async () => (await publish())?.ok, { timeout: 30_000, what: `an event stored after ${service} crashed` });
  }
  await stack.healthy();
  close(socket);
});

// As the guide says. Old containers that were stopped and are still there would come back instead of the new ones.
test('an upgrade that starts the new gateways first leaves none of the old', async () => {
  const next = `${TAG}-next`;
  const old = await stack.containers('gateway');
  onCleanup(() => run('docker', ['image', 'rm', '--force', ...Object.values(IMAGES).map((name) => `${name}:${next}`)]));
  for (const service of SERVICES) await docker('tag', image(service), `${IMAGES[service]}:${next}`);
  await docker('commit', '--change', 'LABEL next=yes', old[0], `${IMAGES.gateway}:${next}`);
  stack.env.REPRISE_TAG = next;
  const up = (...args) => stack.run('up', '-d', '--no-deps', '--no-recreate', ...args, 'gateway');
  await up('--scale', `gateway=${2 * old.length}`);
  await stack.healthy({ gateway: 2 * old.length });
  const socket = await connect(stack.url, { transports: ['polling'] });
  await ok(socket, 'join', 'upgraded');
  for (const id of old) await docker('stop', id);
  await docker('rm', ...old);
  await up();
  await stack.healthy();
  assert.equal((await ok(socket, 'publish', 'upgraded', 'e', 1)).ok, true);
  close(socket);
  const images = await docker('inspect', '--format', '{{.Config.Image}}', ...(await stack.containers('gateway')));
  assert.deepEqual(images.split('\n'), old.map(() => `${IMAGES.gateway}:${next}`));
}, LONG);

// ---- the worker's chat, and the log ----

test('the worker serves /chat', async () => {
  const ada = await connect(`${stack.url}/chat`, { transports: ['websocket'] });
  const bob = await connect(`${stack.url}/chat`, { transports: ['polling'] });
  const seen = new Recorder(bob);
  for (const [socket, name] of [[ada, 'ada'], [bob, 'bob']]) assert.equal((await socket.timeout(10_000).emitWithAck('add user', name)).ok, true);
  assert.equal((await ada.timeout(10_000).emitWithAck('new message', 'hello', 'id-1')).ok, true);
  await waitFor(() => seen.of('new message').length === 1, { what: 'the message' });
  close(ada, bob);
  const [row] = await stack.sql("select nsp, args from messages where event = 'new message'");
  assert.equal(row.nsp, '/chat');
  assert.match(row.args, /hello/);
});

test('the log is copied and checked while it is used', async () => {
  await stack.exec('broker', 'reprise-broker', '--backup', '/var/lib/reprise/copy.db');
  await stack.exec('broker', 'reprise-broker', '--check', '/var/lib/reprise/copy.db');
  await stack.exec('broker', 'reprise-broker', '--check', '/var/lib/reprise/reprise.db');
});

test('links with keys: made by keygen, given as secrets', async (t) => {
  await stack.end();
  const keys = temporaryDirectory();
  const files = ['docker-compose.yml', 'docker-compose.keys.yml'];
  const locked = new Stack({ compose: installed[0], name: `${stack.name}-keys`, tag: TAG, files, env: { REPRISE_KEYS: keys, REPRISE_GATEWAYS: '1' } });
  await locked.run('run', '--rm', '-T', 'keygen');
  const made = await docker('run', '--rm', '--user', '0:0', '--network', 'none', '--volume', `${keys}:/keys:ro`, '--entrypoint', 'stat', image('broker'), '-c', '%n %u %a', '/keys/broker.key', '/keys/gateway.key');
  assert.equal(made, '/keys/broker.key 10001 600\n/keys/gateway.key 10001 600');
  await locked.start(); // healthy: linked
  assert.match(await locked.run('logs', '--no-color', 'broker'), /"links need a key" file=\/run\/secrets\/allow keys=2/);
  const socket = await connect(locked.url, { transports: ['websocket'] });
  await ok(socket, 'join', 'locked');
  assert.equal((await ok(socket, 'publish', 'locked', 'e', 1)).ok, true);
  close(socket);
  await locked.end();
}, LONG);
