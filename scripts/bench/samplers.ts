/**
 * What choosing a token costs, and what the slots of a step cost together: a C++ program over the
 * samplers (samplers.cc), compiled as the addon is, without library and without Node.
 */
import { Program } from '../../test/native/program.js';
import { cleaningUp } from './cleanup.js';
import { quantile, type Row } from './report.js';

const REPEATS = 60;

/** What samplers are made of; a model without a library among it. */
const DECODE = [
  ...['blocks', 'candidates', 'crew', 'cut', 'dry', 'grammar', 'grammar-automaton'],
  ...['grammar-program', 'grammar-reader', 'logprobs', 'penalties', 'sampler', 'text-matcher'],
];
const SOURCES = [
  ...['samplers', 'bare-model'].map((name) => `scripts/bench/${name}.cc`),
  ...DECODE.map((name) => `native/src/decode/${name}.cc`),
  ...['crash', 'pieces'].map((name) => `native/src/llama/${name}.cc`),
];

/** ms beside a greedy choice from the same logits, by the size of the vocabulary. */
const MOST_EXTRA: Readonly<Record<string, number>> = { 32000: 0.3, 151936: 1 };

/** One line of the program: its name, a tab, values. */
function rowOf(line: string): Row {
  const [name = '', values = ''] = line.split('\t');
  return { name, unit: 'ms', values: values.trim().split(' ').map(Number) };
}

/** How much more a choice with top_p takes than a greedy one, where that has a target. */
function extraOf(row: Row, rows: readonly Row[]): Row[] {
  const [what = '', vocabulary = '', shape = ''] = row.name.split(', ');
  const most = MOST_EXTRA[vocabulary];
  const greedy = rows.find(({ name }) => name === `greedy, ${vocabulary}, ${shape}`);
  if (!what.startsWith('top_p') || !most || !greedy) return [];
  const usual = quantile(greedy.values, 0.5);
  const values = row.values.map((value) => value - usual);
  return [{ name: `${row.name} - greedy`, unit: 'ms', values, target: `<= ${most}` }];
}

/** Every case, and the extra time of those that have a target. */
export function measureSamplers(): Promise<Row[]> {
  return cleaningUp((owner) => {
    const program = new Program(SOURCES, '-O3');
    owner.after(() => program.close());
    const lines = program.run(String(REPEATS)).trim().split('\n');
    const rows = lines.map(rowOf);
    return Promise.resolve(rows.flatMap((row) => [row, ...extraOf(row, rows)]));
  });
}
