/**
 * The built command in a terminal of its own, as a person sits before it: keys go in, what is shown comes
 * out. It is killed afterwards, whatever happened.
 */
import { spawn, spawnSync } from 'node:child_process';
import { inProject } from '../../scripts/root.js';
import { type Home, MAIN, type Owner } from './server.js';
import { until, within } from './waiting.js';

const HELPER = inProject('test/helpers/in-terminal.py');
const DEADLINE_MS = 60_000;

/** Why no terminal can be had; false = one can. */
export function whyNoTerminal(): string | false {
  if (process.platform === 'win32') return 'no terminals on Windows';
  return spawnSync('python3', ['-c', 'import pty']).status === 0 ? false : 'python3 is missing';
}

/** Somebody at a terminal. */
export interface AtTerminal {
  type(keys: string): void;
  /** Everything shown so far, without what steers the terminal. */
  shown(): string;
  /** The same with it. */
  raw(): string;
  /** Waits until something that matches is shown behind what was seen before. */
  see(wanted: RegExp): Promise<void>;
  /** The exit code, when the command has ended and given the terminal back. */
  ended(): Promise<number | null>;
}

/** Starts a `hoshikage` in a terminal of 80 columns. */
export function inTerminal(
  owner: Owner,
  home: Home,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): AtTerminal {
  const child = spawn('python3', [HELPER, '80', '24', process.execPath, MAIN, ...args], {
    cwd: home.root,
    env: { ...home.env, TERM: 'xterm', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let raw = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    raw += part;
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  exited.catch(() => {});
  owner.after(async () => {
    // The helper's end closes the terminal, which ends what runs in it.
    child.kill('SIGKILL');
    await within(exited, DEADLINE_MS, 'end of the terminal');
  });
  let seen = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what steers a terminal begins with ESC.
  const shown = (): string => raw.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '');
  return {
    type: (keys) => void child.stdin.write(keys),
    shown,
    raw: () => raw,
    async see(wanted) {
      try {
        await until(
          `${wanted}`,
          () => {
            const found = wanted.exec(shown().slice(seen));
            if (found) seen += found.index + found[0].length;
            return found !== null;
          },
          { deadlineMs: DEADLINE_MS },
        );
      } catch (error) {
        throw new Error(`shown:\n${shown()}`, { cause: error });
      }
    },
    ended: () => within(exited, DEADLINE_MS, 'end of the command'),
  };
}
