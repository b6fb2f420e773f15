/** What a download shows while it runs, on a terminal and in a log. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DownloadProgress } from '../../cli/progress.js';

const MIB = 1024 * 1024;

/** A progress whose clock the test turns, and what it has written. */
function shown(isTTY: boolean) {
  let text = '';
  let now = 0;
  const screen = {
    isTTY,
    columns: 120,
    write(part: string) {
      text += part;
    },
  };
  const progress = new DownloadProgress(screen, () => now);
  return {
    progress,
    text: () => text,
    at(ms: number, received: number, total: number | null = 10 * MIB) {
      now = ms;
      progress.update('pkg', received, total);
    },
  };
}

describe('a download', () => {
  it('draws one line with size, speed and the time that is left', () => {
    const { at, text, progress } = shown(true);
    at(0, 0);
    at(1000, 2 * MIB);
    const line = text().split('\r').at(-1) ?? '';
    assert.match(line, /^pkg {2}\[####-{20}\] {2}2\.0 MiB \/ 10\.0 MiB {2}2\.0 MiB\/s {2}0:04$/);
    assert.ok(!text().includes('\n'));
    progress.clear();
    assert.match(text(), /\r +\r$/);
  });

  it('is drawn ten times a second at most, and at its end', () => {
    const { at, text } = shown(true);
    for (let ms = 0; ms < 1000; ms += 10) at(ms, ms * 100);
    assert.equal(text().split('\r').length - 1, 10);
    at(1000, 10 * MIB);
    assert.match(text(), /\[#{24}\] {2}10\.0 MiB \/ 10\.0 MiB/);
  });

  it('of unknown length shows what came', () => {
    const { at, text } = shown(true);
    at(0, 0, null);
    at(1000, 3 * MIB, null);
    assert.match(text(), /pkg {2}3\.0 MiB {2}3\.0 MiB\/s$/);
  });

  it('is told in a few plain lines where nobody watches', () => {
    const { at, text, progress } = shown(false);
    for (let part = 1; part <= 100; part += 1) at(part, (part / 100) * 10 * MIB);
    progress.clear();
    assert.equal(text(), 'pkg  10.0 MiB\n  50 %  5.0 MiB\n  100 %  10.0 MiB\n');
  });
});
