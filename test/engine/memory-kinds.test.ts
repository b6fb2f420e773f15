/**
 * Every kind of memory on the real library, in several slots: whatever was kept, shared, given back or
 * computed again, a request gets the tokens and the log-probabilities that it gets alone.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';
import { MEMORY_KINDS, type MemoryKind, memoryModel, WINDOW } from '../helpers/memory-models.js';
import { shuffled } from '../helpers/shuffle.js';
import {
  ANSWER,
  askInDisorder,
  conversations,
  noiseTokens,
  Reference,
  type Said,
  start,
} from '../helpers/talk.js';

const hasState = (kind: MemoryKind): boolean => kind === 'state' || kind === 'hybrid';

for (const kind of MEMORY_KINDS) {
  describe(`a memory of the kind "${kind}"`, { skip: whyNoLibrary() }, () => {
    let reference: Reference;
    let folder = '';
    before(async () => {
      const alone = { slots: 1, contextTokens: 1024 };
      reference = new Reference(await openRealEngine(await memoryModel(kind), alone));
      folder = await mkdtemp(join(tmpdir(), 'hoshikage-memory-'));
    });
    after(async () => {
      await reference.close();
      await rm(folder, { recursive: true, force: true });
    });

    const open = async (slots = 3) =>
      openRealEngine(await memoryModel(kind), { slots, contextTokens: 1024, batchTokens: 128 });
    const using = async (
      use: (engine: Awaited<ReturnType<typeof open>>) => Promise<void>,
      slots?: number,
    ): Promise<void> => {
      const engine = await open(slots);
      try {
        await use(engine);
      } finally {
        await engine.close();
      }
    };
    const check = async (prompt: readonly number[], said: Said): Promise<Said> => {
      await reference.check(prompt, said);
      return said;
    };

    const first = noiseTokens(1, 300);
    const question = noiseTokens(2, 40);
    const other = noiseTokens(3, 40);

    it('goes on with the whole of it in the next turn', () =>
      using(async (engine) => {
        const { tokens } = await check(first, await start(engine, first).said);
        const next = [...first, ...tokens, ...question];
        const said = await check(next, await start(engine, next).said);
        // The last token of an answer was not computed any more.
        assert.equal(said.result.cachedTokens, first.length + ANSWER - 1);
        const last = [...next, ...said.tokens, ...other];
        const again = await check(last, await start(engine, last).said);
        assert.equal(again.result.cachedTokens, next.length + ANSWER - 1);
      }));

    it('comes back to the prompt where the answer has become another one', () =>
      using(async (engine) => {
        const { tokens } = await check(first, await start(engine, first).said);
        const next = [...first, ...tokens.slice(0, 5), ...other];
        const { result } = await check(next, await start(engine, next).said);
        assert.equal(result.cachedTokens, hasState(kind) ? first.length - 1 : first.length + 5);
      }));

    it('comes back over two turns where the first answer has become another one', () =>
      using(async (engine) => {
        const { tokens } = await check(first, await start(engine, first).said);
        const next = [...first, ...tokens, ...question];
        await check(next, await start(engine, next).said);
        const changed = [...first, ...tokens.slice(0, 5), ...other];
        const { result } = await check(changed, await start(engine, changed).said);
        assert.equal(result.cachedTokens, hasState(kind) ? first.length - 1 : first.length + 5);
      }));

    it('answers a prompt that differs in its middle', () =>
      using(async (engine) => {
        await check(first, await start(engine, first).said);
        const next = [...first.slice(0, 200), ...other];
        const { result } = await check(next, await start(engine, next).said);
        assert.equal(result.cachedTokens, hasState(kind) ? 0 : 200);
        const same = await check(next, await start(engine, next).said);
        assert.equal(same.result.cachedTokens, next.length - 1);
      }, 1));

    it('serves prompts with one beginning, at once and one after the other', () =>
      using(async (engine) => {
        const prompts = [question, other, [...other, 1]].map((end) => [...first, ...end]);
        const runs = prompts.map((prompt) => start(engine, prompt));
        let computed = 0;
        for (const [index, run] of runs.entries()) {
          const { result } = await check(prompts[index] ?? [], await run.said);
          computed += result.promptTokens - result.cachedTokens;
        }
        if (!hasState(kind)) assert.ok(computed < first.length + 200, `${computed} computed`);
        for (const end of [[7], [8, 9], noiseTokens(4, 100)]) {
          const prompt = [...first.slice(0, 250), ...end];
          const { result } = await check(prompt, await start(engine, prompt).said);
          if (!hasState(kind)) assert.equal(result.cachedTokens, 250);
        }
      }));

    it('keeps what is before a stop string', () =>
      using(async (engine) => {
        const run = start(engine, first, { maxTokens: 400, stopAfter: 8, keepTokens: 5 });
        const { tokens, result } = await run.said;
        assert.equal(result.reason, 'cancelled');
        assert.ok(tokens.length >= 8 && tokens.length < 400);
        const next = [...first, ...tokens.slice(0, 5), ...question];
        const said = await check(next, await start(engine, next).said);
        assert.equal(
          said.result.cachedTokens,
          hasState(kind) ? first.length - 1 : first.length + 5,
        );
      }));

    it('goes on from a saved state, in another slot and in another engine', async () => {
      const path = join(folder, 'state');
      const kept = first.length + ANSWER - 1;
      let next: readonly number[] = [];
      await using(async (engine) => {
        const { tokens, result } = await check(first, await start(engine, first).said);
        next = [...first, ...tokens, ...question];
        const state = await engine.saveState(result.slot, path);
        assert.equal(state?.tokens.length, kept);
        const restored = await engine.restoreState(path);
        assert.ok(restored && restored.slot !== result.slot);
        for (const prompt of [next, [...next, ...other]]) {
          const said = await check(prompt, await start(engine, prompt).said);
          assert.ok(said.result.cachedTokens >= kept);
        }
      });
      await using(async (engine) => {
        assert.ok(await engine.restoreState(path));
        const { result } = await check(next, await start(engine, next).said);
        assert.equal(result.cachedTokens, kept);
        const changed = [...first.slice(0, 280), ...other];
        await check(changed, await start(engine, changed).said);
      });
    });

    it('gives up what a cancelled prompt had half computed', () =>
      using(async (engine) => {
        const long = noiseTokens(5, 900);
        const run = start(engine, long, { maxTokens: 1 });
        run.completion.cancel();
        await run.said.catch(() => undefined);
        for (const prompt of [[...long.slice(0, 500), ...other], long]) {
          await check(prompt, await start(engine, prompt).said);
        }
      }));

    it('answers whatever comes in whatever order', async () => {
      const prompts = await conversations(reference);
      for (let seed = 0; seed < 8; seed++) {
        await using((engine) => askInDisorder(engine, reference, prompts, seed));
      }
    });

    if (kind === 'cache') {
      it('says the same in four slots as in one, in whatever order five prompts come', async () => {
        const ends = [[], [7], [7, 8], noiseTokens(20, 60), noiseTokens(21, 10)];
        const prompts = ends.map((end, index) => [...first.slice(0, 100 + 20 * index), ...end, 5]);
        for (let seed = 0; seed < 16; seed++) {
          for (const slots of [1, 4]) {
            await using(async (engine) => {
              const order = shuffled(prompts, seed);
              const runs = order.map((prompt) => start(engine, prompt).said);
              for (const [index, said] of (await Promise.all(runs)).entries()) {
                await check(order[index] ?? [], said);
              }
            }, slots);
          }
        }
      });
    }

    if (kind === 'window') {
      it('never takes a window with a hole for a whole one', async () => {
        const long = noiseTokens(30, 500);
        for (const end of [150, 200, 230, 260, 300, 400, 480]) {
          await using(async (engine) => {
            await start(engine, noiseTokens(31, 100)).said;
            // One holds the beginning of what the other has.
            await Promise.all([
              start(engine, long.slice(0, 100), { maxTokens: 1 }).said,
              start(engine, long).said,
            ]);
            // Takes the place of the first one, and cells that are out of the long one's window.
            await start(engine, noiseTokens(32, 250)).said;
            const prompt = [...long.slice(0, end), ...other];
            const { result } = await check(prompt, await start(engine, prompt).said);
            assert.ok([100, end].includes(result.cachedTokens), `${result.cachedTokens}`);
          });
        }
      });

      it('comes back to any place whose window is whole', () =>
        using(async (engine) => {
          const long = noiseTokens(30, 500);
          await start(engine, noiseTokens(31, 100)).said;
          await start(engine, long).said;
          await start(engine, [1]).said;
          await start(engine, noiseTokens(32, 250)).said;
          const prompt = [...long.slice(0, 450), ...other];
          const { result } = await check(prompt, await start(engine, prompt).said);
          assert.equal(result.cachedTokens, 450);
          const early = [...long.slice(0, WINDOW), ...other];
          await check(early, await start(engine, early).said);
        }));
    }
  });
}
