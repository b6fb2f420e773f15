/**
 * `hoshikage import`: the models that Ollama, LM Studio, llama.cpp and Hugging Face's tools keep on this
 * machine, registered where they lie. Runs in the CLI process. It shows what it found before it asks, and
 * touches no file of theirs.
 */

import { HoshikageError, toHoshikageError } from '../../src/errors.js';
import type { Candidate, Findings } from '../../src/import/find.js';
import type { Source } from '../../src/import/holding.js';
import { type ExitCode, Refusal, wordsOf } from '../fail.js';
import {
  formatBytes,
  plain,
  print,
  printJson,
  remark,
  shortPath,
  table,
  type Words,
} from '../print.js';
import type { Command, Shell } from '../shell.js';

const NAMES: Readonly<Record<Source, string>> = {
  ollama: 'Ollama',
  lmstudio: 'LM Studio',
  'llama.cpp': 'llama.cpp',
  huggingface: 'Hugging Face',
};
const CHOICES = ['ollama', 'lmstudio', 'llama.cpp', 'huggingface'] as const;

/** Registers the command. */
export const importCommand: Command = (parser, shell) => {
  const { say } = shell;
  return parser.command(
    'import',
    say({
      ja: 'ほかのプログラムのモデルを、置いてある場所のまま登録する',
      en: 'Register the models of other programs where they lie',
    }),
    (command) =>
      command
        .option('from', {
          choices: CHOICES,
          requiresArg: true,
          describe: say({ ja: 'このプログラムのものだけ', en: 'Only those of this program' }),
        })
        .option('yes', {
          alias: 'y',
          type: 'boolean',
          describe: say({ ja: '尋ねずに登録する', en: 'Do not ask' }),
        })
        .option('json', {
          type: 'boolean',
          describe: say({ ja: 'JSON で出力する', en: 'Print JSON' }),
        }),
    ({ from, yes = false, json = false }) =>
      shell.run(() => importModels({ from, yes, json }, shell)),
  );
};

interface Wanted {
  readonly from: Source | undefined;
  readonly yes: boolean;
  readonly json: boolean;
}

async function importModels({ from, yes, json }: Wanted, shell: Shell): Promise<ExitCode> {
  const { untilInterrupted } = await import('../local-library.js');
  return untilInterrupted(async (signal) => {
    const findings = await find(from, signal, shell);
    const { candidates } = findings;
    if (!json) await sayFindings(findings, shell);
    const agreed =
      candidates.length > 0 && (yes || (!json && (await ask(candidates, signal, shell))));
    const outcomes = agreed ? await registerAll(candidates, signal, shell, json) : [];
    if (json) printJson(await toJson(findings, outcomes));
    return outcomes.some(({ error }) => error !== null) ? 1 : 0;
  });
}

async function find(
  from: Source | undefined,
  signal: AbortSignal,
  shell: Shell,
): Promise<Findings> {
  const { loadConfig, modelPlaces } = await import('../../src/config.js');
  const { findModels } = await import('../../src/import/find.js');
  const { withLocalModels } = await import('../local-models.js');
  const { LoadProgress } = await import('../progress.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const entries = await withLocalModels(config, async (models) => models.list());
  const progress = new LoadProgress();
  const what = shell.say({ ja: '調べています', en: 'Looking at models' });
  try {
    return await findModels({
      ...{ entries, signal, around: modelPlaces() },
      sources: from === undefined ? CHOICES : [from],
      onProgress: (_, done) => progress.update(what, done),
    });
  } catch (thrown) {
    if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause: thrown });
    throw thrown;
  } finally {
    progress.clear();
  }
}

async function sayFindings(findings: Findings, shell: Shell): Promise<void> {
  const { candidates, skipped, registered, places } = findings;
  const { say } = shell;
  if (candidates.length > 0) {
    const head = say({ ja: 'どこ\t名前\t種類\tサイズ', en: 'FROM\tNAME\tTYPE\tSIZE' }).split('\t');
    const rows = candidates.map(({ source, alias, facts, sizeBytes }) => [
      NAMES[source],
      alias,
      `${facts.architecture} ${facts.quantisation ?? ''}`.trim(),
      formatBytes(sizeBytes),
    ]);
    for (const line of table([head, ...rows])) print(line);
    await sayDetails(candidates, shell);
  }
  for (const { source, path, reason } of skipped) {
    const place = shortPath(path);
    print(
      plain(
        say({
          ja: `除きました(${NAMES[source]}): ${place}: ${reason.ja}`,
          en: `Left out (${NAMES[source]}): ${place}: ${reason.en}`,
        }),
      ),
    );
  }
  if (registered.length > 0) {
    const list = registered.join(', ');
    print(plain(say({ ja: `登録済み: ${list}`, en: `Registered already: ${list}` })));
  }
  if (candidates.length > 0) return;
  const list = places.map(({ path }) => shortPath(path)).join(', ');
  print(
    plain(
      list === ''
        ? say({
            ja: 'ほかのプログラムのモデルは見つかりません(OLLAMA_MODELS、HF_HOME、LLAMA_CACHE も見ました)',
            en: 'No models of other programs were found (OLLAMA_MODELS, HF_HOME and LLAMA_CACHE were looked at too)',
          })
        : say({
            ja: `登録できるものはありません(見た場所: ${list})`,
            en: `Nothing to register (looked into: ${list})`,
          }),
    ),
  );
}

/** What is taken over of each model besides its file, and what is not. */
async function sayDetails(
  candidates: readonly Candidate[],
  { say, language }: Shell,
): Promise<void> {
  const { writeModelSettings } = await import('../../src/models/model-settings.js');
  const lines = candidates.flatMap(({ alias, stop, settings, notes }) => {
    // A chat template is long, and a note tells of it.
    const { chatTemplate: _, ...short } = settings;
    const taken = [
      ...(stop.length > 0 ? [`stop=${JSON.stringify(stop)}`] : []),
      ...Object.entries(writeModelSettings(short)).map(([name, value]) => `${name}=${value}`),
    ].join(' ');
    const lead = say({ ja: '取り込む設定', en: 'settings taken over' });
    return [
      ...(taken === '' ? [] : [`  ${alias}: ${lead}: ${taken}`]),
      ...notes.map((note) => `  ${alias}: ${note[language]}`),
    ];
  });
  const withTemplate = candidates.some(
    ({ foreignTemplate, facts }) => foreignTemplate !== null && facts.chatTemplate !== null,
  );
  if (withTemplate) {
    lines.push(
      say({
        ja: '  チャットテンプレートは、Ollama のものではなく、GGUF の中のものを使います',
        en: "  The chat templates are those in the GGUF files, not Ollama's",
      }),
    );
  }
  if (lines.length > 0) print('');
  for (const line of lines) print(plain(line));
}

/** Without a terminal nothing is registered unasked. Code: cancelled. */
async function ask(
  candidates: readonly Candidate[],
  signal: AbortSignal,
  { say }: Shell,
): Promise<boolean> {
  const { stdin: input, stdout: output } = process;
  const count = candidates.length;
  print('');
  if (!input.isTTY || !output.isTTY) {
    print(
      say({
        ja: `${count} 件を登録するには --yes を付けてください`,
        en: `Add --yes to register these ${count}`,
      }),
    );
    return false;
  }
  const { askYes } = await import('../question.js');
  const question = say({
    ja: `この ${count} 件を登録しますか? ファイルは動かしも写しもしません [y/N] `,
    en: `Register these ${count}? No file is moved or copied [y/N] `,
  });
  const agreed = await askYes(question, { input, output, signal });
  if (!agreed && !signal.aborted)
    print(say({ ja: '登録しませんでした', en: 'Nothing was registered' }));
  return agreed;
}

/** What became of a model. */
interface Outcome {
  readonly alias: string;
  readonly error: Words | null;
}

async function registerAll(
  candidates: readonly Candidate[],
  signal: AbortSignal,
  shell: Shell,
  isQuiet: boolean,
): Promise<readonly Outcome[]> {
  const { loadConfig } = await import('../../src/config.js');
  const { register } = await import('../register.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const outcomes: Outcome[] = [];
  for (const { alias, path, stop, settings } of candidates) {
    if (signal.aborted) throw new HoshikageError('cancelled');
    const wanted = { alias, path, stop, settings, force: false };
    const error = await register(config, wanted, shell).then(() => null, reasonOf);
    outcomes.push({ alias, error });
    if (error) remark({ ja: `${alias}: ${error.ja}`, en: `${alias}: ${error.en}` }, shell.language);
    else if (!isQuiet) {
      print(plain(shell.say({ ja: `登録しました: ${alias}`, en: `Added model: ${alias}` })));
    }
  }
  return outcomes;
}

function reasonOf(thrown: unknown): Words {
  if (thrown instanceof Refusal) return thrown.words ?? { ja: thrown.message, en: thrown.message };
  return wordsOf(toHoshikageError(thrown));
}

async function toJson(
  { candidates, skipped, registered }: Findings,
  outcomes: readonly Outcome[],
): Promise<object> {
  const { writeModelSettings } = await import('../../src/models/model-settings.js');
  return {
    models: candidates.map(({ source, name, alias, path, stop, settings, notes, ...one }) => {
      const outcome = outcomes.find((other) => other.alias === alias);
      return {
        ...{ source, name, alias, path },
        size_bytes: one.sizeBytes,
        architecture: one.facts.architecture,
        quantisation: one.facts.quantisation,
        ...{ stop, settings: writeModelSettings(settings), notes },
        registered: outcome !== undefined && outcome.error === null,
        error: outcome?.error ?? null,
      };
    }),
    skipped,
    already_registered: registered,
  };
}
