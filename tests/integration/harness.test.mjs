// The harness itself: a server that goes wrong fails the file it was started in, even if no test of it notices.

import assert from 'node:assert/strict';

import { Server, test, waitFor } from './harness.mjs';

const fake = (script) => new Server('fake', '/bin/sh', ['-c', script]);
const WAIT = 'trap "exit 0" TERM; echo ready; while :; do sleep 0.01; done';

// [name, script, what end() must say]
const WRONG = [
  ['ends with status 1, as after a sanitizer\'s report', 'exit 1', /ended by itself with {"code":1,/],
  ['ends with status 0', 'exit 0', /ended by itself with {"code":0,/],
  ['kills itself with SIGKILL', 'kill -KILL $$', /ended by itself with .*SIGKILL/],
  ['aborts', 'echo "a.c:1: f: broken invariant: x" >&2; kill -ABRT $$', /ended by itself with .*SIGABRT/],
  ['reports an error of memory and goes on', `echo '==1==ERROR: AddressSanitizer: heap-use-after-free' >&2; ${WAIT}`, /reported:\n.*heap-use-after-free/],
  ['reports undefined behaviour in two pieces', `printf 'a.c:1:2: runtime ' >&2; sleep 0.1; echo 'error: shift' >&2; ${WAIT}`, /reported:\n.*runtime error: shift/],
  ['reports and then says much', `echo 'Assertion x failed' >&2; head -c 300000 /dev/zero >&2; ${WAIT}`, /reported:\n.*Assertion x failed/],
  ['ends with another status after SIGTERM', WAIT.replace('exit 0', 'exit 3'), /ended with {"code":3,/],
];

for (const [name, script, expected] of WRONG) {
  test(`a server that ${name} is a failure`, async () => {
    const server = fake(script).spawn();
    await (script.includes('while') ? server.ready() : server.exited);
    if (script.includes('>&2')) await waitFor(() => server.report !== null);
    await assert.rejects(server.end(), expected);
  });
}

test('a server that died and was started again is a failure', async () => {
  const server = fake('exit 1').spawn();
  await server.exited;
  server.args = ['-c', WAIT];
  await server.start();
  await assert.rejects(server.end(), /ended by itself with {"code":1,/);
});

test('a server that is stopped, killed or ended by a test is none', async () => {
  for (const end of [(server) => server.end(), (server) => server.stop(), (server) => server.kill(), (server) => server.expectEnd().child.kill('SIGTERM')]) {
    const server = await fake(WAIT).start();
    await end(server);
    await server.exited;
    await server.end();
  }
});
