/**
 * What systemd and logind are asked for a user's service, through the programs on PATH. Runs in the CLI
 * process. Every call has a deadline; it never asks for another user's rights.
 */
import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { HoshikageError } from '../src/errors.js';

const LIMIT_MS = 30_000;

/** How a program ended; null where there is none of that name. */
interface Ran {
  readonly ok: boolean;
  readonly stdout: string;
  /** Why not, on one line. */
  readonly problem: string;
}

/** A unit as systemd knows it. */
export interface UnitState {
  /** active, inactive, failed, activating … */
  readonly active: string;
  /** running, dead, auto-restart … */
  readonly sub: string;
  /** enabled, disabled, masked …; empty where there is no unit. */
  readonly file: string;
  readonly pid: number;
}

/**
 * Makes sure that this user's systemd answers. Code: service_unavailable, saying what to do instead;
 * `command` runs the server in the foreground.
 */
export async function requireSystemd(command: string): Promise<void> {
  const { platform } = process;
  if (platform !== 'linux') {
    const tool = platform === 'darwin' ? 'launchd' : 'Task Scheduler';
    throw unavailable(
      `${platform} では、まだ対応していません。${tool} に、この命令を自分で登録してください: ${command}`,
      `${platform} is not supported yet; register this command with ${tool} yourself: ${command}`,
    );
  }
  const answer = await run('systemctl', ['--user', 'show', '--property=Version']);
  if (answer === null) {
    throw unavailable(
      `systemd がありません。お使いの仕組みに、この命令を登録してください: ${command}`,
      `there is no systemd; register this command with what starts services here: ${command}`,
    );
  }
  if (answer.ok) return;
  throw unavailable(
    `この利用者の systemd が応答しません(${answer.problem})。su や sudo でなく、その利用者で直接(SSH なども可)ログインしてから、やり直してください`,
    `this user's systemd does not answer (${answer.problem}); log in as that user directly (SSH will do), not through su or sudo, and try again`,
  );
}

function unavailable(ja: string, en: string): HoshikageError {
  return new HoshikageError('service_unavailable', { reason: en, reason_ja: ja });
}

/** Runs `systemctl --user`. Code: service_failed. */
export async function systemctl(args: readonly string[], limitMs = LIMIT_MS): Promise<void> {
  const ran = await run('systemctl', ['--user', ...args], limitMs);
  if (ran?.ok) return;
  const command = `systemctl --user ${args.join(' ')}`;
  throw new HoshikageError('service_failed', { command, reason: ran?.problem ?? 'ENOENT' });
}

/** What systemd knows of a unit; one that it does not know is inactive. Code: service_failed. */
export async function unitState(unit: string): Promise<UnitState> {
  const names = 'ActiveState,SubState,UnitFileState,MainPID';
  const args = ['--user', 'show', unit, `--property=${names}`];
  const ran = await run('systemctl', args);
  if (!ran?.ok) {
    const command = `systemctl ${args.join(' ')}`;
    throw new HoshikageError('service_failed', { command, reason: ran?.problem ?? 'ENOENT' });
  }
  const found = new Map(
    ran.stdout.split('\n').map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1).trim()] as const;
    }),
  );
  return {
    active: found.get('ActiveState') ?? 'inactive',
    sub: found.get('SubState') ?? 'dead',
    file: found.get('UnitFileState') ?? '',
    pid: Number(found.get('MainPID') ?? 0) || 0,
  };
}

/** Whether this user's services go on after the last logout; null where logind does not say. */
export async function lingers(): Promise<boolean | null> {
  const { username } = userInfo();
  const ran = await run('loginctl', ['show-user', username, '--property=Linger']);
  const value = /^Linger=(yes|no)$/m.exec(ran?.stdout ?? '')?.[1];
  return value === undefined ? null : value === 'yes';
}

function run(file: string, args: readonly string[], timeout = LIMIT_MS): Promise<Ran | null> {
  const options = { timeout, killSignal: 'SIGKILL', encoding: 'utf8' } as const;
  return new Promise((resolve) => {
    execFile(file, [...args], options, (error, stdout, stderr) => {
      if (error?.code === 'ENOENT') resolve(null);
      else {
        const said = stderr.trim().split('\n')[0] ?? '';
        const problem = error?.killed ? `> ${timeout / 1000} s` : said || (error?.message ?? '');
        resolve({ ok: error === null, stdout, problem });
      }
    });
  });
}
