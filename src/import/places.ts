/**
 * Where other programs keep their models, by system and by what they were told. Any process; it reads two
 * small files of LM Studio, which may say so, and nothing else.
 */
import { join } from 'node:path';
import { isRecord, readSmallFile } from '../models/map-file.js';
import type { Source } from './holding.js';

/** What decides where they are: some variables of the environment, and the system. */
export interface Surroundings {
  readonly variables: Readonly<Partial<Record<string, string>>>;
  readonly home: string;
  readonly platform: NodeJS.Platform;
}

/** The folders in which a program's models may lie, those it was told of first; few of them exist. */
export async function placesOf(source: Source, around: Surroundings): Promise<readonly string[]> {
  switch (source) {
    case 'ollama':
      return ollama(around);
    case 'lmstudio':
      return lmStudio(around);
    case 'llama.cpp':
      return [around.variables.LLAMA_CACHE || join(caches(around), 'llama.cpp')];
    case 'huggingface':
      return huggingFace(around);
  }
}

/** Its Linux packages run it as a user of its own, whose home is one of these. */
const OLLAMA_HOMES = ['/usr/share/ollama/.ollama', '/var/lib/ollama/.ollama', '/var/lib/ollama'];

function ollama({ variables, home, platform }: Surroundings): readonly string[] {
  return [
    ...(variables.OLLAMA_MODELS ? [variables.OLLAMA_MODELS] : []),
    join(home, '.ollama', 'models'),
    ...(platform === 'linux' ? OLLAMA_HOMES.map((path) => join(path, 'models')) : []),
  ];
}

const MAX_BYTES = 1024 * 1024;

async function lmStudio({ home }: Surroundings): Promise<readonly string[]> {
  const pointer = (await textOf(join(home, '.lmstudio-home-pointer')))?.trim();
  const homes = [
    ...(pointer ? [pointer] : []),
    join(home, '.lmstudio'),
    join(home, '.cache', 'lm-studio'),
  ];
  const chosen = await Promise.all(homes.map(downloadsOf));
  return [...chosen.flat(), ...homes.map((path) => join(path, 'models'))];
}

/** Where its settings put the models, if they do. */
async function downloadsOf(home: string): Promise<readonly string[]> {
  try {
    const settings: unknown = JSON.parse((await textOf(join(home, 'settings.json'))) ?? '');
    const folder = isRecord(settings) ? settings.downloadsFolder : undefined;
    return typeof folder === 'string' && folder !== '' ? [folder] : [];
  } catch {
    return [];
  }
}

async function textOf(path: string): Promise<string | null> {
  const found = await readSmallFile(path, MAX_BYTES).catch(() => null);
  return found && Buffer.from(found.bytes).toString('utf8');
}

function huggingFace(around: Surroundings): readonly string[] {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = around.variables;
  // It uses ~/.cache on every system.
  const base = XDG_CACHE_HOME || join(around.home, '.cache');
  const chosen = HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE;
  return [chosen || join(HF_HOME || join(base, 'huggingface'), 'hub')];
}

function caches({ variables, home, platform }: Surroundings): string {
  if (platform === 'darwin') return join(home, 'Library', 'Caches');
  if (platform === 'win32') return variables.LOCALAPPDATA || join(home, 'AppData', 'Local');
  return variables.XDG_CACHE_HOME || join(home, '.cache');
}
