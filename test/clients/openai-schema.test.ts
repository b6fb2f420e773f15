/** The `openai` library, unmodified, asking for answers of a form: schemas through zod, JSON, thoughts. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { LengthFinishReasonError } from 'openai/error';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { suiteOwner } from '../helpers/owner.js';
import { CITY, cityFormat, MODEL, serveModels, THOUGHT } from './models.js';

const user = (content: string) => [{ role: 'user' as const, content }];
const greeting = { model: MODEL.assistant, messages: user('こんにちは'), temperature: 0 };

describe('The openai library, asking for a form', () => {
  const owner = suiteOwner();
  let client: OpenAI;

  before(async () => {
    const { url } = await serveModels(owner, ['assistant', 'thinker', 'noise']);
    client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  });

  test('parses what the model says in its form', async () => {
    const completion = await client.chat.completions.parse({
      ...{ ...greeting, messages: user('書式') },
      response_format: zodResponseFormat(cityFormat, 'city'),
    });
    assert.deepEqual(completion.choices[0]?.message.parsed, CITY);
    assert.equal(completion.choices[0]?.finish_reason, 'stop');
  });

  test('parses what noise is forced to say, whole and streamed alike', async () => {
    const asked = {
      ...{ ...greeting, model: MODEL.noise, max_tokens: 400 },
      response_format: zodResponseFormat(cityFormat, 'city'),
    };
    const whole = await client.chat.completions.parse(asked);
    assert.equal(whole.choices[0]?.finish_reason, 'stop');
    assert.deepEqual(
      cityFormat.parse(whole.choices[0]?.message.parsed),
      whole.choices[0]?.message.parsed,
    );
    const stream = client.chat.completions.stream(asked);
    const streamed = await stream.finalChatCompletion();
    assert.deepEqual(streamed.choices[0]?.message.parsed, whole.choices[0]?.message.parsed);
  });

  test('gets nested, optional and recursive forms', async () => {
    const Node: z.ZodType = z.object({
      kind: z.enum(['枝', '葉']),
      size: z.nullable(z.int().min(0).max(9)),
      get next() {
        return z.array(Node).max(1);
      },
    });
    const Tree = z.object({ root: Node, tall: z.union([z.boolean(), z.literal('?')]) });
    // By chance: the likeliest branch may be the deeper one for ever, and so may any other once.
    let finished = 0;
    for (let seed = 0; seed < 8 && finished === 0; seed++) {
      const asked = { ...greeting, model: MODEL.noise, max_tokens: 1000, seed };
      const format = zodResponseFormat(Tree, 'tree');
      const completion = await client.chat.completions
        .parse({ ...asked, temperature: 2, top_p: 1, response_format: format })
        .catch((error: unknown) => {
          if (error instanceof LengthFinishReasonError) return null;
          throw error;
        });
      if (!completion) continue;
      assert.equal(completion.choices[0]?.finish_reason, 'stop');
      assert.ok(Tree.safeParse(completion.choices[0]?.message.parsed).success);
      finished += 1;
    }
    assert.equal(finished, 1);
  });

  test('knows an answer that was cut off', async () => {
    const asking = client.chat.completions.parse({
      ...{ ...greeting, model: MODEL.noise, max_tokens: 3 },
      response_format: zodResponseFormat(cityFormat, 'city'),
    });
    await assert.rejects(asking, LengthFinishReasonError);
  });

  test('of any object gets one', async () => {
    const { choices } = await client.chat.completions.create({
      ...{ ...greeting, messages: user('書式') },
      response_format: { type: 'json_object' },
    });
    assert.deepEqual(JSON.parse(choices[0]?.message.content ?? ''), CITY);
  });

  test('that no grammar can hold is told where it lies', async () => {
    const schema = { type: 'object', properties: { a: { not: { type: 'string' } } } };
    const asking = client.chat.completions.create({
      ...greeting,
      response_format: { type: 'json_schema', json_schema: { name: 'odd', schema } },
    });
    await assert.rejects(asking, (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.code, 'schema_unsupported');
      assert.match(error.param ?? '', /^response_format/);
      assert.match(error.message, /\/properties\/a\/not/);
      return true;
    });
  });

  test('keeps the thoughts of a model apart from its answer', async () => {
    const asked = { model: MODEL.thinker, messages: user('6×7は?'), temperature: 0 };
    const { choices, usage } = await client.chat.completions.create(asked);
    // OpenAI's types have no name for it.
    const message = choices[0]?.message as { content: string | null; reasoning_content?: string };
    assert.equal(message.content?.trim(), THOUGHT.answer);
    assert.equal(message.reasoning_content?.trim(), THOUGHT.reasoning);
    assert.ok((usage?.completion_tokens_details?.reasoning_tokens ?? 0) > 0);
    const said = { content: '', reasoning_content: '' };
    const stream = await client.chat.completions.create({ ...asked, stream: true });
    for await (const chunk of stream) {
      const delta = (chunk.choices[0]?.delta ?? {}) as Partial<typeof said>;
      said.content += delta.content ?? '';
      said.reasoning_content += delta.reasoning_content ?? '';
    }
    assert.deepEqual(said, {
      content: message.content,
      reasoning_content: message.reasoning_content,
    });
  });
});
