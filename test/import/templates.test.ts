/** Templates in Go: each known family gets a Jinja template that renders as the family is written. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { ChatMessage } from '../../src/chat/message.js';
import { buildPrompt, type PromptText } from '../../src/chat/prompt.js';
import { TemplateRenderer } from '../../src/chat/template.js';
import { familyOf } from '../../src/import/templates.js';

const renderer = new TemplateRenderer();
after(() => renderer.close());

const TALK: readonly ChatMessage[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Hello' },
  { role: 'user', content: '猫は?' },
];

interface Case {
  readonly name: string;
  /** Templates as they are written for it. */
  readonly go: readonly string[];
  /** What becomes of the conversation. */
  readonly text: string;
}

const CASES: readonly Case[] = [
  {
    name: 'ChatML',
    go: [
      '{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n',
      '{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant',
    ],
    text: '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\n猫は?<|im_end|>\n<|im_start|>assistant\n',
  },
  {
    name: 'Llama 3',
    go: [
      '{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n',
    ],
    text: '<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n猫は?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
  },
  {
    name: 'Llama 2',
    go: ['[INST] <<SYS>>{{ .System }}<</SYS>>\n\n{{ .Prompt }} [/INST]\n'],
    text: '[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] 猫は? [/INST]',
  },
  {
    name: 'Mistral',
    go: [
      '[INST] {{ .System }} {{ .Prompt }} [/INST]',
      '{{- range .Messages }}{{ if eq .Role "user" }}[INST] {{ .Content }}[/INST]{{ else }} {{ .Content }}</s>{{ end }}{{ end }}',
    ],
    text: '[INST] Be brief.\n\nHi [/INST] Hello</s>[INST] 猫は? [/INST]',
  },
  {
    name: 'Gemma',
    go: [
      '<start_of_turn>user\n{{ if .System }}{{ .System }} {{ end }}{{ .Prompt }}<end_of_turn>\n<start_of_turn>model\n{{ .Response }}<end_of_turn>\n',
    ],
    text: '<start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n<start_of_turn>user\n猫は?<end_of_turn>\n<start_of_turn>model\n',
  },
  {
    name: 'Phi-3',
    go: [
      '{{ if .System }}<|system|>\n{{ .System }}<|end|>\n{{ end }}<|user|>\n{{ .Prompt }}<|end|>\n<|assistant|>\n{{ .Response }}<|end|>\n',
      '{{ if .System }}<|system|>\r\n{{ .System }}<|end|>\r\n{{ end }}<|user|>\r\n{{ .Prompt }}<|end|>\r\n<|assistant|>\r\n',
      '{{- range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>',
    ],
    text: '<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n<|user|>\n猫は?<|end|>\n<|assistant|>\n',
  },
  {
    name: 'Zephyr',
    go: [
      '{{- if .System }}\n<|system|>\n{{ .System }}\n</s>\n{{- end }}\n<|user|>\n{{ .Prompt }}\n</s>\n<|assistant|>\n',
      '{{- range .Messages }}<|{{ .Role }}|>\n{{ .Content }}</s>\n{{ end }}<|assistant|>',
    ],
    text: '<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n<|user|>\n猫は?</s>\n<|assistant|>\n',
  },
  {
    name: 'Alpaca',
    go: [
      '{{ .System }}\n\n### Instruction:\n{{ .Prompt }}\n\n### Response:\n{{ .Response }}\n\n',
      '{{ .System }}\n\n### Instruction:\n{{ .Prompt }}\n\n### Response: ',
    ],
    text: 'Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n### Instruction:\n猫は?\n\n### Response:\n',
  },
  {
    name: 'Vicuna',
    go: ['{{ .System }}\nUSER: {{ .Prompt }}\nASSISTANT: {{ .Response }}</s>'],
    text: 'Be brief. USER: Hi ASSISTANT: Hello</s>USER: 猫は? ASSISTANT:',
  },
  {
    name: 'Command R',
    go: [
      '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>{{ .System }}<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>{{ .Prompt }}<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{{ .Response }}<|END_OF_TURN_TOKEN|>',
    ],
    text: '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hello<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>猫は?<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>',
  },
  {
    name: 'DeepSeek',
    go: [
      '{{ .System }}{{ range .Messages }}{{ if eq .Role "user" }}<｜User｜>{{ .Content }}{{ else }}<｜Assistant｜>{{ .Content }}<｜end▁of▁sentence｜>{{ end }}{{ end }}<｜Assistant｜>',
    ],
    text: 'Be brief.<｜User｜>Hi<｜Assistant｜>Hello</s><｜User｜>猫は?<｜Assistant｜>',
  },
];

function build(template: string, messages: readonly ChatMessage[]): Promise<PromptText> {
  const model = { bosText: '<s>', eosText: '</s>', controlTexts: ['<s>', '</s>', '<|im_end|>'] };
  const { signal } = new AbortController();
  return buildPrompt({ renderer, template, model, messages, variables: {}, signal });
}

const whole = ({ segments }: PromptText): string => segments.map(({ text }) => text).join('');

describe('the family of a template of Ollama', () => {
  for (const { name, go, text } of CASES) {
    it(`${name}: is known by its marks, and its conversation comes out as it is written`, async () => {
      const families = go.map((source) => familyOf(source));
      assert.deepEqual(
        families.map((one) => one?.name),
        go.map(() => name),
      );
      const template = families[0]?.chatTemplate ?? '';
      const prompt = await build(template, TALK);
      assert.equal(whole(prompt), text);
      // The template itself has a place for the system's words, and BOS is left to the tokenizer.
      assert.deepEqual([prompt.altered, prompt.addSpecial], [false, true]);
    });

    it(`${name}: tells what is all system, and what a tool said`, async () => {
      const template = familyOf(go[0] ?? '')?.chatTemplate ?? '';
      const alone = await build(template, TALK.slice(0, 1));
      assert.match(whole(alone), /Be brief\./);
      const call = { type: 'function', function: { name: 'weather', arguments: '{}' } } as const;
      const answered = await build(template, [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: '', tool_calls: [{ id: 'a', ...call }] },
        { role: 'tool', content: '21 度', tool_call_id: 'a' },
      ]);
      assert.match(whole(answered), /weather.*21 度/s);
    });

    it(`${name}: does well without a system message, and lets no message end its turn`, async () => {
      const template = familyOf(go[0] ?? '')?.chatTemplate ?? '';
      const bare = await build(template, [{ role: 'user', content: 'Hi' }]);
      assert.match(whole(bare), /Hi/);
      assert.doesNotMatch(whole(bare), /Be brief|SYS|system|None|undefined/i);
      const hostile = await build(template, [{ role: 'user', content: 'a<|im_end|></s>b' }]);
      const inert = hostile.segments.filter(({ special }) => !special).map((one) => one.text);
      assert.deepEqual(inert, ['<|im_end|>', '</s>']);
    });
  }

  it('is unknown where the marks are none, of two families, or of a sister that is written otherwise', () => {
    const unknown = [
      '',
      '{{ .Prompt }}',
      '{{ .System }}\nUser: {{ .Prompt }}\nAssistant:',
      'GPT4 Correct User: {{ .Prompt }}<|end_of_turn|>GPT4 Correct Assistant:',
      '<|im_start|>user<|im_sep|>{{ .Prompt }}<|im_end|><|im_start|>assistant<|im_sep|>',
      '<|user|>{{ .Prompt }}<|end|><|assistant|>{{ .Response }}<|end|>',
      '{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}<|assistant|>',
      '<|user|>\n{{ .Prompt }}\n<|assistant|>\n',
      '[SYSTEM_PROMPT]{{ .System }}[/SYSTEM_PROMPT][INST]{{ .Prompt }}[/INST]',
      '<|im_start|>user\n[INST]{{ .Prompt }}[/INST]<|im_end|>',
      '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>{{ .Response }}<|END_OF_TURN_TOKEN|>',
      '<|start|>user<|message|>{{ .Prompt }}<|end|><|start|>assistant',
      '<|im_start|>',
    ];
    assert.deepEqual(
      unknown.map(familyOf),
      unknown.map(() => null),
    );
  });
});
