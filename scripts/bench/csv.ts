/**
 * Measured rows as CSV and back: every value is in it, so that everything else can be made of it.
 * Pure. What is read was written by `csvOf`: anything else throws.
 */
import { type Measured, quantile, ratios, rounded, verdictOf } from './report.js';

const COLUMNS = [
  ...(['group', 'name', 'unit', 'target', 'judged', 'verdict'] as const),
  ...(['median', 'q1', 'q3', 'min', 'max', 'n', 'against', 'against_median'] as const),
  ...(['ratio_median', 'note', 'date', 'machine', 'library', 'peer'] as const),
  ...(['values', 'against_values'] as const),
];

function cells(row: Measured): Record<(typeof COLUMNS)[number], string> {
  const { group, name, unit, target = '', judged = '', values, against, note = '' } = row;
  const at = (of: readonly number[], share: number): string =>
    of.length > 0 ? rounded(quantile(of, share)) : '';
  const others = against?.values ?? [];
  return {
    ...{ group, name, unit, target, judged, verdict: verdictOf(row) },
    ...{ median: at(values, 0.5), q1: at(values, 0.25), q3: at(values, 0.75) },
    ...{ min: at(values, 0), max: at(values, 1), n: String(values.length) },
    ...{ against: against?.name ?? '', against_median: at(others, 0.5) },
    ...{ ratio_median: at(ratios(row), 0.5), note },
    ...{ date: row.date, machine: row.machine, library: row.library, peer: row.peer },
    ...{ values: listOf(values), against_values: listOf(others) },
  };
}

const listOf = (values: readonly number[]): string =>
  values.map((value) => String(Number(value.toPrecision(6)))).join(' ');

const numbersOf = (list: string): number[] => (list === '' ? [] : list.split(' ').map(Number));

/** Rows with a header line. */
export function csvOf(rows: readonly Measured[]): string {
  const quoted = (cell: string): string =>
    /[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  const lines = rows.map(cells).map((row) => COLUMNS.map((column) => quoted(row[column])));
  return `${[COLUMNS, ...lines].map((line) => line.join(',')).join('\n')}\n`;
}

/** The rows that `csvOf` made a text of. */
export function rowsOfCsv(text: string): Measured[] {
  const [header, ...lines] = linesOf(text);
  if (header?.join() !== COLUMNS.join()) throw new Error('not the CSV of a benchmark');
  return lines.map((line) => {
    const cell = (column: (typeof COLUMNS)[number]): string => line[COLUMNS.indexOf(column)] ?? '';
    const against = cell('against');
    const [target, note] = [cell('target'), cell('note')];
    return {
      ...{ group: cell('group'), name: cell('name'), unit: cell('unit') },
      values: numbersOf(cell('values')),
      ...(against && { against: { name: against, values: numbersOf(cell('against_values')) } }),
      ...(target && { target }),
      ...(cell('judged') === 'max' && { judged: 'max' as const }),
      ...(note && { note }),
      ...{ date: cell('date'), machine: cell('machine') },
      ...{ library: cell('library'), peer: cell('peer') },
    };
  });
}

/** The cells of every line; quoted ones may hold commas, quotes and line breaks. */
function linesOf(text: string): string[][] {
  const lines: string[][] = [];
  let line: string[] = [];
  for (const [, quoted, plain = '', end] of text.matchAll(
    /(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)/g,
  )) {
    line.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ',') continue;
    lines.push(line);
    line = [];
  }
  return lines;
}
