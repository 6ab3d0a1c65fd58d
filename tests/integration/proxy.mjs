// A TCP proxy between a client and a gateway, or a gateway and the broker: connections are cut, stalled, delayed and redirected
// from outside, as networks do it.

import net from 'node:net';

import { onCleanup } from './harness.mjs';

export class Proxy {
  #server = net.createServer({ pauseOnConnect: true, noDelay: true });
  #links = new Set();
  #target;
  #host;
  #refusing = false;
  #hole = null; // the way that is stalled for new connections too
  #cutAfter = null;

  bytesToClient = 0; // forwarded, over all connections
  bytesToServer = 0;
  accepted = 0; // connections that were not refused
  delayMs = 0; // every chunk takes so much longer, in order; what comes in that time is kept in memory

  // Sees every chunk on its way to a client before it is forwarded; returning 'cut' cuts that connection without forwarding it.
  onToClient = null;

  static async start(targetPort, targetHost = '127.0.0.1') {
    const proxy = new Proxy();
    proxy.#target = targetPort;
    proxy.#host = targetHost;
    proxy.#server.on('connection', (client) => proxy.#accept(client));
    await new Promise((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    onCleanup(() => proxy.close());
    return proxy;
  }

  get port() {
    return this.#server.address().port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get connections() {
    return this.#links.size;
  }

  // Resets both sides of every connection.
  cut() {
    for (const link of [...this.#links]) link.cut();
  }

  // Resets the client's side only: the server sees a connection that has gone silent.
  abandon() {
    for (const link of [...this.#links]) link.abandon();
  }

  // Stops forwarding on the present connections, in both directions, without closing them.
  stall() {
    for (const link of this.#links) link.stall();
  }

  // Swallows nothing and forwards nothing that goes this way ('toClient', 'toServer' or 'both'), on present and new connections,
  // until resume().
  blackhole(way) {
    this.#hole = way;
    for (const link of this.#links) link.stall(way);
  }

  // Goes on forwarding what stall() or blackhole() held back.
  resume() {
    this.#hole = null;
    for (const link of this.#links) link.resume();
  }

  // New connections are reset while true.
  refuse(refusing) {
    this.#refusing = refusing;
  }

  // New connections go there.
  retarget(port) {
    this.#target = port;
  }

  // The next connection is cut once exactly so many bytes have gone to the client.
  cutNextAfter(bytes) {
    this.#cutAfter = bytes;
  }

  close() {
    this.cut();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client) {
    if (this.#refusing) {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    this.accepted++;
    const link = new Link(this, client, { host: this.#host, port: this.#target }, this.#cutAfter);
    this.#cutAfter = null;
    this.#links.add(link);
    if (this.#hole !== null) link.stall(this.#hole);
    link.onGone = () => this.#links.delete(link);
  }
}

// One connection through the proxy: two sockets.
class Link {
  #stalled = { client: false, server: false }; // whether what comes from there is left unread
  #abandoned = false;

  constructor(proxy, client, target, cutAfter) {
    this.proxy = proxy;
    this.client = client;
    this.left = cutAfter; // bytes that may still go to the client; null: any number
    this.server = net.connect({ ...target, noDelay: true });
    this.#forward('client', client, this.server, (bytes) => this.#toServer(bytes));
    this.#forward('server', this.server, client, (bytes) => this.#toClient(bytes));
    this.server.once('connect', () => !this.#stalled.client && client.resume());
  }

  #forward(side, from, to, pass) {
    const later = new Later();
    from.on('data', (bytes) => later.run(this.proxy.delayMs, () => pass(bytes)));
    from.on('end', () => later.run(this.proxy.delayMs, () => !this.#abandoned && to.end()));
    from.on('error', () => !this.#abandoned && reset(to));
    to.on('drain', () => !this.#stalled[side] && from.resume());
    from.on('close', () => {
      if (this.client.destroyed && this.server.destroyed) this.onGone?.();
    });
  }

  #toServer(bytes) {
    if (this.server.destroyed) return;
    this.proxy.bytesToServer += bytes.length;
    if (!this.server.write(bytes)) this.client.pause();
  }

  #toClient(bytes) {
    if (this.proxy.onToClient?.(bytes) === 'cut') {
      this.cut();
      return;
    }
    if (this.left !== null && bytes.length >= this.left) {
      this.#cutExactly(bytes.subarray(0, this.left));
      return;
    }
    if (this.left !== null) this.left -= bytes.length;
    this.proxy.bytesToClient += bytes.length;
    if (!this.client.write(bytes)) this.server.pause();
  }

  // The last bytes must arrive, so the client's side is closed in order: a reset would throw away what the client has not read.
  #cutExactly(last) {
    this.proxy.bytesToClient += last.length;
    this.#abandoned = true;
    this.client.end(last);
    reset(this.server);
  }

  cut() {
    reset(this.client);
    reset(this.server);
  }

  abandon() {
    this.#abandoned = true;
    this.#stalled.server = true;
    reset(this.client);
    this.server.pause();
  }

  stall(way = 'both') {
    if (way !== 'toClient') this.#hold('client', this.client);
    if (way !== 'toServer') this.#hold('server', this.server);
  }

  #hold(side, socket) {
    this.#stalled[side] = true;
    socket.pause();
  }

  resume() {
    if (this.#abandoned) return;
    this.#stalled = { client: false, server: false };
    if (!this.server.connecting) this.client.resume(); // else when it is connected
    this.server.resume();
  }
}

// Does things in their order, each some time after it came.
class Later {
  #waiting = [];
  #timer = null;

  run(ms, action) {
    if (ms === 0 && this.#waiting.length === 0) {
      action();
      return;
    }
    this.#waiting.push({ at: performance.now() + ms, action });
    this.#arm();
  }

  #arm() {
    this.#timer ??= setTimeout(() => this.#wake(), Math.max(0, this.#waiting[0].at - performance.now()));
  }

  #wake() {
    this.#timer = null;
    while (this.#waiting.length > 0 && this.#waiting[0].at <= performance.now()) this.#waiting.shift().action();
    if (this.#waiting.length > 0) this.#arm();
  }
}

// resetAndDestroy() of a socket that still connects would wait for it; destroying is as good there. One that was ended cannot be
// reset any more, and Node would keep its handle for ever and never exit.
function reset(socket) {
  if (socket.destroyed) return;
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
