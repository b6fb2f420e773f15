/** Tables and texts of the CLI. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  asStarted,
  barOf,
  displayWidth,
  formatBytes,
  formatSpan,
  jsonText,
  ownCommand,
  plain,
  table,
} from '../../cli/print.js';

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

describe('the command that the reader can copy', () => {
  const BIN = 'node_modules/.bin/hoshikage';
  it('is how this program was started', () => {
    assert.equal(ownCommand('/usr/local/bin/hoshikage', ''), 'hoshikage');
    assert.equal(ownCommand(`/home/me/clone/${BIN}`, ''), 'npx hoshikage');
    assert.equal(ownCommand(`/home/me/.npm/_npx/12ab/${BIN}`, ''), 'npx hoshikage');
    const given = './my files/hoshikage-0.1.0.tgz';
    assert.equal(
      ownCommand(`/home/me/.npm/_npx/12ab/${BIN}`, given),
      'npx --package=./my\\ files/hoshikage-0.1.0.tgz hoshikage',
    );
    assert.equal(ownCommand(`/home/me/clone/${BIN}`, given), 'npx hoshikage');
  });
});

describe('JSON', () => {
  it('never steers the terminal, and is read as it was', () => {
    const value = {
      'a\u202eb': '\u001b[2J\u0085\u009b2J\u007f\u2028\u2029\u202a\u2066\u2069 星 🌟',
    };
    const text = jsonText(value);
    assert.deepEqual(text.match(/[^\P{C}\n]|[\u2028\u2029]/gu), null);
    assert.ok(text.includes('星 🌟') && text.includes('\\u009b2J'), text);
    assert.deepEqual(JSON.parse(text), value);
  });
});

describe('a command in a message', () => {
  it('is written as this program was started', (context) => {
    const [, script = ''] = process.argv;
    context.after(() => {
      process.argv[1] = script;
    });
    process.argv[1] = '/usr/bin/hoshikage';
    assert.equal(asStarted('見るには npx hoshikage list です'), '見るには hoshikage list です');
    process.argv[1] = '/home/me/node_modules/.bin/hoshikage';
    assert.equal(asStarted('見るには npx hoshikage list です'), '見るには npx hoshikage list です');
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

describe('a length of time', () => {
  it('is said in its two largest units', () => {
    const spans = [0, 400, 8000, 200_000, 7_500_000, 349_200_000, 3_600_000];
    assert.deepEqual(
      spans.map((ms) => formatSpan(ms, 'en')),
      ['0 s', '0 s', '8 s', '3 min 20 s', '2 h 5 min', '4 d 1 h', '1 h'],
    );
    assert.equal(formatSpan(7_500_000, 'ja'), '2 時間 5 分');
  });
});

describe('a bar', () => {
  it('is as long as asked for, and shows the smallest part too', () => {
    const bar = (...parts: [number, string][]) => barOf(parts, 10);
    assert.equal(bar([5, '#'], [5, '.']), '#####.....');
    assert.equal(bar([1, '#'], [1, '='], [998, '.']), '#=........');
    assert.equal(bar([0, '#'], [0, '=']), ' '.repeat(10));
    for (const part of [1, 3, 7, 33, 64, 99]) {
      assert.equal(bar([part, '#'], [10, '='], [100 - part, '.']).length, 10);
    }
  });
});
