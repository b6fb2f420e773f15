/** What holds a release back, and the workflow that makes one. Nothing is published or built here. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { manifestProblems } from '../../scripts/release/manifest.js';
import { PLATFORMS, prebuildPath, prebuildProblems } from '../../scripts/release/prebuilds.js';
import { ROOT } from '../../scripts/root.js';
import { sourceDigest } from '../../src/doctor/addon.js';
import { type ElfContent, elfImage } from '../helpers/elf-file.js';
import { type Plain, readPlainYaml } from '../helpers/plain-yaml.js';
import { scriptArguments } from '../helpers/script.js';

/** A project with an addon for Linux x64 that is as it should be but for `content`. */
async function project(context: TestContext, content: ElfContent): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'hoshikage-release-'));
  context.after(() => rmSync(root, { recursive: true }));
  const write = (path: string, data: string | Buffer): void => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, data);
  };
  write(join(root, 'native/src/one.cc'), 'int one();\n');
  write(join(root, 'native/CMakeLists.txt'), 'project(x)\n');
  write(join(root, 'binding.gyp'), '{}\n');
  const file = prebuildPath(root, 'linux-x64');
  const sound = {
    needed: ['libc.so.6', 'libstdc++.so.6'],
    versions: { 'libc.so.6': ['GLIBC_2.34'] },
  };
  write(file, elfImage({ ...sound, ...content }));
  write(`${file}.sha256`, `${await sourceDigest(root)}\n`);
  return root;
}

describe('An addon may be shipped', () => {
  it('when it is of these sources and asks for no more than libllama does', async (context) => {
    assert.deepEqual(await prebuildProblems(await project(context, {}), 'linux-x64'), []);
  });

  const REFUSED: readonly (readonly [string, ElfContent, RegExp])[] = [
    [
      'it needs a newer glibc',
      { versions: { 'libc.so.6': ['GLIBC_2.2.5', 'GLIBC_2.38'] } },
      /^linux-x64: it needs GLIBC 2\.38, newer than 2\.34$/,
    ],
    [
      'it needs a newer libstdc++',
      { versions: { 'libstdc++.so.6': ['GLIBCXX_3.4.30'] } },
      /GLIBCXX 3\.4\.30, newer than 3\.4\.29/,
    ],
    [
      'it needs a version of something unknown',
      { versions: { 'libx.so': ['LIBX_1.0'] } },
      /LIBX 1\.0, which nobody expects/,
    ],
    [
      'it needs a library that not every system has',
      { needed: ['libc.so.6', 'libc++.so.1'] },
      /libc\+\+\.so\.1, which not every/,
    ],
    ['it is made for another machine', { machine: 183 }, /something else: elf, arm64/],
  ];
  for (const [why, content, words] of REFUSED) {
    it(`not when ${why}`, async (context) => {
      const problems = await prebuildProblems(await project(context, content), 'linux-x64');
      assert.equal(problems.length, 1, problems.join('\n'));
      assert.match(problems[0] ?? '', words);
    });
  }

  it('not when the sources have changed since, and not when it is missing', async (context) => {
    const root = await project(context, {});
    writeFileSync(join(root, 'native/src/one.cc'), 'int two();\n');
    assert.match((await prebuildProblems(root, 'linux-x64')).join(), /not of these sources/);
    assert.deepEqual(await prebuildProblems(root, 'win32-x64'), ['win32-x64: there is no addon']);
  });
});

describe('package.json may be published', () => {
  const place = { tag: 'v1.2.3', repository: 'star/hoshikage' };

  it('when the tag is its version and the repository is the one that publishes', () => {
    for (const repository of [
      { url: 'git+https://github.com/star/hoshikage.git' },
      { url: 'https://github.com/Star/hoshikage' },
      'github:star/hoshikage',
      'star/hoshikage',
    ]) {
      assert.deepEqual(manifestProblems({ version: '1.2.3', repository }, place), []);
    }
  });

  it('not otherwise, and the remedy is said', () => {
    const [tag = '', repository = '', ...more] = manifestProblems({ version: '1.2.4' }, place);
    assert.match(tag, /v1\.2\.3 is not v1\.2\.4/);
    assert.match(repository, /npm pkg set .*github\.com\/star\/hoshikage\.git$/);
    assert.deepEqual(more, []);
    const other = { version: '1.2.3', repository: 'somebody/else' };
    assert.equal(manifestProblems(other, place).length, 1);
  });

  it('the command says all that is wrong and fails', async () => {
    const asked = ['win32-x64', '--tag', 'v0.0.0', '--repository', 'a/b'];
    const args = scriptArguments('release-check', asked);
    const run = promisify(execFile)(process.execPath, args, { cwd: ROOT });
    await assert.rejects(run, (error: { code: number; stderr: string }) => {
      assert.equal(error.code, 1);
      assert.match(error.stderr, /^win32-x64: .*\n(?:.*\n)*the tag v0\.0\.0 is not/);
      return true;
    });
  });
});

describe('The release workflow', () => {
  const workflow = map(
    readPlainYaml(readFileSync(join(ROOT, '.github/workflows/release.yml'), 'utf8')),
  );
  const jobs = map(workflow.jobs);
  const job = (name: string) => map(jobs[name]);
  const matrix = (name: string) =>
    list(map(map(job(name).strategy).matrix).include).map((row) => map(row));

  it('goes from the addons to the tarball, to its trial, to npm', () => {
    const needs = Object.entries(jobs).map(([name, one]) => [name, map(one).needs]);
    assert.deepEqual(needs, [
      ['prebuild', undefined],
      ['pack', 'prebuild'],
      ['smoke', 'pack'],
      ['publish', 'smoke'],
    ]);
  });

  it('builds and tries every platform of a release', () => {
    assert.deepEqual(
      matrix('prebuild')
        .map(({ platform }) => platform)
        .sort(),
      [...PLATFORMS],
    );
    const built = new Set(matrix('prebuild').map(({ os }) => os));
    const tried = new Set(matrix('smoke').map(({ os }) => os));
    assert.deepEqual(
      [...built].filter((os) => !tried.has(os ?? '')),
      [],
    );
  });

  it('does nothing in a step that is not a script of this repository', () => {
    for (const name of Object.keys(jobs)) {
      for (const step of list(job(name).steps).map(map)) {
        if (step.uses !== undefined) {
          assert.match(String(step.uses), /^actions\/[\w-]+@v\d+$/);
          continue;
        }
        const [script = ''] = String(step.run).split(' ');
        assert.match(script, /^\.ci\/\w+$/, `${name}: ${step.run}`);
        accessSync(join(ROOT, script), constants.X_OK);
      }
    }
  });

  it('publishes from a version tag only, and no other job may ask for an identity', () => {
    assert.equal(job('publish').if, "startsWith(github.ref, 'refs/tags/v')");
    assert.deepEqual(job('publish').permissions, { contents: 'read', 'id-token': 'write' });
    assert.deepEqual(workflow.permissions, { contents: 'read' });
    const others = Object.keys(jobs).filter((name) => name !== 'publish');
    assert.ok(others.every((name) => job(name).permissions === undefined));
    const text = (name: string): string => JSON.stringify(job(name));
    assert.deepEqual(
      Object.keys(jobs).filter((name) => /secrets\./.test(text(name))),
      ['publish'],
    );
  });
});

describe('The reader of workflows', () => {
  it('reads maps, lists and one-line values', () => {
    const text = `# a\na:\n  - b: c d\n    e: ['f', 2]\n  - g\nh: \${{ !x.y }}\n`;
    assert.deepEqual(readPlainYaml(text), {
      a: [{ b: 'c d', e: ['f', '2'] }, 'g'],
      h: `\${{ !x.y }}`,
    });
  });

  it('refuses whatever it would misread, by its line', () => {
    for (const text of [
      'a: b\na: c',
      'a: |\n  b',
      'a: b # c',
      'a:\n b: c\n  d: e',
      'a:\tb',
      'a: b: c',
      'a: &x b',
      'a: {b: c}',
    ]) {
      assert.throws(() => readPlainYaml(text), /^Error: line \d+: /, text);
    }
  });
});

/** Throws where it is none. */
function map(value: Plain | undefined): { readonly [key: string]: Plain | undefined } {
  assert.ok(typeof value === 'object' && !Array.isArray(value), JSON.stringify(value));
  // Neither a text nor a list.
  return value as { readonly [key: string]: Plain };
}

function list(value: Plain | undefined): readonly Plain[] {
  assert.ok(Array.isArray(value), JSON.stringify(value));
  return value;
}
