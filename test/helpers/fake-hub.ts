/**
 * A hub of models on this machine with a storage behind it, and everything that either can do wrong. It
 * notes who asked for what, with which token. Test code only.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomBits } from '../../src/models/prng.js';
import { type GgufFile, ggufBytes, smallGguf } from './gguf-bytes.js';

/** What one request brought. */
export interface AskedOfHub {
  readonly server: 'hub' | 'storage';
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** How files are sent; all that is not given is as it should be. */
export interface Manner {
  /** False: whole files only. */
  readonly ranges?: boolean;
  /** Bytes that are written at once, and the pause after them. */
  readonly chunkBytes?: number;
  readonly pauseMs?: number;
  /** The connection breaks after so many bytes of each answer that is longer. */
  readonly breakAfter?: number;
  /** What is said of the whole file's length instead of the truth; null = nothing. */
  readonly total?: number | null;
  /** What Content-Length says instead of the truth; null = nothing. */
  readonly length?: number | null;
  /** Where the part that is sent begins instead, relative to what was asked for. */
  readonly shift?: number;
  /** Bytes beyond the end. */
  readonly extra?: number;
  readonly encoding?: string;
  /** null = none. */
  readonly etag?: string | null;
  readonly modified?: string;
  readonly type?: string;
}

/** A file as a hub lists it. */
export interface Listed {
  /** Instead of the truth; null = none. */
  readonly sha256?: string | null;
  readonly size?: number | null;
}

/** Answers instead of the hub or its storage; false = let them answer. */
export type MeddleWithHub = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A running hub. */
export interface FakeHub {
  /** The hub's address, without a slash at its end. */
  readonly url: string;
  /** Where the storage is. */
  readonly storage: string;
  readonly asked: readonly AskedOfHub[];
  manner: Manner;
  meddle: MeddleWithHub;
  /** Lists a file in `owner/repository`, and stores it. */
  offer(repository: string, path: string, bytes: Buffer, listed?: Listed): void;
  /** Stores a file at `/files/<name>` of the storage, where nobody names its hash; gives its address. */
  put(name: string, bytes: Buffer): string;
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A sound GGUF file of about so many bytes, whose weights are noise: a byte in a wrong place shows. */
export function noisyGguf(bytes: number, seed = 1, more: Partial<GgufFile> = {}): Buffer {
  const tensors = [{ name: 'token_embd.weight', dimensions: [64, Math.ceil(bytes / 256)] }];
  const { header, file } = ggufBytes(smallGguf({ tensors, ...more }));
  const next = randomBits(seed);
  for (let at = header.length; at + 4 <= file.length; at += 4) file.writeUInt32LE(next(), at);
  return file;
}

/** The parts of a split model. */
export function splitGguf(count: number, bytes: number): readonly Buffer[] {
  return Array.from({ length: count }, (_, index) =>
    noisyGguf(bytes, index + 1, {
      values: [
        ...smallGguf().values,
        ['split.no', { type: 'u16', value: index }],
        ['split.count', { type: 'u16', value: count }],
      ],
    }),
  );
}

/** Starts a hub; it ends after the test. */
export async function fakeHub(owner: { after(clean: () => void): void }): Promise<FakeHub> {
  const asked: AskedOfHub[] = [];
  const blobs = new Map<string, Buffer>();
  const repositories = new Map<string, Map<string, { bytes: Buffer; listed: Listed }>>();
  const note = (server: 'hub' | 'storage', { url = '', headers }: IncomingMessage): void => {
    asked.push({ server, path: url, range: headers.range, authorization: headers.authorization });
  };

  const answerAsHub = (request: IncomingMessage, response: ServerResponse): void => {
    note('hub', request);
    if (hub.meddle(request, response)) return;
    const url = new URL(request.url ?? '', hub.url);
    const [, listing] = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/[^/]+$/.exec(url.pathname) ?? [];
    const [, name = '', path = ''] =
      /^\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.+)$/.exec(url.pathname) ?? [];
    const repository = repositories.get(listing ?? name);
    const file = repository?.get(decodeURIComponent(path));
    if (repository && listing !== undefined) {
      const siblings = [...repository].map(([rfilename, { bytes, listed }]) => ({
        rfilename,
        size: listed.size === undefined ? bytes.length : listed.size,
        blobId: 'f'.repeat(40),
        ...(listed.sha256 !== null && {
          lfs: {
            sha256: listed.sha256 ?? sha256(bytes),
            size: listed.size === undefined ? bytes.length : listed.size,
            pointerSize: 134,
          },
        }),
      }));
      const tags = ['gguf', 'license:apache-2.0'];
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ id: listing, sha: COMMIT, gated: false, tags, siblings }));
    } else if (file) {
      const hash = file.listed.sha256 ?? sha256(file.bytes);
      response.writeHead(302, {
        location: `${hub.storage}/blobs/${sha256(file.bytes)}?signature=secret`,
        'x-repo-commit': COMMIT,
        'x-linked-size': file.bytes.length,
        'x-linked-etag': `"${hash}"`,
      });
      response.end('Found. Redirecting');
    } else {
      const code = repository ? 'EntryNotFound' : 'RepoNotFound';
      response.writeHead(repository ? 404 : 401, { 'x-error-code': code }).end('{}');
    }
  };

  const answerAsStorage = (request: IncomingMessage, response: ServerResponse): void => {
    note('storage', request);
    if (hub.meddle(request, response)) return;
    const bytes = blobs.get(new URL(request.url ?? '', hub.url).pathname);
    if (bytes) void send(request, response, bytes, hub.manner).catch(() => response.destroy());
    else response.writeHead(404).end('no such file');
  };

  const hub: FakeHub = {
    url: await listen(owner, answerAsHub),
    storage: await listen(owner, answerAsStorage),
    asked,
    manner: {},
    meddle: () => false,
    offer(name, path, bytes, listed = {}) {
      const repository = repositories.get(name) ?? new Map();
      repositories.set(name, repository.set(path, { bytes, listed }));
      blobs.set(`/blobs/${sha256(bytes)}`, bytes);
    },
    put(name, bytes) {
      blobs.set(`/files/${name}`, bytes);
      return `${hub.storage}/files/${name}`;
    },
  };
  return hub;
}

/** The commit that every repository is at. */
export const COMMIT = '0123456789abcdef0123456789abcdef01234567';

async function listen(
  owner: { after(clean: () => void): void },
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  owner.after(() => {
    server.closeAllConnections();
    server.close();
  });
  // address() of a listening TCP server is an AddressInfo.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  manner: Manner,
): Promise<void> {
  const etag = manner.etag === undefined ? `"${sha256(bytes).slice(0, 16)}"` : manner.etag;
  const { range = '', 'if-range': condition } = request.headers;
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
  const holds = condition === undefined || condition === etag || condition === manner.modified;
  const isPart = from !== undefined && manner.ranges !== false && holds;
  const start = isPart ? Number(from) + (manner.shift ?? 0) : 0;
  const end = isPart ? Math.min(Number(to) + 1 + (manner.shift ?? 0), bytes.length) : bytes.length;
  if (start >= bytes.length) return void response.writeHead(416).end();
  const total = manner.total === undefined ? bytes.length : manner.total;
  const truth = isPart ? end - start : total;
  const length = manner.length === undefined ? truth : manner.length;
  response.writeHead(isPart ? 206 : 200, {
    'content-type': manner.type ?? 'application/octet-stream',
    ...(isPart && { 'content-range': `bytes ${start}-${end - 1}/${total ?? '*'}` }),
    ...(length !== null && { 'content-length': length }),
    ...(etag !== null && { etag }),
    ...(manner.modified !== undefined && { 'last-modified': manner.modified }),
    ...(manner.encoding !== undefined && { 'content-encoding': manner.encoding }),
  });
  const body = Buffer.concat([bytes.subarray(start, end), Buffer.alloc(manner.extra ?? 0)]);
  const { chunkBytes = 65_536, pauseMs = 0, breakAfter = Number.POSITIVE_INFINITY } = manner;
  for (let at = 0; at < body.length && !response.destroyed; at += chunkBytes) {
    if (at >= breakAfter) return void response.destroy();
    if (!response.write(body.subarray(at, at + chunkBytes))) await once(response, 'drain');
    if (pauseMs > 0) await sleep(pauseMs);
  }
  response.end();
}
