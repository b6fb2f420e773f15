/**
 * Plain C++ programs over classes of native/src, without Node: compiled in a folder of their own, run
 * once per check, saying what was wrong and nothing else.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inProject } from '../../scripts/root.js';
import { compiler } from './fake.js';

const DEADLINE_MS = 10 * 60_000;

/** What neither compiler nor program may inherit: the runtime of a sanitizer that Node needs preloaded. */
function environment(): NodeJS.ProcessEnv {
  const { LD_PRELOAD: _, ...env } = process.env;
  return env;
}

/** A compiled program; `close` removes it. */
export class Program {
  readonly #folder = mkdtempSync(join(tmpdir(), 'hoshikage-program-'));
  readonly #path = join(this.#folder, 'program');

  /** Compiles sources, named by their paths from the root of the project. */
  constructor(sources: readonly string[], optimise = '-O1') {
    const sanitize = process.env.HOSHIKAGE_SANITIZE;
    const flags = ['-std=c++17', optimise, '-fPIC', '-pthread', `-I${inProject('native/src')}`];
    if (sanitize) flags.push('-g', `-fsanitize=${sanitize}`);
    const files = sources.map(inProject);
    try {
      const args = [...flags, ...files, '-ldl', '-o', this.#path];
      execFileSync(compiler ?? 'c++', args, { env: environment(), stdio: 'pipe' });
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  /** What the program prints. */
  run(...args: readonly string[]): string {
    const options = { encoding: 'utf8', env: environment(), timeout: DEADLINE_MS } as const;
    return execFileSync(this.#path, args, options);
  }

  /** Fails where the program has something to say. */
  check(...args: readonly string[]): void {
    assert.equal(this.run(...args), '');
  }

  /** Removes what was compiled. */
  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
