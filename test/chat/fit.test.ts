/** Prompts that are too long: refused, or without their oldest turns. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { fitPrompt, turnsOf } from '../../src/chat/fit.js';
import type { ChatMessage } from '../../src/chat/message.js';
import { CHATML } from '../../src/chat/prompt.js';
import { TemplateRenderer } from '../../src/chat/template.js';
import type { HoshikageError } from '../../src/errors.js';
import { FakeEngine } from '../helpers/fake-engine.js';

const renderer = new TemplateRenderer();
after(() => renderer.close());

const say = (role: ChatMessage['role'], content: string): ChatMessage => ({ role, content });
const talk = [
  say('system', 'S'),
  say('user', 'first '.repeat(10)),
  say('assistant', 'answer one'),
  say('user', 'second'),
  say('assistant', 'answer two'),
  say('user', 'third'),
];

async function fit(
  messages: readonly ChatMessage[],
  more: { contextTokens: number; truncates?: boolean; answerTokens?: number },
) {
  const engine = new FakeEngine({ contextTokens: more.contextTokens });
  const { signal } = new AbortController();
  const { model } = engine.info;
  const request = { renderer, template: CHATML, model, messages, variables: {}, signal };
  const { truncates = false, answerTokens } = more;
  const options = { engine, truncates, answerTokens, after: () => '' };
  const fitting = await fitPrompt(request, options);
  const text = fitting.text.segments.map((segment) => segment.text).join('');
  return { ...fitting, said: text };
}

describe('A prompt', () => {
  test('that fits is left as it is', async () => {
    const { tokens, truncatedTokens } = await fit(talk, { contextTokens: 4096, truncates: true });
    assert.equal(truncatedTokens, 0);
    assert.equal((await fit(talk, { contextTokens: tokens.length + 1 })).truncatedTokens, 0);
  });

  test('that does not fit is refused with its numbers, unless turns may be left out', async () => {
    const { tokens } = await fit(talk, { contextTokens: 4096 });
    await assert.rejects(fit(talk, { contextTokens: tokens.length }), (error: HoshikageError) => {
      assert.equal(error.code, 'context_length_exceeded');
      assert.deepEqual(
        [error.details.n_prompt_tokens, error.details.n_ctx],
        [tokens.length, tokens.length],
      );
      return true;
    });
  });

  test('loses its oldest turns whole, as few as will do, and never the system message', async () => {
    const { tokens: whole } = await fit(talk, { contextTokens: 4096 });
    const { said, tokens, truncatedTokens } = await fit(talk, {
      ...{ contextTokens: whole.length - 10, truncates: true, answerTokens: 4 },
    });
    assert.ok(said.includes('system\nS') && said.includes('second') && said.includes('third'));
    assert.ok(!said.includes('first') && !said.includes('answer one'));
    assert.equal(truncatedTokens, whole.length - tokens.length);
  });

  test('makes room for the answer that was asked for', async () => {
    const { tokens: whole } = await fit(talk, { contextTokens: 4096 });
    const contextTokens = whole.length + 5;
    const asked = { contextTokens, truncates: true, answerTokens: 20 };
    const { tokens, truncatedTokens } = await fit(talk, asked);
    assert.ok(truncatedTokens > 0);
    assert.ok(tokens.length + 20 <= contextTokens);
  });

  test('is refused where the last turn alone is too long', async () => {
    const long = [...talk.slice(0, -1), say('user', 'x'.repeat(300))];
    const refused = fit(long, { contextTokens: 200, truncates: true });
    await assert.rejects(refused, { code: 'context_length_exceeded' });
  });
});

test('a turn is what a user says with all that follows, tools included', () => {
  const roles = ['system', 'user', 'user', 'assistant', 'tool', 'assistant', 'user', 'developer'];
  const messages = roles.map((role) => say(role as ChatMessage['role'], ''));
  assert.deepEqual(turnsOf(messages), [[1, 2, 3, 4, 5], [6]]);
});
