/**
 * Row 6: a client leaves, and its slot is free. While its prompt is computed, while it is talked to,
 * and while it waits for a whole answer; alone and beside another client's stream. Seen from outside.
 */
import { pause, until } from '../../test/helpers/waiting.js';
import { cleaningUp } from './cleanup.js';
import { flowing, plain, stream } from './client.js';
import { freshSeed, largeModel, words } from './models.js';
import type { Row } from './report.js';
import {
  againstPeer,
  chatBody,
  type Given,
  pairInTurns,
  type Side,
  sides,
  untilIdle,
} from './sides.js';

const CONTEXT = 8192;
/** A slot that is not free by then counts as long, ms: some servers finish the answer. */
const DEADLINE_MS = 10_000;

interface Phase {
  readonly name: string;
  readonly promptTokens: number;
  readonly streams: boolean;
  /** Another client is streaming all the while. */
  readonly beside: boolean;
}

const PHASES: readonly Phase[] = [
  { name: 'streamed answer', promptTokens: 40, streams: true, beside: false },
  { name: 'whole answer', promptTokens: 40, streams: false, beside: false },
  { name: 'prompt of 6,000 tokens', promptTokens: 6000, streams: true, beside: false },
  { name: 'streamed answer, other traffic', promptTokens: 40, streams: true, beside: true },
  { name: 'whole answer, other traffic', promptTokens: 40, streams: false, beside: true },
  {
    name: 'prompt of 6,000 tokens, other traffic',
    promptTokens: 6000,
    streams: true,
    beside: true,
  },
];

async function freeAfter(side: Side, phase: Phase): Promise<number> {
  const other = phase.beside
    ? stream(side, chatBody(words(40, freshSeed()), { max_tokens: 7000 }))
    : null;
  try {
    if (other) await flowing(other);
    const body = chatBody(words(phase.promptTokens, freshSeed()), { max_tokens: 1000 });
    const asked = phase.streams ? stream(side, body) : plain(side, body);
    const busy = phase.beside ? 2 : 1;
    await until('a working slot', async () => (await side.busy()) === busy, { everyMs: 2 });
    // It is well under way; of a long prompt that is still within the first tenth.
    await pause(200);
    const left = performance.now();
    asked.leave();
    const free = async (): Promise<boolean> =>
      (await side.busy()) < busy || performance.now() - left > DEADLINE_MS;
    await until('a free slot', free, { everyMs: 2, deadlineMs: 2 * DEADLINE_MS });
    return performance.now() - left;
  } finally {
    other?.leave();
    await untilIdle(side);
  }
}

/** All phases, for both servers. */
export function measureLeaving(given: Given): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const wanted = { modelPath: await largeModel(), threads: given.threads, context: CONTEXT };
    const pair = await sides(owner, given, { ...wanted, slots: 2 });
    const rows: Row[] = [];
    for (const phase of PHASES) {
      const run = (side: Side): Promise<number> => freeAfter(side, phase);
      const { ours, peer } = await pairInTurns(given.repeats, pair, run);
      rows.push({
        ...{ name: `slot free after leaving: ${phase.name}`, unit: 'ms', values: ours },
        ...{ target: '<= 200', judged: 'max' },
        ...againstPeer(peer),
      });
    }
    return rows;
  });
}
