// A TCP proxy between a client and a gateway: connections are cut, stalled and redirected from outside, as networks do it.

import net from 'node:net';

import { onCleanup } from './harness.mjs';

export class Proxy {
  #server = net.createServer({ pauseOnConnect: true, noDelay: true });
  #links = new Set();
  #target;
  #refusing = false;
  #cutAfter = null;

  bytesToClient = 0; // forwarded, over all connections
  bytesToServer = 0;
  accepted = 0; // connections that were not refused

  // Sees every chunk on its way to a client before it is forwarded; returning 'cut' cuts that connection without forwarding it.
  onToClient = null;

  static async start(targetPort) {
    const proxy = new Proxy();
    proxy.#target = targetPort;
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

  // Goes on forwarding what stall() held back.
  resume() {
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
    const link = new Link(this, client, this.#target, this.#cutAfter);
    this.#cutAfter = null;
    this.#links.add(link);
    link.onGone = () => this.#links.delete(link);
  }
}

// One connection through the proxy: two sockets.
class Link {
  #stalled = false;
  #abandoned = false;

  constructor(proxy, client, port, cutAfter) {
    this.proxy = proxy;
    this.client = client;
    this.left = cutAfter; // bytes that may still go to the client; null: any number
    this.server = net.connect({ port, host: '127.0.0.1', noDelay: true });
    this.#forward(client, this.server, (bytes) => this.#toServer(bytes));
    this.#forward(this.server, client, (bytes) => this.#toClient(bytes));
    this.server.once('connect', () => !this.#stalled && client.resume());
  }

  #forward(from, to, pass) {
    from.on('data', pass);
    from.on('end', () => !this.#abandoned && to.end());
    from.on('error', () => !this.#abandoned && reset(to));
    to.on('drain', () => !this.#stalled && from.resume());
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
    this.#stalled = true;
    reset(this.client);
    this.server.pause();
  }

  stall() {
    this.#stalled = true;
    this.client.pause();
    this.server.pause();
  }

  resume() {
    if (this.#abandoned) return;
    this.#stalled = false;
    this.client.resume();
    this.server.resume();
  }
}

// resetAndDestroy() of a socket that still connects would wait for it; destroying is as good there.
function reset(socket) {
  if (socket.destroyed) return;
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}
