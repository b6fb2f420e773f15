/**
 * `npm run bench`: measures speed and latencies with models it makes itself, prints a table and leaves
 * it with its CSV in bench-out/. Arguments choose groups: speed bound status
 * leaving start idle switch wake ramdisk.
 * Not a test: nothing here passes or fails. Targets are shown beside the values.
 */
import { fileURLToPath } from 'node:url';
import { randomModel } from '../test/helpers/models.js';
import { measureBound } from './bench/bound.js';
import { measureRamDisk } from './bench/ramdisk.js';
import { machine, type Row, saveReport, tableOf } from './bench/report.js';
import { measureIdle, measureLeaving, measureStart, measureStatus } from './bench/service.js';
import { measureSpeed, type SpeedCase } from './bench/speed.js';
import { measureSwitch } from './bench/switch.js';
import { measureWake } from './bench/wake.js';

const REPEATS = 7;

/** A vocabulary as large as real ones. */
const VOCABULARY = 32_000;

/** About 80 M parameters. */
const large = (): Promise<string> =>
  randomModel({
    ...{ vocabulary: VOCABULARY, embedding: 512, layers: 15, heads: 8, kvHeads: 4 },
    ...{ feedForward: 1536, type: 'q8_0' },
  });

/** About 4 M and 80 M parameters. */
async function speedCases(): Promise<SpeedCase[]> {
  const small = await randomModel({
    ...{ vocabulary: VOCABULARY, embedding: 64, layers: 4, heads: 4, kvHeads: 4, feedForward: 192 },
  });
  return [
    { name: '4 M greedy', modelPath: small, tokens: 400, repeats: REPEATS },
    {
      ...{ name: '4 M top_p 0.8', modelPath: small, tokens: 400, repeats: REPEATS },
      sampling: { temperature: 0.8, topP: 0.8 },
    },
    { name: '80 M greedy', modelPath: await large(), tokens: 120, repeats: REPEATS },
  ];
}

const GROUPS: Readonly<Record<string, () => Promise<Row[]>>> = {
  speed: async () => {
    const rows: Row[] = [];
    for (const wanted of await speedCases()) rows.push(...(await measureSpeed(wanted)));
    return rows;
  },
  bound: async () => measureBound(await large()),
  status: () => measureStatus(5),
  leaving: () => measureLeaving(REPEATS),
  start: () => measureStart(REPEATS),
  idle: () => measureIdle(3),
  wake: async () => measureWake(await large(), 5),
  switch: () => measureSwitch(5),
  ramdisk: () => measureRamDisk(5),
};

async function main(chosen: readonly string[]): Promise<void> {
  const unknown = chosen.filter((name) => !Object.hasOwn(GROUPS, name));
  if (unknown.length > 0) {
    console.error(`unknown: ${unknown.join(', ')}; there are ${Object.keys(GROUPS).join(', ')}`);
    process.exitCode = 2;
    return;
  }
  console.log(machine());
  const rows: Row[] = [];
  for (const [name, measure] of Object.entries(GROUPS)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    console.log(`\n${name} ...`);
    const measured = await measure();
    console.log(tableOf(measured));
    rows.push(...measured);
  }
  const path = saveReport(rows, fileURLToPath(new URL('../bench-out/', import.meta.url)));
  console.log(`\n${path}.csv\n${path}.txt`);
}

await main(process.argv.slice(2));
