/**
 * The part of docs/BENCHMARKS.md that is made of measured rows: results beside targets, and on what
 * they were measured. Pure. The words around it are written by hand.
 */
import { GROUPS } from './groups.js';
import {
  type Measured,
  quantile,
  ratios,
  rounded,
  spread,
  targetOf,
  type Verdict,
  verdictOf,
} from './report.js';

const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

const VERDICTS: Readonly<Record<Verdict, string>> = {
  ...{ met: '○ met', near: '△ near', missed: '**× missed**' },
  ...{ 'not measured': '— not measured', '': '' },
};

/** What stands before a group's rows: its number, or nothing. */
export const NUMBERS: ReadonlyMap<string, string> = new Map(
  GROUPS.map(({ name, row }) => [name, row === null ? '' : String(row)]),
);

/** The document with its generated part made anew. Throws where the marks are missing. */
export function documentWith(
  document: string,
  results: readonly Measured[],
  before: readonly Measured[],
): string {
  const [from, to] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`the document has no ${BEGIN} and ${END}`);
  const part = sectionOf(results, before);
  return `${document.slice(0, from)}${BEGIN}\n\n${part}\n\n${document.slice(to)}`;
}

function sectionOf(results: readonly Measured[], before: readonly Measured[]): string {
  const lines = results.map((row) => {
    const { name, unit, target = '', values, against, note = '' } = row;
    const earlier = before.find((one) => one.group === row.group && one.name === row.name);
    const shownTarget = target === '' ? '' : target.endsWith(' x') ? target : `${target} ${unit}`;
    const cells = [
      ...[NUMBERS.get(row.group) ?? '', `${name} (\`${row.group}\`)`, shownTarget],
      ...[values.length > 0 ? `${spread(values)} ${unit}` : '', VERDICTS[verdictOf(row)]],
      against ? `${against.name}: ${spread(against.values)}` : note,
      ...[spread(ratios(row)), earlier ? briefly(earlier) : ''],
    ];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return [
    '| 行 Row | 何を What | 目標 Target | 結果 Result | 判定 Verdict | 比べた相手 Held against | 比 Ratio | 以前 Before |',
    '|---|---|---|---|---|---|---|---|',
    ...lines,
    '',
    '測った環境 / Measured on:',
    '',
    ...circumstancesOf(results, '結果 Result'),
    ...circumstancesOf(before, '以前 Before'),
  ].join('\n');
}

/** The median, and the median of the ratio where the target speaks of that. */
function briefly(row: Measured): string {
  if (row.values.length === 0) return '';
  const own = `${rounded(quantile(row.values, 0.5))} ${row.unit}`;
  const relative = row.target !== undefined && targetOf(row.target).relative && row.against;
  return relative ? `${own} (${rounded(quantile(ratios(row), 0.5))} x)` : own;
}

function circumstancesOf(rows: readonly Measured[], title: string): string[] {
  const places = rows.map(({ date, machine, library, peer }) =>
    [date, machine, library, peer].filter(Boolean).join('; '),
  );
  return [...new Set(places)].map((place) => `- ${title}: ${place}`);
}
