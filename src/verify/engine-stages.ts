/**
 * What shows only in use: a model loaded in an engine process of its own, its tokenizer there and back,
 * a few tokens or a vector. Main thread of the process that wants to know. It owns the engine from its
 * start to its end; the library is opened by that process only.
 */
import { basename } from 'node:path';
import { reasonOf, TailLog } from '../canary/canary-report.js';
import { GREEDY } from '../canary/canary-text.js';
import type { PromptText } from '../chat/prompt.js';
import type { Engine, EngineOptions, TokenLogprob } from '../engine/engine.js';
import { type EngineProcessInput, startEngineProcess } from '../engine/process.js';
import { fromWire, type LibraryFiles } from '../engine/protocol.js';
import { HoshikageError } from '../errors.js';
import { findLibrary, type SearchPlaces } from '../library/find.js';
import { knownVerdict } from '../library/known.js';
import { filesOf } from '../library/scan.js';
import type { Log } from '../log.js';
import { MemoryGuard } from '../memory/guard.js';
import { NO_MEMORY } from '../memory/use.js';
import { sizeText } from '../models/size-text.js';
import type { ModelFiles } from './file-stages.js';
import { Finding, type Seen, type Stages } from './stage.js';

/** What using a model takes. */
export interface EngineInput {
  readonly places: SearchPlaces;
  /** The environment that engine processes have. */
  readonly env: NodeJS.ProcessEnv;
  readonly cacheDir: string;
  /** ALLOW_UNKNOWN_LIBLLAMA. */
  readonly allowUnknown: boolean;
  /** MEMORY_CHECK: what cannot fit is not tried. */
  readonly memoryCheck: boolean;
  /** How long the engine may make no progress, ms. */
  readonly hangLimitMs: number;
  readonly nice: number;
  /** Gets everything the engine says, at debug level. */
  readonly log: Log;
  readonly signal: AbortSignal;
  /** 0 to 1, while the model is loaded. */
  readonly onLoading?: (fraction: number) => void;
  /** Another way to an engine than by a process of its own. */
  readonly start?: (input: EngineProcessInput) => Promise<Engine>;
}

/** A model as it is tried. */
export interface Subject {
  readonly files: ModelFiles;
  /** A rendered conversation; null without a template. */
  readonly prompt: PromptText | null;
  readonly purpose: 'generate' | 'embed';
}

const CONTEXT_TOKENS = 2048;
const BATCH_TOKENS = 512;
const NEW_TOKENS = 8;
const HANG_LIMIT_MS = 120_000;
const CLOSE_GRACE_MS = 2000;

/** The stages from `library` on. */
export async function checkInUse(
  subject: Subject,
  stages: Stages,
  input: EngineInput,
): Promise<void> {
  const library = await findUsable(stages, input);
  if (!library) return;
  const engine = await load(subject, stages, { ...input, library });
  if (!engine) return;
  try {
    const { tokenizerModel } = subject.files[0].facts;
    await stages.run('tokenizer', () => roundTrip(engine, tokenizerModel));
    if (subject.purpose === 'embed') await stages.run('embedding', () => embed(engine, input));
    else await stages.run('generation', () => generate(engine, subject.prompt));
  } finally {
    await engine.close();
  }
}

/** The library that a server would use now. */
function findUsable(stages: Stages, input: EngineInput): Promise<LibraryFiles | null> {
  return stages.run('library', async () => {
    const found = await findLibrary(input.places);
    const allowUnknown = input.allowUnknown || found.choice?.minimal === true;
    const { cacheDir, env, log, signal } = input;
    const asked = { path: found.path, allowUnknown, cacheDir, env, log, signal };
    const { scan, verdict } = await knownVerdict(asked);
    if (verdict.error) throw fromWire(verdict.error);
    const seen = `${verdict.identity.version ?? '?'}  ${found.path}`;
    return [{ en: seen, ja: seen }, filesOf(scan, allowUnknown)];
  });
}

async function load(
  { files, purpose }: Subject,
  stages: Stages,
  input: EngineInput & { readonly library: LibraryFiles },
): Promise<Engine | null> {
  const { library, env, log, signal, nice, hangLimitMs, start = startEngineProcess } = input;
  const tail = new TailLog(log);
  const open = async (): Promise<Engine> => {
    const options = await fitting({ files, purpose }, input);
    try {
      return await start({
        ...{ library, options, env, signal, nice, log: tail, closeGraceMs: CLOSE_GRACE_MS },
        hangLimitMs: hangLimitMs || HANG_LIMIT_MS,
        ...(input.onLoading && { onProgress: input.onLoading }),
      });
    } catch (error) {
      if (!(error instanceof HoshikageError) || error.code !== 'model_load_failed') throw error;
      // The engine knows no name but its path.
      const details = { ...error.details, model: basename(options.modelPath) };
      throw new HoshikageError(error.code, details, { cause: error.cause });
    }
  };
  const work = async (): Promise<readonly [Seen, Engine]> => {
    const engine = await open();
    const { description, sizeBytes } = engine.info.model;
    // libllama writes ?B for a size that it has no name for.
    const seen = `${description.replace(' ?B', '')} (${sizeText(sizeBytes)})`;
    return [{ en: seen, ja: seen }, engine];
  };
  return stages.run('load', work, (error) => evidenceOf(error, tail));
}

/** What libllama complained of, or else said last; and how its process ended, where it did. */
function evidenceOf({ code, cause }: HoshikageError, tail: TailLog): readonly string[] {
  if (code !== 'model_load_failed') return [];
  const complaints = tail.complaints();
  const ended = cause === undefined ? [] : [reasonOf(cause)];
  return [...ended, ...(complaints.length > 0 ? complaints : tail.lastLines())];
}

/** On the CPU, so that it takes no device from a server; refused where it cannot fit. */
async function fitting(
  { files, purpose }: Pick<Subject, 'files' | 'purpose'>,
  { log, memoryCheck }: EngineInput,
): Promise<EngineOptions> {
  const modelPath = files[0].state.path;
  const options: EngineOptions = {
    modelPath,
    sealed: files.map(({ state }) => state),
    contextTokens: CONTEXT_TOKENS,
    slots: 1,
    batchTokens: BATCH_TOKENS,
    threads: 0,
    flashAttention: 'auto',
    cacheTypeK: 'f16',
    cacheTypeV: 'f16',
    gpuLayers: 0,
    mmap: true,
    mlock: false,
    ...(purpose === 'embed' && { purpose }),
  };
  const guard = new MemoryGuard({ log, refuses: memoryCheck, devices: async () => [] });
  const entry = { id: modelPath, path: modelPath, stop: [], origin: 'map', settings: {} } as const;
  return guard.plan(entry, options, NO_MEMORY);
}

/** Texts that a tokenizer is to give back; it must the first, and may be unable to the others. */
const TEXTS = [
  'Hello, world! 12345',
  '星影は静かに待つ。こんにちは',
  '🌟 naïve Ünïcödé, 한국어',
  'if (a  <  b) {\n\treturn "x";\n}\n',
] as const;
/** Tokenizers that change a text before they cut it, so that it does not come back as it was. */
const LOSSY: ReadonlySet<string> = new Set(['bert', 't5']);

async function roundTrip(engine: Engine, tokenizer: string | null): Promise<readonly [Seen, null]> {
  const lost: string[] = [];
  const { vocabularySize } = engine.info.model;
  for (const text of TEXTS) {
    const ids = await engine.tokenize([{ text, special: false }], false);
    const strange = ids.find((id) => id < 0 || id >= vocabularySize);
    if (strange !== undefined) {
      throw new Finding({
        en: `token ${strange} of a vocabulary of ${vocabularySize}`,
        ja: `${vocabularySize} トークンの語彙に ${strange} 番はありません`,
      });
    }
    const back = Buffer.from(await engine.detokenize(ids)).toString('utf8');
    // Some tokenizers put a space before a text.
    if (back !== text && back !== ` ${text}`) lost.push(text);
  }
  const isLossy = LOSSY.has(tokenizer ?? '');
  if (lost.includes(TEXTS[0]) && !isLossy) {
    const text = JSON.stringify(TEXTS[0]);
    throw new Finding({ en: `${text} does not come back`, ja: `${text} が元に戻りません` });
  }
  return [isLossy ? REWRITTEN : cameBack(lost), null];
}

const REWRITTEN: Seen = {
  en: `${TEXTS.length} texts, which it rewrites`,
  ja: `${TEXTS.length} 文(書き換える種類のもの)`,
};

function cameBack(lost: readonly string[]): Seen {
  if (lost.length === 0) {
    const count = TEXTS.length;
    return { en: `${count} texts come back as they were`, ja: `${count} 文とも、そのまま戻る` };
  }
  const list = lost.map((text) => JSON.stringify(text)).join(' ');
  return { en: `all come back but ${list}`, ja: `${list} のほかは、そのまま戻る` };
}

/** A few tokens, each the most likely one. */
async function generate(engine: Engine, prompt: PromptText | null): Promise<readonly [Seen, null]> {
  const segments = prompt?.segments ?? [{ text: TEXTS[0], special: false }];
  const tokens = await engine.tokenize(segments, prompt?.addSpecial ?? true);
  const completion = engine.start({
    prompt: tokens.subarray(0, CONTEXT_TOKENS / 2),
    maxTokens: NEW_TOKENS,
    cachePrompt: false,
    sampling: { ...GREEDY, logprobs: 1 },
  });
  const { vocabularySize } = engine.info.model;
  const bytes: Uint8Array[] = [];
  for await (const batch of completion) {
    for (const [index, token] of batch.tokens.entries()) {
      if (token < 0 || token >= vocabularySize) throw strangeToken(token, vocabularySize);
      checkNumbers(batch.logprobs?.[index]);
    }
    bytes.push(batch.bytes);
  }
  const { generatedTokens, reason } = await completion.result;
  const said = JSON.stringify(Buffer.concat(bytes).toString('utf8').slice(0, 80));
  return [
    {
      en: `${generatedTokens} tokens after ${tokens.length} (${reason}): ${said}`,
      ja: `${tokens.length} トークンのあとに ${generatedTokens} トークン(${reason}): ${said}`,
    },
    null,
  ];
}

const strangeToken = (token: number, count: number): Finding =>
  new Finding({
    en: `it said token ${token} of ${count}`,
    ja: `${count} トークンの語彙にない ${token} 番を言いました`,
  });

function checkNumbers(one: TokenLogprob | undefined): void {
  const numbers = one ? [one.logprob, ...one.top.map(([, logprob]) => logprob)] : [];
  if (numbers.every((number) => Number.isFinite(number))) return;
  throw new Finding({
    en: `its logits are no numbers (${numbers.join(', ')})`,
    ja: `計算の値が数になっていません(${numbers.join('、')})`,
  });
}

async function embed(
  engine: Engine,
  { signal }: Pick<EngineInput, 'signal'>,
): Promise<readonly [Seen, null]> {
  const { embeddingLength, poolingType } = engine.info.model;
  const inputs: Int32Array[] = [];
  for (const text of TEXTS.slice(0, 2)) {
    inputs.push(await engine.tokenize([{ text, special: false }], true));
  }
  const vectors = await engine.embed(inputs, { signal });
  for (const vector of vectors) {
    if (vector.every((value) => Number.isFinite(value)) && vector.some((value) => value !== 0)) {
      continue;
    }
    throw new Finding({
      en: 'the vector is no vector: it has no numbers, or zeros only',
      ja: 'ベクトルになっていません(数でないか、すべて 0)',
    });
  }
  const isScore = poolingType === 'rank';
  const length = vectors[0]?.length ?? 0;
  if (!isScore && length !== embeddingLength) {
    throw new Finding({
      en: `a vector of ${length} values instead of ${embeddingLength}`,
      ja: `ベクトルが ${embeddingLength} 次元ではなく ${length} 次元です`,
    });
  }
  const seen = isScore
    ? { en: `${vectors.length} scores`, ja: `点数 ${vectors.length} つ` }
    : {
        en: `${vectors.length} vectors of ${length} values`,
        ja: `${length} 次元のベクトル ${vectors.length} つ`,
      };
  return [seen, null];
}
