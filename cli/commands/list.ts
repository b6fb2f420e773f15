/**
 * `hoshikage list [--json]`: the models one can ask for. Runs in the CLI process. Names and paths
 * come from the running server where there is one, else from the map; facts come from the files.
 */
import type { GgufFacts } from '../../src/models/gguf.js';
import type { ExitCode } from '../fail.js';
import type { KnownModel } from '../known-models.js';
import { formatBytes, ownCommand, print, printJson, shortPath, table } from '../print.js';
import type { Command, Shell } from '../shell.js';

/** Registers the command. */
export const listCommand: Command = (parser, shell) =>
  parser.command(
    ['list', 'ls'],
    shell.say({ ja: 'モデルの一覧', en: 'List the models' }),
    (list) =>
      list.option('json', {
        type: 'boolean',
        describe: shell.say({ ja: 'JSON で出力する', en: 'Print JSON' }),
      }),
    ({ json = false }) => shell.run(() => list(json, shell)),
  );

/** A model with what its file says. */
interface Row extends KnownModel {
  readonly state: 'ok' | 'missing' | 'broken';
  readonly facts: GgufFacts | null;
}

async function list(json: boolean, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const { knownModels } = await import('../known-models.js');
  const rows: Row[] = [];
  for (const model of await knownModels(config, shell)) rows.push(await inspect(model));
  if (json) printJson(rows.map(toJson));
  else for (const line of toText(rows, shell)) print(line);
  return 0;
}

async function inspect(model: KnownModel): Promise<Row> {
  const { readGguf } = await import('../../src/models/gguf.js');
  const { HoshikageError } = await import('../../src/errors.js');
  try {
    return { ...model, state: 'ok', facts: await readGguf(model.path) };
  } catch (thrown) {
    const missing = thrown instanceof HoshikageError && thrown.code === 'model_file_missing';
    // The built-in model's file is made when it is first asked for.
    const unmade = missing && model.origin === 'builtin';
    if (unmade) return { ...model, state: 'ok', facts: null };
    return { ...model, state: missing ? 'missing' : 'broken', facts: null };
  }
}

function toJson({ id, path, stop, origin, state, facts }: Row): object {
  return {
    name: id,
    path,
    stop,
    origin,
    state,
    size_bytes: facts?.sizeBytes ?? null,
    architecture: facts?.architecture ?? null,
    quantisation: facts?.quantisation ?? null,
    context_length: facts?.contextLength ?? null,
  };
}

function toText(rows: readonly Row[], { say }: Shell): string[] {
  const head = say({ ja: '名前\tサイズ\t種類\tファイル', en: 'NAME\tSIZE\tTYPE\tFILE' }).split(
    '\t',
  );
  const flags = {
    ok: '',
    missing: say({ ja: '[ファイルがありません] ', en: '[file missing] ' }),
    broken: say({ ja: '[GGUF として読めません] ', en: '[not readable as GGUF] ' }),
  };
  const builtin = say({ ja: '[内蔵]', en: '[built in]' });
  const body = rows.map(({ id, path, origin, state, facts }) => [
    id,
    facts ? formatBytes(facts.sizeBytes) : '-',
    facts ? `${facts.architecture} ${facts.quantisation ?? ''}`.trim() : '-',
    origin === 'builtin' ? builtin : flags[state] + shortPath(path),
  ]);
  const lines = table([head, ...body]);
  if (rows.some(({ origin }) => origin !== 'builtin')) return lines;
  const hint = say({
    ja: `登録されたモデルはありません。${ownCommand()} pull で取り寄せるか、${ownCommand()} add <GGUF> <名前> で登録できます`,
    en: `No models registered; download one with ${ownCommand()} pull, or add one with ${ownCommand()} add <GGUF> <NAME>`,
  });
  return [...lines, '', hint];
}
