/**
 * Row 8: the next turn of a conversation. About 900 tokens of it are in the slot already; the time
 * from the question to the first text of the answer.
 */
import { cleaningUp } from './cleanup.js';
import { computedTokens, firstTextMs, type Heard, streamed } from './client.js';
import { freshSeed, largeModel, words } from './models.js';
import type { Row } from './report.js';
import { againstPeer, bodyOf, type Given, pairInTurns, type Side, sides } from './sides.js';

const FIRST_TOKENS = 880;
const CONTEXT = 4096;

async function nextTurn(side: Side): Promise<Heard> {
  const question = { role: 'user', content: words(FIRST_TOKENS, freshSeed()) };
  const { text } = await streamed(side, bodyOf([question], { max_tokens: 16 }));
  const talk = [
    ...[question, { role: 'assistant', content: text }],
    { role: 'user', content: words(8, freshSeed()) },
  ];
  return streamed(side, bodyOf(talk, { max_tokens: 8 }));
}

/** The time and, beside it, how much was computed, for both servers. */
export function measureTurn(given: Given): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const wanted = { modelPath: await largeModel(), threads: given.threads, context: CONTEXT };
    const pair = await sides(owner, given, { ...wanted, slots: 1 });
    const { ours, peer } = await pairInTurns(given.repeats, pair, nextTurn);
    const row = (name: string, unit: string, pick: (heard: Heard) => number): Row => ({
      ...{ name, unit, values: ours.map(pick), ...againstPeer(peer.map(pick)) },
    });
    return [
      { ...row('first token of the next turn', 'ms', firstTextMs), target: '<= 1 x' },
      row('prompt tokens computed for it', 'tokens', computedTokens),
    ];
  });
}
