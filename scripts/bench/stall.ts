/**
 * Row 4: nobody waits for anybody's long prompt. Three streams run while another client's prompt of
 * 6,000 tokens is computed: the longest time one of them stands still, and when the long prompt has
 * its first token.
 */
import { cleaningUp } from './cleanup.js';
import { firstTextMs, flowing, longestGap, stream, streamed } from './client.js';
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

const PROMPT_TOKENS = 6000;
const STREAMS = 3;
const CONTEXT = 8192;

/** What one turn tells, ms. */
interface Turn {
  readonly gap: number;
  readonly first: number;
}

async function turnOf(side: Side): Promise<Turn> {
  const streams = Array.from({ length: STREAMS }, () =>
    stream(side, chatBody(words(40, freshSeed()), { max_tokens: 6000 })),
  );
  try {
    for (const one of streams) await flowing(one);
    const long = chatBody(words(PROMPT_TOKENS, freshSeed()), { max_tokens: 8 });
    const heard = await streamed(side, long);
    const till = heard.texts[0] ?? Number.NaN;
    for (const one of streams) one.leave();
    const talks = await Promise.all(streams.map((one) => one.heard));
    const gaps = talks.map(({ texts }) => longestGap(texts, heard.asked, till));
    return { gap: Math.max(...gaps), first: firstTextMs(heard) };
  } finally {
    for (const one of streams) one.leave();
    await untilIdle(side);
  }
}

/** Both, for both servers. */
export function measureStall(given: Given): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const wanted = { modelPath: await largeModel(), threads: given.threads, context: CONTEXT };
    const pair = await sides(owner, given, { ...wanted, slots: STREAMS + 1 });
    const { ours, peer } = await pairInTurns(given.repeats, pair, turnOf);
    const row = (name: string, pick: (turn: Turn) => number, target: string): Row => ({
      ...{ name, unit: 'ms', values: ours.map(pick), target },
      ...againstPeer(peer.map(pick)),
    });
    return [
      row('longest gap of three streams during a prompt of 6,000 tokens', (t) => t.gap, '<= 200'),
      row('first token of that prompt', (t) => t.first, '<= 1.25 x'),
    ];
  });
}
