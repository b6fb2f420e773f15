/**
 * `npm run bench`: measures speed and latencies with models it makes itself, prints a table and leaves
 * it in bench-out/ with CSV and picture. Not a test: nothing here passes or fails; targets are shown
 * beside the values. What the groups measure is in scripts/bench/groups.ts and docs/BENCHMARKS.md.
 *
 *   npm run bench                              everything
 *   npm run bench -- row4 row5 --repeats 3     some of it, by name or row, quickly
 *   npm run bench -- --threads 2               with so many compute threads instead of one
 *   npm run bench -- --save results            into docs/benchmarks/ and docs/BENCHMARKS.md too
 *   npm run bench -- --redraw                  table and picture of what is saved, measuring nothing
 *   LLAMA_SERVER=path LLAMA_BENCH=path npm run bench    beside libllama's own server and benchmark
 */
import { parseArgs } from 'node:util';
import { cleaningUp } from './bench/cleanup.js';
import { GROUPS, type Group } from './bench/groups.js';
import { smallModel } from './bench/models.js';
import { type Circumstances, type Measured, machine, tableOf } from './bench/report.js';
import { saveDocument, saveReport } from './bench/save.js';
import { type Given, libraryVersion, ours, peerVersion } from './bench/sides.js';

const REPEATS = 5;

/** What the command line says; null after a mistake, which was named. */
function asked(): {
  groups: readonly Group[];
  given: Given;
  save: string | null;
  redraw: boolean;
} | null {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      repeats: { type: 'string', default: String(REPEATS) },
      threads: { type: 'string', default: '1' },
      save: { type: 'string' },
      redraw: { type: 'boolean', default: false },
    },
  });
  const [repeats, threads] = [Number(values.repeats), Number(values.threads)];
  const isCount = (number: number): boolean => Number.isSafeInteger(number) && number > 0;
  const unknown = positionals.filter((name) => !GROUPS.some((group) => group.names.includes(name)));
  if (unknown.length > 0 || !isCount(repeats) || !isCount(threads)) {
    const names = GROUPS.map((group) => group.names.join(' = ')).join(', ');
    console.error(
      `usage: npm run bench -- [GROUP...] [--repeats N] [--threads N] [--save NAME] [--redraw]`,
    );
    console.error(
      `${unknown.length > 0 ? `unknown: ${unknown.join(', ')}; ` : ''}groups: ${names}`,
    );
    return null;
  }
  const chosen = GROUPS.filter(({ names }) => names.some((name) => positionals.includes(name)));
  const { LLAMA_SERVER: llamaServer, LLAMA_BENCH: llamaBench } = process.env;
  return {
    groups: positionals.length > 0 ? chosen : GROUPS,
    given: {
      ...{ repeats, threads },
      ...{ llamaServer: llamaServer || null, llamaBench: llamaBench || null },
    },
    save: values.save ?? null,
    redraw: values.redraw,
  };
}

async function circumstances({ llamaServer }: Given): Promise<Circumstances> {
  const library = await cleaningUp(async (owner) =>
    libraryVersion(
      await ours(owner, {
        ...{ modelPath: await smallModel(), threads: 1, slots: 1, context: 512 },
      }),
    ),
  );
  const date = new Date().toISOString().slice(0, 10);
  return { date, machine: machine(), library, peer: peerVersion(llamaServer) };
}

async function main(): Promise<void> {
  const wanted = asked();
  if (!wanted) {
    process.exitCode = 2;
    return;
  }
  if (wanted.redraw) {
    console.log(saveDocument('results', []).join('\n'));
    return;
  }
  const where = await circumstances(wanted.given);
  console.log([where.machine, where.library, where.peer].filter(Boolean).join('\n'));
  const rows: Measured[] = [];
  for (const group of wanted.groups) {
    console.log(`\n${group.names.join(' = ')}: ${group.title} ...`);
    const measured = await group.measure(wanted.given);
    console.log(tableOf(measured));
    const saved = measured.map((row) => ({ ...row, ...where, group: group.name }));
    rows.push(...saved);
    // At once: what took minutes must not be lost with a later group.
    if (wanted.save) console.log(saveDocument(wanted.save, saved).join('\n'));
  }
  console.log(`\n${saveReport(rows).join('\n')}`);
}

await main();
