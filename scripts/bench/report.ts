/**
 * What was measured, as rows: our values, the values they are held against, a target, a verdict; and
 * the table that shows them to people. Pure. It must never drop a value that was measured.
 */
import { cpus, release, totalmem } from 'node:os';

/** One quantity, measured several times. */
export interface Row {
  readonly name: string;
  /** Of the values: `ms`, `tokens/s`. */
  readonly unit: string;
  /** Empty where it could not be measured: `note` says why. */
  readonly values: readonly number[];
  /** What the values are held against: one for each of them, taken in the same turn. */
  readonly against?: Against;
  /** `<= 200`, in the unit of the values; `<= 1.25 x`, of the ratio to `against`. */
  readonly target?: string;
  /** Which value has to meet the target; the median where absent. */
  readonly judged?: 'max';
  readonly note?: string;
}

/** The other side of a comparison. */
export interface Against {
  readonly name: string;
  readonly values: readonly number[];
}

/** Where and when a row was measured. */
export interface Circumstances {
  /** The day, ISO. */
  readonly date: string;
  readonly machine: string;
  readonly library: string;
  /** The other server's version; '' where there was none. */
  readonly peer: string;
}

/** A row with its group and circumstances: what is saved. */
export interface Measured extends Row, Circumstances {
  readonly group: string;
}

/** `near`: the median misses the target, the better quarter of the values meets it. */
export type Verdict = 'met' | 'near' | 'missed' | 'not measured' | '';

/** A value of which `share` of the others are not larger, between two neighbours in proportion. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return low + (high - low) * (at - Math.floor(at));
}

/** Our value through the other side's, turn by turn; [] where there is no other side. */
export function ratios({ values, against }: Row): readonly number[] {
  return against ? values.map((one, i) => one / (against.values[i] ?? Number.NaN)) : [];
}

/** A target taken apart. */
export interface Target {
  readonly least: boolean;
  readonly limit: number;
  /** Of the ratio to `against`, not of the values. */
  readonly relative: boolean;
  /** The limit itself does not count as met. */
  readonly strict: boolean;
}

/** Throws where it is not written as one. */
export function targetOf(text: string): Target {
  const [, sign = '', number, times] = /^(<=?|>=?) ([\d.]+)( x)?$/.exec(text) ?? [];
  if (number === undefined) throw new Error(`not a target: ${text}`);
  const [least, strict] = [sign.startsWith('>'), sign.length === 1];
  return { least, strict, limit: Number(number), relative: times !== undefined };
}

/** The values that a row's target speaks of. */
export function judgedValues(row: Row): readonly number[] {
  return row.target && targetOf(row.target).relative ? ratios(row) : row.values;
}

/** Whether the target is met; '' where there is none. */
export function verdictOf(row: Row): Verdict {
  if (row.target === undefined) return '';
  const { least, limit, strict } = targetOf(row.target);
  const values = judgedValues(row);
  if (values.length === 0) return 'not measured';
  const meets = (share: number): boolean => {
    const value = quantile(values, least ? 1 - share : share);
    if (value === limit) return !strict;
    return least ? value > limit : value < limit;
  };
  if (row.judged === 'max') return meets(1) ? 'met' : 'missed';
  if (meets(0.5)) return 'met';
  return meets(0.25) ? 'near' : 'missed';
}

/** Four digits are more than a shared machine can tell. */
export function rounded(value: number): string {
  return Number.isNaN(value) ? '-' : String(Number(value.toPrecision(4)));
}

/** Median and quartiles: `12.1 [11.9 12.4]`; '' of none. */
export function spread(values: readonly number[]): string {
  if (values.length === 0) return '';
  const [middle, low, high] = [0.5, 0.25, 0.75].map((share) => rounded(quantile(values, share)));
  return `${middle} [${low} ${high}]`;
}

/** What the table shows of a row. */
export const COLUMNS = [
  ...(['name', 'unit', 'target', 'median [quartiles]', 'verdict'] as const),
  ...(['max', 'n', 'against', 'its median', 'ratio', 'note'] as const),
];

/** The cells of a row, in the order of COLUMNS. */
export function cellsOf(row: Row): readonly string[] {
  const { name, unit, target = '', values, against, note = '' } = row;
  const most = values.length > 0 ? rounded(quantile(values, 1)) : '';
  return [
    ...[name, unit, target, spread(values), verdictOf(row), most, String(values.length)],
    ...[against?.name ?? '', spread(against?.values ?? []), spread(ratios(row)), note],
  ];
}

/** Rows under each other. */
export function tableOf(rows: readonly Row[]): string {
  const lines = [[...COLUMNS], ...rows.map(cellsOf)];
  const widths = COLUMNS.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? '').length)));
  return lines
    .map((line) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

/** The machine in one line: figures mean nothing without it. */
export function machine(): string {
  const [cpu] = cpus();
  const gib = (totalmem() / 2 ** 30).toFixed(0);
  return `${cpu?.model.trim()} x ${cpus().length}, ${gib} GiB, ${process.platform} ${release()}, Node ${process.version}`;
}
