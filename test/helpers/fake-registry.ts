/**
 * An npm registry on this machine: packages of a few bytes, and everything a registry can do wrong.
 * It notes who asked for what, with which key.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { TLS_PAIR } from './tls-pair.js';

/** One entry of an archive; `type` is tar's: 0 file, 1 hard link, 2 symbolic link, 5 directory, L a long name. */
export interface TarEntry {
  readonly path: string;
  readonly content?: string | Buffer;
  readonly type?: '0' | '1' | '2' | '5' | 'L';
  readonly target?: string;
  /** What its header says instead of the size of its content. */
  readonly size?: number;
}

/** A gzipped archive in the ustar format, with whatever paths and links are asked for. */
export function tarball(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap(({ path, content = '', type = '0', target = '', size }) => {
    const body = type === '0' || type === 'L' ? Buffer.from(content) : Buffer.alloc(0);
    const header = Buffer.alloc(512);
    const octal = (value: number, at: number, width: number): void =>
      void header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');
    header.write(path, 0, 'utf8');
    octal(0o644, 100, 8);
    octal(0, 108, 8);
    octal(0, 116, 8);
    octal(size ?? body.length, 124, 12);
    octal(0, 136, 12);
    header.fill(' ', 148, 156);
    header.write(type, 156, 'latin1');
    header.write(target, 157, 'utf8');
    header.write('ustar\0' + '00', 257, 'latin1');
    octal(
      header.reduce((sum, byte) => sum + byte, 0),
      148,
      7,
    );
    return [header, body, Buffer.alloc((512 - (body.length % 512)) % 512)];
  });
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}

/** What one request brought. */
export interface Asked {
  readonly path: string;
  readonly authorization: string | undefined;
}

/** Answers instead of the registry; false = let it answer. */
export type Meddle = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A running registry. */
export interface FakeRegistry {
  /** With its path, ends in a slash. */
  readonly url: string;
  readonly asked: readonly Asked[];
  /** Offers a package; `integrity` and `tarball` may be made wrong. */
  offer(
    name: string,
    version: string,
    archive: Buffer,
    dist?: Readonly<Record<string, unknown>>,
  ): void;
  /** Looks at every request first. */
  meddle: Meddle;
}

/**
 * Starts a registry; `path`: where it is on its host, e.g. `/npm/`. Behind https it has a certificate
 * that nobody trusts. Ends after the test.
 */
export async function fakeRegistry(
  owner: { after(clean: () => void): void },
  path = '/',
  scheme: 'http' | 'https' = 'http',
): Promise<FakeRegistry> {
  const asked: Asked[] = [];
  const archives = new Map<string, Buffer>();
  const packages = new Map<string, Record<string, object>>();
  const answer: RequestListener = (request, response) => {
    const { url = '', headers } = request;
    asked.push({ path: url, authorization: headers.authorization });
    if (registry.meddle(request, response)) return;
    const archive = archives.get(url);
    const name = decodeURIComponent(url.slice(path.length));
    const versions = packages.get(name);
    if (archive) {
      response.writeHead(200, { 'content-length': archive.length }).end(archive);
    } else if (versions) {
      const latest = Object.keys(versions).at(-1);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ name, 'dist-tags': { latest }, versions }));
    } else response.writeHead(404).end('{}');
  };
  const server: Server =
    scheme === 'https' ? createSecureServer(TLS_PAIR, answer) : createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  owner.after(() => {
    server.closeAllConnections();
    server.close();
  });
  // address() of a listening TCP server is an AddressInfo.
  const origin = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const registry: FakeRegistry = {
    url: `${origin}${path}`,
    asked,
    meddle: () => false,
    offer(name, version, archive, dist = {}) {
      const file = `${path}${name}/-/${name.split('/')[1]}-${version}.tgz`;
      archives.set(file, archive);
      const integrity = `sha512-${createHash('sha512').update(archive).digest('base64')}`;
      const known = packages.get(name) ?? {};
      known[version] = { name, version, dist: { tarball: origin + file, integrity, ...dist } };
      packages.set(name, known);
    },
  };
  return registry;
}

/** The archive of a package as the real ones are laid out. */
export function libraryPackage(
  directory: string,
  files: Readonly<Record<string, string | Buffer>> = {},
): Buffer {
  const all = { [`libllama.${directory}.so`]: 'llama', 'libggml-base.so': 'ggml', ...files };
  return tarball([
    { path: 'package/package.json', content: '{}' },
    { path: 'package/dist/index.js', content: 'export {};' },
    { path: `package/bins/${directory}/llama-addon.node`, content: 'addon' },
    ...Object.entries(all).map(([name, content]) => ({
      path: `package/bins/${directory}/${name}`,
      content,
    })),
  ]);
}
