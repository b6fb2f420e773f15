/**
 * What was promised when the project began: a first token within a second, short answers within two
 * seconds in 99 of 100 cases, 30 to 50 tokens a second (promised for a large model on a graphics card;
 * measured here with the 79 M model on the processor). One client, the server already at work.
 */
import { cleaningUp } from './cleanup.js';
import { firstTextMs, plain, streamed, tokensPerSecond } from './client.js';
import { freshSeed, largeModel, words } from './models.js';
import { quantile, type Row } from './report.js';
import { againstPeer, chatBody, type Given, pairInTurns, type Side, sides } from './sides.js';

const CONTEXT = 4096;
const PROMPT_TOKENS = 200;
/** A hundred of them for each percentile. */
const SHORT = 100;
const SHORT_TOKENS = 16;

interface Turn {
  readonly first: number;
  readonly speed: number;
}

async function turnOf(side: Side): Promise<Turn> {
  const body = chatBody(words(PROMPT_TOKENS, freshSeed()), { max_tokens: 100 });
  const heard = await streamed(side, body);
  return { first: firstTextMs(heard), speed: tokensPerSecond(heard) };
}

async function shortAnswers(side: Side): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < SHORT; i++) {
    const asked = performance.now();
    await plain(side, chatBody(words(20, freshSeed()), { max_tokens: SHORT_TOKENS })).done;
    times.push(performance.now() - asked);
  }
  return quantile(times, 0.99);
}

/** All three, for both servers. */
export function measurePromises(given: Given): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const wanted = { modelPath: await largeModel(), threads: given.threads, context: CONTEXT };
    const pair = await sides(owner, given, { ...wanted, slots: 1 });
    const long = await pairInTurns(given.repeats, pair, turnOf);
    const short = await pairInTurns(given.repeats, pair, shortAnswers);
    const row = (pick: (turn: Turn) => number) => ({
      ...{ values: long.ours.map(pick), ...againstPeer(long.peer.map(pick)) },
    });
    return [
      {
        ...{ name: `first token after ${PROMPT_TOKENS} tokens`, unit: 'ms', target: '< 1000' },
        ...row((turn) => turn.first),
      },
      {
        ...{ name: `p99 of whole answers of ${SHORT_TOKENS} tokens`, unit: 'ms', target: '< 2000' },
        ...{ values: short.ours, ...againstPeer(short.peer) },
      },
      {
        ...{ name: 'streamed', unit: 'tokens/s', target: '>= 30' },
        ...row((turn) => turn.speed),
      },
    ];
  });
}
