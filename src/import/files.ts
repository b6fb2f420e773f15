/**
 * What LM Studio and llama.cpp keep: GGUF files in folders. Any process, main thread. Names are all that is
 * looked at.
 */
import { basename } from 'node:path';
import { idOfFile } from '../models/file-names.js';
import { isRecord, readSmallFile } from '../models/map-file.js';
import { bare, type Holdings, type Note, PROJECTOR, type Skipped, type Source } from './holding.js';
import { type Below, filesBelow } from './walk.js';

/** LM Studio's: `<publisher>/<repository>/<file>.gguf`. */
export async function lmStudioModels(root: string): Promise<Holdings> {
  const below = await filesBelow(root);
  const holdings = below.files.flatMap((path) => {
    const name = modelName(basename(path));
    return name === null ? [] : [bare('lmstudio', name, path)];
  });
  return { holdings, skipped: [...unreadableOf('lmstudio', below), ...partsOf('lmstudio', below)] };
}

/**
 * llama.cpp's: `<owner>_<repository>_<file>.gguf`, all in one folder, with manifests beside that tell the
 * file's own name.
 */
export async function llamaCacheModels(root: string): Promise<Holdings> {
  const below = await filesBelow(root);
  const names = new Map<string, string>();
  for (const file of below.files) {
    for (const [cached, name] of await manifestNames(file)) names.set(cached, name);
  }
  const holdings = await Promise.all(
    below.files.map(async (path) => {
      const file = basename(path);
      const name = modelName(names.get(file) ?? (await nameByUrl(path)) ?? file);
      // In the name of the cache the projector's own name stands behind others.
      if (name === null || modelName(file) === null) return [];
      return [bare('llama.cpp', name, path)];
    }),
  );
  const skipped = [...unreadableOf('llama.cpp', below), ...partsOf('llama.cpp', below)];
  return { holdings: holdings.flat(), skipped };
}

/** The name of the model in a file of that name; null where it is none, or not whole yet. */
export function modelName(file: string): string | null {
  if (/^downloading_|mmproj/i.test(file)) return null;
  return idOfFile(file);
}

/** The files of models that are none of their own, by their names. */
export function partsOf(source: Source, { files }: Pick<Below, 'files'>): readonly Skipped[] {
  return files.flatMap((path) => {
    const reason = partReason(basename(path));
    return reason === null ? [] : [{ source, path, reason }];
  });
}

/** Why a file is no model of its own; null where it is one, or has nothing to do with models. */
function partReason(file: string): Note | null {
  const isUnfinished = /\.gguf\.(part|incomplete|downloadInProgress)$/i.test(file);
  if (isUnfinished || /^downloading_.*\.gguf$/i.test(file)) {
    return { ja: 'まだ途中までしかありません', en: 'it is not whole yet' };
  }
  if (!/\.gguf$/i.test(file) || modelName(file) !== null) return null;
  if (/mmproj/i.test(file)) return PROJECTOR;
  return {
    ja: '分割されたモデルの 2 つ目からの部分です(1 つ目で登録します)',
    en: 'a later part of a split model, which is registered by its first',
  };
}

/** What of a program's folders could not be read. */
export function unreadableOf(source: Source, { unreadable }: Below): readonly Skipped[] {
  return unreadable.map(({ path, code }) => {
    return { source, path, reason: { ja: `読めません(${code})`, en: `cannot be read (${code})` } };
  });
}

const MAX_BYTES = 1024 * 1024;

/** Files of the cache with their own names, by `manifest=<owner>=<repository>=<tag>.json`. */
async function manifestNames(path: string): Promise<readonly (readonly [string, string])[]> {
  const [, owner, repository] = /^manifest=([^=]+)=([^=]+)=[^=]+\.json$/.exec(basename(path)) ?? [];
  if (owner === undefined || repository === undefined) return [];
  const { ggufFile } = await readJson(path);
  const name = isRecord(ggufFile) ? ggufFile.rfilename : undefined;
  if (typeof name !== 'string') return [];
  return [[`${owner}_${repository}_${name}`.replaceAll('/', '_'), ownName(name)]];
}

/** The file's own name by what older versions leave beside it: the address it came from. */
async function nameByUrl(path: string): Promise<string | null> {
  const { url } = await readJson(`${path}.json`);
  if (typeof url !== 'string' || !URL.canParse(url)) return null;
  const name = ownName(new URL(url).pathname);
  return /^[\w.+ -]+\.gguf$/i.test(name) ? name : null;
}

function ownName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

async function readJson(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const found = await readSmallFile(path, MAX_BYTES);
    const value: unknown = JSON.parse(Buffer.from(found?.bytes ?? []).toString('utf8'));
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}
