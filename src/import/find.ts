/**
 * The models of other programs that can be registered as they lie: found, looked at, each once and under a
 * name of its own. Any process, main thread. It reads names and headers; it changes nothing anywhere.
 */
import { realpath, stat } from 'node:fs/promises';
import { toHoshikageError, words } from '../errors.js';
import type { GgufFacts } from '../models/gguf.js';
import { readModelFiles } from '../models/model-files.js';
import { aliasProblem, type ModelEntry } from '../models/registry.js';
import { llamaCacheModels, lmStudioModels } from './files.js';
import {
  type Holding,
  type Holdings,
  type Note,
  PROJECTOR,
  type Skipped,
  type Source,
} from './holding.js';
import { huggingFaceModels } from './hugging-face.js';
import { ollamaModels } from './ollama.js';
import { placesOf, type Surroundings } from './places.js';

/** A model that can be registered. */
export interface Candidate extends Holding {
  /** Not taken by any other model. */
  readonly alias: string;
  readonly facts: GgufFacts;
  /** Of all its files. */
  readonly sizeBytes: number;
}

/** What was found. */
export interface Findings {
  readonly candidates: readonly Candidate[];
  readonly skipped: readonly Skipped[];
  /** Names of those that are registered already. */
  readonly registered: readonly string[];
  /** The folders that are there, by program. */
  readonly places: readonly { readonly source: Source; readonly path: string }[];
}

/** Where to look, and what is known already. */
export interface Wanted {
  readonly sources: readonly Source[];
  readonly around: Surroundings;
  /** The models that can be asked for now. */
  readonly entries: readonly ModelEntry[];
  readonly signal: AbortSignal;
  /** Told which file is looked at, and how many of them have been. */
  readonly onProgress: (path: string, done: number) => void;
}

const READERS: Readonly<Record<Source, (root: string) => Promise<Holdings>>> = {
  ollama: ollamaModels,
  lmstudio: lmStudioModels,
  'llama.cpp': llamaCacheModels,
  huggingface: huggingFaceModels,
};

/** Looks through what other programs keep. Throws what the signal aborts with. */
export async function findModels(wanted: Wanted): Promise<Findings> {
  const { sources, around, entries, signal, onProgress } = wanted;
  const holdings: Holding[] = [];
  const skipped: Skipped[] = [];
  const places: Findings['places'][number][] = [];
  for (const source of sources) {
    for (const path of await realPlaces(source, around)) {
      signal.throwIfAborted();
      places.push({ source, path });
      const found = await READERS[source](path);
      holdings.push(...found.holdings);
      skipped.push(...found.skipped);
    }
  }
  const sorter = new Sorter(entries, await realPaths(entries));
  for (const [at, holding] of holdings.entries()) {
    signal.throwIfAborted();
    onProgress(holding.path, at / holdings.length);
    await sorter.take(holding);
  }
  return {
    candidates: sorter.candidates,
    skipped: [...skipped, ...sorter.skipped],
    registered: sorter.registered,
    places,
  };
}

/** The places that are there, each once: a link may lead from one to another. */
async function realPlaces(source: Source, around: Surroundings): Promise<readonly string[]> {
  const seen = new Map<string, string>();
  for (const path of await placesOf(source, around)) {
    const real = await realpath(path).catch(() => null);
    if (real !== null && !seen.has(real)) seen.set(real, path);
  }
  return [...seen.values()];
}

async function realPaths(entries: readonly ModelEntry[]): Promise<ReadonlyMap<string, string>> {
  const pairs = await Promise.all(
    entries.map(async ({ id, path }) => [await realpath(path).catch(() => path), id] as const),
  );
  return new Map(pairs);
}

/** Looks at one file after the other. */
class Sorter {
  readonly candidates: Candidate[] = [];
  readonly skipped: Skipped[] = [];
  readonly registered: string[] = [];
  readonly #known: ReadonlyMap<string, string>;
  readonly #files = new Set<string>();
  readonly #names: Set<string>;

  constructor(entries: readonly ModelEntry[], known: ReadonlyMap<string, string>) {
    this.#known = known;
    this.#names = new Set(entries.map(({ id }) => id.normalize('NFC')));
  }

  async take(holding: Holding): Promise<void> {
    try {
      const real = await realpath(holding.path);
      const facts = await stat(real, { bigint: true });
      const known = this.#known.get(real);
      if (known !== undefined) {
        this.registered.push(known);
        return;
      }
      // The same file under another name: two programs may share one by a link.
      const file = `${facts.dev}:${facts.ino}`;
      if (this.#files.has(file)) return;
      this.#files.add(file);
      await this.#look(holding);
    } catch (thrown) {
      const { code, details } = toHoshikageError(thrown, 'model_file_missing', {
        path: holding.path,
      });
      this.#skip(holding, { ja: words(code, 'ja', details), en: words(code, 'en', details) });
    }
  }

  async #look(holding: Holding): Promise<void> {
    const files = await readModelFiles(holding.path);
    const [{ facts }] = files;
    if (facts.architecture === 'clip') return this.#skip(holding, PROJECTOR);
    const sizeBytes = files.reduce((sum, one) => sum + one.facts.sizeBytes, 0);
    const alias = this.#nameFor(holding.name);
    this.candidates.push({ ...withTemplate(holding, facts), alias, facts, sizeBytes });
  }

  #skip({ source, path }: Holding, reason: Note): void {
    this.skipped.push({ source, path, reason });
  }

  /** The name, or the name with a number behind it. */
  #nameFor(name: string): string {
    const legal = legalName(name);
    for (let number = 1; ; number += 1) {
      const alias = number === 1 ? legal : `${legal}-${number}`;
      if (this.#names.has(alias)) continue;
      this.#names.add(alias);
      return alias;
    }
  }
}

/** With a chat template for a file that has none, where it is known which one suits. */
function withTemplate(holding: Holding, facts: GgufFacts): Holding {
  const { foreignTemplate, notes, settings } = holding;
  if (!foreignTemplate || facts.chatTemplate !== null) return holding;
  const { family } = foreignTemplate;
  if (!family) return { ...holding, notes: [UNKNOWN_TEMPLATE, ...notes] };
  const { name, chatTemplate } = family;
  const note = {
    ja: `GGUF にチャットテンプレートがないので、Ollama のものと同じ系統(${name})のものを chat_template に書きます`,
    en: `its GGUF has no chat template: one of the same family as Ollama's (${name}) goes into chat_template`,
  };
  return { ...holding, settings: { ...settings, chatTemplate }, notes: [note, ...notes] };
}

const UNKNOWN_TEMPLATE: Note = {
  ja: 'GGUF にチャットテンプレートがなく、Ollama のものはどの系統か分からないので、ChatML を使います(合わなければ台帳の chat_template に Jinja で書いてください)',
  en: "its GGUF has no chat template, and Ollama's is of no family that is known: ChatML is used (if that is wrong, write one in Jinja into chat_template of the map)",
};

/** The longest name leaves room for a number behind it. */
const MOST_CHARACTERS = 240;

/** What of a name can be an alias. */
function legalName(name: string): string {
  const clean = name
    .replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, '')
    .trim()
    .normalize('NFC');
  const short = [...clean].slice(0, MOST_CHARACTERS).join('');
  const isStep = short === '.' || short === '..';
  return isStep || aliasProblem(short) !== null ? 'model' : short;
}
