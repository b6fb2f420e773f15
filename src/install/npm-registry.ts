/**
 * The npm registry over HTTP: what versions a package has, and its archive, checked.
 * Any process, and only when a command asked for it. It must never send a key to a host it was not
 * written for, never wait without a deadline, and never hand out bytes whose hash it has not seen.
 */
import { createHash } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoshikageError } from '../errors.js';
import { discard, reasonOf, shownUrl, Unfollowed, Web } from '../web/web.js';
import type { NpmConfig } from './npmrc.js';

/** One version of a package. */
export interface PackageVersion {
  readonly name: string;
  readonly version: string;
  readonly tarball: URL;
  /** sha512 digests in base64; one of them must be the archive's. */
  readonly sha512: readonly string[];
  /** Bytes when unpacked, where the registry says so. */
  readonly unpackedBytes: number | null;
}

/** How far a download is. `total` is null where the server does not say. */
export type OnProgress = (received: number, total: number | null) => void;

/** Limits that tests make smaller. */
export interface RegistryLimits {
  readonly archiveBytes?: number;
  /** Silence after which a connection is given up, ms. */
  readonly silenceMs?: number;
  /** Pause before the second try, ms; the third comes after twice that. */
  readonly pauseMs?: number;
}

const MAX_LISTING_BYTES = 32 * 1024 * 1024;
const MAX_ARCHIVE_BYTES = 2 * 1024 ** 3;
const SILENCE_MS = 30_000;
const PAUSE_MS = 1000;
const TRIES = 3;
const NPM_HOST = 'registry.npmjs.org';
const LISTING = 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8';

/** A failure that another try may not have. */
class Passing extends Error {}

interface Answer {
  readonly url: URL;
  readonly length: number | null;
  readonly body: AsyncIterable<Uint8Array>;
}

/** One registry. Close it when done. */
export class NpmRegistry {
  readonly #config: NpmConfig;
  readonly #limits: Required<RegistryLimits>;
  readonly #web: Web;

  constructor(config: NpmConfig, limits: RegistryLimits = {}) {
    this.#config = config;
    this.#limits = {
      archiveBytes: MAX_ARCHIVE_BYTES,
      silenceMs: SILENCE_MS,
      pauseMs: PAUSE_MS,
      ...limits,
    };
    this.#web = new Web({ ...config, silenceMs: this.#limits.silenceMs });
  }

  /** Ends its connections. */
  async close(): Promise<void> {
    await this.#web.close();
  }

  /**
   * A version of a package, by number or by tag (`latest`).
   * Codes: package_not_found, package_invalid, registry_unreachable, registry_refused, cancelled.
   */
  async version(name: string, wanted: string, signal: AbortSignal): Promise<PackageVersion> {
    const url = new URL(name.replace('/', '%2f'), this.#config.registry);
    const listing = await this.#again(url, signal, async () => {
      const reply = await this.#get(url, { accept: LISTING, missing: name, signal });
      return readListing(reply, name);
    });
    const tags = recordIn(listing, 'dist-tags');
    const tagged = Object.hasOwn(tags, wanted) ? tags[wanted] : wanted;
    const versions = recordIn(listing, 'versions');
    const number = typeof tagged === 'string' ? tagged : wanted;
    if (!Object.hasOwn(versions, number)) throw this.#missing(`${name}@${wanted}`, tags.latest);
    const dist = recordIn(recordIn(versions, number), 'dist');
    return this.#versionOf(name, number, dist);
  }

  #versionOf(
    name: string,
    version: string,
    dist: Readonly<Record<string, unknown>>,
  ): PackageVersion {
    const { tarball, integrity, unpackedSize } = dist;
    const hashes = typeof integrity === 'string' ? integrity.split(/\s+/) : [];
    const sha512 = hashes.flatMap((hash) => /^sha512-([^?]+)/.exec(hash)?.[1] ?? []);
    const full = `${name}@${version}`;
    if (sha512.length === 0) {
      throw invalid(full, 'the registry gives no sha512', 'レジストリーに sha512 がありません');
    }
    if (typeof tarball !== 'string' || !URL.canParse(tarball)) {
      throw invalid(full, 'the registry gives no address', 'レジストリーに置き場所がありません');
    }
    const url = this.#safe(this.#own(new URL(tarball)));
    if (url === null) {
      throw invalid(
        full,
        'the registry names an address without https for it',
        'レジストリーが https でない置き場所を示しています',
      );
    }
    const unpackedBytes = typeof unpackedSize === 'number' ? unpackedSize : null;
    return { name, version, tarball: url, sha512, unpackedBytes };
  }

  /**
   * What a registry behind https names as http on its own host is asked for by https, as npm does; on
   * another host it is nothing to trust: null.
   */
  #safe(tarball: URL): URL | null {
    const { registry } = this.#config;
    tarball.username = '';
    tarball.password = '';
    if (tarball.protocol === 'https:') return tarball;
    if (tarball.protocol !== 'http:') return null;
    if (registry.protocol === 'http:') return tarball;
    if (tarball.hostname !== registry.hostname) return null;
    return new URL(registry.origin + tarball.pathname + tarball.search);
  }

  /** A mirror's listing may still name npm's own host; the mirror has the archive as well. */
  #own(tarball: URL): URL {
    const { registry } = this.#config;
    if (tarball.hostname !== NPM_HOST || registry.hostname === NPM_HOST) return tarball;
    return new URL(`${registry.href.replace(/\/$/, '')}${tarball.pathname}`);
  }

  /**
   * Downloads an archive to `to`, which must not exist, and checks its hash; what fails leaves no file.
   * `onStart` is told the size before anything is written and may refuse by throwing.
   * Codes: those of `version`, and what `onStart` throws.
   */
  async download(
    wanted: PackageVersion,
    options: {
      readonly to: string;
      readonly onStart: (total: number | null) => Promise<void>;
      readonly onProgress: OnProgress;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    const { to, signal } = options;
    await this.#again(wanted.tarball, signal, async () => {
      try {
        await this.#downloadOnce(wanted, options);
      } catch (error) {
        await unlink(to).catch(() => {});
        throw error;
      }
    });
  }

  async #downloadOnce(
    wanted: PackageVersion,
    { to, onStart, onProgress, signal }: Parameters<NpmRegistry['download']>[1],
  ): Promise<void> {
    const missing = `${wanted.name}@${wanted.version}`;
    const { archiveBytes: limit } = this.#limits;
    const tooLarge = (): HoshikageError =>
      invalid(missing, `larger than ${limit} bytes`, `${limit} バイトを超えています`);
    const reply = await this.#get(wanted.tarball, { accept: '*/*', missing, signal });
    if (reply.length !== null && reply.length > limit) throw tooLarge();
    await onStart(reply.length);
    const hash = createHash('sha512');
    let received = 0;
    const file = await open(to, 'wx', 0o600);
    try {
      for await (const chunk of reply.body) {
        received += chunk.byteLength;
        if (received > limit) throw tooLarge();
        hash.update(chunk);
        await file.writeFile(chunk);
        onProgress(received, reply.length);
      }
    } finally {
      await file.close();
    }
    if (!wanted.sha512.includes(hash.digest('base64'))) {
      throw invalid(missing, 'its sha512 is another one', 'sha512 が合いません');
    }
  }

  /** Tries three times at most; what another try cannot change is thrown at once. */
  async #again<T>(url: URL, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause: error });
        if (error instanceof HoshikageError || isLocal(error)) throw error;
        if (attempt === TRIES) {
          const details = { url: shownUrl(url), reason: reasonOf(error) };
          throw new HoshikageError('registry_unreachable', details, { cause: error });
        }
        await sleep(this.#limits.pauseMs * attempt, undefined, { signal }).catch(() => {});
      }
    }
  }

  /** Codes: package_not_found, registry_refused, registry_unreachable. */
  async #get(
    url: URL,
    { accept, missing, signal }: { accept: string; missing: string; signal: AbortSignal },
  ): Promise<Answer> {
    const authorization = (target: URL): string | null => this.#config.authorization(target);
    const reply = await this.#web
      .get(url, { headers: { accept }, authorization, signal })
      .catch((error: unknown) => {
        throw error instanceof Unfollowed ? this.#unreachable(error.url, error.message) : error;
      });
    if (reply.status === 200) {
      const length = Number(reply.headers['content-length']);
      return {
        url: reply.url,
        length: Number.isSafeInteger(length) ? length : null,
        body: reply.body,
      };
    }
    discard(reply);
    throw this.#failure(reply.url, reply.status, missing);
  }

  #failure(url: URL, http: number, missing: string): Error {
    if (http === 404 || http === 410) return this.#missing(missing);
    if (http === 401 || http === 403 || http === 407) {
      return new HoshikageError('registry_refused', { url: shownUrl(url), http });
    }
    if (http >= 500 || http === 429 || http === 408) return new Passing(`HTTP ${http}`);
    return this.#unreachable(url, `HTTP ${http}`);
  }

  /** `newest`: the version that the registry recommends instead, where it names one. */
  #missing(name: string, newest?: unknown): HoshikageError {
    const registry = shownUrl(this.#config.registry);
    const isNamed = typeof newest === 'string';
    return new HoshikageError('package_not_found', {
      package: name,
      registry,
      hint: isNamed ? `; the newest is ${newest}` : '',
      hint_ja: isNamed ? `。いちばん新しい版は ${newest} です` : '',
    });
  }

  #unreachable(url: URL, reason: string): HoshikageError {
    return new HoshikageError('registry_unreachable', { url: shownUrl(url), reason });
  }
}

async function readListing(
  reply: Answer,
  name: string,
): Promise<Readonly<Record<string, unknown>>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of reply.body) {
    bytes += part.byteLength;
    if (bytes > MAX_LISTING_BYTES) {
      throw invalid(name, 'its list of versions is too long', '版の一覧が長すぎます');
    }
    parts.push(part);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'));
    if (isRecord(value)) return value;
  } catch {
    // Said below.
  }
  throw invalid(name, 'the answer is no list of versions', '応答が版の一覧ではありません');
}

function recordIn(
  value: Readonly<Record<string, unknown>>,
  key: string,
): Readonly<Record<string, unknown>> {
  const found = Object.hasOwn(value, key) ? value[key] : undefined;
  return isRecord(found) ? found : {};
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** package_invalid with its reason in both languages. */
export function invalid(name: string, reason: string, reason_ja: string): HoshikageError {
  return new HoshikageError('package_invalid', { package: name, reason, reason_ja });
}

/** The disk's failure, not the network's. */
function isLocal(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return ['ENOSPC', 'EDQUOT', 'EACCES', 'EROFS', 'EEXIST', 'ENOENT', 'EIO'].includes(
    String(error.code),
  );
}
