// Half a minute of the chaos run (tests/chaos), another seed each time; a failure prints the seed and keeps its directory.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { chaos } from '../chaos/chaos.mjs';
import { Reprise } from '../chaos/reprise.mjs';
import { cleanUp, test } from './harness.mjs';

const SECONDS = 25;
const MS_MAX = 600_000; // with what comes after the faults, if it hangs

test(`${SECONDS} seconds of faults to processes, links and the disk break no promise`, async (t) => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'reprise-chaos-'));
  const seed = Math.floor(Math.random() * 2 ** 32);
  const result = await chaos({ start: Reprise.start, seconds: SECONDS, seed, dir, say: (line) => t.diagnostic(line) });
  const { events, acked, kills, stops, cuts, diskFull, recovered } = result;
  t.diagnostic(JSON.stringify({ events, acked, kills, stops, cuts, diskFull, recovered }));
  assert.deepEqual(result.violations, [], `seed ${seed}; kept: ${dir}`);
  assert.ok(acked > 0 && recovered > 0 && result.deliveries > acked, 'something happened');
  await cleanUp(); // the disk is in the directory
  rmSync(dir, { recursive: true, force: true });
}, { timeout: MS_MAX });
