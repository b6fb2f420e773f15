/**
 * Row 5: four requests that begin with the same 2,300 tokens come at once, and nobody has computed
 * them yet. Time until the last one has ended, and how often the prefix was computed by the servers'
 * own counts.
 */
import { cleaningUp } from './cleanup.js';
import { computedTokens, streamed } from './client.js';
import { freshSeed, largeModel, words } from './models.js';
import type { Row } from './report.js';
import {
  againstPeer,
  bodyOf,
  type Given,
  pairInTurns,
  type Side,
  sides,
  untilIdle,
} from './sides.js';

const PREFIX_TOKENS = 2300;
const REQUESTS = 4;
const CONTEXT = 4096;

interface Turn {
  readonly ms: number;
  /** Computed prompt tokens of all, as multiples of one prompt. */
  readonly times: number;
}

async function turnOf(side: Side): Promise<Turn> {
  const system = { role: 'system', content: words(PREFIX_TOKENS, freshSeed()) };
  const bodies = Array.from({ length: REQUESTS }, () =>
    bodyOf([system, { role: 'user', content: words(16, freshSeed()) }], { max_tokens: 16 }),
  );
  const asked = performance.now();
  const heard = await Promise.all(bodies.map((body) => streamed(side, body)));
  const ms = Math.max(...heard.map(({ ended }) => ended)) - asked;
  await untilIdle(side);
  const computed = heard.map(computedTokens).reduce((sum, tokens) => sum + tokens, 0);
  return { ms, times: computed / (heard[0]?.usage?.prompt_tokens ?? Number.NaN) };
}

/** Both, for both servers. */
export function measurePrefix(given: Given): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const wanted = { modelPath: await largeModel(), threads: given.threads, context: CONTEXT };
    const pair = await sides(owner, given, { ...wanted, slots: REQUESTS });
    const { ours, peer } = await pairInTurns(given.repeats, pair, turnOf);
    const row = (
      name: string,
      unit: string,
      pick: (turn: Turn) => number,
      target: string,
    ): Row => ({
      ...{ name, unit, values: ours.map(pick), target },
      ...againstPeer(peer.map(pick)),
    });
    return [
      row('four requests with one prefix of 2,300 tokens', 'ms', (turn) => turn.ms, '<= 0.35 x'),
      // The questions differ, and so do a few tokens of each.
      row('times that prefix was computed', 'times', (turn) => turn.times, '<= 1.1'),
    ];
  });
}
