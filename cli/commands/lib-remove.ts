/**
 * `hoshikage lib rm ID`: deletes what `lib install` or `lib use PATH` made. Runs in the CLI process.
 * It must never delete a library that is in use, nor one that was put there by hand.
 */
import { isAbsolute, relative, sep } from 'node:path';
import { HoshikageError } from '../../src/errors.js';
import type { FoundLibrary } from '../../src/library/find.js';
import type { Installed } from '../../src/library/store.js';
import { findServer } from '../admin-client.js';
import { type ExitCode, usageError } from '../fail.js';
import { DEFAULT, type LocalLibraries, localLibraries, serverLibrary } from '../local-library.js';
import { print } from '../print.js';
import type { Shell } from '../shell.js';

/** Removes it. */
export async function remove(id: string, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const libraries = await localLibraries(config);
  const { store } = libraries;
  const installed = await store.get(id);
  if (id === DEFAULT) {
    throw usageError({
      ja: 'default は、何も選ばないときに使うもの(付属のものなど)の呼び名なので、消せません',
      en: 'default stands for what is used without a choice (the packaged one), and cannot be removed',
    });
  }
  if (!installed) throw new HoshikageError('library_unknown', { id });
  for (const used of await inUse(libraries)) {
    if (await isUsed(installed, used)) throw new HoshikageError('library_in_use', { id });
  }
  const { previous } = await store.active();
  const isGone = await store.remove(id);
  const { dir } = installed;
  print(
    isGone
      ? shell.say({ ja: `消しました: ${id}`, en: `Removed ${id}` })
      : shell.say({
          ja: `消しました: ${id}(入れたもの以外のファイルがあるので、${dir} は残っています)`,
          en: `Removed ${id} (${dir} stays, since it holds files that were not installed)`,
        }),
  );
  if (previous?.id === id) {
    print(
      shell.say({
        ja: 'lib rollback の戻る先だったので、次に切り替えるまで rollback はできません',
        en: 'lib rollback would have gone back to it; until the next switch it has nowhere to go',
      }),
    );
  }
  return 0;
}

/** A library somebody uses, by its path and by the id it was chosen by. */
interface Used {
  readonly path: unknown;
  readonly id: unknown;
}

/** What the running server uses, and what the next one would. Code: server_silent. */
async function inUse({ config, places }: LocalLibraries): Promise<readonly Used[]> {
  const { findLibrary } = await import('../../src/library/find.js');
  const found = await findLibrary(places).catch((error: unknown): FoundLibrary | null => {
    // The next server would use none.
    if (error instanceof HoshikageError && error.code === 'library_not_found') return null;
    throw error;
  });
  const live = await serverLibrary(config);
  const silent = live ? null : findServer(config);
  if (silent) {
    throw new HoshikageError('server_silent', {
      pid: silent.pid,
      path: config.runFile,
      what: 'nobody knows which libllama it uses',
      what_ja: 'どの libllama を使っているか分かりません',
    });
  }
  return [
    ...(live ? [{ path: live.path, id: live.id }] : []),
    ...(found ? [{ path: found.path, id: found.choice?.id }] : []),
  ];
}

/** A link's own directory holds nothing that anybody uses by its path. */
async function isUsed({ id, dir, source }: Installed, used: Used): Promise<boolean> {
  if (used.id === id) return true;
  if (source === 'link' || typeof used.path !== 'string' || !isAbsolute(used.path)) return false;
  const { realpath } = await import('node:fs/promises');
  const inside = relative(await realpath(dir), used.path);
  return inside !== '..' && !inside.startsWith(`..${sep}`) && !isAbsolute(inside);
}
