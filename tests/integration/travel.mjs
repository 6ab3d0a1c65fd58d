// A client that travels: behind a proxy, member of rooms, recording all it gets; and raw clients that present a pid by hand.

import assert from 'node:assert/strict';

import { close, connect, join, nextConnect, nextDisconnect, Recorder } from './clients.mjs';
import { slow } from './harness.mjs';
import { Proxy } from './proxy.mjs';
import { RawClient } from './raw.mjs';

// The stock client does not notice a connection that ends in order between the HTTP answer and the Engine.IO open packet: it
// goes on only when its connect timeout (20 s by default) has passed.
const CONNECT_TIMEOUT_MS = 3_000;

export class Traveller {
  // Connected through the cluster's first gateway; gone at the end of the test.
  static start(t, cluster, ...rooms) {
    return Traveller.startAt(t, cluster.port(0), {}, ...rooms);
  }

  // The same through the gateway at the port; `namespace` is one option, the others are the stock client's.
  static async startAt(t, port, { namespace = '', ...options }, ...rooms) {
    const traveller = new Traveller();
    traveller.proxy = await Proxy.start(port);
    traveller.socket = await connect(traveller.proxy.url + namespace, { timeout: CONNECT_TIMEOUT_MS * slow, ...options });
    t.after(() => close(traveller.socket));
    traveller.recorder = new Recorder(traveller.socket);
    traveller.id = traveller.socket.id;
    await join(traveller.socket, ...rooms);
    return traveller;
  }

  // The stock client keeps it there, and shows it to nobody.
  get pid() {
    return this.socket._pid;
  }

  // Is cut off, in the given way, and stays away until it may come back.
  async leave(cut = () => this.proxy.cut()) {
    const gone = nextDisconnect(this.socket);
    this.proxy.refuse(true);
    cut();
    await gone;
  }

  async comeBack(ms = 60_000) {
    const back = nextConnect(this.socket, ms);
    this.proxy.refuse(false);
    await back;
  }

  assertRecovered() {
    assert.equal(this.socket.recovered, true);
    assert.equal(this.socket.id, this.id);
  }

  assertNotRecovered() {
    assert.equal(this.socket.recovered, false);
    assert.notEqual(this.socket.id, this.id);
  }
}

// A raw client that is a member of the room.
export async function rawMember(t, port, room) {
  const raw = await rawConnect(t, port);
  assert.equal((await raw.emitAck('join', room)).ok, true);
  return raw;
}

// A raw client that has presented `auth` in its CONNECT.
export async function rawConnect(t, port, auth) {
  const raw = await RawClient.open(port);
  t.after(() => raw.terminate());
  await raw.connect(auth);
  return raw;
}

// First arguments of the events "n" that a raw client got.
export const rawValues = (raw) => raw.events('n').map((event) => event[1]);
