/**
 * The systemd user unit that runs the server: where it lies, what it says, and whether one that is there
 * is ours. Any process; it writes nothing and asks systemd nothing.
 */
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Name of the unit. */
export const UNIT_NAME = 'hoshikage.service';

/** The first line of a unit of ours. */
const MARK =
  '# Written by "hoshikage service install", which also renews it; settings belong into .env';

/** What serve takes at most beyond SHUTDOWN_GRACE before it goes anyway, and some more, s. */
const STOP_MARGIN_S = 15;
const RESTART_S = 10;

/** What of the settings matters to the unit. */
export interface UnitConfig {
  /** `<config>/hoshikage`. */
  readonly configDir: string;
  readonly cacheDir: string;
  readonly envFile: string;
  readonly shutdownGraceMs: number;
}

/** The programs that the unit starts; both absolute. */
export interface UnitProgram {
  readonly node: string;
  readonly entry: string;
}

/** Where systemd looks for units of this user. */
export function unitPath({ configDir }: Pick<UnitConfig, 'configDir'>): string {
  return join(dirname(configDir), 'systemd', 'user', UNIT_NAME);
}

/** What `npm run build` makes of the command, below Hoshikage's own directory. */
export function entryOf(root: string): string {
  return join(root, 'dist', 'cli', 'main.js');
}

/**
 * The unit's text. It needs no shell and no profile: every path is absolute, and the places that
 * variables of this shell decide are written down.
 */
export function unitText(config: UnitConfig, { node, entry }: UnitProgram): string {
  const stopS = Math.ceil(config.shutdownGraceMs / 1000) + STOP_MARGIN_S;
  const environment = placesOf(config).map(
    ([name, value]) => `Environment=${quoted(`${name}=${value}`)}`,
  );
  return `${[
    MARK,
    '[Unit]',
    'Description=Hoshikage, a quiet local LLM server',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${program(node)} ${argument(entry)} serve`,
    ...environment,
    'Restart=on-failure',
    `RestartSec=${RESTART_S}`,
    '# A setting that does not fit will not fit in ten seconds either.',
    'RestartPreventExitStatus=2',
    '# Ended by a second signal.',
    'SuccessExitStatus=129 130 143',
    '# The server ends its engines itself; what is left after the time goes with it.',
    'KillMode=mixed',
    `TimeoutStopSec=${stopS}`,
    '',
    '[Install]',
    'WantedBy=default.target',
  ].join('\n')}\n`;
}

/** Whether `hoshikage service install` wrote it. */
export function isOurs(text: string): boolean {
  return text.startsWith(`${MARK}\n`);
}

/** The Node.js that a unit of ours starts, or null. */
export function nodeOf(text: string): string | null {
  const [, env, found] = /^ExecStart=(\/usr\/bin\/env )?"((?:[^"\\]|\\.)*)"/m.exec(text) ?? [];
  if (found === undefined) return null;
  const path = found.replace(/\\(.)/g, '$1').replaceAll('%%', '%');
  return env === undefined ? path : path.replaceAll('$$', '$');
}

/** The variables without which a server started by systemd would look elsewhere. */
function placesOf({ configDir, cacheDir, envFile }: UnitConfig): (readonly [string, string])[] {
  const home = homedir();
  const places: (readonly [string, string])[] = [];
  if (configDir !== join(home, '.config', 'hoshikage')) {
    places.push(['XDG_CONFIG_HOME', dirname(configDir)]);
  }
  if (cacheDir !== join(home, '.cache', 'hoshikage')) {
    places.push(['XDG_CACHE_HOME', dirname(cacheDir)]);
  }
  if (envFile !== join(configDir, '.env')) places.push(['HOSHIKAGE_CONFIG_PATH', envFile]);
  return places;
}

/** A text as systemd reads it back: quoted, its specifiers (%) and escapes (\) kept as they are. */
function quoted(text: string): string {
  const escaped = text
    .replace(/[\\"]/g, '\\$&')
    .replaceAll('%', '%%')
    .replace(/\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `"${escaped}"`;
}

/**
 * The program of a command. systemd takes its $ as it is and refuses quotes, backslashes and control
 * characters, which it allows in arguments only.
 */
function program(path: string): string {
  return /["'\\]|\p{Cc}/u.test(path) ? `/usr/bin/env ${argument(path)}` : quoted(path);
}

/** An argument of a command: there $ names a variable. */
function argument(text: string): string {
  return quoted(text).replaceAll('$', '$$$$');
}

/** Whether Hoshikage's directory is a cache of npx, pnpm dlx or bunx, which may be emptied at any time. */
export function isPassing(root: string): boolean {
  return /[\\/](_npx|dlx(-[^\\/]*)?|bunx-[^\\/]*)[\\/]/.test(root);
}
