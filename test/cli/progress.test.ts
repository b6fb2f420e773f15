/** What a download shows while it runs, on a terminal and in a log. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DownloadProgress, LoadProgress } from '../../cli/progress.js';

const MIB = 1024 * 1024;

/** A progress whose clock the test turns, and what it has written. */
function shown(isTTY: boolean, columns = 120, name = 'pkg') {
  let text = '';
  let now = 0;
  const screen = {
    isTTY,
    columns,
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
      progress.update(name, received, total);
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

  it('keeps its line whole on a narrow terminal, giving up the name first, then the bar', () => {
    const name = '@node-llama-cpp/linux-x64-cuda@3.22.1';
    const lastLine = (columns: number): string => {
      const { at, text } = shown(true, columns, name);
      at(0, 0, 305 * MIB);
      at(20_000, 145 * MIB, 305 * MIB);
      return (text().split('\r').at(-1) ?? '').trimEnd();
    };
    const facts = '145.0 MiB / 305.0 MiB  7.3 MiB/s  0:22';
    assert.equal(lastLine(120), `${name}  [###########-------------]  ${facts}`);
    assert.equal(lastLine(80), `[###########-------------]  ${facts}`);
    assert.equal(lastLine(60), `[#######---------]  ${facts}`);
    assert.equal(lastLine(40), facts);
    assert.equal(lastLine(30), '145.0 MiB / 305.0 MiB  0:22');
  });

  it('that goes on where another one stopped has the speed of its own bytes', () => {
    const { at, text } = shown(true);
    at(0, 6 * MIB);
    at(1000, 8 * MIB);
    assert.match(text(), /8\.0 MiB \/ 10\.0 MiB {2}2\.0 MiB\/s {2}0:01$/);
    const log = shown(false);
    log.at(0, 6 * MIB);
    log.at(1000, 10 * MIB);
    assert.equal(log.text(), 'pkg  10.0 MiB\n  100 %  10.0 MiB\n');
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
    const large = shown(false);
    for (let part = 0; part <= 100; part += 1) large.at(part, part * 20 * MIB, 2000 * MIB);
    assert.equal(large.text().match(/%/g)?.length, 10);
  });
});

/** A load whose clock the test turns, and what it has written. */
function loading(isTTY: boolean, columns = 80) {
  let text = '';
  let now = 0;
  const write = (part: string) => {
    text += part;
  };
  const progress = new LoadProgress({ isTTY, columns, write }, () => now);
  return {
    progress,
    text: () => text,
    at(ms: number, what: string, done: number | null) {
      now = ms;
      progress.update(what, done);
    },
  };
}

describe('a load', () => {
  it('draws one line with how much is done and how long it takes, and takes it away', () => {
    const { at, text, progress } = loading(true);
    at(0, 'Waiting its turn: m', null);
    at(7000, 'Loading m', 0.5);
    assert.match(text(), /^\rWaiting its turn: m {2}0:00\r/);
    const line = text().split('\r').at(-1)?.trimEnd() ?? '';
    assert.equal(line, 'Loading m  [############------------]  50 %  0:07');
    progress.clear();
    assert.match(text(), /\r +\r$/);
    assert.ok(!text().includes('\n'));
  });

  it('leaves out what does not fit', () => {
    const { at, text } = loading(true, 20);
    at(0, 'Loading a model of a long name', 0.25);
    assert.equal(text(), '\r25 %  0:00');
  });

  it('takes a terminal that does not know its width for one of 80 columns', () => {
    const { at, text } = loading(true, 0);
    at(0, 'Loading m', 0);
    assert.match(text(), /Loading m {2}\[-{24}\]/);
  });

  it('is a line for each thing that goes on where nobody watches', () => {
    const { at, text, progress } = loading(false);
    at(0, 'Waiting its turn: m', null);
    at(100, 'Loading m', 0.1);
    at(200, 'Loading m', 0.9);
    progress.clear();
    assert.equal(text(), 'Waiting its turn: m\nLoading m\n');
  });
});
