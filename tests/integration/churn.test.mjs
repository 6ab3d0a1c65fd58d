// 50,000 Engine.IO sessions come and go over polling, WebSocket and upgrades, some of them with a Socket.IO session: the memory of
// the gateway is in the end what it was after the first 10,000.

import assert from 'node:assert/strict';
import net from 'node:net';

import { numbers } from './clients.mjs';
import { POLLING, WEBSOCKET } from './engine.mjs';
import { Cluster, metric, onCleanup, test, waitFor } from './harness.mjs';
import { frame, upgradeRequest } from './raw.mjs';

const FIRST = 10_000;
const ALL = 50_000;
const LANES = 60;
const GROWTH_MAX = 0.05;

const cluster = await Cluster.start({ gateways: 1 });
const [gateway] = cluster.gateways;
const { port } = gateway;

// A connection with no more around it than is needed: text that came, and one who waits for more.
class Line {
  text = '';
  #wake = null;

  static open() {
    const line = new Line();
    line.socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    line.socket.setEncoding('latin1');
    line.socket.on('data', (text) => {
      line.text += text;
      line.#wake?.();
    });
    line.socket.on('close', () => {
      line.ended = true;
      line.#wake?.();
    });
    line.socket.on('error', (err) => (line.error = err));
    return line;
  }

  write(bytes) {
    this.socket.write(bytes);
    return this;
  }

  // Waits until the text matches, and takes it all.
  async expect(pattern) {
    for (;;) {
      const match = this.text.match(pattern);
      if (match !== null) {
        this.text = '';
        return match;
      }
      if (this.ended) throw new Error(`ended before ${pattern}: ${this.error ?? ''} ${JSON.stringify(this.text)}`);
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }

  // A reset leaves nothing in TIME_WAIT, so that ports do not run out.
  drop() {
    this.socket.resetAndDestroy();
  }
}

const GET = `GET ${POLLING} HTTP/1.1\r\nHost: x\r\n\r\n`;
const post = (sid, body) => `POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const poll = (sid) => `GET ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: x\r\n\r\n`;
const OPEN = /"sid":"([^"]+)"[^]*\}$/;
const OK = /\r\n\r\nok$/;
const CLOSE = frame({ payload: '1' });
const CONNECT = frame({ payload: '40' });

// Each opens a session and ends it; `kept` is a connection of the lane that serves many.
const KINDS = [
  async function polling(kept) {
    const [, sid] = await kept.write(GET).expect(OPEN);
    await kept.write(post(sid, '1')).expect(OK);
  },
  async function pollingConnected(kept) {
    const [, sid] = await kept.write(GET).expect(OPEN);
    await kept.write(post(sid, '40')).expect(OK);
    await kept.write(poll(sid)).expect(/\r\n\r\n40\{.*\}$/);
    await kept.write(post(sid, '41\x1e1')).expect(OK);
  },
  async function webSocket() {
    const line = Line.open().write(upgradeRequest());
    await line.expect(OPEN);
    line.write(CLOSE);
    line.drop();
  },
  async function webSocketConnected() {
    const line = Line.open().write(upgradeRequest());
    await line.expect(OPEN);
    await line.write(CONNECT).expect(/40\{.*\}/);
    line.drop();
  },
  async function upgrade(kept) {
    const [, sid] = await kept.write(GET).expect(OPEN);
    const line = Line.open().write(upgradeRequest({ path: `${WEBSOCKET}&sid=${sid}` }));
    await line.expect(/\r\n\r\n/);
    await line.write(frame({ payload: '2probe' })).expect(/3probe/);
    line.write(frame({ payload: '5' })).write(CLOSE);
    await waitForEnd(line);
  },
  async function upgradeGivenUp(kept) {
    const [, sid] = await kept.write(GET).expect(OPEN);
    const line = Line.open().write(upgradeRequest({ path: `${WEBSOCKET}&sid=${sid}` }));
    await line.expect(/\r\n\r\n/);
    line.drop();
    await kept.write(post(sid, '1')).expect(OK);
  },
];
// Most are cheap ones; each tenth has a session of Socket.IO too, which the broker writes down.
const MIX = [0, 2, 0, 2, 4, 0, 2, 0, 5, 1, 0, 2, 0, 2, 4, 0, 2, 0, 5, 3];

async function waitForEnd(line) {
  while (!line.ended) await new Promise((resolve) => line.socket.once('close', resolve));
}

const lanes = numbers(LANES).map(() => Line.open());
onCleanup(() => lanes.forEach((line) => line.socket.destroy()));
let begun = 0;

async function churn(until) {
  await Promise.all(lanes.map(async (kept) => {
    while (begun < until) await KINDS[MIX[begun++ % MIX.length]](kept);
  }));
  await waitFor(async () => (await metric(gateway, 'reprise_gateway_clients')) === 0, { what: 'all sessions to be gone' });
  return gateway.residentBytes();
}

test(`${ALL} sessions leave the memory of the gateway where it was after ${FIRST}`, async (t) => {
  const begin = performance.now();
  const plateau = await churn(FIRST);
  const end = await churn(ALL);
  const seconds = (performance.now() - begin) / 1000;
  const kilobytes = (bytes) => `${(bytes / 1024) | 0} kB`;
  t.diagnostic(`${kilobytes(plateau)} after ${FIRST} sessions, ${kilobytes(end)} after ${ALL}; ${(ALL / seconds).toFixed(0)} sessions a second`);
  // A sanitizer keeps what was freed for a while, in a quarantine that fills slowly.
  const bound = plateau * (1 + GROWTH_MAX) + (gateway.hasSanitizer() ? 64 << 20 : 0);
  assert.ok(end <= bound, `${kilobytes(end - plateau)} more than the plateau of ${kilobytes(plateau)}`);
});
