/**
 * Row 7: all tokens of 4 and of 8 clients per second, against another server with as many slots, and
 * with a number of slots that the server chose itself against one slot.
 */
import { cleaningUp } from './cleanup.js';
import { streamed } from './client.js';
import { freshSeed, largeModel, words } from './models.js';
import type { Row } from './report.js';
import {
  againstPeer,
  chatBody,
  type Given,
  inTurns,
  knowsAutoSlots,
  ours,
  pairInTurns,
  type Side,
  sides,
  untilIdle,
} from './sides.js';

const CLIENTS = [4, 8];
const PROMPT_TOKENS = 50;
const TOKENS = 64;
/** Requests of each client, one after the other. */
const ROUNDS = 2;
const CONTEXT = 1024;

/** Tokens/s of all clients together, from the first request to the last end. */
async function totalSpeed(side: Side, clients: number): Promise<number> {
  let tokens = 0;
  const client = async (): Promise<void> => {
    for (let round = 0; round < ROUNDS; round++) {
      const body = chatBody(words(PROMPT_TOKENS, freshSeed()), { max_tokens: TOKENS });
      const { usage } = await streamed(side, body);
      tokens += usage?.completion_tokens ?? Number.NaN;
    }
  };
  const asked = performance.now();
  await Promise.all(Array.from({ length: clients }, client));
  const seconds = (performance.now() - asked) / 1000;
  await untilIdle(side);
  return tokens / seconds;
}

/** Both comparisons, for each number of clients. */
export async function measureClients(given: Given): Promise<Row[]> {
  const modelPath = await largeModel();
  const serving = { modelPath, threads: given.threads, context: CONTEXT };
  const rows: Row[] = [];
  for (const clients of CLIENTS) {
    rows.push(
      await cleaningUp(async (owner) => {
        const pair = await sides(owner, given, { ...serving, slots: clients });
        const run = (side: Side): Promise<number> => totalSpeed(side, clients);
        const { ours, peer } = await pairInTurns(given.repeats, pair, run);
        return {
          ...{ name: `${clients} clients, as many slots`, unit: 'tokens/s', values: ours },
          ...{ target: '>= 1 x', ...againstPeer(peer) },
        };
      }),
    );
  }
  return [...rows, ...(await measureAuto(given, serving))];
}

async function measureAuto(
  given: Given,
  serving: { modelPath: string; threads: number; context: number },
): Promise<Row[]> {
  const row = (clients: number) => ({
    ...{ name: `${clients} clients, N_SLOTS=auto`, unit: 'tokens/s', target: '>= 1 x' },
  });
  if (!knowsAutoSlots()) {
    const note = 'this build has no N_SLOTS=auto';
    return CLIENTS.map((clients) => ({ ...row(clients), values: [], note }));
  }
  return cleaningUp(async (owner) => {
    const auto = await ours(owner, { ...serving, slots: 'auto' });
    const one = await ours(owner, { ...serving, slots: 1 });
    const rows: Row[] = [];
    for (const clients of CLIENTS) {
      const { chosen, single } = await inTurns(given.repeats, {
        chosen: () => totalSpeed(auto, clients),
        single: () => totalSpeed(one, clients),
      });
      const note = `it chose ${await auto.slots()}`;
      rows.push({
        ...{ ...row(clients), values: chosen, note },
        against: { name: 'N_SLOTS=1', values: single },
      });
    }
    return rows;
  });
}
