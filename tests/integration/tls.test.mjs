// Where a gateway listens: TLS with a certificate that is exchanged while it runs, IPv6, a Unix socket; and who it takes its
// clients for behind a proxy.

import assert from 'node:assert/strict';
import { copyFileSync, existsSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';

import { assertExactly, close, connect, fence, join, numbers, ok, publishMany, Recorder } from './clients.mjs';
import { Engine, handshake, POLLING, request } from './engine.mjs';
import { Cluster, freePort, run, Server, slow, temporaryDirectory, test, waitFor, PROGRAMS } from './harness.mjs';
import { RawSocket } from './raw.mjs';

const dir = temporaryDirectory();
const cert = path.join(dir, 'cert.pem');
const key = path.join(dir, 'key.pem');

// A self-signed certificate in two files.
async function makeCertificate(name, to = { cert, key }) {
  const { code, stderr } = await run('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`,
    '-addext', `subjectAltName=DNS:${name},DNS:localhost,IP:127.0.0.1`, '-keyout', to.key, '-out', to.cert,
  ]);
  assert.equal(code, 0, stderr);
}

await makeCertificate('first.example');
const cluster = await Cluster.start({ gateways: 1, gateway: ['--demo'] });
const tlsPort = await freePort();
const secure = await cluster.addGateway(['--tls-listen', `127.0.0.1:${tlsPort}`, '--tls-cert', cert, '--tls-key', key]);
const where = { host: '127.0.0.1', port: tlsPort, tls: true };
const publisher = await connect(cluster.url(0));

let rooms = 0;
const newRoom = () => `room ${++rooms}`;

// The name in the certificate a new connection is shown.
function certificateName(options = {}) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port: tlsPort, rejectUnauthorized: false, ...options }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

// ---- TLS ----

for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
  test(`TLS, ${transports.join(', then ')}: events both ways, also large ones`, async (t) => {
    const socket = await connect(`https://127.0.0.1:${tlsPort}`, { transports, rejectUnauthorized: false });
    t.after(() => close(socket));
    const recorder = new Recorder(socket);
    const room = newRoom();
    await join(socket, room);
    await publishMany(publisher, room, 'n', 300);
    await publishMany(socket, room, 'n', 300, { from: 300 });
    const big = 'x'.repeat(600_000);
    await ok(socket, 'publish', room, 'big', big, Buffer.alloc(200_000, 7));
    await fence(publisher, room, recorder);
    assertExactly(recorder, 'n', numbers(600));
    assert.deepEqual(recorder.of('big')[0].args, [big, Buffer.alloc(200_000, 7)]);
  });
}

test('TLS: a certificate that the client checks', async () => {
  const { stdout } = await run('openssl', ['x509', '-in', cert]);
  const socket = await connect(`https://127.0.0.1:${tlsPort}`, { ca: stdout });
  close(socket);
});

test('TLS: versions before 1.2 are refused, 1.2 and 1.3 are spoken', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3']) assert.equal(await certificateName({ minVersion: version, maxVersion: version }), 'first.example');
  await assert.rejects(certificateName({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
});

test('TLS: the plain port of the same gateway works beside it', async () => {
  const { sid } = await handshake(secure.port);
  assert.match(sid, /./);
});

const NO_HTTP = /^(?![^]*HTTP)/; // nothing, or an alert of TLS

test('TLS: plain HTTP and garbage at the TLS port are refused, and harm nobody', async () => {
  const engine = await Engine.open(where);
  for (const [bytes, answer] of [
    [`GET ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\n`, /^HTTP\/1\.1 400 [^]*this port speaks TLS: use https:/],
    [Buffer.alloc(5000, 0xff), NO_HTTP],
    [Buffer.from('160301ffff', 'hex'), NO_HTTP],
    [Buffer.from('16030100050100000100', 'hex'), NO_HTTP],
  ]) {
    const raw = await RawSocket.open(tlsPort);
    raw.write(bytes);
    raw.socket.end();
    await waitFor(() => raw.ended, { what: 'the end of the connection' });
    assert.match(raw.received.toString('latin1'), answer);
  }
  engine.send('40');
  await engine.packet(/^40/);
  await engine.close();
});

test('TLS: a client that never finishes its handshake is dropped', async () => {
  const hasty = await cluster.addGateway(['--tls-listen', `127.0.0.1:${await freePort()}`, '--tls-cert', cert, '--tls-key', key, '--header-timeout', '200ms']);
  const port = Number(hasty.args[hasty.args.indexOf('--tls-listen') + 1].split(':')[1]);
  const raws = [await RawSocket.open(port), await RawSocket.open(port)];
  raws[1].write(Buffer.from('1603010200', 'hex'));
  for (const raw of raws) await waitFor(() => raw.ended, { what: 'the end of the connection' });
});

test('SIGHUP: new connections are shown the new certificate, old ones live on', async () => {
  const engine = await Engine.open(where);
  engine.send('40');
  await engine.packet(/^40/);
  assert.equal(await certificateName(), 'first.example');
  const next = { cert: path.join(dir, 'next.pem'), key: path.join(dir, 'next-key.pem') };
  await makeCertificate('second.example', next);
  copyFileSync(next.cert, cert);
  copyFileSync(next.key, key);
  assert.equal(await certificateName(), 'first.example', 'nothing happens before the signal');
  process.kill(secure.pid, 'SIGHUP');
  await waitFor(async () => (await certificateName()) === 'second.example', { what: 'the new certificate' });
  engine.send('421["join","after"]');
  assert.match(await engine.packet(/^431\[/), /"ok":true/);
  await engine.close();
});

test('SIGHUP with a broken certificate: the old one stays, and the log says why', async () => {
  const before = await certificateName();
  secure.markLog();
  copyFileSync(cert, key); // no key
  process.kill(secure.pid, 'SIGHUP');
  await waitFor(() => /certificate/i.test(secure.logSinceMark()), { what: 'a word in the log' });
  assert.equal(await certificateName(), before);
  assert.equal(secure.running, true);
});

test('a missing or broken certificate, or half of the options, is refused at the start', async () => {
  const good = { cert: path.join(dir, 'good.pem'), key: path.join(dir, 'good-key.pem') };
  const other = { cert: path.join(dir, 'other.pem'), key: path.join(dir, 'other-key.pem') };
  await makeCertificate('good.example', good);
  await makeCertificate('other.example', other);
  const listen = ['--listen', `127.0.0.1:${await freePort()}`, '--admin', 'off', '--broker', cluster.brokerAddress, '--tls-listen', `127.0.0.1:${await freePort()}`];
  for (const args of [[], ['--tls-cert', good.cert], ['--tls-key', good.key], ['--tls-cert', good.key, '--tls-key', good.key], ['--tls-cert', good.cert, '--tls-key', other.key], ['--tls-cert', '/nowhere', '--tls-key', good.key]]) {
    const { code, stderr } = await run(PROGRAMS.gateway, [...listen, ...args]);
    assert.notEqual(code, 0, args.join(' '));
    assert.notEqual(code, undefined, args.join(' '));
    assert.match(stderr, /tls/i, args.join(' '));
  }
});

// ---- addresses ----

test('IPv6 and a Unix socket beside IPv4', async (t) => {
  const socketPath = path.join(dir, 'gateway.sock');
  const port6 = await freePort();
  const gateway = await cluster.addGateway([], { listen: [`[::1]:${port6}`, `unix:${socketPath}`] });
  const places = [gateway.port, { host: '::1', port: port6 }, { socketPath }];
  const room = newRoom();
  const engines = [];
  for (const [i, place] of places.entries()) {
    const engine = await Engine.open(place, i === 1 ? 'polling' : 'websocket');
    t.after(() => engine.close());
    engine.send('40');
    await engine.packet(/^40/);
    engine.send(`421["join",${JSON.stringify(room)}]`);
    await engine.packet(/^431\[/);
    engines.push(engine);
  }
  await ok(publisher, 'publish', room, 'hello', 1);
  for (const engine of engines) await engine.packet(/^42\["hello",1,/);
  const polled = await request({ socketPath }, POLLING);
  assert.equal(polled.status, 200);
  await gateway.stop();
  assert.equal(existsSync(socketPath), false, 'the socket is taken away at the end');
});

test('a Unix socket left behind by a killed gateway is taken over', async () => {
  const socketPath = path.join(dir, 'left.sock');
  const gateway = await cluster.addGateway([], { listen: [`unix:${socketPath}`] });
  await gateway.kill();
  assert.equal(existsSync(socketPath), true);
  await gateway.start();
  assert.equal((await request({ socketPath }, POLLING)).status, 200);
});

test('an address in use is refused at the start', async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const taken = `127.0.0.1:${server.address().port}`;
  const gateway = new Server('second gateway', PROGRAMS.gateway, ['--listen', `127.0.0.1:${await freePort()},${taken}`, '--admin', 'off', '--broker', cluster.brokerAddress]);
  gateway.spawn().expectEnd();
  const { code } = await gateway.exited;
  assert.notEqual(code, 0);
  assert.ok(gateway.log.includes(taken), gateway.log);
  server.close();
});

// ---- behind a proxy ----

// The address alone, whether or not a port is told with it.
const bare = (address) => address.replace(/^\[(.*)\](:\d+)?$/, '$1').replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1');
const addressOf = ({ text }) => bare(JSON.parse(text).address);

test('/whoami tells the gateway and the client\'s address', async () => {
  const answer = await request(cluster.port(0), '/whoami');
  assert.equal(answer.status, 200);
  assert.equal(typeof JSON.parse(answer.text).gateway, 'string');
  assert.equal(addressOf(answer), '127.0.0.1');
});

test('X-Forwarded-For is believed of a trusted proxy only, up to the first address that is not one', async () => {
  const trusting = await cluster.addGateway(['--demo', '--trusted-proxies', '127.0.0.0/8,10.0.0.0/8,2001:db8:1::/48']);
  for (const [forwarded, address] of [
    ['203.0.113.7', '203.0.113.7'],
    ['198.51.100.1, 203.0.113.7', '203.0.113.7'],
    ['203.0.113.7, 10.1.2.3', '203.0.113.7'],
    ['198.51.100.1,203.0.113.7 ,  10.1.2.3', '203.0.113.7'],
    ['2001:db8:2::1, 2001:db8:1::9', '2001:db8:2::1'],
    ['nonsense', '127.0.0.1'],
    ['203.0.113.7, nonsense', '127.0.0.1'],
    ['', '127.0.0.1'],
  ]) {
    const headers = { 'X-Forwarded-For': forwarded };
    assert.equal(addressOf(await request(trusting.port, '/whoami', { headers })), address, forwarded);
    assert.equal(addressOf(await request(cluster.port(0), '/whoami', { headers })), '127.0.0.1', 'nobody is trusted by default');
  }
  const distrusting = await cluster.addGateway(['--demo', '--trusted-proxies', '10.0.0.0/8']);
  assert.equal(addressOf(await request(distrusting.port, '/whoami', { headers: { 'X-Forwarded-For': '203.0.113.7' } })), '127.0.0.1');
});

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const proxyHeader = (command, family, payload) => Buffer.concat([SIGNATURE, Buffer.from([0x20 | command, family, payload.length >> 8, payload.length & 255]), payload]);
const proxy4 = (address, more = Buffer.alloc(0)) => proxyHeader(1, 0x11, Buffer.concat([Buffer.from(address.split('.').map(Number)), Buffer.from([127, 0, 0, 1, 0x30, 0x39, 0x0b, 0xb8]), more]));
const proxy6 = proxyHeader(1, 0x21, Buffer.from('20010db8000000000000000000000001' + '00000000000000000000000000000001' + '30390bb8', 'hex'));
const WHOAMI = 'GET /whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

async function sayAndRead(port, ...parts) {
  const raw = await RawSocket.open(port);
  for (const part of parts) {
    raw.write(part);
    await new Promise(setImmediate);
  }
  await waitFor(() => raw.ended, { what: 'the end of the connection' });
  const text = raw.received.toString();
  return { text, address: text.startsWith('HTTP/1.1 200') ? bare(JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)).address) : null };
}

test('--proxy-protocol: the address is the one the PROXY header tells', async () => {
  const { port } = await cluster.addGateway(['--demo', '--proxy-protocol', 'on', '--trusted-proxies', '127.0.0.0/8', '--header-timeout', `${2 * slow}s`]);
  for (const [name, header, address] of [
    ['IPv4', proxy4('203.0.113.7'), '203.0.113.7'],
    ['IPv4 with further facts', proxy4('203.0.113.8', Buffer.from('04000461626364', 'hex')), '203.0.113.8'],
    ['IPv6', proxy6, '2001:db8::1'],
    ['a health check of the proxy itself', proxyHeader(0, 0x00, Buffer.alloc(0)), '127.0.0.1'],
  ]) {
    const whole = await sayAndRead(port, Buffer.concat([header, Buffer.from(WHOAMI)]));
    assert.equal(whole.address, address, `${name}: ${whole.text}`);
    const split = await sayAndRead(port, ...[...header].map((byte) => Buffer.from([byte])), WHOAMI);
    assert.equal(split.address, address, `${name}, byte by byte: ${split.text}`);
  }
  for (const [name, bytes] of [
    ['no header', WHOAMI],
    ['another version', Buffer.concat([SIGNATURE, Buffer.from([0x31, 0x11, 0, 0]), Buffer.from(WHOAMI)])],
    ['a header that is too short for its family', Buffer.concat([proxyHeader(1, 0x11, Buffer.alloc(4)), Buffer.from(WHOAMI)])],
    ['an unknown command', Buffer.concat([proxyHeader(2, 0x11, Buffer.alloc(12)), Buffer.from(WHOAMI)])],
    ['half a header', SIGNATURE.subarray(0, 8)],
  ]) {
    const { address } = await sayAndRead(port, bytes);
    assert.equal(address, null, name);
  }
});
