/** The same greedy text, byte for byte, whatever runs beside it and whatever was asked before. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { copyOf, TEXT, talker } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { chat, chatBody, streamChat } from '../helpers/wire.js';

/** What each question is answered; the long ones share their beginnings, so that a cache is reused. */
const QUESTIONS: readonly (readonly [question: string, answer: string])[] = [
  ['こんにちは', TEXT.greeting],
  ['設定を教えてください', TEXT.settings],
  ['Say it in English', TEXT.english],
  [`${'前置きです。'.repeat(40)}設定は?`, TEXT.settings],
  [`${'前置きです。'.repeat(40)}English?`, TEXT.english],
  [`${'前置きです。'.repeat(40)}では?`, TEXT.greeting],
];

interface Setting {
  readonly slots: number;
  readonly guessing?: 'lookup' | 'draft model';
}
const SETTINGS: readonly Setting[] = [
  { slots: 1 },
  { slots: 4 },
  { slots: 2, guessing: 'lookup' },
  { slots: 2, guessing: 'draft model' },
];

for (const { slots, guessing } of SETTINGS) {
  const ahead = guessing ? `, tokens guessed ahead by ${guessing}` : '';
  describe(`With ${slots} slot${slots > 1 ? 's' : ''}${ahead}, greedy text`, () => {
    const owner = suiteOwner();
    let server: TestServer;

    before(async () => {
      const home = makeHome(owner);
      home.writeMap({ talker: await talker() });
      const env = {
        ...{ N_SLOTS: String(slots), N_CTX: '1024', N_BATCH: '64' },
        ...(guessing === 'lookup' && { SPECULATION: 'lookup' }),
        ...(guessing === 'draft model' && { DRAFT_MODEL: await copyOf(talker) }),
      };
      server = await startServer(owner, { home, env });
    });

    for (const reuse of [true, false]) {
      const body = (question: string) =>
        chatBody('talker', question, { temperature: 0, cache_prompt: reuse });
      const how = reuse ? 'with the prefix reused' : 'computed anew';

      test(`is what the model was made to say, one request after the other, ${how}`, async () => {
        let cached = 0;
        for (const [question, answer] of [...QUESTIONS, ...QUESTIONS]) {
          const whole = await chat(server, body(question));
          assert.equal(whole.body.choices[0]?.message.content, answer);
          cached += whole.body.usage.prompt_tokens_details?.cached_tokens ?? 0;
          assert.equal((await streamChat(server, body(question))).text, answer);
        }
        if (reuse) assert.ok(cached > 100, `${cached} tokens reused`);
        else assert.equal(cached, 0);
      });

      test(`is the same when eight requests run at once, ${how}`, async () => {
        const rounds = Array.from({ length: 3 }, () => QUESTIONS).flat();
        const next = rounds.entries();
        const client = async (streams: boolean): Promise<void> => {
          for (const [, [question, answer]] of next) {
            const text = streams
              ? (await streamChat(server, body(question))).text
              : (await chat(server, body(question))).body.choices[0]?.message.content;
            assert.equal(text, answer);
          }
        };
        await Promise.all(Array.from({ length: 8 }, (_, i) => client(i % 2 === 0)));
      });
    }
  });
}
