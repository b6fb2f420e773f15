/**
 * How long the server's event loop keeps others waiting while 16 streams run: the times of GET /health,
 * which does nothing but take its turn there, asked by a process of its own over one connection. What
 * the machine's scheduler adds is in them: they are an upper bound.
 */
import { spawn } from 'node:child_process';
import { inProject } from '../root.js';
import { cleaningUp } from './cleanup.js';
import { flowing, stream } from './client.js';
import { freshSeed, smallModel, words } from './models.js';
import { quantile, type Row } from './report.js';
import {
  againstPeer,
  chatBody,
  type Given,
  pairInTurns,
  type Side,
  sides,
  untilIdle,
} from './sides.js';

const STREAMS = 16;
const CONTEXT = 4096;
const ASKER = inProject('scripts/bench/ask-health.mjs');
const ASKED = 300;

async function waitsOf(side: Side): Promise<number> {
  const streams = Array.from({ length: STREAMS }, () =>
    stream(side, chatBody(words(20, freshSeed()), { max_tokens: 4000 })),
  );
  try {
    for (const one of streams) await flowing(one);
    return quantile(await healthTimes(side), 0.99);
  } finally {
    for (const one of streams) one.leave();
    await untilIdle(side);
  }
}

async function healthTimes({ url }: Side): Promise<number[]> {
  const child = spawn(process.execPath, [ASKER, url, String(ASKED)], {
    ...{ stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 },
  });
  let text = '';
  for await (const part of child.stdout) text += part;
  const times = text.trim().split('\n').map(Number);
  if (times.length !== ASKED) throw new Error(`${times.length} answers of /health, not ${ASKED}`);
  return times;
}

/** The 99th percentile of each turn, for both servers. */
export function measureLoop(given: Given): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const wanted = { modelPath: await smallModel(), threads: 1, context: CONTEXT };
    const pair = await sides(owner, given, { ...wanted, slots: STREAMS });
    const { ours, peer } = await pairInTurns(given.repeats, pair, waitsOf);
    return [
      {
        ...{ name: 'p99 of GET /health during 16 streams', unit: 'ms', values: ours },
        ...{ target: '< 10', ...againstPeer(peer) },
      },
    ];
  });
}
