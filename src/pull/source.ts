/**
 * What a user names, as a place where a model is: a repository of the hub, a short name for one, or the
 * address of a file. Pure; any process. It asks nobody whether the place exists.
 */
import { HoshikageError } from '../errors.js';
import { KNOWN_MODELS, type KnownModel } from './known.js';

/** A repository on the hub, and what of it is wanted. */
export interface HubSource {
  readonly kind: 'hub';
  readonly owner: string;
  readonly repository: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** As the user wrote it; at most one of the two is given. */
  readonly quantisation: string | null;
  readonly file: string | null;
  /** The short name it was asked for by, where that says all. */
  readonly known: string | null;
}

/** A file at an address. */
export interface UrlSource {
  readonly kind: 'url';
  readonly url: URL;
}

/** Where a model is. */
export type Source = HubSource | UrlSource;

/** Hosts that mean the hub, whichever mirror of it is used. */
const HUB_HOSTS: ReadonlySet<string> = new Set(['huggingface.co', 'www.huggingface.co', 'hf.co']);
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?$/;
const QUANTISATION = /^[A-Za-z0-9_.-]{1,40}$/;
const LONGEST = 4096;

/**
 * Reads `hf:owner/repo[:QUANT|/file.gguf]`, `hf.co/owner/repo…`, an address, or a short name.
 * `endpoint`: the hub's own address, whose pages count as the hub's. Code: usage.
 */
export function parseSource(text: string, endpoint: string): Source {
  if (text.length > LONGEST || /[\p{Cc}\s]/u.test(text)) throw notASource(text.slice(0, 80));
  const short = /^(?:hf:|hf\.co\/|huggingface\.co\/)(?:\/\/)?(.+)$/i.exec(text)?.[1];
  if (short !== undefined) return hubPath(short, text);
  if (/^https?:/i.test(text)) return parseUrl(text, endpoint);
  const known = findKnown(text);
  if (known) return knownSource(known, text);
  throw notASource(text);
}

function parseUrl(text: string, endpoint: string): Source {
  if (!URL.canParse(text)) throw notASource(text);
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    throw usage('no password may stand in an address', 'URL にパスワードは書けません');
  }
  url.hash = '';
  const isHub = HUB_HOSTS.has(url.hostname);
  const base = isHub ? new URL('/', url) : new URL(`${endpoint}/`);
  if (url.origin !== base.origin || !url.pathname.startsWith(base.pathname)) {
    return { kind: 'url', url };
  }
  const path = decoded(url.pathname.slice(base.pathname.length), text);
  // The address of a file, or of the page that shows it.
  const page = /^([^/]+\/[^/]+)\/(?:resolve|blob|raw)\/([^/]+)\/(.+)$/.exec(path);
  if (page) {
    const [, name = '', revision = '', file = ''] = page;
    return { ...hubPath(`${name}/${file}`, text), revision };
  }
  // A mirror's host may serve other things too.
  return isHub ? hubPath(path.replace(/\/(tree\/[^/]+)?\/?$/, ''), text) : { kind: 'url', url };
}

function decoded(path: string, text: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw notASource(text);
  }
}

/** `owner/repo`, `owner/repo:QUANT` or `owner/repo/file.gguf`. */
function hubPath(path: string, text: string): HubSource {
  const [, owner = '', rest = '', file] =
    /^([^/]*)\/([^/]*)(?:\/(.+))?$/.exec(path.replace(/\/$/, '')) ?? [];
  const [repository = '', quantisation, ...more] = rest.split(':');
  const isNamed = NAME.test(owner) && NAME.test(repository) && !/\.\.|\.git$/.test(repository);
  const isChosen = quantisation === undefined || QUANTISATION.test(quantisation);
  const isFile = file === undefined || (/\.gguf$/i.test(file) && quantisation === undefined);
  if (!isNamed || !isChosen || !isFile || more.length > 0) throw notASource(text);
  return {
    kind: 'hub',
    owner,
    repository,
    revision: 'main',
    quantisation: quantisation ?? null,
    file: file ?? null,
    known: null,
  };
}

/** A short name, with or without the form that is wanted of it. */
function findKnown(text: string): KnownModel | undefined {
  const name = text.split(':')[0]?.toLowerCase();
  return KNOWN_MODELS.find((known) => known.name === name);
}

function knownSource({ name, repository, quantisation }: KnownModel, text: string): HubSource {
  const asked = text.split(':').slice(1).join(':');
  const source = hubPath(asked === '' ? repository : `${repository}:${asked}`, text);
  const usual = quantisation ?? null;
  return {
    ...source,
    quantisation: source.quantisation ?? usual,
    known: asked === '' ? name : null,
  };
}

function notASource(text: string): HoshikageError {
  const path = /^[^/:]+\/[^/]+/.test(text);
  const hint = path ? ` (hf:${text}?)` : '';
  return usage(
    `${text} names no model${hint}; write hf:owner/repository, hf:owner/repository:Q4_K_M, hf:owner/repository/file.gguf, https://…/file.gguf, or a short name that pull without an argument shows`,
    `${text} はモデルの指定になっていません${hint}。hf:所有者/リポジトリ、hf:所有者/リポジトリ:Q4_K_M、hf:所有者/リポジトリ/ファイル.gguf、https://…/ファイル.gguf か、引数なしの pull が見せる短い名前を書いてください`,
  );
}

function usage(reason: string, reason_ja: string): HoshikageError {
  return new HoshikageError('usage', { reason, reason_ja });
}
