/**
 * How long a change of models takes: from the request for the other model to its first token, both files
 * seen before, against a bare process that does the same load. The two take turns on the same files.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomModel } from '../../test/helpers/models.js';
import { makeHome, startServer, type TestServer } from '../../test/helpers/server.js';
import { chatBody, chunksOf, openStream } from '../../test/helpers/wire.js';
import { inProject } from '../root.js';
import { cleaningUp } from './cleanup.js';
import type { Row } from './report.js';

const BARE = inProject('scripts/bench/bare-load.mjs');
const QUESTION = 'hi';
/** The same as the server makes of it: these models have no template of their own. */
const PROMPT = `<|im_start|>user\n${QUESTION}<|im_end|>\n<|im_start|>assistant\n`;

/** About 870 MB as Q8_0. */
export function weighty(seed: number): Promise<string> {
  return randomModel({
    ...{ vocabulary: 32_000, embedding: 1536, layers: 26, heads: 12, kvHeads: 4 },
    ...{ feedForward: 4608, type: 'q8_0', seed },
  });
}

/** Switches back and forth between two models. Rows in ms. */
export function measureSwitch(repeats: number): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const models = { one: await weighty(1), other: await weighty(2) };
    const home = makeHome(owner);
    home.writeMap(models);
    const server = await startServer(owner, { home, env: { LOG_LEVEL: 'warn' } });
    const switched: number[] = [];
    const bare: number[] = [];
    for (let turn = -1; turn < repeats; turn++) {
      const took: number[] = [];
      const alone: number[] = [];
      for (const [name, path] of Object.entries(models)) {
        took.push(await firstToken(server, name));
        alone.push(await bareLoad(server, path));
      }
      // The first turn reads the files into the page cache.
      if (turn < 0) continue;
      switched.push(...took);
      bare.push(...alone);
    }
    return [
      {
        ...{ name: 'first token after a switch', unit: 'ms', values: switched, target: '<= 1000' },
        against: { name: 'bare process, same load', values: bare },
      },
    ];
  });
}

/** From the request for that model to its first token, ms. */
export async function firstToken(server: TestServer, model: string): Promise<number> {
  const asked = performance.now();
  let first = Number.NaN;
  for await (const chunk of chunksOf(
    await openStream(server, chatBody(model, QUESTION, { max_tokens: 2, ignore_eos: true })),
  )) {
    if (chunk.error) throw new Error(chunk.error.message);
    // The role's chunk comes after five seconds at the latest, whatever is still being loaded.
    const { delta, finish_reason: end } = chunk.choices?.[0] ?? {};
    if (Number.isNaN(first) && (delta?.content || end)) first = performance.now() - asked;
  }
  return first;
}

async function bareLoad(server: TestServer, model: string): Promise<number> {
  const { library } = await server.status();
  const started = performance.now();
  const child = spawn(process.execPath, [BARE, library.path ?? '', model, PROMPT], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  const took = performance.now() - started;
  await ended;
  return took;
}
