/**
 * A place where models are pulled to, with everything that watches it, for tests of the pull room. Every
 * wait of the client is short; nothing is left behind after the test.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Client, type ClientLimits } from '../../src/pull/client.js';
import { readRepository } from '../../src/pull/hub.js';
import { chooseOffer, offersOf } from '../../src/pull/offers.js';
import { hubFiles, urlFiles } from '../../src/pull/plan.js';
import { type Pulled, type PullInput, pullFiles, type WantedFile } from '../../src/pull/pull.js';
import { parseSource } from '../../src/pull/source.js';
import { Web, type WebOptions } from '../../src/web/web.js';
import { type FakeHub, fakeHub, noisyGguf } from './fake-hub.js';

/** What a test may change. */
export interface PullerOptions {
  readonly token?: string;
  readonly web?: Partial<WebOptions>;
  readonly client?: ClientLimits;
  /** Another server than the hub's. */
  readonly endpoint?: string;
}

/** Pulls from a hub into a directory of its own. */
export interface Puller {
  readonly root: string;
  readonly client: Client;
  /** What was told, as `kind name`. */
  readonly notes: string[];
  /** Bytes that were there at every telling. */
  readonly progress: number[];
  /** The files that a source means. */
  plan(source: string, sha256?: string): Promise<readonly WantedFile[]>;
  pull(source: string, more?: Partial<PullInput> & { sha256?: string }): Promise<Pulled>;
  /** All files below the root, sorted. */
  files(): string[];
  read(path: string): Buffer;
}

/** A puller whose files are thrown away after the test. */
export function puller(
  owner: { after(clean: () => Promise<void> | void): void },
  hub: FakeHub,
  options: PullerOptions = {},
): Puller {
  const root = mkdtempSync(join(tmpdir(), 'hoshikage-pull-'));
  owner.after(() => rmSync(root, { recursive: true, force: true, maxRetries: 3 }));
  const proxies = { httpProxy: '', httpsProxy: '', noProxy: '' };
  const web = new Web({ ...proxies, silenceMs: 5000, ...options.web });
  owner.after(() => web.close());
  const endpoint = options.endpoint ?? hub.url;
  const client = new Client({
    web,
    endpoint,
    token: options.token ?? null,
    limits: { pauseMs: 1, tries: 4, ...options.client },
  });
  const notes: string[] = [];
  const progress: number[] = [];
  const places = { modelDir: root, dir: null };
  const plan = async (text: string, sha256: string | null): Promise<readonly WantedFile[]> => {
    const source = parseSource(text, endpoint);
    if (source.kind === 'url') return urlFiles(source.url, sha256, places);
    const signal = AbortSignal.timeout(20_000);
    const repository = await readRepository(client, endpoint, source, signal);
    const offer = chooseOffer(offersOf(repository.files), source, () => true);
    return hubFiles(endpoint, source, repository, offer, places);
  };
  return {
    root,
    client,
    notes,
    progress,
    plan: (text, sha256) => plan(text, sha256 ?? null),
    async pull(text, { sha256, ...more } = {}) {
      return pullFiles({
        files: await plan(text, sha256 ?? null),
        client,
        force: false,
        watch: {
          progress: (_, received) => void progress.push(received),
          checking: () => {},
          note: ({ kind, name }) => void notes.push(`${kind} ${name}`),
        },
        signal: AbortSignal.timeout(20_000),
        limits: { connections: 4, leastRange: 32 * 1024, mostRange: 64 * 1024 },
        ...more,
      });
    },
    files: () =>
      existsSync(root)
        ? readdirSync(root, { recursive: true, withFileTypes: true, encoding: 'utf8' })
            .filter((entry) => entry.isFile())
            .map((entry) => relative(root, join(entry.parentPath, entry.name)))
            .sort()
        : [],
    read: (path) => readFileSync(join(root, path)),
  };
}

/** The repository that the hub of these tests has, its one model, and where that goes. */
export const REPO = 'owner/repo';
export const FILE = 'model-Q8_0.gguf';
export const TARGET = join('owner', 'repo', FILE);
export const MODEL = noisyGguf(600_000);
/** Of the same length, with other bytes. */
export const OTHER = noisyGguf(600_000, 2);

/** A hub that has MODEL as FILE in REPO. */
export async function hubWithModel(owner: { after(clean: () => void): void }): Promise<FakeHub> {
  const hub = await fakeHub(owner);
  hub.offer(REPO, 'README.md', Buffer.from('# model'), { sha256: null });
  hub.offer(REPO, FILE, MODEL);
  return hub;
}

/** Lower-case hex. */
export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The pull ends with this code, in words that match. */
export async function assertRefused(
  pulling: Promise<unknown>,
  code: string,
  words: RegExp = /^/,
): Promise<void> {
  await assert.rejects(pulling, (error: Error & { code?: string }) => {
    assert.equal(error.code, code, `${error.message}\n${error.stack}`);
    assert.match(error.message, words);
    return true;
  });
}

/** The ranges that the storage was asked for, without the look at the beginning. */
export function askedRanges(asked: FakeHub['asked']): (readonly [number, number])[] {
  return asked.flatMap(({ server, range }) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    const isLook = from === '0' && to === '23';
    return server === 'storage' && from !== undefined && !isLook
      ? [[Number(from), Number(to) + 1] as const]
      : [];
  });
}
