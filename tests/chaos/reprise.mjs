// Reprise as the target of the chaos run: a broker, gateways, and between each gateway and the broker a proxy.

import path from 'node:path';

import { parseOffset } from '../integration/clients.mjs';
import { freePort, PROGRAMS, run } from '../integration/harness.mjs';
import { Proxy } from '../integration/proxy.mjs';
import { LoggedServer, ownHost } from './servers.mjs';

const DISK_RESERVE = '8M'; // the disk is small

export class Reprise {
  title = 'Reprise';
  hasIds = true; // a publish with an id may be repeated
  rules = { wholeOrder: true, recoveryPromised: true };
  refusedBelowBytes = 8 << 20; // free on the disk
  tinyBudget = ['--disk-budget', '1M']; // the least there is; the log has it within seconds
  host = ownHost();
  gateways = [];
  links = []; // of the gateway with that index to the broker

  static async start({ dir, disk, gateways }) {
    const target = new Reprise();
    target.db = path.join(disk.dir, 'reprise.db');
    const port = await freePort();
    target.backend = new LoggedServer('broker', PROGRAMS.broker, [
      '--listen', `tcp://${target.host}:${port}`,
      '--db', target.db,
      '--admin', 'off',
      '--segment-events', '2048',
      ...(disk.small ? ['--disk-reserve', DISK_RESERVE] : []),
    ], { dir });
    await target.backend.start();
    for (let i = 0; i < gateways; i++) await target.#addGateway(`gateway ${i}`, dir, port);
    return target;
  }

  async #addGateway(name, dir, brokerPort) {
    const link = await Proxy.start(brokerPort, this.host);
    const port = await freePort();
    const server = new LoggedServer(name, PROGRAMS.gateway, [
      '--listen', `${this.host}:${port}`,
      '--broker', `tcp://127.0.0.1:${link.port}`,
      '--admin', 'off',
      '--ping-interval', '2s',
      '--ping-timeout', '4s',
    ], { dir });
    server.port = port;
    this.gateways.push(server);
    this.links.push(link);
    await server.start();
  }

  port(gateway) {
    return this.gateways[gateway].port;
  }

  // No process may end by itself.
  get died() {
    const dead = [this.backend, ...this.gateways].filter(({ died }) => died !== null);
    return dead.map(({ name, died }) => `${name} ended by itself: ${JSON.stringify(died)}`);
  }

  position(offset) {
    return parseOffset(offset)?.seq ?? null;
  }

  // The events in the log, by seq.
  async log() {
    const sql = "select seq, room, json_extract(args, '$[0]') as key from messages where event = 'n' order by seq";
    const { code, stdout, stderr } = await run('sqlite3', ['-readonly', '-json', this.db, sql], { timeout: 60_000 });
    if (code !== 0 || stderr) throw new Error(`sqlite3 failed (${code}): ${stderr}`);
    return stdout.trim() === '' ? [] : JSON.parse(stdout);
  }

  // What is wrong with the database, after the broker has ended.
  async check() {
    const integrity = await run('sqlite3', ['-readonly', this.db, 'pragma integrity_check'], { timeout: 60_000 });
    const wrong = integrity.stdout.trim() === 'ok' ? [] : [`integrity_check: ${integrity.stdout}${integrity.stderr}`];
    const help = await run(PROGRAMS.broker, ['--help']);
    if (!/^ +--check\b/m.test(help.stdout)) return wrong;
    const check = await run(PROGRAMS.broker, ['--check', this.db], { timeout: 60_000 });
    return check.code === 0 ? wrong : [...wrong, `reprise-broker --check: ${check.stdout}${check.stderr}`];
  }
}
