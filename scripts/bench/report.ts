/**
 * Measured values as rows: median, quartiles, count; a table for people and CSV for machines.
 * Pure but for `saveReport`. It must never drop a value that was measured.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';

/** One quantity, measured several times. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly values: readonly number[];
  /** What to hold it against, in words: `<= 50`. */
  readonly target?: string;
}

/** A value of which `share` of the others are not larger, between two neighbours in proportion. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return low + (high - low) * (at - Math.floor(at));
}

const COLUMNS = ['name', 'unit', 'median', 'q1', 'q3', 'min', 'max', 'n', 'target'] as const;

function cells({ name, unit, values, target = '' }: Row): string[] {
  const numbers = [0.5, 0.25, 0.75, 0, 1].map((share) => rounded(quantile(values, share)));
  return [name, unit, ...numbers, String(values.length), target];
}

/** Four digits are more than a shared machine can tell. */
function rounded(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** Rows under each other, names left, numbers right. */
export function tableOf(rows: readonly Row[]): string {
  const lines = [[...COLUMNS], ...rows.map(cells)];
  const widths = COLUMNS.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? '').length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Rows as CSV, with a header line. */
export function csvOf(rows: readonly Row[]): string {
  const quoted = (cell: string): string =>
    /[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  return [[...COLUMNS], ...rows.map(cells)].map((line) => line.map(quoted).join(',')).join('\n');
}

/** The machine in one line: figures mean nothing without it. */
export function machine(): string {
  const [cpu] = cpus();
  const gib = (totalmem() / 2 ** 30).toFixed(0);
  return `${cpu?.model.trim()} x ${cpus().length}, ${gib} GiB, ${process.platform} ${release()}, Node ${process.version}`;
}

/** Writes table and CSV into `directory`; gives their common path without suffix. */
export function saveReport(rows: readonly Row[], directory: string): string {
  mkdirSync(directory, { recursive: true });
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  const path = join(directory, `bench-${stamp}`);
  writeFileSync(`${path}.csv`, `${csvOf(rows)}\n`);
  writeFileSync(`${path}.txt`, `${machine()}\n\n${tableOf(rows)}\n`);
  return path;
}
