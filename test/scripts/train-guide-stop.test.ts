/** The trainer of the guide is told when its training is to end, and nobody is left behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/root.js';
import { scriptArguments } from '../helpers/script.js';
import { until } from '../helpers/waiting.js';

for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  test(`a training ended by ${name} lets the trainer save first`, {
    skip: process.platform === 'win32',
  }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'hoshikage-train-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const said = join(folder, 'said');
    const python = join(folder, 'python');
    // A trainer that saves when it is asked to end; it ends by itself should nobody ask.
    const script = `#!/bin/sh
trap 'echo saved >> ${said}; exit 143' TERM
echo at work >> ${said}
for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1; done
`;
    writeFileSync(python, script, { mode: 0o755 });
    const asked = ['--resume', '--python', python, '--out', join(folder, 'out.gguf')];
    const args = scriptArguments('train-guide/train', asked);
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] });
    t.after(() => void child.kill('SIGKILL'));
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      words += part;
    });
    const read = (): string => {
      try {
        return readFileSync(said, 'utf8');
      } catch {
        return '';
      }
    };
    await until('the trainer at work', () => read() === 'at work\n');
    child.kill(name);
    const [code] = await once(child, 'close');
    assert.deepEqual([code, read()], [1, 'at work\nsaved\n'], words);
    assert.match(words, /the trainer ended with 143/);
  });
}
