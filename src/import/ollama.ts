/**
 * What Ollama keeps: manifests that name blobs by their digest. Any process, main thread. A manifest is
 * believed in nothing: it may only name blobs of its own store, its size and its values are bounded. Ollama's
 * templates are of another language than ours: of them only the family is found out.
 */
import { stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { isRecord, readSmallFile } from '../models/map-file.js';
import { type ModelSettings, readModelSettings } from '../models/model-settings.js';
import { STOP_SHAPE } from '../models/registry.js';
import type { ForeignTemplate, Holding, Holdings, Note, Skipped } from './holding.js';
import { familyOf } from './templates.js';
import { filesBelow } from './walk.js';

const MAX_MANIFEST_BYTES = 1024 * 1024;
const MAX_PARAMETER_BYTES = 64 * 1024;
const MAX_TEMPLATE_BYTES = 64 * 1024;
const LAYER = 'application/vnd.ollama.image.';

/** Our setting for each of its parameters that means the same. */
const SETTINGS = new Map([
  ['num_ctx', 'n_ctx'],
  ['num_gpu', 'n_gpu_layers'],
  ['num_predict', 'max_tokens'],
  ['temperature', 'temperature'],
  ['top_p', 'top_p'],
  ['top_k', 'top_k'],
  ['min_p', 'min_p'],
  ['repeat_penalty', 'repeat_penalty'],
  ['repeat_last_n', 'repeat_last_n'],
]);

interface Layer {
  readonly kind: string;
  readonly digest: string;
  readonly size: number | null;
}

/** The models in one of its stores (`…/models`). */
export async function ollamaModels(root: string): Promise<Holdings> {
  const folder = join(root, 'manifests');
  const { files, unreadable } = await filesBelow(folder);
  const found = await Promise.all(
    files.map(async (file): Promise<Holding | Skipped | null> => {
      const name = nameOf(relative(folder, file).split(sep));
      if (name === null) return null;
      const skip = (ja: string, en: string): Skipped => {
        return {
          source: 'ollama',
          path: file,
          reason: { ja: `${name}: ${ja}`, en: `${name}: ${en}` },
        };
      };
      const layers = await layersOf(file).catch(() => null);
      return layers ? holdingOf(root, name, layers, skip) : skip('読めません', 'it cannot be read');
    }),
  );
  return {
    holdings: found.filter((one) => one !== null).filter((one) => 'name' in one),
    skipped: [
      ...unreadable.map(({ path, code }): Skipped => {
        return {
          source: 'ollama',
          path,
          reason: { ja: `読めません(${code})`, en: `cannot be read (${code})` },
        };
      }),
      ...found.filter((one) => one !== null).filter((one) => 'reason' in one),
    ],
  };
}

/** As `ollama list` shows it, without a tag that says nothing; null for what is no manifest's place. */
function nameOf(parts: readonly string[]): string | null {
  const tag = parts.at(-1) ?? '';
  const path = parts.slice(0, -1);
  if (path.length < 2) return null;
  const [host, space] = path;
  const isUsual = host === 'registry.ollama.ai';
  const short = isUsual ? path.slice(space === 'library' ? 2 : 1) : path;
  if (short.length === 0) return null;
  return short.join('/') + (tag === 'latest' ? '' : `:${tag}`);
}

async function layersOf(file: string): Promise<readonly Layer[]> {
  const found = await readSmallFile(file, MAX_MANIFEST_BYTES);
  const manifest: unknown = JSON.parse(Buffer.from(found?.bytes ?? []).toString('utf8'));
  const layers = isRecord(manifest) ? manifest.layers : null;
  if (!Array.isArray(layers)) throw new Error('no layers');
  return layers.filter(isRecord).map(({ mediaType, digest, size }) => ({
    kind: String(mediaType).startsWith(LAYER) ? String(mediaType).slice(LAYER.length) : '',
    digest: String(digest),
    size: typeof size === 'number' ? size : null,
  }));
}

async function holdingOf(
  root: string,
  name: string,
  layers: readonly Layer[],
  skip: (ja: string, en: string) => Skipped,
): Promise<Holding | Skipped> {
  const models = layers.filter(({ kind }) => kind === 'model');
  const [model] = models;
  if (!model || models.length > 1) {
    return skip('GGUF のファイル 1 つではありません', 'it is not one GGUF file');
  }
  if (layers.some(({ kind }) => kind === 'adapter')) {
    return skip('アダプター(LoRA)を使うモデルです', 'it needs an adapter (LoRA)');
  }
  const path = await blobOf(root, model);
  if (path === null) return skip('ファイルがそろっていません', 'its file is missing or incomplete');
  const { stop, settings, notes } = await parametersOf(root, layers);
  const hasSystem = layers.some(({ kind }) => kind === 'system');
  return {
    ...{ source: 'ollama', name, path, stop, settings },
    foreignTemplate: await templateOf(root, layers),
    notes: [...notes, ...(hasSystem ? [SYSTEM_NOTE] : [])],
  };
}

const SYSTEM_NOTE: Note = {
  ja: 'システムメッセージは取り込みません(リクエストに書いてください)',
  en: 'its system message is not taken over (put it into the request)',
};

/** The file of a layer, if it is whole; a digest can name nothing but a blob of this store. */
async function blobOf(root: string, { digest, size }: Layer): Promise<string | null> {
  const hash = /^sha256[:-]([0-9a-f]{64})$/.exec(digest)?.[1];
  if (hash === undefined) return null;
  // Its first versions wrote the digest as it is.
  for (const name of [`sha256-${hash}`, `sha256:${hash}`]) {
    const path = join(root, 'blobs', name);
    const facts = await stat(path).catch(() => null);
    if (facts?.isFile() && (size === null || facts.size === size)) return path;
  }
  return null;
}

/** What a layer holds; nothing where it is not whole, or too long. */
async function bytesOf(
  root: string,
  layer: Layer,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const path = await blobOf(root, layer);
  const found = path ? await readSmallFile(path, maxBytes).catch(() => null) : null;
  return found?.bytes;
}

async function templateOf(root: string, layers: readonly Layer[]): Promise<ForeignTemplate | null> {
  const layer = layers.find(({ kind }) => kind === 'template');
  if (!layer) return null;
  const bytes = await bytesOf(root, layer, MAX_TEMPLATE_BYTES);
  return { family: familyOf(Buffer.from(bytes ?? []).toString('utf8')) };
}

/** What its parameters mean to us. */
async function parametersOf(
  root: string,
  layers: readonly Layer[],
): Promise<Pick<Holding, 'stop' | 'settings' | 'notes'>> {
  const layer = layers.find(({ kind }) => kind === 'params');
  const bytes = layer && (await bytesOf(root, layer, MAX_PARAMETER_BYTES));
  const { stop: stops, ...parameters } = recordOf(bytes);
  const stop = STOP_SHAPE.safeParse(typeof stops === 'string' ? [stops] : (stops ?? []));
  const left: string[] = stop.success ? [] : ['stop'];
  let settings: ModelSettings = {};
  for (const [name, value] of Object.entries(parameters)) {
    const key = SETTINGS.get(name);
    const one = key === undefined ? null : settingOf(key, value);
    if (one === null) left.push(name);
    else settings = { ...settings, ...one };
  }
  const list = left.join(', ').slice(0, 200);
  const note = {
    ja: `取り込まないパラメーター: ${list}`,
    en: `parameters not taken over: ${list}`,
  };
  return { stop: stop.success ? stop.data : [], settings, notes: left.length > 0 ? [note] : [] };
}

function recordOf(bytes: Uint8Array | undefined): Readonly<Record<string, unknown>> {
  if (!bytes) return {};
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

/** One setting; null where our bounds do not allow the value (its -1 for "no end" is our 0). */
function settingOf(key: string, value: unknown): ModelSettings | null {
  const meant = key === 'max_tokens' && value === -1 ? 0 : value;
  try {
    return readModelSettings({ [key]: meant });
  } catch {
    return null;
  }
}
