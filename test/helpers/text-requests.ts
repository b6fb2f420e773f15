/** Raw prompts asked of a fake engine, and what came of it. Never used outside tests. */
import assert from 'node:assert/strict';
import { HoshikageError } from '../../src/errors.js';
import type { ModelEntry } from '../../src/models/registry.js';
import { completeText } from '../../src/text/complete.js';
import type { TextEvent, TextRequest } from '../../src/text/request.js';
import { FakeEngine, type FakeEngineOptions } from './fake-engine.js';
import { entryNamed, FakeCatalog, FakePool } from './fake-pool.js';
import { engineSettings } from './pool-settings.js';

/** Settings of a server. */
export const config = {
  ...engineSettings,
  ...{ temperature: 0.2, topP: 0.8, topK: 40, minP: 0, repeatPenalty: 1.1, repeatLastN: 64 },
  ...{ maxTokens: 0, retryOnCrash: false },
};

/** A pool that leases one engine, and what completeText works with. */
export function setUp(engine: FakeEngine = new FakeEngine(), entry: Partial<ModelEntry> = {}) {
  const pool = new FakePool(engine);
  const catalog = new FakeCatalog([entryNamed('m', entry)]);
  return { engine, pool, deps: { config, catalog, pool } };
}

/** The same with these facts of its model. */
export const withModel = (model: FakeEngineOptions['model'], more: FakeEngineOptions = {}) =>
  setUp(new FakeEngine({ ...(model && { model }), ...more }));

/** A request for one answer to `Once`, but for what is changed. */
export function ask(more: Partial<TextRequest> = {}): TextRequest {
  return {
    ...{ model: 'm', prompts: ['Once'], gapParam: 'suffix', choices: 1, bestOf: 1, echo: false },
    nameOf: (index) => `prompt[${index}]`,
    ...{ sampling: {}, stop: [], cachePrompt: true },
    ...more,
  };
}

/** All that happens, and what the choices said. */
export async function run(set: ReturnType<typeof setUp>, request = ask()) {
  const events: TextEvent[] = [];
  const { signal } = new AbortController();
  for await (const event of completeText(set.deps, request, { signal })) events.push(event);
  const texts: string[] = [];
  for (const event of events) {
    if (event.type === 'text') texts[event.choice] = (texts[event.choice] ?? '') + event.text;
  }
  const end = events.at(-1);
  assert.ok(end?.type === 'end');
  const prompts = set.engine.started.map(({ request: one }) => [...one.prompt]);
  return { events, texts, end, prompts };
}

/** The error of a request that is refused, before anything was computed. */
export async function refusal(set: ReturnType<typeof setUp>, request: TextRequest) {
  let found: HoshikageError | null = null;
  await assert.rejects(run(set, request), (thrown) => {
    assert.ok(thrown instanceof HoshikageError);
    found = thrown;
    return true;
  });
  assert.deepEqual([set.engine.started.length, set.pool.released], [0, 1]);
  const { code, details } = found as unknown as HoshikageError; // assigned in the check
  return { code, param: details.param, details };
}
