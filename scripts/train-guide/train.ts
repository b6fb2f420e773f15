/**
 * `npm run guide:train`: dialogues to rows, rows to weights, weights to models/hoshikage-guide.gguf.
 * Needs PyTorch for Python; `--python` says which one, `--seed` makes another model of the same
 * dialogues, `--out` puts it elsewhere. A run that was stopped goes on with `--resume`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { pack } from './pack.js';
import { MODEL, TRAINER, WORK } from './paths.js';
import { prepare } from './prepare.js';

/** The length of the longest rows, which is what the model is said to read. */
const CONTEXT = 1024;
/** Long rows come all along: a model that meets them at the end only has to learn distances anew. */
const group = (verbatim: number, short: number) => [
  { length: 256, rows: 16 * 11, verbatim, short },
  { length: CONTEXT, rows: 4, verbatim, short },
];
/**
 * First everything in as many ways as there are, then again with the questions as they stand: what is
 * like them is understood by then, and they themselves are to be known.
 */
const COURSES = [
  { rate: 1, dropout: 0.1, parts: Array.from({ length: 130 }, () => group(0, 0.7)).flat() },
  { rate: 0.5, dropout: 0.05, parts: Array.from({ length: 90 }, () => group(0.4, 0.8)).flat() },
];
const MERGES = 3000;
/** glibc gives large blocks back and takes them again at every step; kept, a fifth of the time is. */
const STEADY = {
  MALLOC_MMAP_MAX_: '0',
  MALLOC_TRIM_THRESHOLD_: String(2 ** 33),
  MALLOC_TOP_PAD_: String(2 ** 28),
};

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    python: { type: 'string', default: 'python3' },
    threads: { type: 'string', default: '1' },
    steps: { type: 'string' },
    out: { type: 'string', default: MODEL },
    resume: { type: 'boolean', default: false },
  },
});

const seed = Number(values.seed);
if (!Number.isSafeInteger(seed)) throw new Error(`not a seed: ${values.seed}`);
if (!values.resume) {
  rmSync(WORK, { recursive: true, force: true });
  prepare({ seed, merges: MERGES, courses: COURSES });
}
const args = [TRAINER, WORK, '--seed', String(seed), '--threads', values.threads];
if (values.steps !== undefined) args.push('--steps', values.steps);
// Heard from before there is a trainer. It writes down how far it is, and ends; we do then.
let asked = false;
let stop = (): void => {};
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(name, () => {
    asked = true;
    stop();
  });
}
const trainer = spawn(values.python, args, {
  stdio: 'inherit',
  // Ctrl-C is for us alone: the trainer saves only when it is asked as below.
  detached: true,
  env: { ...STEADY, OMP_NUM_THREADS: values.threads, ...process.env },
});
stop = () => void trainer.kill('SIGTERM');
if (asked) stop();
const [code, signal] = await once(trainer, 'exit');
if (code !== 0) throw new Error(`the trainer ended with ${code ?? signal}`);
await pack(WORK, values.out, CONTEXT);
process.stdout.write(`${values.out}\n`);
