/**
 * What there is to measure: the groups of `npm run bench`, by name and by the number that
 * docs/BENCHMARKS.md gives them. Data only.
 */

import { measureBound } from './bound.js';
import { measureClients } from './clients.js';
import { measureLeaving } from './leaving.js';
import { measureLoop } from './loop.js';
import { largeModel, smallModel } from './models.js';
import { measurePrefix } from './prefix.js';
import { measurePromises } from './promises.js';
import { measureRamDisk } from './ramdisk.js';
import type { Row } from './report.js';
import { measureSamplers } from './samplers.js';
import { measureIdle, measureStart, measureStatus } from './service.js';
import type { Given } from './sides.js';
import { measureExtra, measureShare } from './speed.js';
import { measureStall } from './stall.js';
import { measureSwitch } from './switch.js';
import { measureTurn } from './turn.js';
import { measureWake } from './wake.js';

/** One thing to measure. */
export interface Group {
  readonly name: string;
  /** Its number in the document; null = it has none. */
  readonly row: number | null;
  /** What it may be chosen by: its name, and `rowN` where it has a number. */
  readonly names: readonly string[];
  readonly title: string;
  measure(given: Given): Promise<Row[]>;
}

function group(
  name: string,
  row: number | null,
  title: string,
  measure: (given: Given) => Promise<Row[]>,
): Group {
  return { name, row, names: row === null ? [name] : [name, `row${row}`], title, measure };
}

const threadsOf = ({ threads }: Given): string => `${threads} thread${threads > 1 ? 's' : ''}`;

/** In the order of the document. */
export const GROUPS: readonly Group[] = [
  group('greedy', 1, 'what a server adds to each token, the likeliest token', async (given) => {
    const modelPath = await smallModel();
    return measureExtra({ name: '4 M greedy', modelPath, tokens: 1000, threads: 1 }, given, 0.05);
  }),
  group('sampled', 2, 'what a server adds to each token, top_k 0, top_p 0.8', async (given) => {
    const sampling = { temperature: 0.8, topP: 0.8 };
    const small = { modelPath: await smallModel(), tokens: 500, threads: 1, sampling };
    return measureExtra({ name: '4 M top_p 0.8', ...small }, given, 0.3);
  }),
  group('stream', 3, 'streamed tokens/s as a share of the bare loop', async (given) => {
    const name = `79 M, ${threadsOf(given)}`;
    const large = { modelPath: await largeModel(), tokens: 120, threads: given.threads };
    return measureShare({ name, ...large }, given);
  }),
  group('stall', 4, 'streams beside the long prompt of another client', measureStall),
  group('prefix', 5, 'four requests with one prefix at once', measurePrefix),
  group('leaving', 6, 'slots after their client has left', measureLeaving),
  group('clients', 7, 'all tokens of several clients per second', measureClients),
  group('turn', 8, 'the next turn of a conversation', measureTurn),
  group('wake', 9, 'the next turn after an idle unload', async ({ repeats }) =>
    measureWake(await largeModel(), repeats),
  ),
  group('start', 10, 'from the start of the process to its first answer', ({ repeats }) =>
    measureStart(repeats),
  ),
  group('switch', 11, 'a change between two models of 850 MB', ({ repeats }) =>
    measureSwitch(repeats),
  ),
  group('idle', 12, 'memory and wake-ups after an idle unload', ({ repeats }) =>
    measureIdle(repeats),
  ),
  group('loop', 13, 'the event loop during 16 streams', measureLoop),
  group('promises', 14, 'the promises of the beginning', measurePromises),
  group('bound', null, 'tokens under a JSON Schema', async () => measureBound(await largeModel())),
  group('samplers', null, 'what choosing a token costs', measureSamplers),
  group('status', null, '/v1/status under load', () => measureStatus(5)),
  group('ramdisk', null, 'loads from disk, page cache and RAM disk', ({ repeats }) =>
    measureRamDisk(repeats),
  ),
];
