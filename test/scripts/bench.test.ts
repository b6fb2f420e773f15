/** What the benchmarks make of their values: quantiles, verdicts, tables, CSV, pictures. Measures nothing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { longestGap } from '../../scripts/bench/client.js';
import { csvOf, rowsOfCsv } from '../../scripts/bench/csv.js';
import { documentWith } from '../../scripts/bench/document.js';
import { words } from '../../scripts/bench/models.js';
import { plotOf } from '../../scripts/bench/plot.js';
import {
  type Measured,
  quantile,
  type Row,
  ratios,
  spread,
  tableOf,
  targetOf,
  verdictOf,
} from '../../scripts/bench/report.js';
import { merged } from '../../scripts/bench/save.js';
import { inTurns } from '../../scripts/bench/sides.js';

const row = (changes: Partial<Row> = {}): Row => ({
  ...{ name: 'a', unit: 'ms', values: [1, 2, 3, 4, 5] },
  ...changes,
});

const measured = (changes: Partial<Measured> = {}): Measured => ({
  ...row(),
  ...{ group: 'stall', date: '2026-01-02', machine: 'M, "fast" x 2' },
  ...{ library: 'libllama.so 1', peer: '' },
  ...changes,
});

/** Every tag opened is closed, in the right order, and nothing but known entities is in the text. */
function assertWellFormed(svg: string): void {
  const open: string[] = [];
  const rest = svg.replace(
    /<(\/?)([a-z]+)((?:\s+[\w-]+="[^"<]*")*)\s*(\/?)>/gi,
    (_, closing, name, __, alone) => {
      if (closing) assert.equal(open.pop(), name);
      else if (!alone) open.push(name);
      return '';
    },
  );
  assert.deepEqual(open, []);
  assert.doesNotMatch(rest, /[<>]|&(?!amp;|lt;|gt;)/);
}

describe('quantile', () => {
  it('gives the values themselves at their places, and proportions between them', () => {
    assert.equal(quantile([3, 1, 2], 0), 1);
    assert.equal(quantile([3, 1, 2], 0.5), 2);
    assert.equal(quantile([3, 1, 2], 1), 3);
    assert.equal(quantile([0, 10], 0.25), 2.5);
  });

  it('is not a number where there is no value', () => {
    assert.ok(Number.isNaN(quantile([], 0.5)));
  });
});

describe('a target', () => {
  it('is a limit of the values, or of the ratio to the other side', () => {
    assert.deepEqual(targetOf('<= 200'), {
      ...{ least: false, strict: false, limit: 200, relative: false },
    });
    assert.deepEqual(targetOf('>= 0.95 x'), {
      ...{ least: true, strict: false, limit: 0.95, relative: true },
    });
    assert.throws(() => targetOf('soon'), /not a target: soon/);
  });

  it('is met by the median', () => {
    assert.equal(verdictOf(row({ target: '<= 3' })), 'met');
    assert.equal(verdictOf(row({ target: '>= 3' })), 'met');
    assert.equal(verdictOf(row({ target: '< 1' })), 'missed');
    assert.equal(verdictOf(row({ target: '>= 5' })), 'missed');
  });

  it('is nearly met where the better quartile meets it', () => {
    assert.equal(verdictOf(row({ target: '< 3' })), 'near');
    assert.equal(verdictOf(row({ target: '>= 3.5' })), 'near');
  });

  it('is met by the worst value only, where the row says so', () => {
    assert.equal(verdictOf(row({ target: '<= 4.5', judged: 'max' })), 'missed');
    assert.equal(verdictOf(row({ target: '<= 5', judged: 'max' })), 'met');
  });

  it('of a ratio is judged by the ratios of the turns', () => {
    const against = { name: 'other', values: [2, 4, 6, 8, 10] };
    assert.deepEqual(ratios(row({ against })), [0.5, 0.5, 0.5, 0.5, 0.5]);
    assert.equal(verdictOf(row({ against, target: '<= 0.5 x' })), 'met');
    assert.equal(verdictOf(row({ against, target: '<= 0.4 x' })), 'missed');
  });

  it('is not judged without values, nor without the other side', () => {
    assert.equal(verdictOf(row({ values: [], target: '<= 1' })), 'not measured');
    assert.equal(verdictOf(row({ target: '<= 1 x' })), 'not measured');
    assert.equal(verdictOf(row()), '');
  });
});

describe('the longest gap', () => {
  it('is the longest time without text that touches the window', () => {
    assert.equal(longestGap([0, 10, 20, 50, 60, 200], 15, 55), 30);
    assert.equal(longestGap([0, 100, 110], 50, 105), 100);
  });

  it('reaches beyond the window where the next text comes later', () => {
    assert.equal(longestGap([0, 10, 300], 5, 20), 290);
  });

  it('ends with the window where nothing came any more', () => {
    assert.equal(longestGap([0, 10], 5, 100), 90);
    assert.equal(longestGap([], 5, 100), 95);
  });
});

describe('the table', () => {
  it('shows target, result, verdict and the other side of a row in one line', () => {
    const against = { name: 'other', values: [2, 2, 2, 2, 2] };
    const [, line = ''] = tableOf([row({ target: '<= 3', against })]).split('\n');
    assert.match(line, /^a +ms +<= 3 +3 \[2 4\] +met +5 +5 +other +2 \[2 2\] +1\.5 \[1 2\]$/);
  });

  it('shows why nothing was measured', () => {
    const [, line = ''] = tableOf([row({ values: [], target: '<= 3', note: 'no peer' })]).split(
      '\n',
    );
    assert.match(line, /not measured +0 +no peer$/);
    assert.equal(spread([]), '');
  });
});

describe('the CSV', () => {
  it('gives back every row and every value that was written', () => {
    const rows = [
      measured({ target: '<= 1.25 x', against: { name: 'other', values: [1, 2, 3, 4, 5.5] } }),
      measured({ name: 'b, "c"', values: [], judged: 'max', note: 'none,\nreally' }),
    ];
    assert.deepEqual(rowsOfCsv(csvOf(rows)), rows);
  });

  it('refuses a text that it did not write', () => {
    assert.throws(() => rowsOfCsv('a,b\n1,2\n'), /not the CSV/);
  });

  it('takes new rows in the places of old ones, and keeps the others', () => {
    const [old, other] = [measured({ values: [9] }), measured({ name: 'b', group: 'leaving' })];
    const fresh = measured({ values: [1] });
    assert.deepEqual(merged([other, old], [fresh]), [fresh, other]);
  });
});

describe('the picture', () => {
  const numbers = new Map([['stall', '4']]);

  it('is well-formed, and has every row with a target and values, whatever its name', () => {
    const rows = [
      measured({ name: 'a < b & c', target: '<= 3' }),
      measured({ name: 'far', target: '>= 1000', values: [0, 0, 0] }),
      measured({ name: 'no target' }),
      measured({ name: 'no values', target: '<= 3', values: [] }),
    ];
    const svg = plotOf(rows, rows, numbers);
    assertWellFormed(svg);
    assert.match(svg, />4\. a &lt; b &amp; c</);
    assert.match(svg, />4\. far</);
    assert.doesNotMatch(svg, /no target|no values|NaN|Infinity/);
  });

  it('is well-formed without any row', () => {
    assertWellFormed(plotOf([], [], numbers));
  });

  it('draws what is better than its target to the left of it, and what misses it to the right', () => {
    const target = /x1="([\d.]+)"[^>]*stroke="#1e293b"/.exec(plotOf([], [], numbers))?.[1];
    const barsOf = (values: number[]): number[] => {
      const svg = plotOf([measured({ target: '<= 10', values })], [], numbers);
      const [, x, width] = /<rect x="([\d.]+)"[^>]* width="([\d.]+)" height="12"/.exec(svg) ?? [];
      return [Number(x), Number(x) + Number(width)];
    };
    assert.equal(barsOf([5])[1], Number(target));
    assert.equal(barsOf([20])[0], Number(target));
  });
});

describe('the document', () => {
  it('gets the rows between its marks, and keeps every other word', () => {
    const document = 'before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n';
    const rows = [measured({ target: '<= 3' })];
    const made = documentWith(document, rows, [measured({ values: [40] })]);
    assert.match(
      made,
      /^before\n<!-- bench:begin -->\n\n\| 行[\s\S]*\n\n<!-- bench:end -->\nafter\n$/,
    );
    assert.match(made, /\| 4 \| a \(`stall`\) \| <= 3 ms \| 3 \[2 4\] ms \| ○ met \|.*\| 40 ms \|/);
    assert.equal(documentWith(made, rows, [measured({ values: [40] })]), made);
    assert.throws(() => documentWith('', [], []), /bench:begin/);
  });
});

describe('turns', () => {
  it('go round everybody, and the first one is not counted', async () => {
    const order: string[] = [];
    const run = (name: string) => async (turn: number) => {
      order.push(`${name}${turn}`);
      return turn;
    };
    assert.deepEqual(await inTurns(2, { a: run('a'), b: run('b'), c: null }), {
      ...{ a: [1, 2], b: [1, 2], c: [] },
    });
    assert.deepEqual(order, ['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
  });

  it('have texts of their own, and the same ones on every machine', () => {
    assert.equal(words(20, 1), words(20, 1));
    assert.equal(words(20, 1).split(' ').length, 21);
    assert.equal(new Set([1, 2, 3, 4].map((seed) => words(20, seed))).size, 4);
  });
});
