/** What the addon says of libraries: found or not, known or refused, always with the evidence. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AbiLayout, NativeLibrary } from '../../src/engine/addon.js';
import {
  abi,
  buildFake,
  buildGgml,
  buildLookalike,
  layoutOf,
  newestBuild,
  skipReason,
  symbolNames,
} from './fake.js';
import { startStory } from './rig.js';

interface Verdict {
  readonly library?: NativeLibrary;
  readonly code?: string;
  readonly message?: string;
}

/** In a child: a process can open only one library. */
async function identify(
  library: string,
  preload: readonly string[] = [],
  options: {
    readonly allowUnknown?: boolean;
    readonly unknownSymbols?: readonly string[];
    readonly proveSamplers?: boolean;
  } = {},
): Promise<Verdict> {
  const end = await startStory('identify', { library, preload, ...options }).end;
  assert.equal(end.signal, null, end.stderr);
  assert.equal(end.code, 0, end.stderr);
  const [verdict] = end.out;
  assert.ok(verdict, `no verdict: ${end.stderr}`);
  return verdict; // its shape is asserted by each test
}

const newest = { build: newestBuild, modelParams: layoutOf('M10'), contextParams: layoutOf('C11') };

/** A layout with one more field at its end, as a future build may have. */
function grown(layout: AbiLayout): AbiLayout {
  const field = ['of_the_future', layout.size, 8, [7]] as const;
  return { ...layout, size: layout.size + 8, fields: [...layout.fields, field] };
}

/** A layout whose field has another default value. */
function changed(layout: AbiLayout, field: string, value: number): AbiLayout {
  const fields = layout.fields.map((row) =>
    row[0] === field ? ([row[0], row[1], row[2], [value]] as const) : row,
  );
  return { ...layout, fields };
}

/** A layout without its last fields. */
function shrunk(layout: AbiLayout, count: number): AbiLayout {
  return { ...layout, fields: layout.fields.slice(0, -count) };
}

describe('the identification of a libllama', { skip: skipReason, concurrency: 2 }, () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'hoshikage-identify-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('names layouts, versions and devices of a library it knows', async () => {
    const path = buildFake();
    const { library } = await identify(path);
    assert.deepEqual(library, {
      path,
      version: '0.5.0-dev',
      ggmlVersion: '0.25.1',
      ggmlCommit: 'fake',
      layout: { model: 'M10', context: 'C11' },
      bracket: library?.bracket,
      minimal: false,
      unknownSymbols: [],
      samplers: { penalties: 5, dry: 7 },
      devices: [
        {
          name: 'CPU',
          description: 'a fake processor',
          type: 'cpu',
          totalBytes: 2000,
          freeBytes: 1000,
        },
      ],
    });
  });

  // Every pair of layouts since the floor build, at the build where the younger one began.
  const pairs = [...abi.modelParams, ...abi.contextParams]
    .map(({ from }) => Math.max(from, abi.floor))
    .filter((build, index, all) => all.indexOf(build) === index)
    .sort((a, b) => a - b)
    .map((build) => ({
      build,
      model: abi.modelParams.find(({ from, to }) => from <= build && build <= to),
      context: abi.contextParams.find(({ from, to }) => from <= build && build <= to),
    }));

  for (const { build, model, context } of pairs) {
    it(`finds ${model?.id} and ${context?.id} in a library of build b${build}`, async () => {
      assert.ok(model && context);
      const path = buildLookalike({ build, modelParams: model, contextParams: context });
      const { library, message } = await identify(path);
      assert.ok(library, message);
      const [from, to] = library.bracket;
      assert.ok(from <= build && build < to, `b${build} is not in ${library.bracket}`);
      // Layouts that differ only in former padding may stand for each other.
      const found = layoutOf(library.layout.model);
      for (const [name, offset, size] of model.fields) {
        const same = found.fields.find(([other]) => other === name);
        assert.deepEqual(same?.slice(1, 3), [offset, size], name);
      }
      assert.equal(library.layout.context, context.id);
      const { penalties5, dry7 } = abi.samplers;
      const arities = { penalties: build < penalties5 ? 4 : 5, dry: build < dry7 ? 8 : 7 };
      assert.deepEqual(library.samplers, arities);
    });
  }

  it('says library_not_found with the loader’s own words where there is no file', async () => {
    const verdict = await identify(join(folder, 'libllama.so'));
    assert.equal(verdict.code, 'library_not_found');
    assert.match(verdict.message ?? '', /No such file/);
  });

  it('says library_not_found for a file that is no library', async () => {
    const path = join(folder, 'libllama-text.so');
    writeFileSync(path, 'this is only text\n');
    const verdict = await identify(path);
    assert.equal(verdict.code, 'library_not_found');
    assert.match(verdict.message ?? '', /invalid ELF header|file too short|not a mach-o/i);
  });

  it('names all missing symbols at once', async () => {
    const without = ['llama_decode', 'llama_tokenize', 'llama_memory_seq_rm'];
    const verdict = await identify(buildLookalike({ ...newest, without }));
    assert.equal(verdict.code, 'library_incompatible');
    for (const name of without) assert.ok(verdict.message?.includes(name), verdict.message);
  });

  it('names a missing required symbol, whichever it is', async () => {
    const verdict = await identify(
      buildLookalike({ ...newest, samplers: 'none', without: symbolNames('REQUIRED') }),
    );
    for (const name of symbolNames('REQUIRED')) {
      if (name === 'llama_batch_free') continue; // exported with llama_batch_init
      assert.ok(verdict.message?.includes(name), name);
    }
  });

  it('refuses a library with an unknown context struct and says how large it is', async () => {
    const contextParams = grown(layoutOf('C11'));
    const verdict = await identify(buildLookalike({ ...newest, contextParams }));
    assert.equal(verdict.code, 'library_incompatible');
    assert.match(verdict.message ?? '', /llama_context_params has an unknown layout \(168 bytes/);
  });

  it('says that it is newer than the table, and how it can be used all the same', async () => {
    const contextParams = grown(layoutOf('C11'));
    const verdict = await identify(buildLookalike({ ...newest, contextParams }));
    assert.match(verdict.message ?? '', /newer than the table/);
    assert.match(verdict.message ?? '', /ALLOW_UNKNOWN_LIBLLAMA=1.*hoshikage lib use/);
  });

  it('knows only the oldest fields of an unknown struct in the minimal mode', async () => {
    const path = buildLookalike({ ...newest, contextParams: grown(layoutOf('C11')) });
    const unknownSymbols = ['llama_of_the_future'];
    const { library, message } = await identify(path, [], { allowUnknown: true, unknownSymbols });
    assert.ok(library, message);
    assert.equal(library.minimal, true);
    assert.deepEqual(library.layout, { model: 'minimal', context: 'minimal' });
    assert.deepEqual(library.unknownSymbols, unknownSymbols);
    assert.deepEqual(library.samplers, { penalties: null, dry: null });
  });

  it('drives a library that it knows as it is, also where an unknown one would be allowed', async () => {
    const { library } = await identify(buildLookalike(newest), [], { allowUnknown: true });
    assert.equal(library?.minimal, false);
    assert.deepEqual(library.layout, { model: 'M10', context: 'C11' });
  });

  it('refuses the minimal mode where the oldest fields are not what they always were', async () => {
    const contextParams = changed(layoutOf('C11'), 'n_batch', 4096);
    const modelParams = changed(layoutOf('M10'), 'n_gpu_layers', 7);
    const cases = [
      [{ contextParams }, /n_batch = 4096/],
      [{ modelParams }, /n_gpu_layers = 7/],
      [{ modelParams: changed(layoutOf('M10'), 'split_mode', 9) }, /split_mode = 9/],
      [{ modelParams: shrunk(layoutOf('M10'), 4) }, /the minimal mode is impossible.*bytes/],
    ] as const;
    for (const [change, evidence] of cases) {
      const path = buildLookalike({ ...newest, ...change });
      const verdict = await identify(path, [], { allowUnknown: true });
      assert.equal(verdict.code, 'library_incompatible');
      assert.match(verdict.message ?? '', evidence);
    }
  });

  it('refuses the minimal mode for an unknown struct in a build whose structs are known', async () => {
    const known = { build: 10_100, modelParams: layoutOf('M7'), contextParams: layoutOf('C10') };
    const path = buildLookalike({ ...known, contextParams: grown(layoutOf('C10')) });
    const verdict = await identify(path, [], { allowUnknown: true });
    assert.equal(verdict.code, 'library_incompatible');
    assert.match(verdict.message ?? '', /whose layouts are known: a fork/);
  });

  it('refuses a library with an unknown model struct and names the field that contradicts', async () => {
    const modelParams = changed(layoutOf('M10'), 'split_mode', 9);
    const verdict = await identify(buildLookalike({ ...newest, modelParams }));
    assert.equal(verdict.code, 'library_incompatible');
    assert.match(verdict.message ?? '', /M10: split_mode = 9/);
  });

  it('refuses layouts that never went together', async () => {
    const verdict = await identify(buildLookalike({ ...newest, contextParams: layoutOf('C9') }));
    assert.equal(verdict.code, 'library_incompatible');
  });

  it('refuses a build older than the floor and says which is needed', async () => {
    const old = { build: 6301, modelParams: layoutOf('M4'), contextParams: layoutOf('C5') };
    const verdict = await identify(buildLookalike(old));
    assert.equal(verdict.code, 'library_incompatible');
    assert.match(verdict.message ?? '', /b6325/);
  });

  it('refuses a library whose symbols never existed together, as in a fork', async () => {
    const gone = abi.symbols.find(([, from, to]) => from < 6000 && to < 6000)?.[0];
    assert.ok(gone, 'the table knows a function that was removed before the floor');
    const verdict = await identify(buildLookalike({ ...newest, extra: [gone] }));
    assert.equal(verdict.code, 'library_incompatible');
    assert.match(verdict.message ?? '', /contradict|unknown layout/);
  });

  it('refuses the llama_batch of before b3943', async () => {
    const verdict = await identify(buildLookalike({ ...newest, batchBytes: 72 }));
    assert.equal(verdict.code, 'library_incompatible');
    assert.match(verdict.message ?? '', /llama_batch has 72 bytes/);
  });

  it('tells by what samplers do how many arguments they take, within one epoch of layouts', async () => {
    const epoch = { modelParams: layoutOf('M9'), contextParams: layoutOf('C10') };
    const expected = [
      [10_250, 4, 8],
      [10_260, 5, 8],
      [10_280, 5, 7],
    ] as const;
    for (const [build, penalties, dry] of expected) {
      const { library, message } = await identify(buildLookalike({ ...epoch, build }));
      assert.deepEqual(library?.samplers, { penalties, dry }, message);
      const [from, to] = library?.bracket ?? [0, 0];
      assert.ok(from <= build && build < to, `b${build} is not in ${from}..${to}`);
    }
  });

  it('leaves samplers unproved that make nothing', async () => {
    const { library, message } = await identify(buildLookalike({ ...newest, samplers: 'none' }));
    assert.deepEqual(library?.samplers, { penalties: null, dry: null }, message);
  });

  it('calls no sampler of a library that is newer than the table, nor where it is not asked to', async () => {
    const path = buildLookalike(newest);
    const newer = await identify(path, [], { unknownSymbols: ['llama_of_the_future'] });
    assert.deepEqual(newer.library?.samplers, { penalties: null, dry: null }, newer.message);
    const engine = await identify(path, [], { proveSamplers: false });
    assert.deepEqual(engine.library?.samplers, { penalties: null, dry: null }, engine.message);
    const asked = await identify(path);
    assert.deepEqual(asked.library?.samplers, { penalties: 5, dry: 7 }, asked.message);
  });

  it('refuses samplers that contradict the symbols and layouts, as in a fork', async () => {
    const samplers = { penalties: 4, dry: 7 } as const;
    const verdict = await identify(buildLookalike({ ...newest, samplers }));
    assert.equal(verdict.code, 'library_incompatible');
    assert.match(verdict.message ?? '', /llama_sampler_init_penalties is the one of before b10258/);
    const other = { penalties: 5, dry: 8 } as const;
    const refused = await identify(buildLookalike({ ...newest, samplers: other }));
    assert.match(refused.message ?? '', /llama_sampler_init_dry is the one of before b10273/);
  });

  it('finds libggml beside the library by the siblings it is given', async () => {
    const home = join(folder, 'siblings');
    mkdirSync(home);
    const ggml = join(home, 'libggml.so');
    const library = join(home, 'libllama.so');
    copyFileSync(buildGgml(), ggml);
    copyFileSync(buildLookalike({ ...newest, ggml: buildGgml() }), library);

    const alone = await identify(library);
    assert.equal(alone.code, 'library_not_found');
    assert.match(alone.message ?? '', /libggml\.so/);

    const together = await identify(library, [ggml]);
    assert.equal(together.library?.layout.context, 'C11', together.message);
  });

  it('refuses a libggml from another folder', async () => {
    const home = join(folder, 'elsewhere');
    mkdirSync(home);
    const library = join(home, 'libllama.so');
    copyFileSync(buildLookalike({ ...newest, ggml: buildGgml() }), library);
    const verdict = await identify(library, [buildGgml()]);
    assert.equal(verdict.code, 'library_incompatible');
    assert.match(verdict.message ?? '', /libggml comes from elsewhere/);
  });

  it('refuses a process in which another libggml is loaded already, and names its file', async () => {
    const foreign = join(folder, 'libggml-foreign.so');
    copyFileSync(buildGgml('foreign'), foreign);
    const end = await startStory('identify', { library: buildFake(), first: foreign }).end;
    const [verdict] = end.out;
    assert.equal(verdict?.code, 'library_incompatible', end.stderr);
    assert.match(String(verdict.message), /already loaded .*libggml-foreign\.so/);
  });

  it('opens a library whose very files are loaded already', async () => {
    const home = join(folder, 'loaded');
    mkdirSync(home);
    const ggml = join(home, 'libggml.so');
    const library = join(home, 'libllama.so');
    copyFileSync(buildGgml(), ggml);
    copyFileSync(buildLookalike({ ...newest, ggml: buildGgml() }), library);
    const end = await startStory('identify', { library, preload: [ggml], first: ggml }).end;
    const [verdict] = end.out;
    assert.equal(verdict?.code, undefined, String(verdict?.message));
    assert.ok(verdict?.library);
  });

  it('names a sibling that cannot be opened, which is no verdict on the library', async () => {
    const sibling = join(folder, 'libggml-base.so');
    writeFileSync(sibling, 'text');
    const verdict = await identify(buildFake(), [sibling]);
    assert.equal(verdict.code, 'library_not_found');
    assert.match(verdict.message ?? '', /libggml-base\.so/);
  });
});
