/**
 * From what was named to the files that are wanted and the places where they go. Pure; any process.
 * Every name is checked before it becomes part of a path or of an address.
 */
import { basename } from 'node:path';
import { HoshikageError } from '../errors.js';
import { fileUrl, type HubRepository, hubName } from './hub.js';
import { pathBelow } from './names.js';
import type { Offer } from './offers.js';
import type { WantedFile } from './pull.js';
import type { HubSource } from './source.js';

/** Where models go. */
export interface Places {
  readonly modelDir: string;
  /** Chosen by the user, who wants the files right in it; null: by owner and repository below `modelDir`. */
  readonly dir: string | null;
}

/** The files of an offer. Code: pull_invalid. */
export function hubFiles(
  endpoint: string,
  source: HubSource,
  { commit }: HubRepository,
  { files }: Offer,
  { modelDir, dir }: Places,
): readonly WantedFile[] {
  return files.map(({ path, size, sha256 }) => {
    const steps = path.split('/');
    // Checked as a whole wherever it goes: an address is made of it too.
    const below = pathBelow(modelDir, [source.owner, source.repository, ...steps]);
    const target = dir === null ? below : pathBelow(dir, steps.slice(-1));
    const url = fileUrl(endpoint, source, commit, path);
    return { url, named: hubName(source, endpoint, path), target, size, sha256 };
  });
}

/** The file at an address, and its siblings where it is the first of a split model. Codes: pull_invalid, usage. */
export function urlFiles(
  url: URL,
  sha256: string | null,
  { modelDir, dir }: Places,
): readonly WantedFile[] {
  const name = lastName(url);
  const [, stem, number, count] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(name) ?? [];
  const isSplit = stem !== undefined && Number(number) === 1 && Number(count) > 1;
  if (isSplit && (sha256 !== null || Number(count) > 999)) {
    throw usage(
      'a split model has more than one hash, so --sha256 cannot be checked',
      '分割されたモデルにはハッシュがいくつもあるので、--sha256 では確かめられません',
    );
  }
  const numbers = isSplit ? Array.from({ length: Number(count) }, (_, index) => index + 1) : [0];
  return numbers.map((part) => {
    const file = part === 0 ? name : `${stem}-${String(part).padStart(5, '0')}-of-${count}.gguf`;
    const place = new URL(url);
    const folder = place.pathname.slice(0, place.pathname.lastIndexOf('/') + 1);
    if (part > 0) place.pathname = folder + encodeURIComponent(file);
    const host = url.hostname.replace(/[^\w.-]/g, '_');
    const target = dir === null ? pathBelow(modelDir, [host, file]) : pathBelow(dir, [file]);
    return {
      url: place,
      named: { name: file, where: url.host, page: null },
      target,
      size: null,
      sha256,
    };
  });
}

function lastName(url: URL): string {
  let name = '';
  try {
    name = decodeURIComponent(basename(url.pathname));
  } catch {
    // Said below.
  }
  if (/\.gguf$/i.test(name)) return name;
  throw usage(
    `the address does not end in the name of a .gguf file: ${url.origin}${url.pathname}`,
    `.gguf ファイルの名前で終わる URL ではありません: ${url.origin}${url.pathname}`,
  );
}

/** A name for a model, by its first file: without the ending, and without the number of the part. */
export function aliasOf({ target }: Pick<WantedFile, 'target'>): string {
  return basename(target)
    .replace(/\.gguf$/i, '')
    .replace(/-\d{5}-of-\d{5}$/, '');
}

function usage(reason: string, reason_ja: string): HoshikageError {
  return new HoshikageError('usage', { reason, reason_ja });
}
