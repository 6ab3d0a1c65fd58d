// The stack of deploy/docker-compose.yml, brought up beside whatever else the engine runs: a project, image tags and a port of its
// own. Everything of it is taken down at the end, also when the tests fail.

import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { parseOffset } from '../integration/clients.mjs';
import { freePort, onCleanup, run, waitFor } from '../integration/harness.mjs';

export const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url));
export const SERVICES = ['broker', 'gateway', 'worker', 'balancer'];
const COMMAND_MS = 90_000;

// Whichever of them is there; both take the file.
export async function composes() {
  const found = [];
  for (const command of [['docker-compose'], ['docker', 'compose']]) {
    const { code } = await run(command[0], [...command.slice(1), 'version']);
    if (code === 0) found.push(command);
  }
  if (found.length === 0) throw new Error('neither docker-compose nor the compose plugin of docker is installed');
  return found;
}

// Standard output of `docker ARGUMENT…`.
export async function docker(...args) {
  const { code, stdout, stderr } = await run('docker', args, { timeout: COMMAND_MS });
  if (code !== 0) throw new Error(`docker ${args.join(' ')} (${code}): ${stderr}`);
  return stdout.trim();
}

export class Stack {
  host = '127.0.0.1';
  hasIds = true; // a publish with an id may be repeated

  // `files`: of deploy/. `env`: the variables of the compose file.
  constructor({ compose, name, tag, files = ['docker-compose.yml'], env = {} }) {
    Object.assign(this, { compose, name, files });
    this.env = { ...env, REPRISE_TAG: tag, COMPOSE_PROJECT_NAME: name, REPRISE_PORT: '0' };
    onCleanup(() => this.end());
  }

  // Brings it up and waits until all of it is healthy.
  async start(...args) {
    this.env.REPRISE_PORT = String(await freePort());
    await this.run('up', '-d', ...args);
    await this.healthy();
  }

  async end() {
    await this.run('down', '--volumes', '--timeout', '5');
  }

  get url() {
    return `http://${this.host}:${this.env.REPRISE_PORT}`;
  }

  // For the members of tests/chaos: all of them come through the balancer.
  port() {
    return Number(this.env.REPRISE_PORT);
  }

  position(offset) {
    return parseOffset(offset)?.seq ?? null;
  }

  // Standard output of `docker-compose ARGUMENT…`.
  async run(...args) {
    const { code, stdout, stderr } = await this.#try(args);
    if (code === 0) return stdout.trim();
    const logs = await this.#try(['logs', '--tail', '15', '--no-color']);
    throw new Error(`compose ${args.join(' ')} (${code}): ${stderr}\n${logs.stdout}`);
  }

  #try(args) {
    const [program, ...first] = this.compose;
    const files = this.files.flatMap((file) => ['-f', path.join(DEPLOY, file)]);
    return run(program, [...first, ...files, ...args], { env: this.env, timeout: COMMAND_MS });
  }

  // The ids of the containers of a service that run.
  async containers(service) {
    const filters = [`label=com.docker.compose.project=${this.name}`, `label=com.docker.compose.service=${service}`];
    const ids = await docker('ps', '--quiet', '--no-trunc', ...filters.flatMap((filter) => ['--filter', filter]));
    return ids === '' ? [] : ids.split('\n').sort();
  }

  // Until so many containers of each service run and say that they are well.
  async healthy({ gateway = Number(this.env.REPRISE_GATEWAYS ?? 2), ...others } = {}) {
    const wanted = { broker: 1, worker: 1, balancer: 1, ...others, gateway };
    let states = {};
    const isWell = async () => {
      for (const service of SERVICES) states[service] = await this.#health(service);
      return SERVICES.every((service) => states[service].length === wanted[service] && states[service].every((state) => state === 'healthy'));
    };
    await waitFor(isWell, { timeout: 45_000, what: () => `everything being healthy: ${JSON.stringify(states)}, wanted ${JSON.stringify(wanted)}` });
  }

  async #health(service) {
    const ids = await this.containers(service);
    if (ids.length === 0) return [];
    return (await docker('inspect', '--format', '{{.State.Health.Status}}', ...ids)).split('\n');
  }

  // What a program says in a container of a service.
  exec(service, ...command) {
    return this.run('exec', '-T', service, ...command);
  }

  async sql(query) {
    const rows = await this.exec('broker', 'sqlite3', '-readonly', '-json', 'reprise.db', query);
    return rows === '' ? [] : JSON.parse(rows);
  }

  // {clients, linked, …} of each gateway.
  async gateways() {
    const ids = await this.containers('gateway');
    return Promise.all(ids.map(async (id) => JSON.parse(await docker('exec', id, 'reprise', 'health'))));
  }
}
