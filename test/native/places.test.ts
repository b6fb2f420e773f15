/** Where a libllama may take its libggml from, and libggml its backends. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { skipReason } from './fake.js';
import { LineProgram } from './line-program.js';

describe('the places of a libllama', { skip: skipReason }, () => {
  let program: LineProgram;
  before(() => {
    const sources = ['test/native/places.cc', 'native/src/llama/places.cc'];
    program = new LineProgram(sources, 'native/src/llama');
  });
  after(() => program.close());

  const triplet = '/usr/lib/x86_64-linux-gnu';
  const cases = [
    ['the same directory', '/opt/mine', '/opt/mine', 'yes'],
    ['another directory', '/opt/mine', '/opt/other', 'no'],
    ['a directory beside it', '/opt/mine', '/opt/mine/ggml', 'no'],
    ['Debian’s private directories', `${triplet}/llama`, `${triplet}/ggml`, 'yes'],
    ['Debian’s public directory', `${triplet}/llama`, triplet, 'yes'],
    ['the private directory of a library in a public one', '/usr/lib64', '/usr/lib64/ggml', 'yes'],
    ['another machine’s directory', triplet, '/usr/lib/aarch64-linux-gnu', 'no'],
    ['a distribution’s libggml for an own libllama', '/opt/mine', triplet, 'no'],
    ['an own libggml for a distribution’s libllama', triplet, '/usr/local/lib', 'no'],
    [
      'Homebrew’s two kegs',
      '/opt/homebrew/Cellar/llama.cpp/7000/lib',
      '/opt/homebrew/Cellar/ggml/0.9.4/lib',
      'yes',
    ],
    [
      'a keg of another Homebrew',
      '/opt/homebrew/Cellar/llama.cpp/7000/lib',
      '/usr/local/Cellar/ggml/0.9.4/lib',
      'no',
    ],
  ] as const;
  for (const [what, one, other, expected] of cases) {
    it(`${expected === 'yes' ? 'take' : 'do not take'} libggml from ${what}`, () => {
      assert.deepEqual(program.answers([`may ${one} ${other}`]), [expected]);
    });
  }

  it('are searched for backends beside libggml only, where it is nobody’s package', () => {
    assert.deepEqual(program.answers([`backends ${program.folder}`]), [program.folder]);
  });

  it('know a library of the family by its file name', {
    skip: process.platform === 'win32',
  }, () => {
    const names = ['libggml.so.0', 'libggml-base.so', '/x/libllama.b6431.so', 'libllama-common.so'];
    const others = ['llama-addon.node', 'libggmlish.so', 'libc.so.6', 'ggml'];
    assert.deepEqual(program.answers([...names, ...others].map((name) => `family ${name}`)), [
      ...names.map(() => 'yes'),
      ...others.map(() => 'no'),
    ]);
  });
});
