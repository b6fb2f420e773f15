/**
 * The command line from its source, run as a process by a user with an empty home; for tests of the
 * CLI itself. It must never see the configuration or the proxy of whoever runs the tests.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ggufBytes, smallGguf } from './gguf-bytes.js';

const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');
const DEADLINE_MS = 60_000;

/** How a command ended. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A user of the command line. */
export interface CommandUser {
  readonly home: string;
  /** `<config>/hoshikage`. */
  readonly configDir: string;
  readonly mapFile: string;
  readonly runFile: string;
  /** Writes a small sound GGUF file below the home; gives its absolute path. */
  model(name: string): string;
  writeFile(path: string, text: string): void;
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Outcome>;
}

/** A user whose home is thrown away after the test. */
export function commandUser(context: TestContext): CommandUser {
  const home = mkdtempSync(join(tmpdir(), 'hoshikage-cli-'));
  context.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 3 }));
  const configDir = join(home, '.config', 'hoshikage');
  const writeFile = (path: string, content: string | Buffer): void => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  };
  return {
    home,
    configDir,
    mapFile: join(configDir, 'model_map.json'),
    runFile: join(configDir, 'run.json'),
    writeFile,
    model(name) {
      const path = join(home, name);
      writeFile(path, ggufBytes(smallGguf()).file);
      return path;
    },
    run: (args, env = {}) =>
      runCommand(args, home, {
        PATH: process.env.PATH,
        HOME: home,
        USERPROFILE: home,
        LANG: 'C.UTF-8',
        ...env,
      }),
  };
}

function runCommand(
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<Outcome> {
  const child = spawn(process.execPath, ['--import', TSX, MAIN, ...args], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    stdout += part;
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    stderr += part;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}
