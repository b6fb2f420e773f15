/**
 * Which libraries are taken for which: every known layout is recognised, and of several hundred
 * simulated futures nearly all are refused; those that are not are shown to do no harm.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { inProject } from '../../scripts/root.js';
import type { AbiLayout } from '../../src/engine/addon.js';
import { abi, buildFake, buildLookalike, layoutOf, newestBuild, skipReason } from './fake.js';
import { MINIMAL, type Mutation, mutationsOf, outcomeOf, sameBytes, WRITTEN } from './mutations.js';
import { startStory } from './rig.js';
import { type Field, fieldsOf, identifyStubs, placed, type Stub } from './stubs.js';

const at = (rows: readonly AbiLayout[], build: number): AbiLayout =>
  rows.find(({ from, to }) => from <= build && build <= to) ??
  assert.fail(`no layout at b${build}`);

/** The builds at which some layout begins. */
const builds = [...abi.modelParams, ...abi.contextParams]
  .map(({ from }) => from)
  .filter((build, index, all) => all.indexOf(build) === index)
  .sort((a, b) => a - b);

/** As releases are built; without optimisation; and with padding set to zero. */
const FLAGS = ['-O2', '-O0', '-Os'];

/** Every known pair of layouts with the oldest and the newest defaults its fields had. */
function knownStubs(of: readonly number[]): (Stub & { readonly build: number })[] {
  return of.flatMap((build) =>
    (['first', 'last'] as const).map((pick) => ({
      id: `b${build}_${pick}`,
      build,
      model: fieldsOf(at(abi.modelParams, build), pick),
      context: fieldsOf(at(abi.contextParams, build), pick),
    })),
  );
}

/** Every field of the one stands at the same place in the other. */
function standsFor(found: AbiLayout, real: AbiLayout): boolean {
  return real.fields.every(([name, offset, size]) =>
    found.fields.some((row) => row[0] === name && row[1] === offset && row[2] === size),
  );
}

/** The newest layouts with one edit in one of them. */
function mutatedStubs(): Map<
  string,
  { readonly stub: Stub; readonly mutation: Mutation; readonly layout: AbiLayout }
> {
  const made = (['M10', 'C11'] as const).flatMap((id) =>
    mutationsOf(layoutOf(id)).map((mutation, index) => {
      const struct = id === 'M10' ? 'model' : 'context';
      const stub: Stub = { id: `${id}_${index}`, [struct]: mutation.fields };
      return [stub.id, { stub, mutation, layout: layoutOf(id) }] as const;
    }),
  );
  return new Map(made);
}

/** Where the fields of the minimal mode are, as text. */
function firstFieldsOf(fields: readonly Field[]): string {
  const places = placed(fields);
  return MINIMAL.map((name) => `${name}@${places.get(name)?.offset}`).join();
}

/** Fields as a layout with its offsets. */
function layoutFrom(layout: AbiLayout, fields: readonly Field[]): AbiLayout {
  const places = placed(fields);
  const rows = fields.map(([name, size, value]) => {
    const { offset } = places.get(name) ?? assert.fail(name);
    return [name, offset, size, [value]] as const;
  });
  const end = Math.max(...rows.map(([, offset, size]) => offset + size));
  return { ...layout, size: Math.ceil(end / 8) * 8, fields: rows };
}

const newest = {
  model: fieldsOf(layoutOf('M10'), 'last'),
  context: fieldsOf(layoutOf('C11'), 'last'),
  build: newestBuild,
};

describe('a stub library', { skip: skipReason }, () => {
  for (const flags of FLAGS) {
    it(`of every known pair of layouts is identified, compiled with ${flags}`, async (t: TestContext) => {
      const stubs = knownStubs(builds.filter((build) => build >= abi.floor));
      const verdicts = await identifyStubs(stubs, { flags: [flags] });
      let exact = 0;
      for (const { id, build } of stubs) {
        const verdict = verdicts.get(id);
        assert.ok(verdict?.state === 'accepted', `${id}: ${JSON.stringify(verdict)}`);
        const [model, context] = [at(abi.modelParams, build), at(abi.contextParams, build)];
        assert.ok(standsFor(layoutOf(verdict.model), model), `${id}: ${verdict.model}`);
        assert.ok(standsFor(layoutOf(verdict.context), context), `${id}: ${verdict.context}`);
        const [from, to] = verdict.bracket;
        assert.ok(from <= build && build < to, `${id}: ${verdict.bracket}`);
        if (verdict.model === model.id && verdict.context === context.id) exact += 1;
      }
      t.diagnostic(`known layouts ${flags}: ${stubs.length}/${stubs.length}, exactly ${exact}`);
    });
  }

  it('of every older layout is refused by the builds that it can be of', async () => {
    const stubs = knownStubs(builds.filter((build) => build < abi.floor));
    const verdicts = await identifyStubs(stubs, { flags: ['-O2'] });
    for (const { id, build } of stubs) {
      const verdict = verdicts.get(id);
      assert.ok(verdict?.state === 'refused', `${id}: ${JSON.stringify(verdict)}`);
      const said = /^too old: between b(\d+) and b(\d+), b6325 or newer is needed$/.exec(
        verdict.reason,
      );
      assert.ok(said, `${id}: ${verdict.reason}`);
      assert.ok(Number(said[1]) <= build && build < Number(said[2]), `${id}: ${verdict.reason}`);
    }
  });

  for (const flags of ['-O2', '-Os']) {
    it(`of a layout to come is refused, and does no harm where it is not, compiled with ${flags}`, async (t: TestContext) => {
      const all = mutatedStubs();
      const stubs = [...all.values()].map(({ stub }) => stub);
      const verdicts = await identifyStubs(stubs, { flags: [flags], shared: newest });
      const accepted = [...all].filter(([id]) => verdicts.get(id)?.state === 'accepted');
      const refused = [...verdicts.values()].filter(({ state }) => state === 'refused').length;
      assert.equal(refused + accepted.length, all.size, 'every stub has a verdict');
      const percent = (100 * refused) / all.size;
      t.diagnostic(`mutated ${flags}: ${refused}/${all.size} refused (${percent.toFixed(1)} %)`);
      assert.ok(percent >= 93, `only ${percent} % are refused`);

      const classes = new Map<string, string[]>();
      for (const [id, { mutation, layout }] of accepted) {
        const { edit, what } = mutation;
        const verdict = verdicts.get(id);
        const gated = verdict?.state === 'accepted' && verdict.paddingWritten;
        assert.ok(sameBytes(mutation, layout), `${edit} ${what}: its defaults could be told apart`);
        const outcome = outcomeOf(mutation, layout, (name) => !gated || name !== 'main_gpu');
        assert.notEqual(outcome, 'harmful', `${edit} ${what}`);
        const name = `${outcome}, ${edit}`;
        classes.set(name, [...(classes.get(name) ?? []), what]);
      }
      for (const [name, members] of [...classes].sort()) {
        t.diagnostic(`accepted ${flags}, ${name}: ${members.length} (${members.join('; ')})`);
      }
    });
  }

  it('of a layout to come is driven in the minimal mode only where its first fields are in place', async (t: TestContext) => {
    const all = mutatedStubs();
    const stubs = [...all.values()].map(({ stub }) => stub);
    const options = { flags: ['-O2'], shared: newest, allowUnknown: true };
    const verdicts = await identifyStubs(stubs, options);
    const count = { driven: 0, caught: 0, refused: 0 };
    for (const [id, { mutation, layout }] of all) {
      const { edit, what, fields } = mutation;
      const verdict = verdicts.get(id) ?? assert.fail(id);
      if (verdict.state === 'accepted') continue;
      const kept = firstFieldsOf(fields) === firstFieldsOf(fieldsOf(layout));
      if (verdict.state === 'refused') {
        count.refused += 1;
        assert.ok(!kept || /minimal mode is impossible/.test(verdict.reason), `${edit} ${what}`);
        continue;
      }
      const outcome = outcomeOf(mutation, layout, (name) => MINIMAL.includes(name));
      assert.ok(outcome === 'untouched' || outcome === 'caught', `${edit} ${what}: ${outcome}`);
      count[outcome === 'caught' ? 'caught' : 'driven'] += 1;
      if (outcome === 'caught') t.diagnostic(`minimal, caught by the first load: ${edit} ${what}`);
    }
    t.diagnostic(
      `minimal: ${count.driven} driven, ${count.caught} caught by the first load, ${count.refused} refused`,
    );
    assert.ok(count.driven > 300 && count.refused > 50, JSON.stringify(count));
  });
});

describe('what the addon writes into a library’s structs', () => {
  it('is what the mutations are judged by, and nothing else', () => {
    const folder = inProject('native/src');
    const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.cc'))
      .map((name) => readFileSync(join(folder, name), 'utf8'));
    const poked = sources.flatMap((text) =>
      [...text.matchAll(/\bPoke\([^;"]*"(\w+)"/g)].map(([, name]) => name ?? ''),
    );
    assert.deepEqual([...new Set(poked)].sort(), [...WRITTEN].sort());
  });
});

describe('a library of a layout to come, in the addon itself', {
  skip: skipReason,
  concurrency: 2,
}, () => {
  const edits = [
    ['M10', 'added', 'pointer NULL before tensor_split'],
    ['C11', 'added', 'u32 512 before n_threads'],
    ['C11', 'removed', 'swa_full'],
    ['C11', 'swapped', 'n_batch and n_ubatch'],
  ] as const;
  for (const [id, edit, what] of edits) {
    it(`is refused with the evidence: ${edit}, ${what}`, async () => {
      const wanted = mutationsOf(layoutOf(id)).find(
        (one) => one.edit === edit && one.what === what,
      );
      const fields = wanted?.fields ?? assert.fail(`no such edit`);
      const mutated = layoutFrom(layoutOf(id), fields);
      const library = buildLookalike({
        build: newestBuild,
        modelParams: id === 'M10' ? mutated : layoutOf('M10'),
        contextParams: id === 'C11' ? mutated : layoutOf('C11'),
      });
      const end = await startStory('identify', { library }).end;
      assert.deepEqual([end.signal, end.code], [null, 0], end.stderr);
      const [said] = end.out;
      assert.equal(said?.code, 'library_incompatible');
      const struct = id === 'M10' ? 'llama_model_params' : 'llama_context_params';
      assert.match(`${said?.message}`, new RegExp(`${struct} has an unknown layout .*${id}: `));
    });
  }
});

describe('a library that was taken for another', { skip: skipReason, concurrency: 2 }, () => {
  let folder = '';
  let model = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'hoshikage-layouts-'));
    model = join(folder, 'model.gguf');
    writeFileSync(model, '');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const swapped = (first: string, second: string) => (source: string) => {
    const both = `${first}\n${second}\n`;
    assert.ok(source.includes(both), `the fake has no lines ${both}`);
    return source.replace(both, `${second}\n${first}\n`);
  };
  const split = '  void* tensor_split;';
  const progress = '  bool (*progress_callback)(float, void*);';
  const data = '  void* progress_callback_user_data;';
  const overrides = '  void* kv_overrides;';

  async function load(edit: (source: string) => string): Promise<Record<string, unknown>> {
    const end = await startStory('load', { library: buildFake(edit), model }).end;
    assert.deepEqual([end.signal, end.code], [null, 0], end.stderr);
    return end.out.at(-1) ?? assert.fail(end.stderr);
  }

  for (const [name, first, second] of [
    ['its progress callback and what goes with it', progress, data],
    ['its progress callback and the split of tensors', split, progress],
  ] as const) {
    it(`is refused by its first load where it swapped ${name}`, async () => {
      const { code, message } = await load(swapped(first, second));
      assert.equal(code, 'library_incompatible');
      assert.match(`${message}`, /progress callback was never called/);
    });
  }

  it('finds no overrides of ours where it looks for them at the user data’s place', async () => {
    const reading = 'At(kGpuLayers) = params.n_gpu_layers;';
    const { info } = await load((source) =>
      swapped(
        data,
        overrides,
      )(source).replace(reading, `${reading} if (params.kv_overrides) abort();`),
    );
    assert.ok(info);
  });
});
