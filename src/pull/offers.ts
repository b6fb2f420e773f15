/**
 * What a repository offers: its GGUF files as quantisations, split ones whole, and which of them is
 * taken. Pure; any process.
 */
import { HoshikageError } from '../errors.js';
import type { HubFile } from './hub.js';
import type { HubSource } from './source.js';

/** One form of a model: a file, or all files of a split one in their order. */
export interface Offer {
  /** As the file's name has it, in capitals; null where it does not say. */
  readonly quantisation: string | null;
  readonly files: readonly HubFile[];
  /** Of all files; null where the hub does not say. */
  readonly bytes: number | null;
}

const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;
const LABEL =
  /(?<=^|[-._ /])(?:UD-)?(?:I?Q\d(?:_[0-9A-Z]+)*|TQ\d_\d|BF16|FP?16|FP?32|MXFP4(?:_MOE)?|NVFP4)(?=$|[-._ /])/gi;
/** Bits per weight of Q4_K_M, the usual form; what is nearest stands in for it. */
const USUAL_BITS = 4.8;
/** What a suffix adds to the bits that a label begins with. */
const SUFFIX_BITS: Readonly<Record<string, number>> = {
  XXS: 0.06,
  XS: 0.3,
  S: 0.5,
  NL: 0.5,
  M: 0.8,
  L: 0.9,
  XL: 1,
  '0': 0.5,
  '1': 1,
};

/** All that can be run, from the smallest to the largest. Vision projectors and the like are no models. */
export function offersOf(files: readonly HubFile[]): readonly Offer[] {
  const models = files.filter(({ path }) => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    return /\.gguf$/i.test(name) && !/^mmproj/i.test(name) && !isImatrix(name);
  });
  const whole = models.filter(({ path }) => !PART.test(path)).map((file) => offerOf([file]));
  const offers = [...whole, ...splitOffers(models)];
  return offers.sort((a, b) => (a.bytes ?? 0) - (b.bytes ?? 0) || compare(nameOf(a), nameOf(b)));
}

/** What a quantisation was made by. A model that was made by one may say so, and says its own form then. */
function isImatrix(name: string): boolean {
  return /^imatrix|imatrix\.gguf$/i.test(name) && name.search(LABEL) < 0;
}

/** Split models of which every part is there. */
function splitOffers(models: readonly HubFile[]): readonly Offer[] {
  const groups = new Map<string, { count: number; parts: Map<number, HubFile> }>();
  for (const file of models) {
    const [, stem, number, count] = PART.exec(file.path) ?? [];
    if (stem === undefined) continue;
    const key = `${stem}-of-${count}`;
    const group = groups.get(key) ?? { count: Number(count), parts: new Map() };
    groups.set(key, group);
    group.parts.set(Number(number), file);
  }
  return [...groups.values()].flatMap(({ count, parts }) => {
    if (count < 1 || parts.size !== count) return [];
    const files = [...parts].sort(([a], [b]) => a - b);
    return files.every(([number], index) => number === index + 1)
      ? [offerOf(files.map(([, file]) => file))]
      : [];
  });
}

function offerOf(files: readonly HubFile[]): Offer {
  const sizes = files.map(({ size }) => size);
  const bytes = sizes.reduce<number | null>(
    (sum, size) => (sum === null || size === null ? null : sum + size),
    0,
  );
  return { quantisation: labelOf(files[0]?.path ?? ''), files, bytes };
}

/** The last label in the file's name, else in the folder's. */
function labelOf(path: string): string | null {
  const stem = path.replace(/\.gguf$/i, '').replace(/-\d{5}-of-\d{5}$/, '');
  const at = stem.lastIndexOf('/');
  const found = stem.slice(at + 1).match(LABEL) ?? stem.slice(0, Math.max(0, at)).match(LABEL);
  return found?.at(-1)?.toUpperCase() ?? null;
}

/** The path of an offer's first file. */
export function nameOf({ files }: Offer): string {
  return files[0]?.path ?? '';
}

/**
 * The offer that is wanted, or the one that suits best among those that `fits` allows; the smallest
 * where it allows none. Codes: pull_not_found, usage.
 */
export function chooseOffer(
  offers: readonly Offer[],
  source: Pick<HubSource, 'owner' | 'repository' | 'quantisation' | 'file'>,
  fits: (offer: Offer) => boolean,
): Offer {
  const where = `${source.owner}/${source.repository}`;
  if (offers.length === 0) throw notThere('*.gguf', where, []);
  if (source.file !== null) return namedFile(offers, source.file, where);
  if (source.quantisation !== null) return namedForm(offers, source.quantisation, where);
  const fitting = offers.some(fits) ? offers.filter(fits) : offers.slice(0, 1);
  const [best] = [...fitting].sort(
    (a, b) => distance(a) - distance(b) || (b.bytes ?? 0) - (a.bytes ?? 0),
  );
  // Two models in one repository: nobody but the user knows which one is meant.
  return onlyOne(
    fitting.filter((one) => one.quantisation === best?.quantisation),
    where,
  );
}

function namedFile(offers: readonly Offer[], file: string, where: string): Offer {
  const wanted = file.toLowerCase();
  const found = offers.filter(({ files }) =>
    files.some(({ path }) => path === file || path.toLowerCase().endsWith(`/${wanted}`)),
  );
  const exact = found.find(({ files }) => files.some(({ path }) => path === file));
  if (exact) return exact;
  if (found.length > 0) return onlyOne(found, where);
  throw notThere(file, where, nearest(file, offers.map(nameOf)));
}

function namedForm(offers: readonly Offer[], quantisation: string, where: string): Offer {
  const wanted = quantisation.toUpperCase();
  const exact = offers.filter((one) => one.quantisation === wanted);
  if (exact.length > 0) return onlyOne(exact, where);
  const loose = offers.filter((one) => one.quantisation?.replace(/^UD-/, '') === wanted);
  if (loose.length > 0) return onlyOne(loose, where);
  const labels = [...new Set(offers.flatMap((one) => one.quantisation ?? []))];
  throw notThere(wanted, where, labels.length > 0 ? labels : offers.map(nameOf));
}

function onlyOne(offers: readonly Offer[], where: string): Offer {
  const [only] = offers;
  if (only && offers.length === 1) return only;
  const list = offers.map(nameOf).slice(0, 12).join(', ');
  throw new HoshikageError('usage', {
    reason: `${where} holds several that this could mean; name one as hf:${where}/FILE: ${list}`,
    reason_ja: `${where} には当てはまるものがいくつもあります。hf:${where}/ファイル名 の形で選んでください: ${list}`,
  });
}

function notThere(what: string, where: string, instead: readonly string[]): HoshikageError {
  const list = instead.slice(0, 12).join(', ');
  return new HoshikageError('pull_not_found', {
    what,
    where,
    hint: list === '' ? '' : `; there is ${list}`,
    hint_ja: list === '' ? '' : `。あるのは ${list}`,
  });
}

/** How far a form is from the usual one; what does not say is taken last. */
function distance({ quantisation }: Offer): number {
  const [, bits, suffix] =
    /(\d+)(?:_K)?(?:_(XXS|XS|S|M|L|XL|NL|0|1))?/.exec(quantisation ?? '') ?? [];
  if (bits === undefined) return Number.POSITIVE_INFINITY;
  return Math.abs(Number(bits) + (SUFFIX_BITS[suffix ?? ''] ?? 0.6) - USUAL_BITS);
}

/** Those that share most of their beginning and end with a name. */
function nearest(name: string, names: readonly string[]): readonly string[] {
  const wanted = name.toLowerCase();
  const likeness = (other: string): number => {
    const text = other.toLowerCase();
    const start = [...wanted].findIndex((char, index) => char !== text[index]);
    const end = [...wanted]
      .reverse()
      .findIndex((char, index) => char !== text[text.length - 1 - index]);
    return (start < 0 ? wanted.length : start) + (end < 0 ? wanted.length : end);
  };
  return [...names].sort((a, b) => likeness(b) - likeness(a));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
