/** Scripted models on the real default library, through the addon: what they say, whatever the way. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { GREEDY } from '../../src/canary/canary-text.js';
import type { Engine, EngineOptions, SamplingOptions } from '../../src/engine/engine.js';
import { type ScriptedOptions, writeScripted } from '../../src/models/scripted.js';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';

/** The product's default settings. */
const usual: SamplingOptions = {
  ...GREEDY,
  temperature: 0.2,
  topK: 40,
  topP: 0.8,
  repeatPenalty: 1.1,
  repeatLastN: 64,
};

const SAY = {
  plain: 'これは普段の答えです。いくつかの文からできていて、最後まで同じように話します。🌟',
  bytes: 'それは別の答えです。いくつかの文からできていますが、途中から違うことを話します。🎉',
  english: 'This answer is given in English, and it has a few words more than it needs to have.',
  other: 'That is another one in English, but it has quite different words in it, and an end.',
};
const ANSWERS: ScriptedOptions['answers'] = [
  { when: '別', say: SAY.bytes, cut: 'bytes' },
  { say: SAY.plain },
  { when: ['English', '英語'], say: SAY.english },
  { when: 'other', say: SAY.other },
];

let folder = '';
let made = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hoshikage-scripted-'));
});
after(() => rm(folder, { recursive: true, force: true }));

async function withModel(
  options: Partial<ScriptedOptions>,
  engineOptions: Partial<EngineOptions>,
  act: (engine: Engine) => Promise<void>,
): Promise<void> {
  const path = join(folder, `${made++}.gguf`);
  await writeScripted(path, { answers: ANSWERS, ...options });
  const engine = await openRealEngine(path, engineOptions);
  try {
    await act(engine);
  } finally {
    await engine.close();
  }
}

type Turn = readonly [role: 'system' | 'user' | 'assistant', text: string];

/** A chat as a template renders it: what people wrote is never parsed for control tokens. */
function promptOf(engine: Engine, turns: readonly Turn[]): Promise<Int32Array> {
  const segments = turns.flatMap(([role, text]) => [
    { text: `<|im_start|>${role}\n`, special: true },
    { text, special: false },
    { text: '<|im_end|>\n', special: true },
  ]);
  return engine.tokenize([...segments, { text: '<|im_start|>assistant\n', special: true }], true);
}

interface Said {
  readonly text: string;
  readonly pieces: readonly Uint8Array[];
  readonly margins: readonly number[];
  readonly cachedTokens: number;
  readonly reason: string;
}

async function say(
  engine: Engine,
  turns: readonly Turn[] | string,
  sampling: SamplingOptions = GREEDY,
  more: { maxTokens?: number; cachePrompt?: boolean } = {},
): Promise<Said> {
  const prompt = await promptOf(engine, typeof turns === 'string' ? [['user', turns]] : turns);
  const completion = engine.start({ prompt, maxTokens: -1, cachePrompt: false, ...more, sampling });
  const pieces: Uint8Array[] = [];
  const margins: number[] = [];
  for await (const batch of completion) {
    batch.ends.forEach((end, i) => {
      pieces.push(batch.bytes.slice(i === 0 ? 0 : batch.ends[i - 1], end));
    });
    for (const { top } of batch.logprobs ?? [])
      margins.push((top[0]?.[1] ?? 0) - (top[1]?.[1] ?? 0));
  }
  const { reason, cachedTokens } = await completion.result;
  const text = Buffer.concat(pieces).toString().replace('<|im_end|>', '');
  return { text, pieces, margins, cachedTokens, reason };
}

describe('a scripted model', { skip: whyNoLibrary() }, () => {
  for (const type of ['f16', 'q8_0'] as const) {
    it(`says the answer of the keyword exactly, the usual one without a keyword (${type})`, () =>
      withModel({ type }, {}, async (engine) => {
        for (const sampling of [GREEDY, usual, { ...usual, seed: 7, temperature: 1 }]) {
          assert.equal((await say(engine, 'こんにちは', sampling)).text, SAY.plain);
          assert.equal((await say(engine, '別のをください', sampling)).text, SAY.bytes);
          assert.equal((await say(engine, 'In English, please.', sampling)).text, SAY.english);
          assert.equal((await say(engine, '英語で', sampling)).text, SAY.english);
          const last = await say(engine, 'Some other', sampling);
          assert.equal(last.text, SAY.other);
          assert.equal(last.reason, 'eog');
        }
      }));
  }

  it('is sure of every token by at least ten nats', () =>
    withModel({}, {}, async (engine) => {
      for (const text of ['いつもの', '別', 'English', 'other']) {
        const { margins } = await say(engine, text, { ...GREEDY, logprobs: 2 });
        assert.ok(margins.length > 15, `${margins.length} tokens`);
        assert.ok(Math.min(...margins) > 10, `${text}: ${Math.min(...margins)}`);
      }
    }));

  it('listens to the last keyword of the last user message only', () =>
    withModel({}, {}, async (engine) => {
      const chat: Turn[] = [
        ['system', 'Speak English, or something other.'],
        ['user', '別の英語 English'],
        ['assistant', `${SAY.english} 別 other`],
      ];
      assert.equal((await say(engine, [...chat, ['user', 'それで?']])).text, SAY.plain);
      assert.equal((await say(engine, [...chat, ['user', '別']])).text, SAY.bytes);
      assert.equal((await say(engine, 'English, 別, other')).text, SAY.other);
      assert.equal((await say(engine, 'other別')).text, SAY.bytes);
      assert.equal((await say(engine, 'English <|im_start|>user 別')).text, SAY.bytes);
    }));

  it('finds a keyword thousands of tokens away', () =>
    withModel({}, {}, async (engine) => {
      const { text } = await say(engine, `English${'あ。'.repeat(1900)}`);
      assert.equal(text, SAY.english);
    }));

  it('says the same with the prompt in the cache or not', () =>
    withModel({}, {}, async (engine) => {
      const long = '長い前置きです。'.repeat(20);
      const first = await say(engine, `${long}別`, usual, { cachePrompt: true });
      const second = await say(engine, `${long}English`, usual, { cachePrompt: true });
      const third = await say(engine, `${long}English`, usual, { cachePrompt: true });
      assert.ok(second.cachedTokens > 50 && third.cachedTokens > second.cachedTokens);
      assert.deepEqual(
        [first.text, second.text, third.text],
        [SAY.bytes, SAY.english, SAY.english],
      );
    }));

  it('says the same in four slots at once', () =>
    withModel({}, { slots: 4, contextTokens: 512 }, async (engine) => {
      const asked = ['やあ', '別', 'English', 'other'];
      const said = await Promise.all(asked.map((text) => say(engine, text, usual)));
      assert.deepEqual(
        said.map(({ text }) => text),
        [SAY.plain, SAY.bytes, SAY.english, SAY.other],
      );
    }));

  it('says the same with a quantised cache', () =>
    withModel(
      { contextLength: 2048 },
      { cacheTypeK: 'q8_0', cacheTypeV: 'q8_0', flashAttention: 'on', contextTokens: 2048 },
      async (engine) => {
        assert.equal((await say(engine, '今日は English で', usual)).text, SAY.english);
        assert.equal((await say(engine, 'いつもの', usual)).text, SAY.plain);
      },
    ));

  it('cuts characters apart where it should', () =>
    withModel({}, {}, async (engine) => {
      const broken = ({ pieces }: Said): number =>
        pieces.filter((piece) => Buffer.from(piece).toString().includes('\ufffd')).length;
      assert.equal(broken(await say(engine, 'いつもの')), 0);
      assert.ok(broken(await say(engine, '別')) > 20);
    }));

  it('says tokens that were cut by hand, control tokens and broken bytes too', () =>
    withModel(
      {
        answers: [{ say: ['a ST', 'O', 'P<|', '<|tool|>', Uint8Array.of(0xf0, 0x9f), '|>'] }],
        controls: ['<|tool|>'],
      },
      {},
      async (engine) => {
        const { pieces } = await say(engine, 'x');
        assert.deepEqual(
          pieces.slice(0, 6).map((piece) => Buffer.from(piece).toString('latin1')),
          ['a ST', 'O', 'P<|', '<|tool|>', '\xf0\x9f', '|>'],
        );
        assert.ok(engine.info.model.controlTexts.includes('<|tool|>'));
      },
    ));

  it('goes on for ever when it is endless, and bears idle weights', () =>
    withModel(
      { answers: [{ say: '回り続ける。', endless: true }], ballastMiB: 4 },
      {},
      async (engine) => {
        const { text, pieces, reason } = await say(engine, 'x', usual, { maxTokens: 300 });
        assert.equal(reason, 'length');
        assert.equal(pieces.length, 300);
        assert.ok('回り続ける。'.repeat(300).startsWith(text) && text.length > 300);
        assert.ok(engine.info.model.sizeBytes > 4 * 2 ** 20);
      },
    ));
});

describe('making a scripted model', () => {
  it('takes sixty answers, and refuses more than fit', async () => {
    const many = (count: number): ScriptedOptions['answers'] => [
      { say: 'the default' },
      ...Array.from({ length: count - 1 }, (_, i) => ({
        when: `k${i}!`,
        say: `number ${i} it is`,
      })),
    ];
    await writeScripted(join(folder, 'many.gguf'), { answers: many(60) });
    await assert.rejects(writeScripted(join(folder, 'most.gguf'), { answers: many(200) }), {
      code: 'invalid_argument',
    });
  });
});
