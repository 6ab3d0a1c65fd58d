// A load balancer as dumb as they come: every new TCP connection goes to the next server, whatever it is about.

import net from 'node:net';

import { onCleanup } from './harness.mjs';

export class Balancer {
  #server = net.createServer({ noDelay: true });
  #links = new Set();
  #next = 0;

  counts = []; // connections for each target

  static async start(...ports) {
    const balancer = new Balancer();
    balancer.retarget(...ports);
    balancer.#server.on('connection', (client) => balancer.#accept(client));
    await new Promise((resolve, reject) => {
      balancer.#server.once('error', reject);
      balancer.#server.listen(0, '127.0.0.1', resolve);
    });
    onCleanup(() => balancer.close());
    return balancer;
  }

  get port() {
    return this.#server.address().port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  // New connections go to these, in turn.
  retarget(...ports) {
    this.ports = ports;
    this.counts = ports.map(() => 0);
  }

  #accept(client) {
    const index = this.#next++ % this.ports.length;
    this.counts[index]++;
    const server = net.connect({ port: this.ports[index], host: '127.0.0.1', noDelay: true });
    const link = { client, server };
    this.#links.add(link);
    const end = () => {
      client.destroy();
      server.destroy();
      this.#links.delete(link);
    };
    for (const [from, to] of [[client, server], [server, client]]) {
      from.pipe(to);
      from.on('error', end);
      from.on('close', () => (from.readableEnded ? undefined : end()));
    }
  }

  close() {
    for (const { client, server } of this.#links) {
      client.destroy();
      server.destroy();
    }
    return new Promise((resolve) => this.#server.close(resolve));
  }
}
