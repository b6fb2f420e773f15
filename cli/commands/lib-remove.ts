/**
 * `hoshikage lib rm ID`: deletes what `lib install` or `lib use PATH` made. Runs in the CLI process.
 * It must never delete a library that is in use, nor one that was put there by hand.
 */
import { HoshikageError } from '../../src/errors.js';
import type { ExitCode } from '../fail.js';
import { localLibraries, serverLibrary } from '../local-library.js';
import { print } from '../print.js';
import type { Shell } from '../shell.js';

/** Removes it. */
export async function remove(id: string, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const { store } = await localLibraries(config);
  const installed = await store.get(id);
  if (!installed) throw new HoshikageError('library_unknown', { id });
  const used = await serverLibrary(config);
  if (installed.path !== null && used?.path === installed.path) {
    throw new HoshikageError('library_in_use', { id });
  }
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
  return 0;
}
