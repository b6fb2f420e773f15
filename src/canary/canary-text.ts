/**
 * What a libllama must say exactly: the canary's scripted model, and the checks that show in its text.
 * A scripted model says the right token by a wide margin on any device, and another text as soon as
 * the cache of its context is wrong.
 * Any process that holds an Engine. It must never know how the engine came to be.
 */
import type {
  CompletionRequest,
  CompletionResult,
  Engine,
  EngineCompletion,
  SamplingOptions,
} from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import { OP, PROGRAM_VERSION } from '../grammar/program.js';
import { writeScripted } from '../models/scripted.js';
import { quote, type Seen } from './canary-report.js';

/** The answers by the keyword that asks for them. */
export const CANARY_SAYS = {
  greeting: {
    keyword: 'こんばんは',
    text: '星影の試し鳴きです。🌟 この文が一字も違わずに読めたなら、言葉を作る道すじは正しく動いています。',
  },
  order: {
    keyword: '順番',
    text: '一つ目は東、二つ目は南、三つ目は西、四つ目は北。これで一回りです。',
  },
  english: {
    keyword: 'English',
    text: 'The quick canary sings its song, byte by byte and token by token, with a 🐤 at the end.',
  },
  endless: {
    keyword: '延々',
    text: 'そして話は続きます、どこまでも、いつまでも、終わることなく、',
  },
} as const;

type Topic = keyof typeof CANARY_SAYS;

/** Text without a keyword, to put between a keyword and the end of a message. */
const FILLER = '今日は雨、明日は晴れ。山の上に雲があり、川の下に石がある。';

/** Plain greedy decoding. */
export const GREEDY: SamplingOptions = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  seed: 1,
  repeatPenalty: 1,
  repeatLastN: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  ignoreEos: false,
};

/** Writes the scripted model. File system errors come as they are. */
export function writeCanaryScript(path: string): Promise<void> {
  const { greeting, order, english, endless } = CANARY_SAYS;
  return writeScripted(path, {
    name: 'canary',
    contextLength: 8192,
    answers: [
      { say: greeting.text, cut: 'bytes' },
      { when: order.keyword, say: order.text },
      { when: english.keyword, say: english.text, cut: 'bytes' },
      { when: endless.keyword, say: endless.text, endless: true },
    ],
  });
}

/** Exact texts: alone, with the deciding word far back, and two at once. */
export async function checkText(engine: Engine): Promise<Seen> {
  await expectAnswer(engine, 'greeting');
  await expectAnswer(engine, 'english');
  await expectAnswer(engine, 'order', 8);
  await Promise.all([expectAnswer(engine, 'english', 4), expectAnswer(engine, 'greeting', 4)]);
  return {
    en: '5 answers exact, two of them at once',
    ja: '5 つの答えが一字一句同じ(うち 2 つは同時)',
  };
}

/** A grammar forces what the model would not say, and a broken one is refused. */
export async function checkGrammar(engine: Engine): Promise<Seen> {
  const prompt = await ask(engine, 'greeting');
  const grammar = forcedText();
  const forced = await read(engine.start(request(prompt, { grammar })));
  if (!/^いいえ、[0-9]{3}。$/.test(forced.text) || forced.result.reason !== 'eog') {
    throw new Error(`a grammar was not kept to: ${quote(forced.text)} (${forced.result.reason})`);
  }
  await expectRefusal(engine, prompt, grammar.subarray(0, -1));
  await expectAnswer(engine, 'greeting');
  return {
    en: `forced ${forced.text}, a broken grammar refused`,
    ja: `「${forced.text}」だけを言わせ、壊れた文法は断った`,
  };
}

/** `いいえ、`, three digits, `。` as a program: one rule with one alternative. */
function forcedText(): Int32Array {
  const text = (value: string): number[] =>
    Array.from(value, (character) => character.codePointAt(0) ?? 0).flatMap((c) => [OP.CHAR, c]);
  const digit = [OP.CLASS, 1, 0x30, 0x39];
  const rule = [1, 5];
  const parts = [...text('いいえ、'), ...digit, ...digit, ...digit, ...text('。'), OP.END];
  return Int32Array.from([PROGRAM_VERSION, 1, 3, ...rule, ...parts]);
}

async function expectRefusal(
  engine: Engine,
  prompt: Int32Array,
  grammar: Int32Array,
): Promise<void> {
  try {
    const said = await read(engine.start(request(prompt, { grammar })));
    throw new Error(`a broken grammar was ignored: ${quote(said.text)}`);
  } catch (error) {
    if (!(error instanceof HoshikageError) || error.code !== 'grammar_invalid') throw error;
  }
}

/** Cancelled while it talks and while it reads; both slots serve afterwards. */
export async function checkCancel(engine: Engine, signal: AbortSignal): Promise<Seen> {
  const talking = engine.start(request(await ask(engine, 'endless')));
  for await (const batch of talking) {
    if (batch.tokens.length > 0) talking.cancel();
  }
  expectCancelled((await talking.result).reason, 'while it talked');
  const reading = engine.start(request(await ask(engine, 'endless', 120)));
  const state = await untilBusy(engine, signal);
  reading.cancel();
  const { reason, promptTokens } = await reading.result;
  expectCancelled(reason, `at a prompt of ${promptTokens} tokens`);
  await Promise.all([expectAnswer(engine, 'order'), expectAnswer(engine, 'english')]);
  return {
    en: `ended while it talked, and in ${state} of ${promptTokens} prompt tokens`,
    ja: `話している途中と、${promptTokens} トークンを読んでいる途中で止まった`,
  };
}

function expectCancelled(reason: string, when: string): void {
  if (reason !== 'cancelled') throw new Error(`cancelled ${when}, it ended as ${reason}`);
}

/** Waits until a slot works on something; says on what. */
async function untilBusy(engine: Engine, signal: AbortSignal): Promise<string> {
  for (;;) {
    const busy = (await engine.slots()).find(({ state }) => state !== 'idle');
    if (busy) return busy.state;
    if (signal.aborted) throw signal.reason;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A conversation saved, overwritten, restored and continued says the rest of its answer. */
export async function checkState(engine: Engine, path: string): Promise<Seen> {
  const prompt = await ask(engine, 'order', 8);
  const begun = await read(engine.start({ ...request(prompt), maxTokens: 4 }));
  const saved = await engine.saveState(begun.result.slot, path);
  if (!saved) throw new Error('the state of an idle slot could not be saved');
  await Promise.all([expectAnswer(engine, 'english', 4), expectAnswer(engine, 'greeting', 4)]);
  const restored = await engine.restoreState(path);
  if (!restored) throw new Error('the saved state could not be restored');
  if (!sameTokens(restored.tokens, saved.tokens)) throw new Error('other tokens were restored');
  const whole = Int32Array.from([...prompt, ...begun.tokens]);
  const rest = await read(engine.start(request(whole)));
  expectSaid('order', begun.text + rest.text, rest.result);
  const { cachedTokens } = rest.result;
  if (cachedTokens < saved.tokens.length - 1) {
    throw new Error(`of ${saved.tokens.length} restored tokens only ${cachedTokens} were used`);
  }
  return {
    en: `${cachedTokens} tokens in ${saved.bytes} bytes, continued exactly`,
    ja: `${cachedTokens} トークン(${saved.bytes} バイト)を戻し、続きが一字一句同じ`,
  };
}

function sameTokens(one: Int32Array, other: Int32Array): boolean {
  return one.length === other.length && one.every((token, i) => token === other[i]);
}

/** Tokens of a question about `topic`, whose keyword is followed by `fillers` idle sentences. */
function ask(engine: Engine, topic: Topic, fillers = 0): Promise<Int32Array> {
  const { keyword } = CANARY_SAYS[topic];
  const question = `${keyword}。${FILLER.repeat(fillers)}`;
  const text = `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`;
  return engine.tokenize([{ text, special: true }], true);
}

async function expectAnswer(engine: Engine, topic: Topic, fillers = 0): Promise<void> {
  const { text, result } = await read(engine.start(request(await ask(engine, topic, fillers))));
  expectSaid(topic, text, result);
}

function expectSaid(topic: Topic, text: string, { reason }: CompletionResult): void {
  const wanted = CANARY_SAYS[topic].text;
  if (text === wanted && reason === 'eog') return;
  throw new Error(`it said ${quote(text)} (${reason}) instead of ${quote(wanted)}`);
}

function request(prompt: Int32Array, changes: Partial<SamplingOptions> = {}): CompletionRequest {
  return { prompt, maxTokens: -1, cachePrompt: true, sampling: { ...GREEDY, ...changes } };
}

/** A completion to its end: its tokens, and its text without control tokens. */
async function read(completion: EngineCompletion): Promise<{
  readonly text: string;
  readonly tokens: readonly number[];
  readonly result: CompletionResult;
}> {
  const bytes: Uint8Array[] = [];
  const tokens: number[] = [];
  for await (const batch of completion) {
    tokens.push(...batch.tokens);
    for (const [index, end] of batch.ends.entries()) {
      const start = index === 0 ? 0 : (batch.ends[index - 1] ?? 0);
      if (batch.flags[index] === 0) bytes.push(batch.bytes.subarray(start, end));
    }
  }
  return { text: Buffer.concat(bytes).toString('utf8'), tokens, result: await completion.result };
}
