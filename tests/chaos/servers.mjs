// Server processes that leave their whole log in a file, are restarted as a supervisor would, and a small disk for their data.

import { execFileSync } from 'node:child_process';
import { appendFileSync, closeSync, existsSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import path from 'node:path';

import { onCleanup, Server, sleep, slow } from '../integration/harness.mjs';

// A loopback address that nobody else is likely to use: while a server is away, its port must not become that of another test's.
export function ownHost() {
  const part = () => 1 + Math.floor(Math.random() * 254);
  return `127.${part()}.${part()}.${part()}`;
}

const RESTART_SECONDS_MAX = 60;

export class LoggedServer extends Server {
  ended = 0; // by itself, where a supervisor started it again
  #supervised = false;
  #starting = null;

  // `dir`: where its log goes.
  constructor(name, program, args, { dir, ...options }) {
    super(name, program, args, options);
    this.logFile = path.join(dir, `${name.replaceAll(' ', '-')}.log`);
  }

  addLog(text) {
    super.addLog(text);
    appendFileSync(this.logFile, text);
  }

  spawn() {
    super.spawn();
    this.child.stdout.on('data', (text) => appendFileSync(this.logFile, text));
    this.exited.then(() => this.#supervise());
    return this;
  }

  // From now on it is started again whenever it ends by itself.
  supervise() {
    this.#supervised = true;
  }

  #supervise() {
    if (!this.#supervised || this.endExpected) return;
    this.died = null;
    this.ended++;
    sleep(200).then(() => (this.running || this.endExpected ? null : this.startAgain())).catch((err) => this.addLog(`${err.stack}
`));
  }

  // Starts it; where `mayFail()` is true it may end instead, and is started again. Gives how often it did.
  startAgain(mayFail = () => false) {
    this.#starting ??= this.#startUntilReady(() => this.#supervised || mayFail()).finally(() => (this.#starting = null));
    return this.#starting;
  }

  async #startUntilReady(mayFail) {
    for (let failures = 0, end = Date.now() + RESTART_SECONDS_MAX * 1000 * slow; ; failures++) {
      const excused = mayFail();
      this.spawn();
      try {
        if (excused) this.expectEnd();
        await this.ready();
        this.endExpected = false;
        return failures;
      } catch (err) {
        if (!(excused || mayFail()) || Date.now() > end) throw err;
        this.died = null;
        this.killNow();
        await this.exited;
        await sleep(200);
      }
    }
  }
}

// A tmpfs of its own, where that may be mounted, and a file that fills it.
export class Disk {
  #fullSince = null;
  periods = 0;

  // Without the right to mount it is a directory, and cannot be filled: `small` is false.
  constructor(dir, megabytes) {
    this.dir = path.join(dir, 'disk');
    this.filler = path.join(this.dir, 'filler');
    mkdirSync(this.dir);
    this.small = mount(this.dir, megabytes);
    if (!this.small) return;
    const unmount = () => {
      if (this.small && existsSync(this.dir)) execFileSync('umount', ['--lazy', this.dir]);
      this.small = false;
    };
    process.once('exit', unmount);
    onCleanup(unmount);
  }

  get full() {
    return this.#fullSince !== null;
  }

  // Whether it was full at any time since then (of performance.now()).
  wasFullSince(t) {
    return this.full || (this.freedAt ?? -Infinity) >= t;
  }

  // Leaves so many bytes free.
  fill(leaveBytes) {
    const { bavail, bsize } = statfsSync(this.dir);
    this.#fullSince = performance.now();
    this.periods++;
    const file = openSync(this.filler, 'w');
    const block = Buffer.alloc(64 << 10);
    try {
      for (let left = bavail * bsize - leaveBytes; left > 0; left -= block.length) writeSync(file, block, 0, Math.min(left, block.length));
    } catch (err) {
      if (err.code !== 'ENOSPC') throw err; // the others were quicker
    } finally {
      closeSync(file);
    }
  }

  free() {
    rmSync(this.filler, { force: true });
    this.#fullSince = null;
    this.freedAt = performance.now();
  }
}

function mount(dir, megabytes) {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'tmpfs', dir], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
