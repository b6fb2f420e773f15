/**
 * `hoshikage show MODEL [--json]`: what a model is, by its file, and what it would take. Runs in the CLI
 * process; nothing is loaded, and the file's header is all that is read.
 */
import { isAbsolute } from 'node:path';
import type { Config } from '../../src/config.js';
import type { GgufFacts } from '../../src/models/gguf.js';
import type { ModelEntry } from '../../src/models/registry.js';
import type { ExitCode } from '../fail.js';
import { formatBytes, plain, print, printJson, shortPath, table, type Words } from '../print.js';
import { type Command, literal, type Shell } from '../shell.js';

/** Registers the command. */
export const showCommand: Command = (parser, shell) =>
  parser.command(
    'show <model>',
    shell.say({
      ja: 'モデルの中身と、要るメモリを見る',
      en: 'What a model is, and what it takes',
    }),
    (show) =>
      show
        .positional('model', {
          type: 'string',
          demandOption: true,
          describe: shell.say({
            ja: 'モデルの名前か、GGUF ファイル',
            en: 'Name of a model, or a GGUF file',
          }),
        })
        .option('json', {
          type: 'boolean',
          describe: shell.say({ ja: 'JSON で出力する', en: 'Print JSON' }),
        }),
    ({ model, json = false }) => shell.run(() => show(literal(model), json, shell)),
  );

/** What is shown. */
interface View {
  readonly entry: ModelEntry;
  readonly registered: boolean;
  /** Of all its files, the first one first. */
  readonly parts: readonly [GgufFacts, ...GgufFacts[]];
  readonly purpose: 'generate' | 'embed';
  readonly need: Need;
}

/** Estimated bytes, and with what settings. */
interface Need {
  readonly weights: number;
  readonly kv: number;
  readonly compute: number;
  readonly available: number;
  readonly contextTokens: number;
  readonly slots: number;
}

async function show(text: string, json: boolean, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const { modelNamed } = await import('../model-named.js');
  const { readModelFiles } = await import('../../src/models/model-files.js');
  const { purposeOf } = await import('../../src/resources/purpose.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const { entry, registered } = await modelNamed(text, 'name', { config, shell });
  const [first, ...others] = await readModelFiles(entry.path);
  const parts = [first.facts, ...others.map(({ facts }) => facts)] as const;
  const purpose = purposeOf(first.facts);
  const need = await needOf({ entry, parts, purpose }, config);
  const view: View = { entry, registered, parts, purpose, need };
  if (json) printJson(toJson(view));
  else for (const line of toText(view, shell)) print(plain(line));
  return 0;
}

async function needOf(
  { entry, parts, purpose }: Pick<View, 'entry' | 'parts' | 'purpose'>,
  config: Config,
): Promise<Need> {
  const { engineOptionsOf } = await import('../../src/resources/options.js');
  const { memoryUse } = await import('../../src/memory/use.js');
  const { needOf } = await import('../../src/memory/room.js');
  const { machineMemory } = await import('../../src/memory/machine.js');
  const { speculation, ...plainOptions } = await optionsOf(entry, config, engineOptionsOf);
  const slots = plainOptions.slots === 'auto' ? 1 : plainOptions.slots;
  const options = { ...plainOptions, slots, ...(purpose === 'embed' && { purpose }) };
  const draft = purpose === 'embed' ? null : await draftOf(speculation?.draftModelPath ?? null);
  const { availableBytes } = await machineMemory();
  const room = {
    ...{ mainBytes: availableBytes, devices: null, isFileInMemory: false },
    isUnified: process.platform === 'darwin',
  };
  const use = memoryUse({ ...options, memory: needOf({ model: parts, draft }, options, room) });
  const trained = parts[0].contextLength ?? 0;
  const { contextTokens } = options;
  return {
    ...{ weights: use.weightsBytes, kv: use.kvBytes, compute: use.computeBytes },
    available: availableBytes,
    contextTokens: trained > 0 ? Math.min(contextTokens, trained) : contextTokens,
    slots,
  };
}

type OptionsOf = typeof import('../../src/resources/options.js').engineOptionsOf;

/** As a server of these settings would load it. */
async function optionsOf(
  entry: ModelEntry,
  config: Config,
  engineOptionsOf: OptionsOf,
): Promise<ReturnType<OptionsOf>> {
  const { withLocalModels } = await import('../local-models.js');
  return withLocalModels(config, async (models) =>
    engineOptionsOf(config, entry, (name) => models.get(name)),
  );
}

/** The headers of the model that guesses; null where there is none that could. */
async function draftOf(path: string | null): Promise<readonly GgufFacts[] | null> {
  if (path === null || !isAbsolute(path)) return null;
  const { readModelFiles } = await import('../../src/models/model-files.js');
  const files = await readModelFiles(path).catch(() => null);
  return files?.map(({ facts }) => facts) ?? null;
}

const sum = (parts: readonly GgufFacts[], of: (facts: GgufFacts) => number): number =>
  parts.reduce((total, facts) => total + of(facts), 0);

/** How many tensors of each type all parts have together, the largest part of the bytes first. */
function typesOf(parts: readonly GgufFacts[]): ReadonlyMap<string, number> {
  const types = new Map<string, number>();
  const all = parts.flatMap(({ tensorTypes }) => tensorTypes).sort((a, b) => b.bytes - a.bytes);
  for (const { name, type, tensors } of all) {
    const called = name ?? `type ${type}`;
    types.set(called, (types.get(called) ?? 0) + tensors);
  }
  return types;
}

function toJson({ entry, registered, parts, purpose, need }: View): object {
  const [facts] = parts;
  const special = facts.specialTokens.map(({ role, id, text }) => [role, { id, text }]);
  return {
    name: registered ? entry.id : null,
    path: entry.path,
    files: parts.length,
    size_bytes: sum(parts, ({ sizeBytes }) => sizeBytes),
    model_name: facts.name,
    architecture: facts.architecture,
    purpose,
    parameters: sum(parts, ({ elements }) => elements),
    quantisation: facts.quantisation,
    tensor_types: Object.fromEntries(typesOf(parts)),
    layers: facts.layers,
    embedding_length: facts.embeddingLength,
    context_length: facts.contextLength,
    tokenizer: {
      model: facts.tokenizerModel,
      pre: facts.tokenizerPre,
      vocabulary_size: facts.vocabularySize,
      merges: facts.merges,
      special_tokens: Object.fromEntries(special),
    },
    chat_template: entry.settings.chatTemplate ?? facts.chatTemplate,
    stop: entry.stop,
    memory: {
      weights_bytes: need.weights,
      kv_bytes: need.kv,
      compute_bytes: need.compute,
      total_bytes: need.weights + need.kv + need.compute,
      available_bytes: need.available,
      context_tokens: need.contextTokens,
      slots: need.slots,
    },
  };
}

function toText(view: View, { say }: Shell): string[] {
  const { entry, registered, parts } = view;
  const [facts] = parts;
  const lines: [Words, string | null][] = [
    [{ ja: '名前', en: 'Name' }, registered ? entry.id : null],
    [{ ja: 'ファイル', en: 'File' }, fileText(view, say)],
    [{ ja: 'モデル', en: 'Model' }, facts.name],
    [{ ja: '構造', en: 'Architecture' }, architectureText(facts, say)],
    [{ ja: 'パラメーター', en: 'Parameters' }, countText(sum(parts, ({ elements }) => elements))],
    [{ ja: '量子化', en: 'Quantisation' }, quantisationText(parts)],
    [{ ja: 'コンテキスト', en: 'Context' }, contextText(view, say)],
    [{ ja: '用途', en: 'Made for' }, purposeText(view, say)],
    [{ ja: 'テンプレート', en: 'Template' }, templateText(view, say)],
    [{ ja: 'トークン', en: 'Tokens' }, tokensText(facts, say)],
    [{ ja: '特別なトークン', en: 'Special tokens' }, specialText(facts)],
    [
      { ja: '停止文字列', en: 'Stop strings' },
      entry.stop.length > 0 ? entry.stop.map((one) => JSON.stringify(one)).join(' ') : null,
    ],
    [{ ja: 'メモリ', en: 'Memory' }, memoryText(view, say)],
  ];
  return table(lines.flatMap(([what, text]) => (text === null ? [] : [[say(what), text]])));
}

type Say = Shell['say'];

function fileText({ entry, parts }: View, say: Say): string {
  const size = formatBytes(sum(parts, ({ sizeBytes }) => sizeBytes));
  const count = parts.length;
  const path = shortPath(entry.path);
  if (count === 1) return `${path} (${size})`;
  return say({
    ja: `${path} ほか ${count - 1} 個(${size})`,
    en: `${path} and ${count - 1} more (${size})`,
  });
}

function architectureText({ architecture, layers, embeddingLength }: GgufFacts, say: Say): string {
  const parts = [architecture];
  if (layers !== null) parts.push(say({ ja: `${layers} 層`, en: `${layers} layers` }));
  if (embeddingLength !== null) {
    parts.push(say({ ja: `幅 ${embeddingLength}`, en: `${embeddingLength} wide` }));
  }
  return parts.join(', ');
}

/** `8.03 B (8030261248)`. */
function countText(count: number): string {
  const units: readonly (readonly [number, string])[] = [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'K'],
  ];
  const [size, name] = units.find(([least]) => count >= least) ?? [1, ''];
  return size === 1 ? String(count) : `${(count / size).toPrecision(3)} ${name} (${count})`;
}

function quantisationText(parts: View['parts']): string {
  const types = [...typesOf(parts)].map(([name, count]) => `${name} × ${count}`).join(', ');
  return `${parts[0].quantisation ?? '?'} (${types})`;
}

function contextText({ parts: [facts], purpose, need }: View, say: Say): string {
  const trained = String(facts.contextLength ?? '?');
  if (purpose === 'embed') return trained;
  const { contextTokens } = need;
  return say({
    ja: `${trained}(いまの設定では 1 リクエスト ${contextTokens})`,
    en: `${trained} (${contextTokens} per request with the present settings)`,
  });
}

const purposeText = ({ purpose }: View, say: Say): string =>
  purpose === 'embed'
    ? say({ ja: '埋め込み', en: 'embeddings' })
    : say({ ja: '文章の生成', en: 'generating text' });

function templateText({ entry, parts: [facts], purpose }: View, say: Say): string {
  const own = entry.settings.chatTemplate;
  if (own !== undefined) {
    const count = own.length;
    return say({ ja: `台帳のもの(${count} 文字)`, en: `of the map (${count} characters)` });
  }
  if (facts.chatTemplate !== null) {
    const count = facts.chatTemplate.length;
    return say({ ja: `自前(${count} 文字)`, en: `its own (${count} characters)` });
  }
  return purpose === 'embed'
    ? say({ ja: 'なし', en: 'none' })
    : say({ ja: 'なし(ChatML を使います)', en: 'none (ChatML is used)' });
}

function tokensText(facts: GgufFacts, say: Say): string | null {
  const { vocabularySize, tokenizerModel, tokenizerPre } = facts;
  if (vocabularySize === null) return null;
  const kind = [tokenizerModel, tokenizerPre].filter((name) => name !== null).join(' / ');
  return say({
    ja: `${vocabularySize} 種${kind && `(${kind})`}`,
    en: `${vocabularySize}${kind && ` (${kind})`}`,
  });
}

function specialText({ specialTokens }: GgufFacts): string | null {
  if (specialTokens.length === 0) return null;
  return specialTokens.map(({ role, id, text }) => `${role} ${text ?? '-'} (${id})`).join(', ');
}

function memoryText({ need }: View, say: Say): string {
  const { weights, kv, compute, available, slots } = need;
  const total = formatBytes(weights + kv + compute);
  const [w, k, c, free] = [weights, kv, compute, available].map(formatBytes);
  return say({
    ja: `およそ ${total}(重み ${w}、KV キャッシュ ${k}、計算 ${c}、スロット ${slots})。空きは ${free}`,
    en: `about ${total} (weights ${w}, KV cache ${k}, computing ${c}, slots ${slots}); ${free} are free`,
  });
}
