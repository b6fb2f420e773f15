/**
 * `npm run test:libs -- [--write] [VERSION ...]`: proves every real build of the matrix, compares their
 * numbers, and holds the table of docs/LIBRARY_GUIDE.md against what it saw (`--write` rewrites it).
 * Downloads each build once. It must never touch the user's own libraries.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { BUILDS, PACKAGE, TOO_OLD } from '../test/libs/builds.js';
import { type Row, withTable } from '../test/libs/guide.js';
import { libsDirectory, obtain } from '../test/libs/obtain.js';
import { type Proved, prove, refusals, relativeDifference } from '../test/libs/prove.js';
import { inProject } from './root.js';

const RUN_LIMIT_MS = 40 * 60_000;
/** How far builds may be from each other on the CPU. */
const MOST_APART = 1e-2;
const GUIDE = inProject('docs/LIBRARY_GUIDE.md');

const cells = (widths: readonly number[], texts: readonly (string | number)[]): string =>
  texts.map((text, i) => String(text).padEnd(widths[i] ?? 0)).join('  ');
const WIDTHS = [8, 8, 8, 14, 12, 12, 12, 9, 9];

function head(): string {
  const logits = ['logits', 'quantised', 'embeddings'];
  return cells(WIDTHS, ['npm', 'build', 'layouts', 'bracket', ...logits, 'apart', 'canary']);
}

function line({ build, identity, checks, canaryMs, problems }: Proved, apart: number): string {
  const detail = (name: string): string => checks.find((one) => one.name === name)?.detail ?? '';
  const [plain = '-', quantised = '-'] = detail('logits').match(/[\d.]+ %/g) ?? [];
  const [embeddings = '-'] = detail('embeddings').match(/[\d.]+ %/) ?? [];
  const layout = identity ? `${identity.layout.model}/${identity.layout.context}` : '-';
  const bracket = identity ? `b${identity.bracket[0]}-${shortEnd(identity.bracket[1])}` : '-';
  const row = cells(WIDTHS, [
    ...[build.version, build.name, layout, bracket, plain, quantised, embeddings],
    ...[apart.toExponential(1), `${(canaryMs / 1000).toFixed(1)} s`],
  ]);
  return [row, ...problems.map((problem) => `    ${problem}`)].join('\n');
}

function shortEnd(end: number): string {
  return end > 1_000_000 ? '' : `b${end - 1}`;
}

/** The largest distance of a build's logits from those of the builds before it. */
function apartFrom(before: readonly Proved[], { logits }: Proved): number {
  if (logits === null) return Number.NaN;
  const distances = before.flatMap((other) =>
    other.logits === null ? [] : [relativeDifference(logits, other.logits)],
  );
  return Math.max(0, ...distances);
}

async function proveAll(versions: readonly string[], signal: AbortSignal) {
  const proved: Proved[] = [];
  let failed = 0;
  for (const build of BUILDS.filter(({ version }) => isWanted(version, versions))) {
    const one = await prove(build, await obtain(build.version, signal), signal);
    const apart = apartFrom(proved, one);
    if (one.problems.length > 0 || !(apart <= MOST_APART)) failed += 1;
    proved.push(one);
    console.log(line(one, apart));
  }
  return { proved, failed };
}

async function refuseAll(versions: readonly string[], signal: AbortSignal): Promise<number> {
  let failed = 0;
  for (const { version, name } of TOO_OLD.filter((one) => isWanted(one.version, versions))) {
    const [scan = '', probe = ''] = await refusals(await obtain(version, signal), signal);
    const isRefused = /is too old: b\d+/.test(scan) && probe !== 'not refused';
    if (!isRefused) failed += 1;
    const words = `${isRefused ? 'refused' : 'NOT refused as it should'}: ${scan} | ${probe}`;
    console.log(cells(WIDTHS.slice(0, 2), [version, name]), words);
  }
  return failed;
}

function isWanted(version: string, versions: readonly string[]): boolean {
  return versions.length === 0 || versions.includes(version);
}

/** Whether the guide's table says what was seen; rewrites it where that is wished. */
async function settleGuide(proved: readonly Proved[], write: boolean): Promise<boolean> {
  const rows: Row[] = proved.flatMap(({ build, identity }) =>
    identity ? [{ ...build, layout: identity.layout }] : [],
  );
  const guide = await readFile(GUIDE, 'utf8');
  const right = withTable(guide, rows);
  if (right === guide) return true;
  if (write) await writeFile(GUIDE, right);
  console.log(write ? 'the guide’s table is rewritten' : 'the guide’s table is not what was seen');
  return write;
}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    options: { write: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const signal = AbortSignal.timeout(RUN_LIMIT_MS);
  console.log(`${PACKAGE}, kept in ${libsDirectory()}\n\n${head()}`);
  const { proved, failed } = await proveAll(positionals, signal);
  const unrefused = await refuseAll(positionals, signal);
  const isWhole = positionals.length === 0 && failed === 0;
  const isTrue = isWhole ? await settleGuide(proved, values.write) : true;
  const bad = failed + unrefused + (isTrue ? 0 : 1);
  console.log(`${proved.length} builds proved, ${failed} failed, ${unrefused} wrongly accepted`);
  process.exitCode = bad === 0 ? 0 : 1;
}

await main(process.argv.slice(2));
