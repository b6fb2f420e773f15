/**
 * Writes what was measured: into bench-out/, and on request into docs/benchmarks/ and the document.
 * Rows that were not measured again stay as they are. Touches nothing else.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../root.js';
import { csvOf, rowsOfCsv } from './csv.js';
import { documentWith, NUMBERS } from './document.js';
import { GROUPS } from './groups.js';
import { plotOf } from './plot.js';
import { type Measured, tableOf } from './report.js';

const SAVED = join(ROOT, 'docs/benchmarks');
const DOCUMENT = join(ROOT, 'docs/BENCHMARKS.md');

/** CSV, table and picture in bench-out/; gives their paths. */
export function saveReport(rows: readonly Measured[]): string[] {
  const directory = join(ROOT, 'bench-out');
  mkdirSync(directory, { recursive: true });
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  const path = (suffix: string): string => join(directory, `bench-${stamp}.${suffix}`);
  const heads = [
    ...new Set(rows.map(({ machine, library, peer }) => `${machine}\n${library}\n${peer}\n`)),
  ];
  writeFileSync(path('csv'), csvOf(rows));
  writeFileSync(path('txt'), `${heads.join('')}\n${tableOf(rows)}\n`);
  writeFileSync(path('svg'), plotOf(rows, [], NUMBERS));
  return [path('csv'), path('txt'), path('svg')];
}

/** The saved rows of a name, `results` or `before`; none where nothing was saved. */
export function savedRows(name: string): Measured[] {
  const path = join(SAVED, `${name}.csv`);
  return existsSync(path) ? rowsOfCsv(readFileSync(path, 'utf8')) : [];
}

/** Puts rows among the saved ones of that name, and makes picture and document anew; gives the paths. */
export function saveDocument(name: string, rows: readonly Measured[]): string[] {
  mkdirSync(SAVED, { recursive: true });
  const csv = join(SAVED, `${name}.csv`);
  writeFileSync(csv, csvOf(merged(savedRows(name), rows)));
  const [results, before] = [savedRows('results'), savedRows('before')];
  const picture = join(SAVED, 'results.svg');
  writeFileSync(picture, plotOf(results, before, NUMBERS));
  writeFileSync(DOCUMENT, documentWith(readFileSync(DOCUMENT, 'utf8'), results, before));
  return [csv, picture, DOCUMENT];
}

/** Old rows with the new ones in their places, in the order of the groups. */
export function merged(old: readonly Measured[], rows: readonly Measured[]): Measured[] {
  const key = ({ group, name }: Measured): string => `${group}\n${name}\n`;
  const keyed = new Map([...old, ...rows].map((row) => [key(row), row]));
  const place = ({ group }: Measured): number => GROUPS.findIndex(({ name }) => name === group);
  return [...keyed.values()].sort((a, b) => place(a) - place(b));
}
