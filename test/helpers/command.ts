/**
 * The command line from dist, run as a process by a user with an empty home; for tests of the CLI
 * itself. It must never see the configuration or the proxy of whoever runs the tests.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { inProject } from '../../scripts/root.js';
import { ggufBytes, smallGguf } from './gguf-bytes.js';

const MAIN = inProject('dist/cli/main.js');
const DEADLINE_MS = 60_000;

/** How a command ended. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that has not ended yet. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  /** What it has written so far. */
  stdout(): string;
  stderr(): string;
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
  /** The names in a directory below the home. */
  files(directory: string): readonly string[];
  /** Runs a command to its end; `input` comes by its standard input. */
  run(args: readonly string[], env?: NodeJS.ProcessEnv, input?: string | Buffer): Promise<Outcome>;
  /** Starts a command; it is killed after the test. Where `input` is null its standard input stays open. */
  start(args: readonly string[], env?: NodeJS.ProcessEnv, input?: string | Buffer | null): Running;
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
  const start: CommandUser['start'] = (args, env = {}, input) => {
    const whole = {
      PATH: process.env.PATH,
      HOME: home,
      USERPROFILE: home,
      LANG: 'C.UTF-8',
      ...env,
    };
    return startCommand(context, args, { home, env: whole, input });
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
    files: (directory) => readdirSync(join(home, directory)),
    run: (args, env, input) => start(args, env, input).ended,
    start,
  };
}

function startCommand(
  context: TestContext,
  args: readonly string[],
  {
    home,
    env,
    input,
  }: {
    readonly home: string;
    readonly env: NodeJS.ProcessEnv;
    readonly input: string | Buffer | null | undefined;
  },
): Running {
  if (!existsSync(MAIN)) throw new Error('dist is missing: run `npm run build` first');
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: home,
    env,
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  });
  child.stdin?.on('error', () => {});
  if (input !== null) child.stdin?.end(input);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    stdout += part;
  });
  child.stderr?.setEncoding('utf8').on('data', (part: string) => {
    stderr += part;
  });
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  context.after(() => void child.kill('SIGKILL'));
  return { child, ended, stdout: () => stdout, stderr: () => stderr };
}
