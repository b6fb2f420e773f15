/**
 * Raw prompts as tokens. Server's main thread. It must refuse what does not fit before anything is
 * computed, and let no text inside a gap become the tokens that mark the gap.
 */
import type { Engine, FimTokens, ModelFacts, TextSegment } from '../engine/engine.js';
import { tokensWithin } from '../engine/long-text.js';
import { checkLength, checkTokens } from '../engine/token-ids.js';
import { HoshikageError } from '../errors.js';
import { unlessGone } from '../resources/gone.js';
import type { Gap, RawPrompt, TextRequest } from './request.js';

/** A prompt as an engine takes it. */
export interface TokenPrompt {
  readonly tokens: Int32Array;
  /** What stands before an answer with `echo`; '' without. */
  readonly echoed: string;
  /** The tokens that text is made of: from, to. */
  readonly shown: readonly [from: number, to: number];
}

/** Whether it is asked how likely the prompts' own tokens are. */
export function tellsPrompts({ echo, topLogprobs }: TextRequest): boolean {
  return echo && topLogprobs !== undefined;
}

type PromptEngine = Pick<Engine, 'tokenize' | 'detokenize' | 'info'>;

/**
 * The tokens of every prompt. Codes: invalid_value (a prompt without tokens, a token the vocabulary has
 * not, a gap where the model has no tokens for it), context_length_exceeded, cancelled.
 */
export async function promptsOf(
  engine: PromptEngine,
  request: TextRequest,
  signal: AbortSignal,
): Promise<readonly TokenPrompt[]> {
  const { contextTokens } = engine.info;
  const isComputed = request.maxTokens !== 0 || request.warms || tellsPrompts(request);
  const answerTokens = isComputed ? 1 : 0;
  const prompts: TokenPrompt[] = [];
  for (const [index, prompt] of request.prompts.entries()) {
    const param = request.nameOf(index);
    const maker = new PromptMaker(engine, { param, gapParam: request.gapParam, signal });
    const { tokens, shown } = await maker.tokensOf(prompt);
    checkLength(tokens.length, { contextTokens, answerTokens, param });
    const echoed = request.echo ? await unlessGone(textOf(engine, prompt), signal) : '';
    prompts.push({ tokens, echoed, shown });
  }
  return prompts;
}

interface MakerOptions {
  readonly param: string;
  readonly gapParam: string;
  readonly signal: AbortSignal;
}

/** Makes the tokens of one prompt. */
class PromptMaker {
  readonly #engine: PromptEngine;
  readonly #options: MakerOptions;

  constructor(engine: PromptEngine, options: MakerOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  async tokensOf(prompt: RawPrompt): Promise<Omit<TokenPrompt, 'echoed'>> {
    if (typeof prompt !== 'string' && !(prompt instanceof Int32Array)) return this.#gap(prompt);
    const tokens = await this.#whole(prompt);
    return { tokens, shown: [0, tokens.length] };
  }

  async #whole(prompt: string | Int32Array): Promise<Int32Array> {
    if (prompt instanceof Int32Array) return this.#checked(prompt);
    const { bosText } = this.#engine.info.model;
    // A prompt may bring its own BOS; two of them make most models worse.
    const addSpecial = bosText === '' || !prompt.startsWith(bosText);
    return this.#tokenize([{ text: prompt, special: true }], addSpecial);
  }

  async #gap({ before, after, extra }: Gap): Promise<Omit<TokenPrompt, 'echoed'>> {
    const { model } = this.#engine.info;
    const { prefix, suffix, middle } = this.#marksOf(model);
    const { repository = null, separator = null } = model.fim ?? {};
    const parts: Tokens[] = [];
    if (model.addBos && model.bosToken !== null) parts.push([model.bosToken]);
    if (extra.length > 0 && separator !== null) {
      // Models that know other files were shown them below a repository, the one at hand last.
      if (repository !== null) parts.push([repository], await this.#plain('repository\n'));
      for (const { name, text } of extra) {
        parts.push([separator], await this.#plain(`${name || 'untitled'}\n${text}\n`));
      }
      parts.push([separator], await this.#plain('current\n'));
    } else {
      for (const { name, text } of extra) {
        parts.push(await this.#plain(name === '' ? `${text}\n\n` : `${name}\n${text}\n\n`));
      }
    }
    const known = before instanceof Int32Array ? this.#checked(before) : await this.#plain(before);
    parts.push([prefix]);
    const from = parts.reduce((sum, { length }) => sum + length, 0);
    parts.push(known, [suffix], await this.#plain(after), [middle]);
    const tokens = Int32Array.from(parts.flatMap((part) => [...part]));
    return { tokens, shown: [from, from + known.length] };
  }

  #marksOf({ fim }: ModelFacts): { [K in 'prefix' | 'suffix' | 'middle']: number } {
    const { prefix, suffix, middle }: Partial<FimTokens> = fim ?? {};
    if (isToken(prefix) && isToken(suffix) && isToken(middle)) return { prefix, suffix, middle };
    throw new HoshikageError('invalid_value', {
      param: this.#options.gapParam,
      reason: 'this model has no tokens for filling in the middle (FIM)',
      reason_ja: 'このモデルには、間を埋めるためのトークン(FIM)がありません',
    });
  }

  #checked(tokens: Int32Array): Int32Array {
    checkTokens(tokens, this.#engine.info.model.vocabularySize, this.#options.param);
    return tokens;
  }

  #plain(text: string): Promise<Int32Array> {
    if (text === '') return Promise.resolve(new Int32Array());
    return this.#tokenize([{ text, special: false }], false);
  }

  async #tokenize(segments: readonly TextSegment[], addSpecial: boolean): Promise<Int32Array> {
    const { contextTokens } = this.#engine.info;
    const work = tokensWithin(this.#engine, segments, { addSpecial, limit: contextTokens });
    return unlessGone(work, this.#options.signal);
  }
}

type Tokens = Int32Array | readonly number[];

function isToken(token: number | null | undefined): token is number {
  return typeof token === 'number';
}

/** A prompt as text; of a gap what stands before it. */
async function textOf(engine: PromptEngine, prompt: RawPrompt): Promise<string> {
  const shown = typeof prompt === 'string' || prompt instanceof Int32Array ? prompt : prompt.before;
  if (typeof shown === 'string') return shown;
  if (shown.length === 0) return '';
  const bytes = await engine.detokenize(shown);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}
