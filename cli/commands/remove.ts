/**
 * `hoshikage rm ALIAS`: takes a model out of the map; its file stays. Runs in the CLI process.
 */
import type { ExitCode } from '../fail.js';
import { print, remark } from '../print.js';
import { type Command, literal, type Shell } from '../shell.js';

/** Registers the command. */
export const removeCommand: Command = (parser, shell) =>
  parser.command(
    ['rm <alias>', 'remove'],
    shell.say({ ja: 'モデルの登録を外す(ファイルは残る)', en: 'Remove a model (its file stays)' }),
    (rm) =>
      rm.positional('alias', {
        type: 'string',
        demandOption: true,
        describe: shell.say({ ja: '登録した名前', en: 'The name it was added by' }),
      }),
    ({ alias }) => shell.run(() => remove(literal(alias), shell)),
  );

async function remove(alias: string, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const { ask, findServer, NO_ANSWER } = await import('../admin-client.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const server = findServer(config);
  const path = `/admin/models/${encodeURIComponent(alias)}`;
  const answer = server && (await ask(server, 'DELETE', path, { details: { model: alias } }));
  if (!answer) {
    if (server) remark(NO_ANSWER, shell.language);
    const { withLocalModels } = await import('../local-models.js');
    await withLocalModels(config, (models) => models.remove(alias));
  }
  print(shell.say({ ja: `登録を外しました: ${alias}`, en: `Removed model: ${alias}` }));
  return 0;
}
