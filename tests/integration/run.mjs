// Runs the test files, each in a process of its own, some at a time, and says in a line each what came of every test.
//
//     node run.mjs [-j JOBS] [FILE…]     default: 2 jobs, all *.test.mjs beside this file
//
// Ends with "N passed, N failed, N skipped"; status 1 if anything failed. REPRISE_BUILD and REPRISE_TEST_SLOW: see harness.mjs.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const slow = Number(process.env.REPRISE_TEST_SLOW ?? 1);
const FILE_SECONDS_MAX = 600;

const { jobs, files } = parseArguments(process.argv.slice(2));
const totals = { passed: 0, failed: 0, skipped: 0 };
const running = new Set();
const WORDS = { passed: 'ok  ', failed: 'FAIL', skipped: 'skip' };

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    for (const child of running) child.kill('SIGTERM'); // a test process ends its servers
    process.exitCode = 1;
    files.length = 0;
  });
}

await Promise.all(Array.from({ length: jobs }, runFiles));
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
if (totals.failed > 0 || totals.passed === 0) process.exitCode = 1;

function parseArguments(args) {
  let jobs = 2;
  const at = args.indexOf('-j');
  if (at >= 0) jobs = Number(args.splice(at, 2)[1]);
  if (!(jobs >= 1)) {
    console.error('usage: node run.mjs [-j JOBS] [FILE…]');
    process.exit(2);
  }
  const all = readdirSync(here).filter((name) => name.endsWith('.test.mjs')).sort();
  return { jobs, files: args.length > 0 ? args.map((name) => path.resolve(name.includes('/') ? '.' : here, name)) : all.map((name) => path.join(here, name)) };
}

async function runFiles() {
  while (files.length > 0) await runFile(files.shift());
}

async function runFile(file) {
  const begin = Date.now();
  const child = spawn(process.execPath, ['--test-reporter=tap', file], { cwd: here, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let tap = '';
  let log = '';
  let timedOut = false;
  child.stdout.setEncoding('utf8').on('data', (text) => (tap += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (log += text));
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 5_000).unref();
  }, FILE_SECONDS_MAX * 1000 * slow);
  const how = await new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  clearTimeout(timer);
  running.delete(child);

  const results = parseTap(tap);
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  if (failed.length === 0 && (how.code !== 0 || results.length === 0)) {
    const why = timedOut ? `not done in ${FILE_SECONDS_MAX * slow} s` : `ended with ${JSON.stringify(how)}`;
    failed.push({ outcome: 'failed', notes: [], name: `the file as a whole: ${why}`, details: results.length === 0 ? tap : '' });
    results.push(failed[0]);
  }
  report(file, results, log, (Date.now() - begin) / 1000);
}

// One file's lines are printed together, so that files that run at once do not mix.
function report(file, results, log, seconds) {
  const name = path.basename(file, '.test.mjs');
  const lines = results.flatMap((result) => {
    totals[result.outcome]++;
    const time = result.ms === undefined ? '' : ` (${Math.round(result.ms)} ms)`;
    const notes = result.notes.map((note) => `      ${note}`);
    return [`${WORDS[result.outcome]} ${name}: ${result.name}${time}`, ...notes, ...(result.outcome === 'failed' ? [result.details] : [])];
  });
  console.log(`${lines.join('\n')}\n---- ${name}: ${seconds.toFixed(1)} s`);
  if (results.some(({ outcome }) => outcome === 'failed') && log) console.log(`---- ${name}, standard error:\n${log}`);
}

// What is to be done some day (TODO) may fail: it says nothing either.
function outcomeOf([, not, , directive]) {
  if (directive) return 'skipped';
  return not ? 'failed' : 'passed';
}

// The top-level results of a TAP document: [{outcome, name, ms, notes, details}]. Our tests are not nested.
function parseTap(text) {
  const results = [];
  let notes = [];
  let last = null;
  for (const line of text.split('\n')) {
    const result = line.match(/^(not )?ok \d+ - (.*?)(?: # (SKIP|TODO)\b.*)?$/);
    if (result) {
      last = { outcome: outcomeOf(result), name: result[2].replaceAll('\\#', '#'), notes, details: '' };
      results.push(last);
      notes = [];
    } else if (/^# (?!Subtest|tests|suites|pass|fail|cancelled|skipped|todo|duration_ms)/.test(line)) {
      (last?.notes ?? notes).push(line.slice(2));
    } else if (last !== null && /^ {2}/.test(line)) {
      const time = line.match(/^ {2}duration_ms: ([\d.]+)/);
      if (time) last.ms = Number(time[1]);
      last.details += `${line}\n`;
    }
  }
  return results;
}
