// deploy/README.md: its table has every variable that there is, and none that there is not.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { PROGRAMS, run, test } from './harness.mjs';

const read = (name) => readFileSync(fileURLToPath(new URL(`../../deploy/${name}`, import.meta.url)), 'utf8');
const rows = [...read('README.md').matchAll(/^\| `(REPRISE_[A-Z_]+)`( \(c\))? \| ([a-z, ]+) \| ([^|]*) \|/gm)].map(([, name, passed, of, value]) => ({
  name,
  isPassed: passed !== undefined,
  of: of.split(', '),
  values: value.split(', ').map((text) => text.replaceAll('`', '')),
}));
const COMMANDS = ['help', 'version', 'check', 'backup', 'restore'];

// Variables of a program, with their defaults: as its --help has them.
async function options(program) {
  const { stdout } = await run(program, ['--help']);
  const entries = [...stdout.matchAll(/^ {2}--([a-z-]+)[^\n]*\n?(?: {28,}[^\n]*\n)*/gm)].map(([text, name]) => [name, text]);
  const found = entries.filter(([name]) => !COMMANDS.includes(name));
  assert.ok(found.length > 10, stdout);
  return new Map(found.map(([name, text]) => [`REPRISE_${name.toUpperCase().replaceAll('-', '_')}`, /\[([^[\]]*)\]\s*$/.exec(text)?.[1] ?? '']));
}

test('the table has the options of both programs, with their defaults', async () => {
  for (const [of, program] of [['broker', PROGRAMS.broker], ['gateway', PROGRAMS.gateway]]) {
    const wanted = await options(program);
    const told = rows.filter((row) => row.of.includes(of));
    assert.deepEqual(told.map(({ name }) => name).sort(), [...wanted.keys()].sort(), of);
    for (const { name, of: programs, values } of told) {
      const value = values.length === programs.length ? values[programs.indexOf(of)] : values.join(', ');
      assert.equal(value, wanted.get(name).replace(/\s+/g, ' '), `${name} of the ${of}`);
    }
  }
});

test('the table has the variables of the compose files, with their defaults', () => {
  const used = new Map();
  for (const file of ['docker-compose.yml', 'docker-compose.keys.yml']) {
    for (const [, name, value] of read(file).matchAll(/\$\{(REPRISE_[A-Z_]+):-([^}]*)\}/g)) used.set(name, value);
    assert.equal([...read(file).matchAll(/\$\{/g)].length, [...read(file).matchAll(/\$\{REPRISE_[A-Z_]+:-/g)].length, 'each has a default');
  }
  const told = rows.filter(({ of, isPassed }) => of.includes('compose') || isPassed);
  assert.deepEqual(told.map(({ name }) => name).sort(), [...used.keys()].sort());
  for (const { name, of, values } of told) {
    if (of.includes('compose')) assert.equal(values[0], used.get(name), name);
  }
});
