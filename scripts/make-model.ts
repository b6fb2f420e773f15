/**
 * `npm run make-model -- random|scripted OUT [--option value ...]`: writes a small GGUF file for
 * tests, benchmarks and trying things out. It must never be needed by the product.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type RandomModelOptions, writeRandom } from '../src/models/random.js';
import { writeScripted } from '../src/models/scripted.js';

const USAGE = `usage: npm run make-model -- random OUT [options]     random weights from a seed
       npm run make-model -- scripted OUT [options]   says given texts under greedy decoding

both:      --type f16|q8_0   --context N (trained length)   --template FILE (Jinja)
random:    --seed N  --embd N  --layers N  --heads N  --kv-heads N  --ff N  --vocab N
scripted:  --say TEXT           the default answer
           --answer KEYWORD=TEXT  said when KEYWORD is in the last user message; may be repeated
           --file FILE          answers as JSON: [{"say": "..."}, {"when": "...", "say": "..."}]
           --cut characters|bytes  where texts are cut into tokens
           --endless            begin again after the end
           --ballast MIB        idle weights, to make it slow
`;

class UsageError extends Error {}

const OPTIONS = {
  type: { type: 'string' },
  context: { type: 'string' },
  template: { type: 'string' },
  seed: { type: 'string' },
  embd: { type: 'string' },
  layers: { type: 'string' },
  heads: { type: 'string' },
  'kv-heads': { type: 'string' },
  ff: { type: 'string' },
  vocab: { type: 'string' },
  say: { type: 'string' },
  answer: { type: 'string', multiple: true },
  file: { type: 'string' },
  cut: { type: 'string' },
  endless: { type: 'boolean' },
  ballast: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parse>['values'];

function parse(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** `{ [name]: value }`, or nothing where the option is absent. */
function count<Name extends string>(
  name: Name,
  text: string | undefined,
): { [K in Name]?: number } {
  if (text === undefined) return {};
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new UsageError(`not a count: ${text}`);
  // A computed key widens to string; the name is the literal that came in.
  return { [name]: value } as { [K in Name]?: number };
}

function oneOf<T extends string>(text: string | undefined, fallback: T, ...others: T[]): T {
  const found = [fallback, ...others].find((choice) => choice === (text ?? fallback));
  if (found === undefined)
    throw new UsageError(`"${text}" is none of: ${[fallback, ...others].join(' ')}`);
  return found;
}

async function common(values: Values) {
  return {
    type: oneOf(values.type, 'f16', 'q8_0'),
    ...count('contextLength', values.context),
    ...(values.template === undefined ? {} : { template: await readFile(values.template, 'utf8') }),
  };
}

async function random(path: string, values: Values): Promise<void> {
  const options: RandomModelOptions = {
    ...(await common(values)),
    ...count('seed', values.seed),
    ...count('embedding', values.embd),
    ...count('layers', values.layers),
    ...count('heads', values.heads),
    ...count('kvHeads', values['kv-heads']),
    ...count('feedForward', values.ff),
    ...count('vocabulary', values.vocab),
  };
  await writeRandom(path, options);
}

/** Answers of a JSON file; only what it needs is checked, the planning checks the rest. */
async function answersOf(file: string): Promise<{ when?: string; say: string }[]> {
  const read: unknown = JSON.parse(await readFile(file, 'utf8'));
  if (!Array.isArray(read)) throw new UsageError(`${file} is not a JSON list`);
  return read.map((item: unknown) => {
    if (
      typeof item !== 'object' ||
      item === null ||
      !('say' in item) ||
      typeof item.say !== 'string'
    ) {
      throw new UsageError(`${file}: every answer needs a text "say"`);
    }
    if (!('when' in item)) return { say: item.say };
    if (typeof item.when !== 'string') throw new UsageError(`${file}: "when" is a text`);
    return { when: item.when, say: item.say };
  });
}

async function scripted(path: string, values: Values): Promise<void> {
  const cut = oneOf(values.cut, 'characters', 'bytes');
  const answers = values.file === undefined ? [] : await answersOf(values.file);
  if (values.say !== undefined) answers.push({ say: values.say });
  for (const pair of values.answer ?? []) {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError(`--answer wants KEYWORD=TEXT, not ${pair}`);
    answers.push({ when: pair.slice(0, at), say: pair.slice(at + 1) });
  }
  await writeScripted(path, {
    ...(await common(values)),
    ...count('ballastMiB', values.ballast),
    answers: answers.map((answer) => ({ ...answer, cut, endless: values.endless ?? false })),
  });
}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parse(args);
  const [kind, path, ...more] = positionals;
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (path === undefined || more.length > 0) throw new UsageError('a kind and a file name, please');
  if (kind === 'random') await random(path, values);
  else if (kind === 'scripted') await scripted(path, values);
  else throw new UsageError(`no such kind: ${kind}`);
  process.stdout.write(`${path}\n`);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  const usage = error instanceof UsageError;
  process.stderr.write(
    `${error instanceof Error ? error.message : error}\n${usage ? `\n${USAGE}` : ''}`,
  );
  process.exitCode = usage ? 2 : 1;
});
