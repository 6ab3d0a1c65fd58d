// The command line of the chaos run.

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const USAGE = `Usage: tests/chaos/run [OPTION [VALUE]]…

Real processes and stock clients under random faults, and what came of it. Status 1 if a promise was broken;
then the directory with logs and records is kept.

  --seconds NUMBER           how long there are faults [300]
  --seed NUMBER              what decides the faults [random, and printed]
  --build DIR                of meson [REPRISE_BUILD, or build]
  --target reprise|socketio  what is tried; socketio: two Socket.IO servers with Redis Streams [reprise]
  --calm                     no faults: whatever is wrong then is the target's, or this program's
  --dir DIR                  for logs and records, not removed [a temporary one]
  --json                     the result as JSON on standard output, progress on standard error
  --help                     this text

  REPRISE_TEST_SLOW          factor on every time limit, for sanitizer builds and slow machines [1]
`;

const ROWS = [
  ['events published', 'events'],
  ['acked', 'acked'],
  ['refused', 'refused'],
  ['without an answer', 'unknown'],
  ['deliveries', 'deliveries'],
  ['processes killed', 'kills'],
  ['processes stopped and continued', 'stops'],
  ['processes restarted in order', 'restarts'],
  ['starts that failed for want of disk', 'failedStarts'],
  ['processes that ended by themselves', 'ended'],
  ['connections cut', 'cuts'],
  ['connections moved to another gateway', 'moves'],
  ['connections stalled', 'blackholes'],
  ['connections delayed', 'delays'],
  ['times the disk was full', 'diskFull'],
  ['returns recovered', 'recovered'],
  ['returns not recovered', 'notRecovered'],
  ['deliveries lost', 'lost'],
  ['deliveries missed by who was not recovered', 'told'],
  ['doubled', 'doubled'],
  ['out of order', 'disordered'],
  ['seen by who should not', 'strangers'],
  ['refused and seen', 'refusedSeen'],
  ['acked and not in the log', 'unstored'],
];

const options = readArguments();
if (options.build !== undefined) process.env.REPRISE_BUILD = options.build; // harness.mjs reads it
const { cleanUp } = await import('../integration/harness.mjs');
const { chaos } = await import('./chaos.mjs');
const say = options.json ? console.error : console.log;
const dir = options.dir ?? mkdtempSync(path.join(os.tmpdir(), 'reprise-chaos-'));
let isJudged = false;
process.once('exit', () => isJudged || say(`interrupted; kept: ${dir}`));
process.exit(await main());

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        seconds: { type: 'string', default: '300' },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
        build: { type: 'string' },
        target: { type: 'string', default: 'reprise' },
        dir: { type: 'string' },
        calm: { type: 'boolean', default: false },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    const seconds = Number(values.seconds);
    const seed = Number(values.seed);
    if (!(seconds > 0) || !Number.isInteger(seed) || !['reprise', 'socketio'].includes(values.target)) throw new Error('no such value');
    return { ...values, seconds, seed };
  } catch (err) {
    console.error(`${err.message}\n\n${USAGE}`);
    process.exit(2);
  }
}

async function main() {
  let result;
  let broken = null;
  try {
    const { seconds, seed, calm } = options;
    const keep = options.dir !== undefined;
    result = await chaos({ start: await startOf(options.target), seconds, seed, calm, dir, keep, say });
    tell(result);
  } catch (err) {
    broken = err;
    console.error(err);
  }
  await cleanUp().catch((err) => {
    broken ??= err;
    console.error(err.message);
  });
  isJudged = true;
  const good = broken === null && result.violations.length === 0;
  if (good && options.dir === undefined) rmSync(dir, { recursive: true, force: true });
  else say(`kept: ${dir}`);
  return good ? 0 : 1;
}

async function startOf(target) {
  if (target === 'reprise') return (await import('./reprise.mjs')).Reprise.start;
  return (await import('./socketio.mjs')).SocketIo.start;
}

function tell(result) {
  const faults = `${result.seconds} s ${options.calm ? 'without' : 'of'} faults`;
  say(`\n${result.target}, ${faults}, seed ${result.seed}, ${result.members} clients\n`);
  for (const [label, key] of ROWS) if (result[key] !== undefined) say(`${label.padEnd(45)}${String(result[key]).padStart(9)}`);
  if (result.refused > 0) say(`\nrefused because of: ${JSON.stringify(result.refusals)}`);
  say(result.violations.length === 0 ? '\nno promise was broken' : `\nBROKEN:\n${result.violations.join('\n')}`);
  if (options.json) console.log(JSON.stringify(result, null, 2));
}

