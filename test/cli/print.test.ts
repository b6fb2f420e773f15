/** Tables and texts of the CLI. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { displayWidth, formatBytes, plain, table } from '../../cli/print.js';

describe('a table', () => {
  it('lines up for Japanese and combining characters too', () => {
    const lines = table([
      ['名前', 'SIZE', 'x'],
      ['a', '1', 'y'],
      ['か\u3099', '22', 'z'],
    ]);
    assert.deepEqual(lines, ['名前  SIZE  x', 'a     1     y', 'か\u3099    22    z']);
  });

  it('never steers the terminal', () => {
    assert.deepEqual(table([['\u001b[31mred', 'a\nb', '\u202eevil']]), [
      '\ufffd[31mred  a\ufffdb  \ufffdevil',
    ]);
    assert.equal(plain('普通の文 / 🌟'), '普通の文 / 🌟');
  });

  it('counts two columns for wide characters', () => {
    assert.deepEqual(
      ['abc', '星影', '🌟', '한', 'ｱ', 'サーバー', ''].map(displayWidth),
      [3, 4, 2, 2, 1, 8, 0],
    );
  });
});

describe('a size', () => {
  it('is shown in the unit people read', () => {
    assert.equal(formatBytes(0), '0 B');
    assert.equal(formatBytes(1023), '1023 B');
    assert.equal(formatBytes(1536), '1.5 KiB');
    assert.equal(formatBytes(4.2 * 1024 ** 3), '4.2 GiB');
  });
});
