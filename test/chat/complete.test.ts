import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { type ChatEvent, type ChatSettings, completeChat } from '../../src/chat/complete.js';
import type { ChatRequest } from '../../src/chat/message.js';
import { TemplateRenderer } from '../../src/chat/template.js';
import { HoshikageError } from '../../src/errors.js';
import type { ModelEntry } from '../../src/models/registry.js';
import { FakeEngine, type FakeEngineOptions, type Step } from '../helpers/fake-engine.js';
import { entryNamed, FakeCatalog, FakePool } from '../helpers/fake-pool.js';
import { engineSettings } from '../helpers/pool-settings.js';

const renderer = new TemplateRenderer();
after(() => renderer.close());

const config: ChatSettings = {
  ...engineSettings,
  nCtx: 4096,
  temperature: 0.2,
  topP: 0.8,
  topK: 40,
  minP: 0,
  repeatPenalty: 1.1,
  repeatLastN: 64,
  maxTokens: 0,
  retryOnCrash: false,
};

function setUp(options: FakeEngineOptions = {}, entry: Partial<ModelEntry> = {}) {
  const engine = new FakeEngine(options);
  const pool = new FakePool(engine);
  const catalog = new FakeCatalog([entryNamed('m', entry)]);
  return { engine, pool, deps: { config, catalog, pool, renderer } };
}

function ask(more: Partial<ChatRequest> = {}): ChatRequest {
  return {
    model: 'm',
    messages: [{ role: 'user', content: 'Hi' }],
    sampling: {},
    choices: 1,
    tools: [],
    toolChoice: { kind: 'auto' },
    parallelToolCalls: true,
    truncates: false,
    stop: [],
    cachePrompt: true,
    templateVariables: {},
    ...more,
  };
}

/** A signal of its own for each request, as each has from its connection. */
const never = () => new AbortController().signal;

async function run(set: ReturnType<typeof setUp>, request = ask(), signal = never()) {
  const events: ChatEvent[] = [];
  for await (const event of completeChat(set.deps, request, { signal })) events.push(event);
  const text = events.map((event) => (event.type === 'content' ? event.text : '')).join('');
  const [finish, end] = events.slice(-2);
  assert.ok(finish?.type === 'finish' && end?.type === 'end');
  return { events, text, end, finishReason: finish.finishReason };
}

describe('complete: from messages to events', () => {
  it('starts once, gives text, ends once, and gives the lease back', async () => {
    const set = setUp();
    const { events, text, finishReason } = await run(set);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['start', 'content', 'content', 'finish', 'end'],
    );
    assert.equal(text, 'Hello world');
    assert.equal(finishReason, 'stop');
    assert.deepEqual([set.pool.given, set.pool.released], [1, 1]);
  });

  it('asks the pool as the request wants its turn', async () => {
    const set = setUp();
    const asked = { signal: never(), priority: 'batch', keepAliveMs: 0 } as const;
    for await (const _ of completeChat(set.deps, ask(), asked));
    assert.deepEqual(set.pool.asked, [asked]);
  });

  it('sends the rendered prompt, tokenised, to the engine', async () => {
    const set = setUp();
    await run(set);
    const prompt = set.engine.started[0]?.request.prompt ?? new Int32Array();
    const text = new TextDecoder().decode(await set.engine.detokenize(prompt));
    assert.equal(text, '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');
  });

  it("prefers the entry's template to the model's, and that to ChatML", async () => {
    const own = { chatTemplate: 'own' };
    const both = setUp({ model: { chatTemplate: 'model' } }, { settings: own });
    await run(both);
    assert.equal(both.engine.tokenized[0]?.segments[0]?.text, 'own');
    const model = setUp({ model: { chatTemplate: 'model' } });
    await run(model);
    assert.equal(model.engine.tokenized[0]?.segments[0]?.text, 'model');
  });

  it('takes sampling from the request, else from the entry, else from the settings', async () => {
    const set = setUp({}, { settings: { temperature: 0.7, topP: 0.5 } });
    await run(set, ask({ sampling: { temperature: 0, seed: -1 } }));
    const sampling = set.engine.started[0]?.request.sampling;
    assert.equal(sampling?.temperature, 0);
    assert.equal(sampling?.topP, 0.5);
    assert.equal(sampling?.topK, 40);
    assert.equal(sampling?.seed, 0xffff_ffff);
    assert.ok(sampling && !('dryMultiplier' in sampling));
    const dry = { dryMultiplier: 0.8, dryBase: 2, drySequenceBreakers: ['。'] };
    await run(set, ask({ sampling: { ...dry, dryAllowedLength: 3, dryPenaltyLastN: 64 } }));
    const asked = set.engine.started[1]?.request.sampling;
    assert.deepEqual({ ...asked, ...dry, dryAllowedLength: 3, dryPenaltyLastN: 64 }, asked);
  });

  it('draws a new seed for each request without one', async () => {
    const set = setUp();
    await run(set);
    await run(set);
    const [first, second] = set.engine.started.map(({ request }) => request.sampling.seed);
    assert.notEqual(first, second);
  });

  it('limits the output by the request, else the entry, else MAX_TOKENS, else the context', async () => {
    const set = setUp({}, { settings: { maxTokens: 2 } });
    await run(set, ask({ maxTokens: 1 }));
    await run(set);
    const free = setUp();
    await run(free);
    const limits = [...set.engine.started, ...free.engine.started];
    assert.deepEqual(
      limits.map(({ request }) => request.maxTokens),
      [1, 2, -1],
    );
  });

  it('does not tell a template of no effort that has no word for it', async () => {
    const chatTemplate =
      "{% if reasoning_effort and reasoning_effort != 'low' %}{{ raise_exception('no') }}{% endif %}x";
    const set = setUp({ model: { chatTemplate } });
    const none = { templateVariables: { reasoning_effort: 'none' }, reasoningBudget: 0 };
    assert.equal((await run(set, ask(none))).finishReason, 'stop');
    const high = ask({ templateVariables: { reasoning_effort: 'high' } });
    await assert.rejects(run(set, high), { code: 'template_failed' });
  });

  it('names the variables that the template does not look at', async () => {
    const set = setUp({ model: { chatTemplate: '{{ enable_thinking }}.' } });
    const { events } = await run(set, ask({ templateVariables: { enable_thinking: true, x: 1 } }));
    assert.deepEqual(events[0]?.type === 'start' && events[0].unused, ['chat_template_kwargs.x']);
  });
});

describe('complete: how it ends', () => {
  it('`length` where maxTokens or the context is used up', async () => {
    const limited = await run(setUp({ script: ['a', 'b', 'c'] }), ask({ maxTokens: 2 }));
    assert.equal(limited.finishReason, 'length');
    assert.equal(limited.end.usage.completionTokens, 2);
    assert.equal((await run(setUp({ script: ['a'] }))).finishReason, 'length');
  });

  it('at a stop string: nothing of it is shown, the tokens behind it are neither shown nor counted', async () => {
    const set = setUp({ script: ['one', ' E', 'N', 'D', ' two', ' three'] });
    const { text, end, finishReason } = await run(set, ask({ stop: ['END'] }));
    assert.equal(text, 'one ');
    assert.equal(finishReason, 'stop');
    assert.equal(end.usage.completionTokens, 4);
    assert.equal(set.engine.started[0]?.keepTokens, 4);
  });

  it('at the stop strings of the entry and at the default ones', async () => {
    const own = setUp({ script: ['a', '終', 'b'] }, { stop: ['終'] });
    assert.equal((await run(own)).text, 'a');
    assert.equal((await run(setUp({ script: ['a', '</s>', 'b'] }))).text, 'a');
  });

  it('shows what was held back when the generation ends before the stop string is whole', async () => {
    assert.equal((await run(setUp({ script: ['a</'] }))).text, 'a</');
  });

  it('counts the tokens that came from the cache', async () => {
    const { end } = await run(setUp({ cachedTokens: 7 }));
    assert.equal(end.usage.cachedTokens, 7);
    assert.deepEqual(end.timings, {
      queueMs: 1,
      loadMs: 2,
      recallMs: 0,
      prefillMs: 10,
      generationMs: 20,
      retriedMs: 0,
    });
  });
});

describe('complete: a conversation that was saved', () => {
  it('is asked for with the very prompt before that is computed, and its time is told apart', async () => {
    const set = setUp();
    set.pool.recalledTokens = 9;
    const { end } = await run(set);
    assert.equal(set.pool.recalled.length, 1);
    assert.deepEqual(set.pool.recalled[0], set.engine.started[0]?.request.prompt);
    assert.ok(end.timings.recallMs > 0);
    assert.equal(end.timings.prefillMs, 10);
  });

  it('is left alone where nothing is to be reused', async () => {
    const set = setUp();
    const { end } = await run(set, ask({ cachePrompt: false }));
    assert.deepEqual(set.pool.recalled, []);
    assert.equal(end.timings.recallMs, 0);
  });
});

describe('complete: what it refuses', () => {
  it('a model that is not there', async () => {
    await assert.rejects(run(setUp(), ask({ model: 'x' })), { code: 'model_not_found' });
  });

  it('a prompt that leaves no room, with its numbers, before any decode', async () => {
    const set = setUp({ contextTokens: 10 });
    await assert.rejects(run(set), (error: HoshikageError) => {
      assert.equal(error.code, 'context_length_exceeded');
      assert.equal(error.details.n_ctx, 10);
      assert.ok(Number(error.details.n_prompt_tokens) >= 10);
      return true;
    });
    assert.equal(set.engine.started.length, 0);
    assert.equal(set.pool.released, 1);
  });

  it('a bias for a token that the vocabulary has not', async () => {
    const request = ask({ sampling: { logitBias: [[400, 1]] } });
    await assert.rejects(run(setUp(), request), (error: HoshikageError) => {
      assert.deepEqual([error.code, error.details.param], ['invalid_value', 'logit_bias.400']);
      return true;
    });
  });

  it('what the template refuses', async () => {
    const set = setUp({ model: { chatTemplate: "{{ raise_exception('no') }}" } });
    await assert.rejects(run(set), { code: 'template_failed' });
    assert.equal(set.pool.released, 1);
  });

  it('passes on what the pool and the engine throw', async () => {
    const full = setUp();
    full.pool.refusal = new HoshikageError('queue_full', { limit: 64 });
    await assert.rejects(run(full), { code: 'queue_full' });
    const crashed = setUp({ script: ['a', { fail: new HoshikageError('engine_crashed') }] });
    await assert.rejects(run(crashed), { code: 'engine_crashed' });
    assert.equal(crashed.pool.released, 1);
  });
});

describe('complete: an engine that is lost, with RETRY_ON_CRASH', () => {
  const lost = { fail: new HoshikageError('engine_crashed', { detail: 'SIGSEGV' }) };

  /** A chat whose engines play one script each. */
  function playing(scripts: readonly (readonly Step[])[], retryOnCrash = true) {
    const set = setUp();
    const start = set.engine.start.bind(set.engine);
    set.engine.start = (request) => {
      set.engine.script = scripts[set.engine.started.length] ?? [];
      return start(request);
    };
    const deps = { ...set.deps, config: { ...config, retryOnCrash } };
    return { ...set, deps };
  }

  it('costs nothing but time where nothing was said yet', async () => {
    const set = playing([[{ waitMs: 5 }, lost], ['ok']]);
    const { events, text, end } = await run(set);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['start', 'start', 'content', 'finish', 'end'],
    );
    assert.equal(text, 'ok');
    assert.deepEqual([end.timings.queueMs, end.timings.loadMs], [2, 4]);
    assert.ok(end.timings.retriedMs > 0);
    assert.deepEqual([set.pool.given, set.pool.released], [2, 2]);
    assert.deepEqual(
      set.pool.asked.map(({ again }) => again),
      [undefined, true],
    );
  });

  it('is an error once something was said, but for an answer that goes out whole', async () => {
    const streamed = playing([['half', lost], ['ok']]);
    await assert.rejects(run(streamed), { code: 'engine_crashed' });
    assert.equal(streamed.engine.started.length, 1);
    const whole = playing([['half', lost], ['ok']]);
    const said: string[] = [];
    const all = completeChat(whole.deps, ask(), { signal: never(), whole: true });
    for await (const event of all) {
      if (event.type === 'start') said.length = 0;
      else if (event.type === 'content') said.push(event.text);
    }
    assert.deepEqual(said, ['ok']);
  });

  it('is an error the second time, without the setting, and for any other reason', async () => {
    const twice = playing([[lost], [lost], ['ok']]);
    await assert.rejects(run(twice), { code: 'engine_crashed' });
    assert.equal(twice.engine.started.length, 2);
    const off = playing([[lost], ['ok']], false);
    await assert.rejects(run(off), { code: 'engine_crashed' });
    const other = playing([[{ fail: new HoshikageError('decode_failed') }], ['ok']]);
    await assert.rejects(run(other), { code: 'decode_failed' });
    assert.deepEqual([off.engine.started.length, other.engine.started.length], [1, 1]);
    assert.deepEqual([twice.pool.released, off.pool.released, other.pool.released], [2, 1, 1]);
  });

  it('is made good also where it was lost before it was ready', async () => {
    const set = playing([['ok']]);
    const acquire = set.pool.acquire.bind(set.pool);
    set.pool.acquire = async () => {
      set.pool.acquire = acquire;
      throw lost.fail;
    };
    const { text, end } = await run(set);
    assert.equal(text, 'ok');
    assert.deepEqual([end.timings.queueMs, end.timings.loadMs], [1, 2]);
    assert.ok(end.timings.retriedMs > 0);
    assert.deepEqual([set.pool.given, set.pool.released], [1, 1]);
  });

  it('is made good for each way an engine is lost', async () => {
    for (const code of ['engine_crashed', 'engine_hung', 'engine_out_of_memory'] as const) {
      const set = playing([[{ fail: new HoshikageError(code, { seconds: 1 }) }], ['ok']]);
      assert.equal((await run(set)).text, 'ok', code);
    }
  });

  it('is not tried again for a client that has gone', async () => {
    const going = new AbortController();
    const set = playing([[lost], ['ok']]);
    set.engine.tokenize = async () => {
      going.abort();
      throw lost.fail;
    };
    await assert.rejects(run(set, ask(), going.signal));
    assert.deepEqual([set.pool.given, set.pool.released], [1, 1]);
  });
});

describe('complete: cancelled', () => {
  it('while it waits for the model', async () => {
    const set = setUp();
    set.pool.gate = new Promise(() => {});
    const going = new AbortController();
    const waiting = run(set, ask(), going.signal);
    going.abort();
    await assert.rejects(waiting, { code: 'cancelled' });
    assert.equal(set.engine.started.length, 0);
  });

  it('while the engine works on the prompt', async () => {
    const set = setUp({ script: [{ waitMs: 60_000 }, 'late'] });
    const going = new AbortController();
    const events = completeChat(set.deps, ask(), { signal: going.signal });
    assert.equal((await events.next()).value?.type, 'start');
    const next = events.next();
    going.abort();
    await assert.rejects(next, { code: 'cancelled' });
    assert.equal(set.engine.started[0]?.cancelled, true);
    assert.equal(set.pool.released, 1);
  });

  it('while the prompt is tokenised, without waiting for the rest of it', async () => {
    const set = setUp();
    const abort = new AbortController();
    set.engine.tokenize = () => {
      setImmediate(() => abort.abort());
      return new Promise(() => {});
    };
    await assert.rejects(run(set, ask(), abort.signal), { code: 'cancelled' });
    assert.equal(set.pool.released, 1);
  });

  it('when its reader stops reading', async () => {
    const set = setUp({ script: ['a', { waitMs: 60_000 }, 'b'] });
    for await (const event of completeChat(set.deps, ask(), { signal: never() })) {
      if (event.type === 'content') break;
    }
    assert.equal(set.engine.started[0]?.cancelled, true);
    assert.equal(set.pool.released, 1);
  });
});

describe('complete: system_fingerprint', () => {
  async function fingerprint(set: ReturnType<typeof setUp>): Promise<string> {
    const { events } = await run(set);
    return events[0]?.type === 'start' ? events[0].fingerprint : '';
  }

  it('is the same for the same model, library and settings', async () => {
    assert.equal(await fingerprint(setUp()), await fingerprint(setUp()));
  });

  it('changes with the model and with an engine setting, not with a sampling default', async () => {
    const usual = await fingerprint(setUp());
    assert.notEqual(await fingerprint(setUp({}, { path: '/models/other.gguf' })), usual);
    assert.notEqual(await fingerprint(setUp({}, { settings: { nCtx: 99 } })), usual);
    assert.equal(await fingerprint(setUp({}, { settings: { temperature: 1 } })), usual);
  });
});

describe('complete: tools', () => {
  const tools = [{ name: 'look', description: null, parameters: null, strict: false }];
  const says = (template: string) =>
    `${template}{% for m in messages %}{{ m.content }}{% endfor %}`;
  const promptOf = async (set: ReturnType<typeof setUp>) => {
    const prompt = set.engine.started[0]?.request.prompt ?? new Int32Array();
    return new TextDecoder().decode(await set.engine.detokenize(prompt));
  };

  it('that the template knows nothing of are told in words, and plain JSON is heard as a call', async () => {
    const chatTemplate = says(
      "{# <think> </think> #}{{ '<｜tool▁calls▁begin｜>```json' if false }}",
    );
    const end = { text: '<end>', control: true, eog: true };
    const script = ['{"name": "look", ', '"arguments": {}}', end];
    const set = setUp({ model: { chatTemplate }, script });
    const { events, finishReason } = await run(set, ask({ tools }));
    assert.match(await promptOf(set), /"name":"look"/);
    const call = events.find((event) => event.type === 'call');
    assert.equal(call?.name, 'look');
    assert.equal(finishReason, 'tool_calls');
  });

  it('have a template of their own where the model has one, unless the entry says otherwise', async () => {
    const model = { chatTemplate: says('plain:'), toolTemplate: says('own: {{ tools }}') };
    const withTools = setUp({ model });
    await run(withTools, ask({ tools }));
    assert.match(await promptOf(withTools), /^own: .*look/);
    const without = setUp({ model });
    await run(without, ask({ tools, toolChoice: { kind: 'none' } }));
    assert.equal(await promptOf(without), 'plain:Hi');
    const set = setUp({ model }, { settings: { chatTemplate: says('entry: {{ tools }}') } });
    await run(set, ask({ tools }));
    assert.match(await promptOf(set), /^entry: .*look/);
  });

  it('leave thoughts of the history without effect only where the template looks for none', async () => {
    const unused = async (key: string) => {
      const chatTemplate = says(`{% for m in messages %}{{ m.${key} if m.${key} }}{% endfor %}`);
      const set = setUp({ model: { chatTemplate } });
      const messages = [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: 'Ho', reasoning_content: 'Hm.' },
        { role: 'user', content: 'So?' },
      ] as const;
      const { events } = await run(set, ask({ messages }));
      const [start] = events;
      return [start?.type === 'start' && start.unused, (await promptOf(set)).includes('Hm.')];
    };
    assert.deepEqual(await unused('thinking'), [[], true]);
    assert.deepEqual(await unused('reasoning_content'), [[], true]);
    assert.deepEqual(await unused('other'), [['messages.reasoning_content'], false]);
  });
});
