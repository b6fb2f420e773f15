/**
 * What a hub says of a repository: its commit and its files, with their sizes and SHA-256. Any process,
 * through the client. What it says is only believed as far as its shape is right; the names of files are
 * not checked here, since they may be shown: whoever makes paths of them does.
 */
import { isRecord } from '../models/map-file.js';
import { type Client, invalid } from './client.js';
import type { Named } from './refusals.js';
import type { HubSource } from './source.js';

/** A file of a repository. */
export interface HubFile {
  /** With `/` between folders, as the hub has it. */
  readonly path: string;
  readonly size: number | null;
  /** Lower-case hex; null for the small files that lie in git itself. */
  readonly sha256: string | null;
}

/** A repository at one commit. */
export interface HubRepository {
  readonly commit: string;
  readonly files: readonly HubFile[];
  /** As its tags name it; null where they do not. */
  readonly licence: string | null;
}

const MAX_FILES = 100_000;
const MAX_PATH = 1024;

/** How messages call a repository or a file of it. */
export function hubName(
  { owner, repository }: Pick<HubSource, 'owner' | 'repository'>,
  endpoint: string,
  path?: string,
): Named {
  const name = `${owner}/${repository}`;
  return {
    name: path === undefined ? name : `${name}/${path}`,
    where: new URL(endpoint).host,
    page: `${endpoint}/${name}`,
  };
}

/** Reads a repository's listing. Codes: those of Client.json. */
export async function readRepository(
  client: Client,
  endpoint: string,
  source: HubSource,
  signal: AbortSignal,
): Promise<HubRepository> {
  const { owner, repository, revision } = source;
  const url = new URL(
    `${endpoint}/api/models/${owner}/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`,
  );
  const named = hubName(source, endpoint);
  const said = await client.json(url, named, signal);
  const listed = isRecord(said) ? said : {};
  const { sha, siblings, tags } = listed;
  if (
    typeof sha !== 'string' ||
    !/^[0-9a-f]{40}$/.test(sha) ||
    !Array.isArray(siblings) ||
    siblings.length > MAX_FILES
  ) {
    throw invalid(named.name, 'the answer is no listing', '応答がファイルの一覧ではありません');
  }
  return { commit: sha, files: siblings.flatMap(toFile), licence: licenceOf(tags) };
}

/** Where a file of a repository is. */
export function fileUrl(
  endpoint: string,
  { owner, repository }: Pick<HubSource, 'owner' | 'repository'>,
  commit: string,
  path: string,
): URL {
  const steps = path.split('/').map(encodeURIComponent).join('/');
  return new URL(`${endpoint}/${owner}/${repository}/resolve/${commit}/${steps}`);
}

function toFile(value: unknown): HubFile[] {
  if (!isRecord(value)) return [];
  const { rfilename: path, size, lfs } = value;
  if (typeof path !== 'string' || path === '' || path.length > MAX_PATH) return [];
  const stored = isRecord(lfs) ? lfs : {};
  const hash = stored.sha256;
  return [
    {
      path,
      size: sizeOf(stored.size) ?? sizeOf(size),
      sha256: typeof hash === 'string' && /^[0-9a-f]{64}$/i.test(hash) ? hash.toLowerCase() : null,
    },
  ];
}

function sizeOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function licenceOf(tags: unknown): string | null {
  if (!Array.isArray(tags)) return null;
  const tag = tags.find((one) => typeof one === 'string' && /^license:[\w.+-]{1,60}$/.test(one));
  return typeof tag === 'string' ? tag.slice('license:'.length) : null;
}
