/** What a prompt's end says of the reasoning that may follow. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import { hear } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

const of = (name: string) => dialectOf(TEMPLATES[name] ?? '');

describe('What a prompt says of reasoning', () => {
  for (const [name, prompt, thinking] of [
    ['hermes', 'user: hi\nassistant:\n<think>\n', 'open'],
    ['hermes', 'user: hi\nassistant:\n', 'possible'],
    ['hermes', 'user: hi\nassistant:\n<think>\n\n</think>\n\n', 'none'],
    ['hermes', 'user: what is <think>?\nassistant:\n', 'possible'],
    ['glm', '<|assistant|></think>', 'none'],
    ['mistral', '[INST]hi[/INST]', 'possible'],
    ['mistral-array', '[INST]hi <think>', 'none'],
    ['gemma', '<|turn>model\n', 'possible'],
    ['gemma', '<|turn>model\n<|channel>thought\n<channel|>', 'none'],
    ['command-r', '<|CHATBOT_TOKEN|><|START_THINKING|>', 'open'],
    ['command-r', '<|CHATBOT_TOKEN|><|START_RESPONSE|>', 'none'],
    ['harmony', '<|start|>user<|message|>hi<|end|><|start|>assistant', 'possible'],
    ['harmony', '<|start|>assistant<|channel|>analysis<|message|>', 'open'],
    ['harmony', '<|start|>assistant<|channel|>final<|message|>', 'none'],
    ['solar', '<|end|><|begin|>assistant', 'possible'],
    ['solar', '<|begin|>assistant<|think|>', 'open'],
    ['solar', '<|begin|>assistant<|content|>', 'none'],
    ['plain', '<|assistant|><think>', 'none'],
  ] as const) {
    test(`${name}, after ${JSON.stringify(prompt)}: ${thinking}`, () => {
      assert.equal(of(name).thinkingAfter(prompt), thinking);
    });
  }
});

describe('The end of reasoning', () => {
  for (const name of Object.keys(TEMPLATES)) {
    const dialect = of(name);
    if (dialect.endOfReasoning === '') continue;
    test(`${name}: its text ends reasoning, and what comes then is the answer`, () => {
      const heard = hear(dialect, `Hm${dialect.endOfReasoning}Yes`, { thinking: 'open' });
      assert.deepEqual([heard.reasoning, heard.content], ['Hm', 'Yes']);
    });
  }

  test('a family without reasoning has none', () => {
    assert.equal(of('llama').endOfReasoning, '');
  });
});

describe('Marks of reasoning', () => {
  for (const [marks, answer] of [
    [['<thinking>', '</thinking>'], '<thinking>a</thinking>\nb'],
    [['<thought>', '</thought>'], '<thought>a</thought>b'],
    [['<reasoning>', '</reasoning>'], '<reasoning>a\n</reasoning>\n\nb'],
    [['<think>', '</think>', '<response>'], '<think>a</think>\n<response>b</response>\n'],
    [['[THINK]', '[/THINK]'], '[THINK]a[/THINK]b'],
    [
      ['<|START_THINKING|>', '<|END_THINKING|>'],
      '<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b',
    ],
    [['</think>'], '<think>a</think>b'],
  ] as const) {
    test(`${marks[0]} is known`, () => {
      const heard = hear(dialectOf(marks.join(' ')), answer, { thinking: 'possible' });
      assert.deepEqual([heard.reasoning, heard.content], ['a', 'b']);
    });
  }

  test('the end of reasoning alone, where it might begin, is none', () => {
    const heard = hear(of('hermes'), '</think>\n\nb', { thinking: 'possible' });
    assert.deepEqual([heard.reasoning, heard.content], ['', 'b']);
  });

  test('what ends an answer counts at its very end only', () => {
    const dialect = dialectOf('<think> </think> <response>');
    const heard = hear(dialect, '<response>a</response> b</response>', { tools: [] });
    assert.equal(heard.content, 'a</response> b');
  });

  test('what opens reasoning does not count within an answer that has none', () => {
    const text = 'b <think>a</think>';
    assert.equal(hear(of('hermes'), text, { thinking: 'none' }).content, text);
  });
});
