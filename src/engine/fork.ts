/**
 * How this package starts a Node process of its own: same runtime, same loader, structured clones.
 * Server process. It must never read the environment: that is handed in.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Node options a child needs to run what this process runs (a TypeScript loader, heap limits). */
const KEPT_WITH_VALUE = ['--import', '--require', '-r', '--conditions', '-C'];
const KEPT_PREFIXES = [
  '--import=',
  '--require=',
  '--conditions=',
  '--max-old-space-size=',
  '--enable-source-maps',
];

/**
 * The children's garbage lives for a token or two. V8 would let its nursery grow to tens of MiB for
 * it; some hundred requests in, that was a third of an engine's memory besides the model.
 */
const SMALL_NURSERY = '--max-semi-space-size=4';

/** The part of `execArgv` that children inherit: no inspector ports, no test-runner switches. */
export function inheritedArguments(execArgv: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < execArgv.length; index += 1) {
    const argument = execArgv[index] ?? '';
    const value = execArgv[index + 1];
    if (KEPT_WITH_VALUE.includes(argument) && value !== undefined) {
      kept.push(argument, value);
      index += 1;
    } else if (KEPT_PREFIXES.some((prefix) => argument.startsWith(prefix))) {
      kept.push(argument);
    }
  }
  return kept;
}

/** The file beside `base` that runs as `name`: `.ts` from the sources, `.js` from the build. */
export function entryBeside(base: string, name: string): URL {
  return new URL(`./${name}${base.endsWith('.ts') ? '.ts' : '.js'}`, base);
}

/** The descriptor of a child's own way to say something, where it has one; 3 is Node's channel. */
export const WIRE_FD = 4;

/**
 * Forks `entry` with its standard output and error as pipes. `args`: its own command line. `wire`: it
 * gets another pipe, WIRE_FD, to write to.
 */
export function forkNode(
  entry: URL,
  env: NodeJS.ProcessEnv,
  args: readonly string[] = [],
  { wire = false } = {},
): ChildProcess {
  return fork(fileURLToPath(entry), args, {
    env,
    execArgv: [SMALL_NURSERY, ...inheritedArguments(process.execArgv)],
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...(wire ? (['pipe'] as const) : [])],
  });
}

/** The last lines a child wrote, for the evidence when it dies. */
export class Tail {
  readonly #onLine: (line: string) => void;
  readonly #lines: string[] = [];

  /** `onLine` sees every line as it is completed. */
  constructor(child: ChildProcess, onLine: (line: string) => void = () => {}) {
    this.#onLine = onLine;
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      let rest = '';
      stream.setEncoding('utf8');
      stream.on('data', (chunk: string) => {
        const lines = (rest + chunk).split(/\r?\n/);
        // A child that writes without line ends must not fill our memory.
        rest = (lines.pop() ?? '').slice(-8192);
        for (const line of lines) this.#add(line);
      });
      stream.on('close', () => this.#add(rest));
      stream.on('error', () => {});
    }
  }

  /** The last lines, oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  #add(line: string): void {
    if (line.trim() === '') return;
    this.#lines.push(line);
    if (this.#lines.length > 20) this.#lines.shift();
    this.#onLine(line);
  }
}

/** In words how a process ended: its signal or its exit code. */
export function endOf(code: number | null, signal: NodeJS.Signals | null): string {
  return signal ? `ended by ${signal}` : `ended with exit code ${code}`;
}
