/**
 * `hoshikage add PATH ALIAS [STOP…]`: gives a GGUF file a name. Runs in the CLI process. The file is
 * checked here before anything is asked or written.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../../src/config.js';
import type { ExitCode } from '../fail.js';
import { print, remark } from '../print.js';
import { type Command, literal, type Shell } from '../shell.js';

/** Registers the command. */
export const addCommand: Command = (parser, shell) =>
  parser.command(
    'add <path> <alias> [stop..]',
    shell.say({ ja: 'モデルを登録する', en: 'Add a model' }),
    (add) =>
      add
        .positional('path', {
          type: 'string',
          demandOption: true,
          describe: shell.say({ ja: 'GGUF ファイル', en: 'The GGUF file' }),
        })
        .positional('alias', {
          type: 'string',
          demandOption: true,
          describe: shell.say({
            ja: '呼び出すときの名前(/ や空白、日本語も可)',
            en: 'The name to ask for it by (may have /, spaces, any script)',
          }),
        })
        .positional('stop', {
          type: 'string',
          array: true,
          describe: shell.say({
            ja: '出力を止める文字列(- で始まるものは -- の後に)',
            en: 'Strings that end an answer (those that begin with - after --)',
          }),
        })
        .option('force', {
          type: 'boolean',
          default: false,
          describe: shell.say({
            ja: '同じ名前の登録を置き換える',
            en: 'Replace an entry of that name',
          }),
        }),
    ({ path, alias, stop, force }) =>
      shell.run(() => {
        const wanted = { path: literal(path), alias: literal(alias), force };
        return add({ ...wanted, stop: (stop ?? []).map(literal) }, shell);
      }),
  );

interface Wanted {
  readonly path: string;
  readonly alias: string;
  readonly stop: readonly string[];
  readonly force: boolean;
}

async function add({ path, alias, stop, force }: Wanted, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const { readGguf } = await import('../../src/models/gguf.js');
  const { toAbsolute } = await import('../../src/models/registry.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const file = toAbsolute(path, process.cwd());
  await readGguf(file);
  const wanted = { path: file, alias, stop, force };
  const unchanged = await isInMap(config, wanted);
  if (!(await addByServer(config, wanted, shell))) await addToFile(config, wanted);
  const added = { ja: `登録しました: ${alias}`, en: `Added model: ${alias}` };
  const same = {
    ja: `同じ内容で登録済みです(何も変えていません): ${alias}`,
    en: `Already added like this, nothing changed: ${alias}`,
  };
  print(shell.say(unchanged ? same : added));
  const field = `"model": ${JSON.stringify(alias)}`;
  print(
    shell.say({
      ja: `リクエストに ${field} と書くと使えます`,
      en: `To use it, write ${field} in a request`,
    }),
  );
  return 0;
}

/** True where the map already says just this; a map that cannot be read says nothing. */
async function isInMap({ modelMapFile }: Config, { path, alias, stop }: Wanted): Promise<boolean> {
  const { findEntry, ModelRegistry } = await import('../../src/models/registry.js');
  const entries = await new ModelRegistry(modelMapFile).read().catch(() => []);
  const entry = findEntry(entries, alias);
  return entry?.path === path && isDeepStrictEqual(entry.stop, stop);
}

async function addByServer(
  config: Config,
  { path, alias, stop, force }: Wanted,
  shell: Shell,
): Promise<boolean> {
  const { ask, findServer, NO_ANSWER } = await import('../admin-client.js');
  const server = findServer(config);
  if (!server) return false;
  const body = { name: alias, path, stop, force };
  const answer = await ask(server, 'POST', '/admin/models', { body, details: { model: alias } });
  if (!answer) remark(NO_ANSWER, shell.language);
  return answer !== null;
}

async function addToFile(config: Config, { alias, ...model }: Wanted): Promise<void> {
  const { withLocalModels } = await import('../local-models.js');
  await withLocalModels(config, (models) => models.add(alias, model));
}
