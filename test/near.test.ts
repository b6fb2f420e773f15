/** What was probably meant by a name that is none of the known ones. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nearest } from '../src/near.js';

const COMMANDS = ['serve', 'service', 'add', 'rm', 'list', 'load', 'unload', 'config'];
const MODELS = ['qwen2.5-7b-instruct-q4_k_m', 'qwen3', '猫/小さいモデル', 'Llama-3.2-1B'];

describe('the nearest name', () => {
  it('is one with a letter too much, missing, wrong, or two swapped', () => {
    for (const [written, meant] of [
      ['lsit', 'list'],
      ['lst', 'list'],
      ['lisst', 'list'],
      ['laod', 'load'],
      ['confg', 'config'],
      ['SERVE', 'serve'],
    ] as const) {
      assert.equal(nearest(written, COMMANDS), meant, written);
    }
  });

  it('may be a longer one that begins with it or holds it', () => {
    assert.equal(nearest('qwen2.5', MODELS), 'qwen2.5-7b-instruct-q4_k_m');
    assert.equal(nearest('llama', MODELS), 'Llama-3.2-1B');
    assert.equal(nearest('小さい', MODELS), '猫/小さいモデル');
    assert.equal(nearest('qwen', MODELS), 'qwen3', 'the shortest of those that begin alike');
  });

  it('does not depend on how a name is spelled in Unicode', () => {
    assert.equal(nearest('ｑｗｅｎ３', MODELS), 'qwen3');
    assert.equal(nearest('か\u3099くせい', ['がくせい2']), 'がくせい2');
  });

  it('is none where nothing is near, or nothing was written', () => {
    for (const name of ['nonsense', 'x', '', '資料', 'a'.repeat(5000)]) {
      assert.equal(nearest(name, [...COMMANDS, ...MODELS]), null, name);
    }
    assert.equal(nearest('list', []), null);
  });
});
