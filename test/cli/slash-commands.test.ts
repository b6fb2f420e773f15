/** Lines of a conversation that are commands, and those that only look like one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readSlash, slashCompleter } from '../../cli/talk/slash-commands.js';

describe('a line that begins with a slash', () => {
  it('is a command with what stands behind it', () => {
    assert.deepEqual(readSlash('/quit'), { name: 'quit', argument: '' });
    assert.deepEqual(readSlash('/MODEL  猫/小さい モデル '), {
      name: 'model',
      argument: '猫/小さい モデル',
    });
    assert.deepEqual(readSlash('/system 短く、\t丁寧に'), {
      name: 'system',
      argument: '短く、\t丁寧に',
    });
  });

  it('is no command where it is a path or a sentence', () => {
    for (const line of ['/etc/hosts とは?', '/ 3', '//', 'see /quit', '', '/1']) {
      assert.equal(readSlash(line), null, line);
    }
  });

  it('names the command that was meant', () => {
    assert.deepEqual(readSlash('/mdoel x'), { name: null, written: '/mdoel', near: '/model' });
    assert.deepEqual(readSlash('/xyzzy'), { name: null, written: '/xyzzy', near: null });
    assert.deepEqual(readSlash('/constructor'), {
      name: null,
      written: '/constructor',
      near: null,
    });
  });

  it('is completed, with the names of models behind /model', () => {
    const completer = slashCompleter(() => ['猫/小', 'qwen3', 'qwen2']);
    const of = (line: string) => (completer as (line: string) => [string[], string])(line)[0];
    assert.deepEqual(of('/s'), ['/system', '/save', '/stats']);
    assert.deepEqual(of('/model q'), ['/model qwen3', '/model qwen2']);
    assert.deepEqual(of('/model '), ['/model 猫/小', '/model qwen3', '/model qwen2']);
    assert.deepEqual(of('hello /q'), []);
  });
});
