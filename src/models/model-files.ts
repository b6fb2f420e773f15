/**
 * All files of a model: each header sound, and each the part that the others make it out to be. Any
 * process. Whoever loads a model looks at all of this first; it must never open a file that is not one
 * of the model's own.
 */
import { basename, dirname, join } from 'node:path';
import { type GgufFacts, readSoundFile, refusal, type SoundFile } from './gguf.js';
import { Unsound } from './gguf-reasons.js';

/** Models that guess for another one may lack tokens that only that one has. */
const SHARES_VOCABULARY: ReadonlySet<string> = new Set(['eagle3', 'dflash']);

/**
 * The files of the model whose (first) file is `path`, in order. `read`: another way to the header of
 * one file. Codes: model_file_missing, model_file_unreadable, model_file_invalid.
 */
export async function readModelFiles(
  path: string,
  read: (path: string) => Promise<SoundFile> = readSoundFile,
): Promise<readonly [SoundFile, ...SoundFile[]]> {
  const first = await read(path);
  const others: SoundFile[] = [];
  for (const [index, part] of splitParts(path, first.facts).slice(1).entries()) {
    const file = await read(part);
    checkPart(part, file.facts, { index: index + 1, count: first.facts.split?.count ?? 1 });
    others.push(file);
  }
  const files = [first, ...others] as const;
  const facts = files.map((file) => file.facts);
  checkTogether(path, facts);
  return files;
}

/**
 * The paths of a split model's files, the given first part included; just `path` where it is not split.
 * Code: model_file_invalid where `path` is not the first part or not named like one.
 */
export function splitParts(path: string, { split }: Pick<GgufFacts, 'split'>): readonly string[] {
  const count = split?.count ?? 1;
  if (count === 1) return [path];
  const match = /^(.*)-(\d{5})-of-(\d{5})(\.gguf)$/is.exec(basename(path));
  if (!match || Number(match[3]) !== count) {
    throw refusal(path, new Unsound('split_name', { count }));
  }
  if (Number(match[2]) !== 1 || split?.index !== 0) {
    throw refusal(path, new Unsound('split_first'));
  }
  return Array.from({ length: count }, (_, index) =>
    join(
      dirname(path),
      `${match[1]}-${String(index + 1).padStart(5, '0')}-of-${match[3]}${match[4]}`,
    ),
  );
}

function checkPart(
  path: string,
  { split }: GgufFacts,
  wanted: { readonly index: number; readonly count: number },
): void {
  if (split?.index === wanted.index && split.count === wanted.count) return;
  throw refusal(path, new Unsound('split_other', { part: basename(path), index: wanted.index }));
}

/** What only all parts together show. */
function checkTogether(path: string, parts: readonly GgufFacts[]): void {
  const [first] = parts;
  const found = parts.reduce((sum, { tensorCount }) => sum + tensorCount, 0);
  if (found === 0) throw refusal(path, new Unsound('no_tensors'));
  const count = first?.split?.tensors ?? found;
  if (count !== found) throw refusal(path, new Unsound('split_tensors', { count, found }));
  const rows = parts.find(({ embeddingRows }) => embeddingRows !== null)?.embeddingRows ?? null;
  const tokens = first?.vocabularySize ?? 0;
  // More rows than tokens do no harm here; without a row, a token reads beyond the table.
  if (rows !== null && rows < tokens && !SHARES_VOCABULARY.has(first?.architecture ?? '')) {
    throw refusal(path, new Unsound('embedding_rows', { rows, tokens }));
  }
}
