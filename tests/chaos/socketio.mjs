// Socket.IO with the Redis Streams adapter as the target of the chaos run: servers instead of gateways, Redis instead of the broker.
// A supervisor starts again what ends by itself (Redis does when it cannot append to its file).

import { fileURLToPath } from 'node:url';

import { freePort } from '../integration/harness.mjs';
import { Proxy } from '../integration/proxy.mjs';
import { LoggedServer, ownHost } from './servers.mjs';

const SERVER = fileURLToPath(new URL('socketio_server.mjs', import.meta.url));

const REDIS = '/usr/bin/redis-server';

export class SocketIo {
  title = 'Socket.IO with Redis Streams';
  hasIds = false; // a publish that is repeated is another one
  // Between servers there is no common order, only that of each sender. A server acks before the event is in the stream; so what was
  // acked shortly before a leave is not due.
  rules = { wholeOrder: false, recoveryPromised: false, marginMs: 20_000 };
  refusedBelowBytes = 0; // Redis has no reserve
  host = ownHost();
  gateways = [];
  links = [];
  died = []; // what ends is started again
  #begin = Date.now();

  static async start({ dir, disk, gateways }) {
    const target = new SocketIo();
    const port = await freePort();
    target.backend = new LoggedServer('redis', REDIS, [
      '--bind', target.host,
      '--port', String(port),
      '--dir', disk.dir,
      '--appendonly', 'yes',
      '--appendfsync', 'always',
      '--save', '',
    ], { dir });
    target.backend.readyLine = /Ready to accept connections/;
    target.backend.supervise();
    await target.backend.start();
    for (let i = 0; i < gateways; i++) await target.#addServer(`server ${i}`, dir, port);
    return target;
  }

  async #addServer(name, dir, redisPort) {
    const link = await Proxy.start(redisPort, this.host);
    const port = await freePort();
    const server = new LoggedServer(name, process.execPath, [SERVER, this.host, String(port), String(link.port)], { dir });
    server.port = port;
    server.supervise();
    this.gateways.push(server);
    this.links.push(link);
    await server.start();
  }

  get ended() {
    return [this.backend, ...this.gateways].reduce((sum, { ended }) => sum + ended, 0);
  }

  port(gateway) {
    return this.gateways[gateway].port;
  }

  // An id of the stream, MS-N.
  position(offset) {
    const [ms, n] = (offset ?? '').split('-').map(Number);
    return Number.isInteger(n) ? (ms - this.#begin) * 10_000 + n : null;
  }
}
