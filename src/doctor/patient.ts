/**
 * What the checks are given: the machine, the settings, and ways to ask the running server. Types only,
 * and the few helpers that all checks share.
 */
import { dirname } from 'node:path';
import type { Config, ExaminedConfig } from '../config.js';
import type { Text } from './check.js';
import type { LibraryView } from './library-view.js';
import type { Machine } from './machine.js';

/** What a server answered. */
export interface ServerReport {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  /** GET /v1/status, or its `library` alone; null where it does not answer, or may not be ours. */
  readonly status: Readonly<Record<string, unknown>> | null;
  /** It answers, but not to the token of run.json: whether it is ours cannot be told. */
  readonly refused: boolean;
}

/** Everything that is looked at. */
export interface Patient {
  readonly machine: Machine;
  readonly settings: ExaminedConfig;
  /** The whole environment that engine processes will have. */
  readonly env: NodeJS.ProcessEnv;
  /** Hoshikage's own directory, where package.json is. */
  readonly root: string;
  /** How the user starts Hoshikage: `npx hoshikage`. */
  readonly command: string;
  /** The library that a server would use; looked at once. */
  readonly library: () => Promise<LibraryView>;
  /** The server that run.json names; null where its process is gone. Never rejects for a silent one. */
  readonly server: () => Promise<ServerReport | null>;
}

/** A path as the user knows it: `~` for the home. */
export function shortPath(path: string, { configDir }: Pick<Config, 'configDir'>): string {
  const home = dirname(dirname(configDir));
  return configDir.includes('/.config/') && path.startsWith(`${home}/`)
    ? `~${path.slice(home.length)}`
    : path;
}

/** Some things in one sentence; of more than `most`, the first ones and how many are left. */
export function listed(things: readonly string[], most = 5): Text {
  const shown = things.slice(0, most).join(', ');
  const left = things.length - most;
  if (left <= 0) return { ja: shown, en: shown };
  return { ja: `${shown} ほか ${left} 件`, en: `${shown} and ${left} more` };
}

/** As one word of a command that is shown. */
export function shellQuoted(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
