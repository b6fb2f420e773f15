import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HoshikageError } from '../../../src/errors.js';
import { parseChat } from '../../../src/http/schema/chat.js';
import { CHAT_FIELDS } from '../../../src/http/schema/fields.js';

const messages = [{ role: 'user', content: 'Hi' }];
const body = (more: object = {}) => ({ model: 'm', messages, ...more });

const tool = (name: string) => ({ type: 'function', function: { name } });

/** The error a body gives, as `code param`, and its words. */
function refusal(
  sent: unknown,
  strict = false,
): { what: string; words: string; error: HoshikageError } {
  try {
    parseChat(sent, strict);
  } catch (error) {
    assert.ok(error instanceof HoshikageError, String(error));
    return { what: `${error.code} ${error.details.param}`, words: error.message, error };
  }
  return assert.fail(`was accepted: ${JSON.stringify(sent)}`);
}

describe('chat body: what is honoured', () => {
  it('becomes a request in our own names', () => {
    const { request, stream, includeUsage } = parseChat(
      body({
        stream: true,
        stream_options: { include_usage: true },
        max_tokens: 5,
        temperature: 0,
        top_p: 1,
        top_k: 0,
        min_p: 0.1,
        seed: 7,
        stop: 'END',
        presence_penalty: -2,
        frequency_penalty: 2,
        repeat_penalty: 1,
        repeat_last_n: -1,
        dry_multiplier: 0.8,
        dry_base: 2,
        dry_allowed_length: 3,
        dry_penalty_last_n: 64,
        dry_sequence_breakers: ['\n', '。'],
        logit_bias: { '12': -100 },
        ignore_eos: true,
        typical_p: 0.9,
        top_n_sigma: -1,
        xtc_probability: 0.5,
        xtc_threshold: 0.2,
        mirostat: 2,
        mirostat_tau: 4,
        mirostat_eta: 0.2,
        dynatemp_range: 0.5,
        dynatemp_exponent: 2,
        samplers: ['top_k', 'typ_p', 'temperature'],
        cache_prompt: false,
        n: 2,
        logprobs: true,
        top_logprobs: 3,
        response_format: {
          type: 'json_schema',
          json_schema: { name: 'x', schema: { type: 'null' } },
        },
        tools: [{ type: 'function', function: { name: 'f', strict: true } }],
        tool_choice: 'required',
        parallel_tool_calls: false,
        truncation: 'auto',
        reasoning_budget: 9,
        reasoning_effort: 'low',
        chat_template_kwargs: { enable_thinking: false },
      }),
      false,
    );
    assert.deepEqual(request, {
      model: 'm',
      messages,
      maxTokens: 5,
      stop: ['END'],
      cachePrompt: false,
      choices: 2,
      topLogprobs: 3,
      form: { kind: 'json_schema', schema: { type: 'null' } },
      tools: [{ name: 'f', description: null, parameters: null, strict: true }],
      toolChoice: { kind: 'required' },
      parallelToolCalls: false,
      truncates: true,
      reasoningBudget: 9,
      templateVariables: { reasoning_effort: 'low', enable_thinking: false },
      sampling: {
        temperature: 0,
        topP: 1,
        topK: 0,
        minP: 0.1,
        seed: 7,
        presencePenalty: -2,
        frequencyPenalty: 2,
        repeatPenalty: 1,
        repeatLastN: -1,
        dryMultiplier: 0.8,
        dryBase: 2,
        dryAllowedLength: 3,
        dryPenaltyLastN: 64,
        drySequenceBreakers: ['\n', '。'],
        logitBias: [[12, -100]],
        ignoreEos: true,
        typicalP: 0.9,
        topNSigma: 0,
        xtcProbability: 0.5,
        xtcThreshold: 0.2,
        mirostat: 2,
        mirostatTau: 4,
        mirostatEta: 0.2,
        dynatempRange: 0.5,
        dynatempExponent: 2,
        samplers: ['top_k', 'typical_p', 'temperature'],
      },
    });
    assert.deepEqual([stream, includeUsage], [true, true]);
  });

  it('null means the default, for every field but model and messages', () => {
    const fields = Object.keys(CHAT_FIELDS).filter((key) => key !== 'model' && key !== 'messages');
    const nulls = Object.fromEntries(fields.map((key) => [key, null]));
    const { request, ignored } = parseChat(body(nulls), true);
    assert.deepEqual(request, parseChat(body(), true).request);
    assert.deepEqual(ignored, []);
  });

  it('content may be a string, null, or text parts, which are joined by a line break', () => {
    const parts = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ];
    const { request } = parseChat(
      body({
        messages: [
          { role: 'user', content: parts },
          { role: 'assistant', content: null },
          { role: 'assistant' },
        ],
      }),
      false,
    );
    assert.deepEqual(
      request.messages.map(({ content }) => content),
      ['a\nb', '', ''],
    );
  });

  it('a call of the history may come without arguments', () => {
    const call = (text: string | null) => ({ function: { name: 'f', arguments: text } });
    const history = [{ role: 'assistant', tool_calls: [call(''), call(' '), call(null)] }];
    const { request } = parseChat(body({ messages: history }), false);
    const texts = request.messages[0]?.tool_calls?.map((one) => one.function.arguments);
    assert.deepEqual(texts, ['{}', '{}', '{}']);
  });

  it('the history may hold tool calls and their answers', () => {
    const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } };
    const history = [
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c1', content: '3' },
    ];
    const { request } = parseChat(body({ messages: history }), true);
    assert.deepEqual(request.messages, [
      { role: 'assistant', content: '', tool_calls: [call] },
      { role: 'tool', content: '3', tool_call_id: 'c1' },
    ]);
  });

  it('equal max_tokens and max_completion_tokens are one limit', () => {
    const both = body({ max_tokens: 3, max_completion_tokens: 3 });
    assert.equal(parseChat(both, false).request.maxTokens, 3);
  });
});

describe('chat body: what is refused, by the name of the field', () => {
  const cases: readonly (readonly [string, unknown])[] = [
    ['missing_required_parameter model', { messages }],
    ['missing_required_parameter messages', { model: 'm' }],
    ['invalid_value body', []],
    ['invalid_value body', 'text'],
    ['invalid_value model', { model: 5, messages }],
    ['invalid_value model', { model: null, messages }],
    ['invalid_value model', { model: 'm'.repeat(1025), messages }],
    ['invalid_value messages', body({ messages: [] })],
    ['invalid_value messages', body({ messages: 'Hi' })],
    ['missing_required_parameter messages[0].role', body({ messages: [{ content: 'a' }] })],
    ['invalid_value messages[0].role', body({ messages: [{ role: 'king', content: 'a' }] })],
    ['invalid_value messages[0].content', body({ messages: [{ role: 'user', content: 5 }] })],
    [
      'missing_required_parameter messages[0].content[0].text',
      body({ messages: [{ role: 'user', content: [{ type: 'text' }] }] }),
    ],
    [
      'unsupported_parameter messages[1].content[0]',
      body({ messages: [...messages, { role: 'user', content: [{ type: 'image_url' }] }] }),
    ],
    [
      'missing_required_parameter messages[0].tool_calls[0].function',
      body({ messages: [{ role: 'assistant', tool_calls: [{ id: 'x' }] }] }),
    ],
    ['invalid_value temperature', body({ temperature: 2.1 })],
    ['invalid_value temperature', body({ temperature: -0.1 })],
    ['invalid_value temperature', body({ temperature: '0' })],
    ['invalid_value top_p', body({ top_p: 1.01 })],
    ['invalid_value top_k', body({ top_k: -1 })],
    ['invalid_value min_p', body({ min_p: 2 })],
    ['invalid_value seed', body({ seed: 1.5 })],
    ['invalid_value max_tokens', body({ max_tokens: 0 })],
    ['invalid_value max_completion_tokens', body({ max_completion_tokens: 1.5 })],
    ['invalid_value max_completion_tokens', body({ max_tokens: 1, max_completion_tokens: 2 })],
    ['invalid_value presence_penalty', body({ presence_penalty: 3 })],
    ['invalid_value repeat_penalty', body({ repeat_penalty: 0 })],
    ['invalid_value repeat_last_n', body({ repeat_last_n: -2 })],
    ['invalid_value dry_multiplier', body({ dry_multiplier: -1 })],
    ['invalid_value dry_base', body({ dry_base: 0.9 })],
    ['invalid_value dry_allowed_length', body({ dry_allowed_length: 1.5 })],
    ['invalid_value dry_penalty_last_n', body({ dry_penalty_last_n: -2 })],
    ['invalid_value dry_sequence_breakers', body({ dry_sequence_breakers: '\n' })],
    ['invalid_value dry_sequence_breakers[1]', body({ dry_sequence_breakers: ['a', ''] })],
    ['invalid_value stop', body({ stop: '' })],
    ['invalid_value stop[1]', body({ stop: ['a', ''] })],
    ['invalid_value stop[0]', body({ stop: ['星'.repeat(86)] })],
    ['invalid_value stop', body({ stop: Array.from({ length: 17 }, (_, i) => `s${i}`) })],
    ['invalid_value stop', body({ stop: 5 })],
    ['invalid_value stop', body({ stop: '\ud83c' })],
    ['invalid_value logit_bias', body({ logit_bias: { a: 1 } })],
    ['invalid_value logit_bias.1', body({ logit_bias: { '1': 101 } })],
    ['invalid_value logit_bias', body({ logit_bias: [] })],
    [
      'invalid_value logit_bias',
      body({ logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, 1])) }),
    ],
    ['invalid_value stream', body({ stream: 'yes' })],
    ['invalid_value stream_options', body({ stream_options: { include_usage: true } })],
    ['invalid_value chat_template_kwargs', body({ chat_template_kwargs: { messages: [] } })],
  ];
  for (const [what, sent] of cases) {
    it(`${JSON.stringify(sent).slice(0, 70)}: ${what}`, () =>
      assert.equal(refusal(sent).what, what));
  }

  it('by its first bad item, without a look at the rest, of which there may be millions', () => {
    const notLookedAt = (key: string) => ({
      get [key](): never {
        throw new Error('was looked at');
      },
    });
    const user = { role: 'user' };
    assert.equal(
      refusal(body({ messages: [{}, notLookedAt('role')] })).what,
      'missing_required_parameter messages[0].role',
    );
    assert.equal(
      refusal(body({ messages: [{ ...user, content: [{ type: 'text' }, notLookedAt('text')] }] }))
        .what,
      'missing_required_parameter messages[0].content[0].text',
    );
    assert.equal(
      refusal(body({ messages: [{ ...user, tool_calls: [{}, notLookedAt('function')] }] })).what,
      'missing_required_parameter messages[0].tool_calls[0].function',
    );
    assert.equal(
      refusal(body({ stop: Array.from({ length: 17 }, () => 5) })).what,
      'invalid_value stop',
    );
    const biases = Object.fromEntries(Array.from({ length: 1025 }, (_, token) => [token, 'x']));
    assert.equal(refusal(body({ logit_bias: biases })).what, 'invalid_value logit_bias');
  });

  it('with the reason in both languages, and without the value', () => {
    const { error } = refusal(body({ temperature: 2.1 }));
    assert.equal(error.details.reason, 'must be at most 2');
    assert.equal(error.details.reason_ja, '2 以下にしてください');
    assert.ok(!refusal(body({ stop: ['', 'secret'] })).words.includes('secret'));
  });
});

describe('chat body: what is not there yet', () => {
  const refused: Readonly<Record<string, unknown>> = {
    audio: { voice: 'x' },
    modalities: ['text', 'audio'],
    functions: [{}],
    function_call: { name: 'f' },
    web_search_options: {},
    verbosity: 'low',
  };
  for (const [name, value] of Object.entries(refused)) {
    it(`${name} is refused by name`, () => {
      assert.equal(refusal(body({ [name]: value })).what, `unsupported_parameter ${name}`);
    });
  }

  it('but a value that asks for nothing is accepted, without a word', () => {
    const neutral = {
      tools: [],
      tool_choice: 'auto',
      response_format: { type: 'text' },
      logprobs: false,
      n: 1,
      typical_p: 1,
      xtc_probability: 0,
      modalities: ['text'],
      verbosity: 'medium',
    };
    assert.deepEqual(parseChat(body(neutral), true).ignored, []);
    assert.deepEqual(parseChat(body({ tool_choice: 'none' }), true).ignored, []);
  });

  it('every field of the table is refused, ignored or honoured', () => {
    const known = new Set([...Object.keys(refused)]);
    for (const [name, rule] of Object.entries(CHAT_FIELDS)) {
      assert.equal(typeof rule === 'function', known.has(name), name);
    }
  });
});

describe('chat body: tools and forms', () => {
  const refused = (more: object) => refusal(body(more)).what;

  it('tools have names of their own, in letters that every template can write', () => {
    const at = 'invalid_value tools[0].function.name';
    for (const name of ['', 'a b', 'あ', 'x'.repeat(65)]) {
      assert.equal(refused({ tools: [tool(name)] }), at, name);
    }
    const twice = refused({ tools: [tool('f'), tool('f')] });
    assert.equal(twice, 'invalid_value tools[1].function.name');
    assert.equal(
      refused({ tools: Array.from({ length: 129 }, (_, i) => tool(`f${i}`)) }),
      'invalid_value tools',
    );
  });

  it('tools of another kind are refused by name', () => {
    const custom = { tools: [tool('f'), { type: 'custom', custom: { name: 'c' } }] };
    assert.equal(refused(custom), 'unsupported_parameter tools[1].type');
    const allowed = { tools: [tool('f')], tool_choice: { type: 'allowed_tools' } };
    assert.equal(refused(allowed), 'unsupported_parameter tool_choice.type');
  });

  it('only a tool that is there can be asked for', () => {
    const named = { type: 'function', function: { name: 'g' } };
    const missing = refused({ tools: [tool('f')], tool_choice: named });
    assert.equal(missing, 'invalid_value tool_choice.function.name');
    assert.equal(refused({ tool_choice: 'required' }), 'invalid_value tool_choice');
    assert.equal(
      refused({ tools: [tool('f')], tool_choice: 'often' }),
      'invalid_value tool_choice',
    );
    const found = parseChat(body({ tools: [tool('g')], tool_choice: named }), true);
    assert.deepEqual(found.request.toolChoice, { kind: 'named', name: 'g' });
  });

  it('what is not known inside a tool or a format is named', () => {
    const sent = body({
      tools: [{ ...tool('f'), cache_control: {} }],
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: {}, mood: 1 } },
    });
    assert.deepEqual(parseChat(sent, false).ignored, [
      'response_format.json_schema.mood',
      'tools.cache_control',
    ]);
  });

  it('a form is an object, a schema or a grammar, and not two of them', () => {
    const formOf = (more: object) => parseChat(body(more), true).request.form;
    assert.deepEqual(formOf({ response_format: { type: 'json_object' } }), { kind: 'json_object' });
    const own = { type: 'json_object', schema: { type: 'array' } };
    assert.deepEqual(formOf({ response_format: own }), {
      kind: 'json_schema',
      schema: { type: 'array' },
    });
    assert.deepEqual(formOf({ grammar: 'root ::= "a"' }), {
      kind: 'grammar',
      text: 'root ::= "a"',
    });
    assert.equal(formOf({ grammar: '', response_format: { type: 'text' } }), undefined);
    const both = { grammar: 'root ::= "a"', response_format: { type: 'json_object' } };
    assert.equal(refused(both), 'invalid_value grammar');
    const empty = { response_format: { type: 'json_schema' } };
    assert.equal(refused(empty), 'invalid_value response_format.json_schema');
    const wrong = { response_format: { type: 'yaml' } };
    assert.equal(refused(wrong), 'invalid_value response_format.type');
  });

  it('top_logprobs need logprobs', () => {
    assert.equal(refused({ top_logprobs: 2 }), 'invalid_value top_logprobs');
    assert.equal(refused({ logprobs: true, top_logprobs: 21 }), 'invalid_value top_logprobs');
    assert.equal(parseChat(body({ logprobs: true }), true).request.topLogprobs, 0);
  });

  it('samplers are known ones, each once', () => {
    assert.equal(refused({ samplers: ['top_k', 'top_q'] }), 'invalid_value samplers[1]');
    assert.equal(refused({ samplers: ['top_k', 'top-k'] }), 'invalid_value samplers');
    assert.deepEqual(parseChat(body({ samplers: [] }), true).request.sampling.samplers, []);
  });

  it('no reasoning is a budget of nothing, no limit is none', () => {
    const budget = (more: object) => parseChat(body(more), true).request.reasoningBudget;
    assert.equal(budget({ reasoning_effort: 'none' }), 0);
    assert.equal(budget({ reasoning_effort: 'none', reasoning_budget: 4 }), 4);
    assert.equal(budget({ reasoning_budget: -1 }), undefined);
  });
});

describe('chat body: what has no effect', () => {
  it('is accepted and named', () => {
    const sent = body({
      store: true,
      metadata: {},
      foo: 1,
      messages: [{ role: 'user', content: 'a', refusal: 'x', mood: 1 }],
      stream: true,
      stream_options: { include_obfuscation: false },
    });
    assert.deepEqual(parseChat(sent, false).ignored, [
      'store',
      'metadata',
      'foo',
      'stream_options.include_obfuscation',
      'messages.refusal',
      'messages.mood',
    ]);
  });

  it('is named also where its name is one of JavaScript itself', () => {
    const sent = JSON.parse(
      '{"model":"m","messages":[{"role":"user","content":"a","__proto__":1}],"__proto__":1}',
    );
    assert.deepEqual(parseChat(sent, false).ignored, ['__proto__', 'messages.__proto__']);
    const variables = JSON.parse('{"chat_template_kwargs":{"__proto__":1}}');
    const named = parseChat(body(variables), false).ignored;
    assert.deepEqual(named, ['chat_template_kwargs.__proto__']);
  });

  it('is named where it belongs to something that is off, or that something else replaces', () => {
    const idle = (more: object) => parseChat(body(more), false).ignored;
    assert.deepEqual(idle({ xtc_threshold: 0.1, xtc_probability: 0 }), ['xtc_threshold']);
    assert.deepEqual(idle({ xtc_threshold: 0.1, xtc_probability: 0.5 }), []);
    assert.deepEqual(idle({ dry_base: 2, mirostat_tau: 1, dynatemp_exponent: 2 }), [
      ...['mirostat_tau', 'dynatemp_exponent', 'dry_base'],
    ]);
    assert.deepEqual(idle({ mirostat: 2, mirostat_tau: 1, top_p: 0.5 }), ['top_p']);
    assert.deepEqual(idle({ samplers: ['top_k'], top_k: 3, temperature: 1 }), ['temperature']);
    const text = { response_format: { type: 'text', json_schema: { name: 'x', schema: {} } } };
    assert.deepEqual(idle(text), ['response_format.json_schema']);
  });

  it('is refused by name with STRICT_FIELDS', () => {
    assert.equal(refusal(body({ store: true }), true).what, 'unknown_parameter store');
    const inside = body({ messages: [{ role: 'user', content: 'a', mood: 1 }] });
    assert.equal(refusal(inside, true).what, 'unknown_parameter messages[0].mood');
  });

  it('of very many fields without effect as many are named as the header has room for', () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`f${index}`, 1]));
    const { ignored } = parseChat(body(many), false);
    assert.deepEqual([ignored.length, ignored[0]], [1024, 'f0']);
    assert.equal(refusal(body(many), true).what, 'unknown_parameter f0');
  });

  it('is not named where it is null', () => {
    assert.deepEqual(parseChat(body({ store: null, foo: null }), true).ignored, []);
  });
});

it('chat body: a penalty that nothing can be divided by is refused', () => {
  for (const penalty of [-1, 0, 1e-320, 0.0009]) {
    const { what } = refusal(body({ repeat_penalty: penalty }));
    assert.equal(what, 'invalid_value repeat_penalty');
  }
});

describe('chat body: what would be too much work', () => {
  it('is refused: template variables without number, schemas of tools without end', () => {
    const variables = Object.fromEntries(Array.from({ length: 257 }, (_, at) => [`v${at}`, 1]));
    const many = refusal(body({ chat_template_kwargs: variables }));
    assert.equal(many.what, 'invalid_value chat_template_kwargs');
    const parameters = { type: 'object', enum: Array(30_000).fill(1) };
    const named = (name: string) => ({ type: 'function', function: { name, parameters } });
    assert.equal(parseChat(body({ tools: [named('a')] }), false).request.tools.length, 1);
    const { what } = refusal(body({ tools: [named('a'), named('b')] }));
    assert.equal(what, 'invalid_value tools[1].function.parameters');
  });

  it('is no name as long as a body in an error, nor in the list of what is ignored', () => {
    const name = '名'.repeat(1_000_000);
    const { error } = refusal(body({ logit_bias: { [name]: 'x' } }));
    assert.ok(String(error.details.param).length < 200);
    const strictly = refusal(body({ [name]: 1 }), true);
    assert.equal(strictly.error.code, 'unknown_parameter');
    assert.ok(String(strictly.error.details.param).length < 200);
    const { ignored } = parseChat(body({ [name]: 1 }), false);
    assert.ok(String(ignored[0]).length < 200);
  });
});
