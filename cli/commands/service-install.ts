/**
 * `hoshikage service install` and `service uninstall`: writes the systemd user unit and starts it, or
 * stops it and takes it away. Runs in the CLI process. Run again, either only does what is missing, also
 * where it was killed half-way. It never touches a unit that somebody else wrote without being told to.
 */
import { lstat, mkdir, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../src/config.js';
import { HoshikageError } from '../../src/errors.js';
import { askOnce, findServer, type RunningServer } from '../admin-client.js';
import type { ExitCode } from '../fail.js';
import { untilInterrupted } from '../local-library.js';
import { ownCommand, plain, print, shortPath } from '../print.js';
import { askYes } from '../question.js';
import type { Shell } from '../shell.js';
import { lingers, requireSystemd, systemctl, unitState } from '../systemd.js';

/** A stop waits for running answers and is then made short by systemd itself. */
const STOP_MARGIN_MS = 60_000;
/** How long the server may take to answer after its start. */
const START_LIMIT_MS = 15_000;
const POLL_MS = 200;
const MAX_UNIT_BYTES = 1024 * 1024;

interface Options {
  readonly force: boolean;
}

/** Writes, enables and starts the unit. */
export async function install({ force }: Options, shell: Shell): Promise<ExitCode> {
  const { say } = shell;
  const { loadConfig } = await import('../../src/config.js');
  const { unitPath, unitText, UNIT_NAME } = await import('../../src/service/unit.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const program = await programOf();
  await requireSystemd(`${program.node} ${program.entry} serve`);
  const path = unitPath(config);
  const text = unitText(config, program);
  const before = await readUnit(path);
  if (before !== text && !(await mayReplace(path, before, force, shell))) return 1;
  if (before !== text) {
    await writeUnit(path, text);
  }
  const short = shortPath(path);
  print(
    before === text
      ? say({ ja: `ユニットはもうあります: ${short}`, en: `The unit is there already: ${short}` })
      : say({ ja: `ユニットを書きました: ${short}`, en: `Wrote the unit: ${short}` }),
  );
  await systemctl(['daemon-reload']);
  await systemctl(['enable', UNIT_NAME]);
  await sayMissing(config, shell);
  const exitCode = await start(config, before !== text, shell);
  await sayLinger(shell);
  return exitCode;
}

/** Code: service_failed; some systems keep these directories for themselves, read-only. */
async function writeUnit(path: string, text: string): Promise<void> {
  const { replaceFile } = await import('../../src/models/map-file.js');
  try {
    await mkdir(dirname(path), { recursive: true });
    await replaceFile(path, text, 0o644);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HoshikageError('service_failed', { command: `write ${path}`, reason }, { cause });
  }
}

/** Stops, disables and removes the unit. */
export async function uninstall({ force }: Options, shell: Shell): Promise<ExitCode> {
  const { say } = shell;
  const { loadConfig } = await import('../../src/config.js');
  const { unitPath, UNIT_NAME } = await import('../../src/service/unit.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  await requireSystemd(`${ownCommand()} serve`);
  const path = unitPath(config);
  const before = await readUnit(path);
  if (before === null) {
    print(say({ ja: 'サービスにはなっていません', en: 'It is not installed as a service' }));
    return 0;
  }
  if (!(await mayReplace(path, before, force, shell))) return 1;
  await systemctl(['stop', UNIT_NAME], config.shutdownGraceMs + STOP_MARGIN_MS);
  await systemctl(['disable', UNIT_NAME]);
  await unlink(path);
  await systemctl(['daemon-reload']);
  const short = shortPath(path);
  print(
    say({
      ja: `サービスを止めて、ユニットを消しました: ${short}`,
      en: `Stopped the service and removed its unit: ${short}`,
    }),
  );
  return 0;
}

/** The programs of this installation, if it is one that stays. Code: service_unavailable. */
async function programOf(): Promise<{ readonly node: string; readonly entry: string }> {
  const { packageRoot } = await import('../../src/engine/addon.js');
  const { entryOf, isPassing } = await import('../../src/service/unit.js');
  const root = packageRoot();
  if (isPassing(root)) {
    throw new HoshikageError('service_unavailable', {
      reason: `npx keeps this copy in a cache that may be emptied (${root}); install it first (npm install -g hoshikage), then run hoshikage service install`,
      reason_ja: `npx の一時的な置き場所(${root})から動いていて、いつか消えます。先に入れてください(npm install -g hoshikage)。そのあと hoshikage service install です`,
    });
  }
  const entry = entryOf(root);
  if ((await lstat(entry).catch(() => null)) === null) {
    throw new HoshikageError('service_unavailable', {
      reason: `there is no ${entry}; run npm run build first`,
      reason_ja: `${entry} がありません。先に npm run build を実行してください`,
    });
  }
  return { node: process.execPath, entry };
}

/** The unit's text; empty for what is there and is no file (a masked unit); null = nothing is there. */
async function readUnit(path: string): Promise<string | null> {
  const { readSmallFile } = await import('../../src/models/map-file.js');
  if ((await lstat(path).catch(() => null)) === null) return null;
  const found = await readSmallFile(path, MAX_UNIT_BYTES).catch(() => null);
  return found ? Buffer.from(found.bytes).toString('utf8') : '';
}

/** Whether what is there is ours, or its owner lets it go. Code: service_foreign. */
async function mayReplace(
  path: string,
  before: string | null,
  force: boolean,
  { say }: Shell,
): Promise<boolean> {
  const { isOurs } = await import('../../src/service/unit.js');
  if (before === null || force || isOurs(before)) return true;
  const { stdin: input, stdout: output } = process;
  if (!input.isTTY || !output.isTTY) throw new HoshikageError('service_foreign', { path });
  const short = plain(shortPath(path));
  const question = say({
    ja: `${short} は星影が書いたものではありません。なくなってもよいですか? [y/N] `,
    en: `${short} was not written by Hoshikage. May it go? [y/N] `,
  });
  return untilInterrupted((signal) => askYes(question, { input, output, signal }));
}

/** Starts the unit, or starts it again where its text has changed. */
async function start(config: Config, isNew: boolean, shell: Shell): Promise<ExitCode> {
  const { say } = shell;
  const { UNIT_NAME } = await import('../../src/service/unit.js');
  const { active } = await unitState(UNIT_NAME);
  const isActive = active === 'active';
  const other = isActive ? null : await answeringNow(config);
  if (other) {
    print(
      say({
        ja: `手で起動したサーバー(pid ${other.pid})が動いているので、まだ起動していません。それを止めてから: systemctl --user start hoshikage`,
        en: `A server that was started by hand (pid ${other.pid}) is running, so the service was not started yet. Stop that one, then: systemctl --user start hoshikage`,
      }),
    );
    return 0;
  }
  const limitMs = config.shutdownGraceMs + STOP_MARGIN_MS;
  if (!isActive) await systemctl(['start', UNIT_NAME], limitMs);
  else if (isNew) await systemctl(['restart', UNIT_NAME], limitMs);
  const server = await answering(config, UNIT_NAME);
  const logs = `journalctl --user -u ${UNIT_NAME}`;
  if (server) {
    const url = `http://${server.host.includes(':') ? `[${server.host}]` : server.host}:${server.port}`;
    print(plain(say({ ja: `動いています: ${url}`, en: `It is running: ${url}` })));
    print(say({ ja: `ログ: ${logs} -f`, en: `Its log: ${logs} -f` }));
    return 0;
  }
  print(
    say({
      ja: `起動しましたが、まだ応答しません。様子は ${logs} で分かります`,
      en: `It was started and does not answer yet; see ${logs}`,
    }),
  );
  return 1;
}

/**
 * The server if it answers. The process that run.json names may be another one by now: a server that
 * was killed, or a machine that was switched off, leaves the file behind.
 */
async function answeringNow(config: Config): Promise<RunningServer | null> {
  const server = findServer(config);
  const answer = server && (await askOnce(server, 'GET', '/health', {}).catch(() => null));
  return answer?.status === 200 ? server : null;
}

/** The server once it answers; null where it does not in time, or has failed. */
async function answering(config: Config, unit: string): Promise<RunningServer | null> {
  const end = performance.now() + START_LIMIT_MS;
  while (performance.now() < end) {
    const server = await answeringNow(config);
    if (server) return server;
    const { active, sub } = await unitState(unit);
    if (active === 'failed' || sub === 'auto-restart') return null;
    await sleep(POLL_MS);
  }
  return null;
}

/** What only this shell knows: systemd starts the server without it. */
async function sayMissing(config: Config, { say }: Shell): Promise<void> {
  const { engineEnvironmentOf } = await import('../../src/config.js');
  const names = Object.entries(config.origins)
    .filter(([, origin]) => origin === 'environment')
    .map(([key]) => key);
  const paths = ['LD_LIBRARY_PATH'].filter(
    (name) => engineEnvironmentOf(config)[name] && !config.engineEnvironment[name],
  );
  const all = [...names, ...paths].join(', ');
  if (all === '') return;
  const file = shortPath(config.envFile);
  print(
    plain(
      say({
        ja: `このシェルだけの設定は、サービスには届きません: ${all}。要るものは ${file} に書いてください`,
        en: `Set in this shell only, so the service will not have them: ${all}. Write those it needs into ${file}`,
      }),
    ),
  );
}

async function sayLinger({ say }: Shell): Promise<void> {
  if ((await lingers()) !== false) return;
  print(
    say({
      ja: 'ログアウトすると止まります。マシンの起動とともに動かし続けるには: loginctl enable-linger',
      en: 'It stops when you log out; to run from the start of the machine on: loginctl enable-linger',
    }),
  );
}
