/** `npm run abi` as a command, on small headers in the style of llama.h. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readCalls } from '../../scripts/abi/compare.js';
import { parseHeader } from '../../scripts/abi/header.js';
import { namesAt, newestBuild, parseTable, printTable } from '../../scripts/abi/table.js';
import { inProject, ROOT } from '../../scripts/root.js';
import type { AbiLayout } from '../../src/engine/addon.js';
import { scriptArguments } from '../helpers/script.js';
import { abi, buildLookalike, layoutOf, skipReason } from '../native/fake.js';

const NEXT = newestBuild(abi) + 100;
const tableFile = inProject('native/abi/llama.json');

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hoshikage-abi-'));
});
after(() => rm(folder, { recursive: true, force: true }));

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      scriptArguments('abi', args),
      { cwd: ROOT, timeout: 60_000 },
      (_, out, err) => resolve({ code: child.exitCode ?? -1, out, err }),
    );
  });
}

const TYPES: Readonly<Record<number, string>> = { 1: 'bool', 4: 'uint32_t', 8: 'void *' };

/** A struct as C, one field a line, each with a comment that must not be read. */
function struct(name: string, layout: AbiLayout, types: Readonly<Record<string, string>>): string {
  const fields = layout.fields.map(
    ([field, , size]) => `        ${types[field] ?? TYPES[size]} ${field}; // int not_a_field;`,
  );
  return `    struct ${name} {\n${fields.join('\n')}\n    };`;
}

interface HeaderText {
  readonly model?: AbiLayout;
  readonly context?: AbiLayout;
  readonly build?: number;
  readonly more?: readonly string[];
  readonly without?: readonly string[];
  readonly types?: Readonly<Record<string, string>>;
  readonly enums?: string;
  /** Functions that take another number of arguments than native/src passes. */
  readonly arities?: Readonly<Record<string, number>>;
}

const calls = readCalls(readFileSync(inProject('native/src/llama/symbols.inc'), 'utf8'));

/** This many parameters; one of them takes parameters of its own. */
function parameters(count: number): string {
  const names = Array.from({ length: count }, (_, index) => `int32_t p${index}`);
  return count === 0 ? 'void' : ['bool (*f)(void *, int)', ...names.slice(1)].join(', ');
}

function headerText(wanted: HeaderText = {}): string {
  const { model = layoutOf('M10'), context = layoutOf('C11') } = wanted;
  const names = [...namesAt(abi, wanted.build ?? NEXT), ...(wanted.more ?? [])];
  const functions = names
    .filter((name) => !wanted.without?.includes(name))
    .map((name, index) => {
      const list = parameters(wanted.arities?.[name] ?? calls.get(name) ?? 0);
      if (index % 5 === 0)
        return `    DEPRECATED(LLAMA_API int ${name}(${list}), "use (another, one); now");`;
      if (index % 5 === 1) return `    LLAMA_API DEPRECATED(int ${name}(${list}),\n        "ask");`;
      return `    LLAMA_API const struct llama_model * ${name} (\n          ${list}); // LLAMA_API`;
    });
  return `#pragma once
#ifdef LLAMA_BUILD
#    define LLAMA_API __attribute__ ((visibility ("default")))
#else
#    define LLAMA_API
#endif
#define DEPRECATED(func, hint) func __attribute__((deprecated(hint)))
/* LLAMA_API void llama_in_a_comment(void); */
    typedef bool (*llama_progress_callback)(float progress, void * user_data);
    typedef int32_t llama_token;
    ${wanted.enums ?? ''}
${struct('llama_model_params', model, { progress_callback: 'llama_progress_callback', ...wanted.types })}
${struct('llama_context_params', context, { n_ctx: 'llama_token', abort_callback: 'ggml_abort_callback', n_samplers: 'size_t', ...wanted.types })}
${functions.join('\n')}
`;
}

let files = 0;
async function write(text: string, name = 'llama.h'): Promise<string> {
  files += 1;
  const path = join(folder, `${files}-${name}`);
  await writeFile(path, text);
  return path;
}

/** Runs the command on a copy of the table; its text afterwards beside what was said. */
async function extend(
  header: string,
  ...args: string[]
): Promise<Outcome & { readonly text: string; readonly again: () => Promise<Outcome> }> {
  const table = await write(await readFile(tableFile, 'utf8'), 'llama.json');
  const all = ['--header', await write(header), '--table', table, '--build', `${NEXT}`, ...args];
  const done = await run(...all);
  return { ...done, text: await readFile(table, 'utf8'), again: () => run(...all) };
}

/** A layout with a field put in before the field called `before`. */
function inserted(layout: AbiLayout, name: string, before: string): AbiLayout {
  let end = 0;
  const fields = layout.fields
    .flatMap((row) => (row[0] === before ? [[name, 0, 4, [77]] as const, row] : [row]))
    .map(([field, , size, values]) => {
      const offset = Math.ceil(end / size) * size;
      end = offset + size;
      return [field, offset, size, values] as const;
    });
  return { ...layout, size: Math.ceil(end / 8) * 8, fields };
}

describe('npm run abi', { concurrency: 2 }, () => {
  it('keeps the file as it is written: what it reads it prints with the same bytes', async () => {
    const text = await readFile(tableFile, 'utf8');
    assert.equal(printTable(parseTable(text)), text);
  });

  it('computes the offsets of every layout in the table from a struct without them', () => {
    for (const model of abi.modelParams) {
      const context = layoutOf('C11');
      const read = parseHeader(headerText({ model, context })).modelParams;
      const rows = read.fields.map(({ name, offset, size }) => [name, offset, size]);
      assert.deepEqual(
        rows,
        model.fields.map((row) => row.slice(0, 3)),
        model.id,
      );
      assert.equal(read.size, model.size, model.id);
    }
    for (const context of abi.contextParams) {
      const read = parseHeader(headerText({ context })).contextParams;
      assert.deepEqual(
        read.fields.map(({ name, offset, size }) => [name, offset, size]),
        context.fields.map((row) => row.slice(0, 3)),
        context.id,
      );
      assert.equal(read.size, context.size, context.id);
    }
  });

  it('reads every LLAMA_API function, deprecated on either side, and none in a comment', () => {
    const { functions } = parseHeader(headerText());
    assert.deepEqual([...functions.keys()], [...namesAt(abi, NEXT)].sort());
  });

  for (const [what, type, pattern] of [
    [
      'a type that it does not know',
      'llama_new_thing',
      /n_batch has the unknown type llama_new_thing/,
    ],
    ['a struct by value', 'struct llama_pair', /n_batch has the unknown type struct llama_pair/],
    ['a size that differs by platform', 'long', /n_batch has the unknown type long/],
  ] as const) {
    it(`refuses ${what} by name`, () => {
      assert.throws(() => parseHeader(headerText({ types: { n_batch: type } })), pattern);
    });
  }

  it('refuses an array, a bit field, two fields in one declaration, and #if inside a struct', () => {
    const change = (to: string): string => headerText().replace(/uint32_t n_batch;/, to);
    for (const to of ['int a[4];', 'int a : 3;', 'int a, b;']) {
      assert.throws(() => parseHeader(change(to)), /llama_context_params: not understood: int a/);
    }
    const text = change('\n#ifdef X\nint a;\n#endif\n');
    assert.throws(() => parseHeader(text), /llama_context_params depends on the preprocessor/);
  });

  it('--check says that header and table agree, with exit code 0', async () => {
    const header = await write(headerText());
    const done = await run('--header', header, '--build', `${NEXT}`, '--check');
    assert.deepEqual(
      [done.code, done.out.trim()],
      [0, `b${NEXT}: header and table agree`],
      done.err,
    );
  });

  it('--check names every difference, with exit code 1, and changes nothing', async () => {
    const before = await readFile(tableFile, 'utf8');
    const header = await write(
      headerText({
        context: inserted(layoutOf('C11'), 'n_new', 'n_threads'),
        more: ['llama_new_function'],
        without: ['llama_decode'],
        arities: { llama_tokenize: 9 },
        enums: 'enum llama_flash_attn_type { LLAMA_FLASH_ATTN_TYPE_AUTO, LLAMA_OTHER = 5 };',
      }),
    );
    const done = await run('--header', header, '--build', `${NEXT}`, '--check');
    assert.equal(done.code, 1);
    for (const line of [
      'C11: n_new (uint32_t) at 28 is new',
      'C11: n_threads is at 32, not 28',
      'llama_new_function is not in the table',
      'llama_decode is not in the header',
      'llama_tokenize takes 9 arguments; native/src passes 7',
      'LLAMA_FLASH_ATTN_TYPE_AUTO is 0; native/src was written for -1',
    ]) {
      assert.ok(done.out.includes(line), `${line}\n${done.out}`);
    }
    assert.equal(await readFile(tableFile, 'utf8'), before);
  });

  it('--check looks at the layout of the build that is named, not at the newest', async () => {
    const old = { model: layoutOf('M7'), context: layoutOf('C7'), build: 8390 };
    const header = await write(headerText(old));
    const right = await run('--header', header, '--build', '8390', '--check');
    assert.equal(right.code, 0, right.out);
    const wrong = await run('--header', header, '--build', '9500', '--check');
    assert.equal(wrong.code, 1);
    assert.match(wrong.out, /C9: n_rs_seq is gone/);
  });

  it('updates only symbols where the layouts are the same, and is idempotent', async () => {
    const header = headerText({
      more: ['llama_new_function'],
      without: ['llama_encode', 'llama_version'],
    });
    const done = await extend(header);
    assert.equal(done.code, 0, done.err);
    const made = parseTable(done.text);
    const row = (name: string) => made.symbols.find(([symbol]) => symbol === name);
    assert.deepEqual(row('llama_new_function'), ['llama_new_function', NEXT, 9_999_999]);
    assert.deepEqual(row('llama_encode'), ['llama_encode', 0, NEXT]);
    assert.deepEqual(row('llama_version'), ['llama_version', 10394, NEXT]);
    assert.ok(!made.alwaysThere.includes('llama_encode'));
    assert.deepEqual(made.modelParams, abi.modelParams);
    assert.deepEqual(made.contextParams, abi.contextParams);
    const again = await done.again();
    assert.deepEqual([again.code, again.out.trim()], [0, `b${NEXT}: nothing new`]);
  });

  it('adds a row for a new layout with the defaults it is told, and closes the last one', async () => {
    const context = inserted(layoutOf('C11'), 'n_new', 'n_threads');
    const refused = await extend(headerText({ context }));
    assert.equal(refused.code, 1);
    assert.match(refused.err, /llama_context_params: no default is known for n_new/);
    assert.equal(refused.text, await readFile(tableFile, 'utf8'));

    const done = await extend(headerText({ context }), '--default', 'n_new=-1');
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /llama_context_params: new layout C12, 168 bytes/);
    const made = parseTable(done.text);
    assert.equal(made.contextParams.at(-2)?.to, NEXT - 1);
    const { id, size, from, to, fields } = made.contextParams.at(-1) ?? assert.fail();
    assert.deepEqual({ id, size, from, to }, { id: 'C12', size: 168, from: NEXT, to: 999_999 });
    assert.deepEqual(
      fields.find(([name]) => name === 'n_new'),
      ['n_new', 28, 4, [4294967295]],
    );
    assert.deepEqual(
      fields.find(([name]) => name === 'n_ctx'),
      ['n_ctx', 0, 4, [512]],
    );
    assert.match((await done.again()).out, /nothing new/);
  });

  it('writes a float’s default as its bit pattern', async () => {
    const context = inserted(layoutOf('C11'), 'f_new', 'n_threads');
    const header = headerText({ context, types: { f_new: 'float' } });
    const done = await extend(header, '--default', 'f_new=-1.0');
    const { fields } = parseTable(done.text).contextParams.at(-1) ?? assert.fail();
    assert.deepEqual(
      fields.find(([name]) => name === 'f_new'),
      ['f_new', 28, 4, [0xbf800000]],
    );
  });

  it('takes new defaults from the library itself', { skip: skipReason }, async () => {
    const modelParams = inserted(layoutOf('M10'), 'n_new', 'main_gpu');
    const contextParams = {
      ...layoutOf('C11'),
      fields: layoutOf('C11').fields.map(([name, offset, size, values]) =>
        name === 'n_batch'
          ? ([name, offset, size, [4096]] as const)
          : ([name, offset, size, values] as const),
      ),
    };
    const library = buildLookalike({ build: NEXT, modelParams, contextParams });
    const done = await extend(headerText({ model: modelParams }), '--library', library);
    assert.equal(done.code, 0, done.err);
    const made = parseTable(done.text);
    const model = made.modelParams.at(-1)?.fields.find(([name]) => name === 'n_new');
    assert.deepEqual(model, ['n_new', 32, 4, [77]]);
    const batch = made.contextParams.at(-1)?.fields.find(([name]) => name === 'n_batch');
    assert.deepEqual(batch, ['n_batch', 4, 4, [2048, 4096]]);
    assert.match(done.out, /C11\.n_batch: new default 4096/);
  });

  it('refuses a library that is not of this header', { skip: skipReason }, async () => {
    const library = buildLookalike({
      build: NEXT,
      modelParams: layoutOf('M9'),
      contextParams: layoutOf('C11'),
    });
    const done = await extend(headerText(), '--library', library);
    assert.equal(done.code, 1);
    assert.match(done.err, /llama_model_params has an unknown layout/);
  });

  it('says so where a row only uses the padding of the one before it', async () => {
    const last = layoutOf('M10');
    const model = { ...last, fields: [...last.fields, ['late', 78, 1, [0]] as const] };
    const done = await extend(headerText({ model }), '--default', 'late=false');
    assert.match(done.out, /note: M11 is M10 with its padding used/);
  });

  it('warns of an enum’s numbers, which no layout shows', async () => {
    const context = inserted(layoutOf('C11'), 'new_mode', 'n_threads');
    const header = headerText({ context, types: { new_mode: 'enum llama_new_mode' } });
    const done = await extend(header, '--default', 'new_mode=1');
    assert.match(
      done.out,
      /note: llama_context_params\.new_mode: the numbers of enum llama_new_mode/,
    );
  });

  it('warns of a function that takes another number of arguments, since no table mends that', async () => {
    const done = await extend(headerText({ arities: { llama_memory_clear: 3 } }));
    assert.match(done.out, /note: llama_memory_clear takes 3 arguments; native\/src passes 2/);
    assert.match(done.out, /nothing new/);
  });

  it('refuses new names for the same places, an older header, and a function that came back', async () => {
    const last = layoutOf('M10');
    const fields = last.fields.map(([name, ...rest]) =>
      name === 'no_host' ? (['no_guest', ...rest] as const) : ([name, ...rest] as const),
    );
    const renamed = await extend(
      headerText({ model: { ...last, fields } }),
      '--default',
      'no_guest=0',
    );
    assert.match(renamed.err, /same places under other names \(no_host -> no_guest\)/);
    const older = await extend(headerText(), '--build', '9000');
    assert.match(older.err, /an older header can only be checked/);
    const back = await extend(headerText({ more: ['llama_params_fit'] }));
    assert.match(back.err, /llama_params_fit was gone since b8865 and is back/);
    assert.deepEqual([renamed.code, older.code, back.code], [1, 1, 1]);
  });

  it('shows its usage for wrong arguments, with exit code 2', async () => {
    const header = await write(headerText());
    for (const args of [[], ['--header', header], ['--header', header, '--build', 'v0.5.0']]) {
      const done = await run(...args);
      assert.equal(done.code, 2);
      assert.match(done.err, /usage: npm run abi/);
    }
  });
});
