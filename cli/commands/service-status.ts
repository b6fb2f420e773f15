/**
 * `hoshikage service status`: the unit, what systemd makes of it, and whether the server answers. Runs in
 * the CLI process; it changes nothing.
 */
import { askOnce, findServer, findStopping } from '../admin-client.js';
import type { ExitCode } from '../fail.js';
import { ownCommand, print, shortPath, table, type Words } from '../print.js';
import type { Shell } from '../shell.js';
import { lingers, requireSystemd, unitState } from '../systemd.js';

/** Shows it; exit code 1 where the service does not run or does not answer. */
export async function showService(shell: Shell): Promise<ExitCode> {
  const { say } = shell;
  const { loadConfig } = await import('../../src/config.js');
  const { isOurs, unitPath, UNIT_NAME } = await import('../../src/service/unit.js');
  const { readSmallFile } = await import('../../src/models/map-file.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  await requireSystemd(`${ownCommand()} serve`);
  const path = unitPath(config);
  const found = await readSmallFile(path, 1024 * 1024).catch(() => null);
  const unit = await unitState(UNIT_NAME);
  if (!found && unit.file === '') {
    print(
      say({
        ja: `サービスにはなっていません(${ownCommand()} service install でできます)`,
        en: `It is not installed as a service (${ownCommand()} service install does it)`,
      }),
    );
    return 1;
  }
  const ours = found !== null && isOurs(Buffer.from(found.bytes).toString('utf8'));
  const foreign = say({ ja: '(星影が書いたものではない)', en: ' (not written by Hoshikage)' });
  const pid = unit.pid > 0 ? `, pid ${unit.pid}` : '';
  const { text, ok } = await answerOf(config);
  const rows: readonly (readonly [Words, string])[] = [
    [{ ja: 'ユニット', en: 'Unit' }, `${shortPath(path)}${ours ? '' : foreign}`],
    [{ ja: '状態', en: 'State' }, `${unit.active} (${unit.sub}${pid})`],
    [{ ja: '自動起動', en: 'Start by itself' }, `${unit.file || '-'}${say(await lingerWords())}`],
    [{ ja: 'サーバー', en: 'Server' }, say(text)],
    [{ ja: 'ログ', en: 'Log' }, `journalctl --user -u ${UNIT_NAME}`],
  ];
  for (const line of table(rows.map(([what, seen]) => [say(what), seen]))) print(line);
  return ok && unit.active === 'active' ? 0 : 1;
}

async function lingerWords(): Promise<Words> {
  const linger = await lingers();
  if (linger === null) return { ja: '', en: '' };
  if (linger) {
    return { ja: '(ログアウトしても動き続ける)', en: ' (goes on after the logout)' };
  }
  return {
    ja: '(ログアウトすると止まる。続けるには loginctl enable-linger)',
    en: ' (stops at the logout; to go on: loginctl enable-linger)',
  };
}

async function answerOf(config: {
  readonly runFile: string;
}): Promise<{ readonly text: Words; readonly ok: boolean }> {
  const server = findServer(config);
  if (!server) {
    const stopping = findStopping(config);
    const text = stopping
      ? { ja: '終わるところです', en: 'is stopping' }
      : { ja: '動いていません', en: 'is not running' };
    return { text, ok: false };
  }
  const answer = await askOnce(server, 'GET', '/health', {}).catch(() => null);
  const where = `${server.host}:${server.port}, pid ${server.pid}`;
  const ok = answer?.status === 200;
  const text = ok
    ? { ja: `応答しています(${where})`, en: `answers (${where})` }
    : { ja: `応答しません(${where})`, en: `does not answer (${where})` };
  return { text, ok };
}
