// The client bundles a gateway serves: all eight, byte for byte, with what caches and browsers want to know.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';

import { request } from './engine.mjs';
import { Cluster, freePort, PROGRAMS, run, test } from './harness.mjs';
import { http } from './raw.mjs';

const dist = path.join(path.dirname(fileURLToPath(import.meta.url)), 'node_modules/socket.io-client/dist');
const SCRIPTS = ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js'];
const FILES = SCRIPTS.flatMap((name) => [name, `${name}.map`]);
const ORIGIN = 'http://a.example';

const cluster = await Cluster.start({ gateways: 1, gateway: ['--client-dir', dist] });
const port = cluster.port(0);
const cors = (await cluster.addGateway(['--client-dir', dist, '--cors-origin', ORIGIN])).port;
const elsewhere = (await cluster.addGateway(['--client-dir', dist, '--path', '/live/ws'])).port;

test('the package has the eight files', () => {
  const there = readdirSync(dist);
  assert.deepEqual(FILES.filter((name) => !there.includes(name)), []);
});

for (const name of FILES) {
  const file = readFileSync(path.join(dist, name));
  const target = `/socket.io/${name}`;

  test(`${name}: as it is in the package`, async () => {
    const { status, headers, body } = await request(port, target);
    assert.equal(status, 200);
    assert.ok(body.equals(file));
    assert.match(headers['content-type'], name.endsWith('.map') ? /^application\/json/ : /^application\/javascript; *charset=utf-8$/i);
    assert.equal(headers['cache-control'], 'public, max-age=0');
    assert.match(headers.etag, /^(W\/)?"[^"]+"$/);
  });

  test(`${name}: 304 for who has it, 200 for who has another`, async () => {
    const { headers: { etag } } = await request(port, target);
    const weak = etag.startsWith('W/') ? etag.slice(2) : `W/${etag}`;
    for (const tags of [etag, weak, `"x", ${etag}`, `${etag},"x"`, '*']) {
      const { status, headers, body } = await request(port, target, { headers: { 'If-None-Match': tags } });
      assert.deepEqual([status, body.length], [304, 0], tags);
      assert.equal(headers.etag, etag);
    }
    for (const tags of ['"x"', etag.slice(0, -2), '']) {
      const { status } = await request(port, target, { headers: { 'If-None-Match': tags } });
      assert.equal(status, 200, tags);
    }
  });

  for (const [encoding, decode] of [['gzip', zlib.gunzipSync], ['deflate', zlib.inflateSync]]) {
    test(`${name}: ${encoding} for who accepts it`, async () => {
      const { headers, body } = await request(port, target, { headers: { 'Accept-Encoding': encoding } });
      assert.equal(headers['content-encoding'], encoding);
      assert.match(headers.vary ?? '', /accept-encoding/i);
      assert.ok(body.length < file.length / 2, `${body.length} of ${file.length} bytes`);
      assert.ok(decode(body).equals(file));
    });
  }

  test(`${name}: HEAD tells the same without the file`, async () => {
    const raw = await http(port, `HEAD ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, { waitEnd: true });
    assert.equal(raw.status, 200);
    assert.equal(Number(raw.headers['content-length']), file.length);
    assert.equal(raw.body, '');
  });

  test(`${name}: for scripts of another origin`, async () => {
    const { headers } = await request(cors, target, { headers: { Origin: ORIGIN } });
    assert.equal(headers['access-control-allow-origin'], ORIGIN);
    assert.match(headers.vary ?? '', /origin/i);
    const { headers: other } = await request(cors, target, { headers: { Origin: 'http://evil.example' } });
    assert.equal(other['access-control-allow-origin'], undefined);
  });
}

test('every gateway gives a file the same tag', async () => {
  for (const name of FILES) {
    const [one, two] = [await request(port, `/socket.io/${name}`), await request(cors, `/socket.io/${name}`)];
    assert.equal(one.headers.etag, two.headers.etag);
  }
});

test('the bundles follow --path', async () => {
  assert.equal((await request(elsewhere, '/live/ws/socket.io.min.js')).status, 200);
  assert.equal((await request(elsewhere, '/socket.io/socket.io.min.js')).status, 404);
});

test('a query changes nothing', async () => {
  assert.equal((await request(port, '/socket.io/socket.io.js?v=4')).status, 200);
});

test('other names are not served', async () => {
  for (const name of ['package.json', 'socket.io.msgpack.min.js.map.map', 'socket.io.js/', '../package.json', '%2e%2e/package.json', 'Socket.io.js', 'socket.io.js%00', '.']) {
    const { status } = await http(port, `GET /socket.io/${name} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.ok([400, 404].includes(status), `${name}: ${status}`);
  }
});

test('other methods are refused', async () => {
  for (const method of ['POST', 'PUT', 'DELETE']) {
    const { status } = await request(port, '/socket.io/socket.io.js', { method });
    assert.ok([400, 404, 405].includes(status), `${method}: ${status}`);
  }
});

test('a directory without bundles is refused at the start', async () => {
  const { code, stderr } = await run(PROGRAMS.gateway, ['--listen', `127.0.0.1:${await freePort()}`, '--admin', 'off', '--client-dir', path.join(dist, '..')]);
  assert.notEqual(code, 0);
  assert.match(stderr, /client-dir/);
});
