// What is done to a target and to its clients' connections. A seed decides what, when and for how long; what it meets, chance.

import { appendFileSync } from 'node:fs';

import { sleep } from '../integration/harness.mjs';

const PAUSE_MS = [150, 1_300]; // between two faults; they overlap
const WAYS = ['both', 'both', 'toClient', 'toServer'];

// Each kind: how often, what it must have for itself while it lasts (a name, of `busy`), and a plan: numbers drawn from `random`
// that do not depend on what goes on.
const KINDS = [
  { name: 'kill gateway', weight: 8, claims: ({ server }) => [server], run: 'killGateway' },
  { name: 'stop gateway', weight: 6, claims: ({ server }) => [server], run: 'stopGateway' },
  { name: 'restart gateway', weight: 2, claims: ({ server }) => [server], run: 'restartGateway' },
  { name: 'kill broker', weight: 8, claims: () => ['backend'], run: 'killBackend' },
  { name: 'stop broker', weight: 6, claims: () => ['backend'], run: 'stopBackend' },
  { name: 'restart broker', weight: 2, claims: () => ['backend'], run: 'restartBackend' },
  { name: 'kill both', weight: 4, claims: ({ server }) => [server, 'backend'], run: 'killBoth' },
  { name: 'cut clients', weight: 12, claims: () => [], run: 'cutClients' },
  { name: 'abandon clients', weight: 4, claims: () => [], run: 'abandonClients' },
  { name: 'move clients', weight: 8, claims: () => [], run: 'moveClients' },
  { name: 'blackhole clients', weight: 8, claims: () => ['clients'], run: 'blackholeClients' },
  { name: 'delay clients', weight: 5, claims: () => ['delay'], run: 'delayClients' },
  { name: 'cut link', weight: 8, claims: ({ server }) => [`link ${server}`], run: 'cutLink' },
  { name: 'blackhole link', weight: 8, claims: ({ server }) => [`link ${server}`], run: 'blackholeLink' },
  { name: 'delay link', weight: 5, claims: ({ server }) => [`link ${server}`], run: 'delayLink' },
  { name: 'fill disk', weight: 5, claims: () => ['disk'], run: 'fillDisk' },
  { name: 'reach budget', weight: 0, claims: () => ['backend'], run: 'reachBudget' },
];

// Where no disk can be filled, the broker is started with a budget that its log has used up.
const KINDS_WITHOUT_DISK = KINDS.map((kind) => ({ ...kind, weight: { fillDisk: 0, reachBudget: 5 }[kind.run] ?? kind.weight }));

export class Faults {
  counts = { kills: 0, stops: 0, restarts: 0, cuts: 0, blackholes: 0, delays: 0, moves: 0, diskFull: 0, failedStarts: 0 };
  failures = []; // of our own doing: a server that did not come back, …
  #busy = new Set();
  #running = new Set();
  #ending = null;
  #end;

  constructor({ target, members, disk, random, file, now }) {
    Object.assign(this, { target, members, disk, random, file, now });
    this.#ending = new Promise((resolve) => (this.#end = resolve));
  }

  // Until stop().
  async run() {
    let stopped = false;
    this.#ending.then(() => (stopped = true));
    while (!stopped && this.failures.length === 0) {
      const plan = this.#plan();
      await this.#pause(plan.after);
      if (!stopped && this.#mayBegin(plan)) this.#begin(plan);
    }
  }

  // Ends them all, and waits until everything is as it was.
  async stop() {
    this.#end();
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.disk.free();
    for (const proxy of [...this.target.links, ...this.members.map((member) => member.proxy)]) {
      proxy.resume();
      proxy.delayMs = 0;
    }
    this.note('all over');
  }

  note(text) {
    appendFileSync(this.file, `${(this.now() / 1000).toFixed(3)} ${text}\n`);
  }

  #plan() {
    const { random } = this;
    const kind = random.weighted(this.disk.small ? KINDS : KINDS_WITHOUT_DISK);
    return {
      kind,
      after: random.between(...PAUSE_MS),
      server: random.between(0, this.target.gateways.length - 1),
      // mostly short, sometimes beyond the timeouts of links (5 s) and of clients (6 s)
      ms: random.chance(0.2) ? random.between(4_000, 9_000) : random.between(50, 2_500),
      way: random.pick(WAYS),
      delayMs: random.between(5, 250),
      leaveBytes: random.chance(0.5) ? 0 : random.between(0, this.target.refusedBelowBytes),
      members: random.some(this.members, random.pick([0.1, 0.3, 1])),
      elsewhere: random.chance(0.5),
      cutAfterwards: random.chance(0.5),
    };
  }

  #mayBegin({ kind, ...plan }) {
    if (kind.run === 'reachBudget' && this.target.tinyBudget === undefined) return false;
    return kind.claims(plan).every((claim) => !this.#busy.has(claim));
  }

  #begin({ kind, ...plan }) {
    const claims = kind.claims(plan);
    for (const claim of claims) this.#busy.add(claim);
    this.note(`${kind.name} ${JSON.stringify({ ...plan, members: plan.members.length, after: undefined })}`);
    const fault = this[kind.run](plan)
      .then(() => this.note(`${kind.name} is over`))
      .catch((err) => this.#fail(kind, err))
      .finally(() => {
        for (const claim of claims) this.#busy.delete(claim);
        this.#running.delete(fault);
      });
    this.#running.add(fault);
  }

  #fail(kind, err) {
    this.note(`${kind.name} failed: ${err.stack}`);
    this.failures.push(`${kind.name}: ${err.message}`);
  }

  // Shorter when the faults are to end.
  #pause(ms) {
    return Promise.race([sleep(ms), this.#ending]);
  }

  // ---- processes ----

  async #kill(server) {
    if (!server.running) return; // it ended by itself: the target says whether it may
    this.counts.kills++;
    await server.kill();
  }

  async #start(server) {
    if (server.running) return;
    const begin = performance.now();
    this.counts.failedStarts += await server.startAgain(() => this.disk.wasFullSince(begin));
  }

  async #hang(server, ms) {
    if (!server.running) return;
    this.counts.stops++;
    server.hang();
    await this.#pause(ms);
    if (server.running) server.resume();
  }

  async #restart(server, ms) {
    if (!server.running) return;
    this.counts.restarts++;
    await server.stop().catch((err) => this.#excuse(server, err));
    await this.#pause(ms);
    await this.#start(server);
  }

  // A target that promises little may also end in disorder.
  #excuse(server, err) {
    if (this.target.ended === undefined) throw err;
    server.killNow();
    return server.exited;
  }

  async killGateway({ server, ms, elsewhere }) {
    await this.#kill(this.target.gateways[server]);
    if (elsewhere) this.#failOver(server);
    await this.#pause(ms);
    await this.#start(this.target.gateways[server]);
  }

  stopGateway({ server, ms }) {
    return this.#hang(this.target.gateways[server], ms);
  }

  restartGateway({ server, ms, elsewhere }) {
    if (elsewhere) this.#failOver(server);
    return this.#restart(this.target.gateways[server], ms);
  }

  async killBackend({ ms }) {
    await this.#kill(this.target.backend);
    await this.#pause(ms);
    await this.#start(this.target.backend);
  }

  stopBackend({ ms }) {
    return this.#hang(this.target.backend, ms);
  }

  restartBackend({ ms }) {
    return this.#restart(this.target.backend, ms);
  }

  async killBoth({ server, ms }) {
    const both = [this.target.backend, this.target.gateways[server]];
    await Promise.all(both.map((one) => this.#kill(one)));
    await this.#pause(ms);
    await Promise.all(both.map((one) => this.#start(one)));
  }

  // ---- clients' connections ----

  // What a load balancer does when it sees that a server is away.
  #failOver(from) {
    const to = (from + 1) % this.target.gateways.length;
    for (const member of this.members) if (member.server === from) member.move(to);
  }

  async cutClients({ members }) {
    this.counts.cuts += members.length;
    for (const { proxy } of members) proxy.cut();
  }

  async abandonClients({ members }) {
    this.counts.cuts += members.length;
    for (const { proxy } of members) proxy.abandon();
  }

  async moveClients({ members, server, cutAfterwards }) {
    this.counts.moves += members.length;
    for (const member of members) {
      member.move(server);
      if (cutAfterwards) member.proxy.cut();
      else member.proxy.abandon(); // the old gateway learns of it later than the new one
    }
  }

  async blackholeClients({ members, way, ms, cutAfterwards }) {
    this.counts.blackholes += members.length;
    for (const { proxy } of members) proxy.blackhole(way);
    await this.#pause(ms);
    for (const { proxy } of members) {
      if (cutAfterwards) proxy.cut();
      proxy.resume();
    }
  }

  async delayClients({ members, delayMs, ms }) {
    this.counts.delays += members.length;
    for (const { proxy } of members) proxy.delayMs = delayMs;
    await this.#pause(2 * ms);
    for (const { proxy } of members) proxy.delayMs = 0;
  }

  // ---- between gateways and the broker ----

  async cutLink({ server }) {
    this.counts.cuts++;
    this.target.links[server].cut();
  }

  async blackholeLink({ server, way, ms, cutAfterwards }) {
    const link = this.target.links[server];
    this.counts.blackholes++;
    link.blackhole(way);
    await this.#pause(ms);
    if (cutAfterwards) link.cut();
    link.resume();
  }

  async delayLink({ server, delayMs, ms }) {
    this.counts.delays++;
    this.target.links[server].delayMs = delayMs;
    await this.#pause(2 * ms);
    this.target.links[server].delayMs = 0;
  }

  // ---- the disk ----

  async fillDisk({ leaveBytes, ms }) {
    this.counts.diskFull++;
    this.disk.fill(leaveBytes);
    await this.#pause(ms);
    this.disk.free();
  }

  async reachBudget({ ms }) {
    const { backend, tinyBudget } = this.target;
    const { args } = backend;
    this.counts.diskFull++;
    backend.args = [...args, ...tinyBudget];
    await this.killBackend({ ms: 0 });
    await this.#pause(ms);
    backend.args = args;
    await this.killBackend({ ms: 0 });
  }
}
