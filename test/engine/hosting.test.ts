import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { entryBeside } from '../../src/engine/fork.js';
import { levelOf } from '../../src/engine/hosting.js';
import { until } from '../helpers/waiting.js';

const fakeServer = fileURLToPath(entryBeside(import.meta.url, '../helpers/fake-server'));

/** A server process with its engine's pid. */
async function startFakeServer(): Promise<{ server: ChildProcess; enginePid: number }> {
  const server = spawn(process.execPath, [...process.execArgv, fakeServer], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(server.stdout, 'data', { signal: AbortSignal.timeout(120_000) });
  return { server, enginePid: Number(String(line)) };
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
  test(`an engine does not outlive a server that ends by ${signal}`, async () => {
    const { server, enginePid } = await startFakeServer();
    assert.equal(isGone(enginePid), false);
    server.kill(signal);
    await until('end of the engine', () => isGone(enginePid));
  });
}

test('an aborted decode is no error in the log; a failed one is', () => {
  assert.equal(levelOf('error', 'llama_decode: failed to decode, ret = 2'), 'debug');
  assert.equal(
    levelOf('error', 'process_ubatch: failed to compute graph, compute status: 1'),
    'debug',
  );
  assert.equal(levelOf('error', 'llama_decode: failed to decode, ret = -3'), 'error');
  assert.equal(levelOf('error', 'failed to compute graph, compute status: -1'), 'error');
  assert.equal(levelOf('info', 'llama_model_loader: loaded meta data'), 'info');
});
