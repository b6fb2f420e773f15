/**
 * Models for tests, made by the project's own makers and kept in the system's temporary directory,
 * keyed by what they say and by the makers' own source: made once, shared by test files that run at
 * the same time. It must never leave a half-written model under its final name.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { inProject } from '../../scripts/root.js';
import { type RandomModelOptions, writeRandom } from '../../src/models/random.js';
import { type ScriptedOptions, writeScripted } from '../../src/models/scripted.js';

const MODELS = inProject('src/models');
const MAKERS = readdirSync(MODELS)
  .filter((name) =>
    /^(scripted|script|vocabulary|codes|prng|random|gguf-write|llama-metadata)\.ts$/.test(name),
  )
  .sort()
  .map((name) => join(MODELS, name));

/** Changes whenever a maker changes, so that no stale model is ever used. */
const makersVersion = createHash('sha256')
  .update(MAKERS.map((file) => readFileSync(file, 'utf8')).join('\0'))
  .digest('hex');

/** A key for any plain value; bytes count too. */
function keyOf(value: unknown): string {
  const text = JSON.stringify(value, (_, part: unknown) =>
    part instanceof Uint8Array ? `bytes:${Buffer.from(part).toString('hex')}` : part,
  );
  return createHash('sha256').update(`${makersVersion}\0${text}`).digest('hex').slice(0, 24);
}

/** Absolute path of a model that `make` writes, made now unless an equal one exists. */
export async function madeModel(
  key: unknown,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const directory = join(tmpdir(), `hoshikage-test-models-${process.getuid?.() ?? 0}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `${keyOf(key)}.gguf`);
  if (existsSync(path)) return path;
  const part = join(directory, `${randomBytes(8).toString('hex')}.part`);
  try {
    await make(part);
    renameSync(part, path);
  } finally {
    rmSync(part, { force: true });
  }
  return path;
}

/** A scripted model with these options. */
export function scriptedModel(options: ScriptedOptions): Promise<string> {
  return madeModel(['scripted', options], (path) => writeScripted(path, options));
}

/** The same model as another file: one that may guess for it. */
export async function copyOf(make: () => Promise<string>): Promise<string> {
  const source = await make();
  return madeModel(['copy', basename(source)], (path) => copyFile(source, path));
}

/** A model with random weights. */
export function randomModel(options: RandomModelOptions = {}): Promise<string> {
  return madeModel(['random', options], (path) => writeRandom(path, options));
}

/** What the texts of the common test models are. */
export const TEXT = {
  greeting:
    'こんにちは、星影です。🌟 これは試験のための返事で、いくつかの文からできています。さようなら。',
  settings: '設定は一つのファイルに書きます。名前と値を並べて、保存したら起動し直してください。',
  english: 'This answer is in English. It has two sentences, and a 🎉 in the second one.',
} as const;

/** Says TEXT.greeting, or by keyword the others; small and quick. */
export function talker(): Promise<string> {
  return scriptedModel({
    name: 'talker',
    answers: [
      { say: TEXT.greeting, cut: 'bytes' },
      { when: '設定', say: TEXT.settings },
      { when: 'English', say: TEXT.english, cut: 'bytes' },
    ],
  });
}

/** Talks for ever, some milliseconds per token, so that a test can act while it does. */
export function rambler(): Promise<string> {
  return scriptedModel({
    name: 'rambler',
    answers: [
      { say: 'そして話は続きます、どこまでも、いつまでも、終わることなく、', endless: true },
      { when: '短く', say: 'はい、短く答えます。' },
    ],
    contextLength: 32_768,
    ballastMiB: 32,
  });
}
