/**
 * An npm registry on this machine that offers what lies in our own node_modules: exactly the versions of
 * the lock file, packed when they are asked for. With it a package is installed as from npm, without a
 * network. A libllama for another processor (npm takes some for x64 too) is known and cannot be had.
 */
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { create } from 'tar';
import { ROOT } from '../../scripts/root.js';
import type { Owner } from './server.js';

/** What of an entry of package-lock.json npm looks at before it has the package. */
interface Locked {
  readonly version: string;
  readonly dev?: boolean;
  readonly [key: string]: unknown;
}

/** Starts it; gives its address with a slash at its end. It ends after the test. */
export async function moduleRegistry(owner: Owner): Promise<string> {
  const packages = lockedPackages();
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '').slice(1);
    const [name = '', version] = path.split('/-/');
    const versions = packages.get(name);
    if (!versions) response.writeHead(404).end('{}');
    else if (version === undefined) response.end(documentOf(name, versions, url));
    else send(versions.get(version), response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  owner.after(() => {
    server.closeAllConnections();
    server.close();
  });
  // address() of a listening TCP server is an AddressInfo.
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return url;
}

/** One version of a package: where it lies, if it does, and what is said of it. */
interface Offered {
  readonly folder: string | null;
  readonly manifest: Readonly<Record<string, unknown>>;
}

type Versions = ReadonlyMap<string, Offered>;

/** What an installation of ours consists of, by name and version. */
function lockedPackages(): ReadonlyMap<string, Versions> {
  // npm wrote it.
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>;
  };
  const found = new Map<string, Map<string, Offered>>();
  for (const [path, { dev, resolved, integrity, ...known }] of Object.entries(lock.packages)) {
    if (path === '' || dev) continue;
    const name = path.replace(/^.*node_modules\//, '');
    const isForeign = name.startsWith('@node-llama-cpp/') && !name.includes(process.arch);
    const isHere = !isForeign && existsSync(join(ROOT, path, 'package.json'));
    const folder = isHere ? join(ROOT, path) : null;
    const manifest = folder ? JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) : {};
    const versions = found.get(name) ?? new Map<string, Offered>();
    found.set(
      name,
      versions.set(known.version, { folder, manifest: { ...manifest, ...known, name } }),
    );
  }
  return found;
}

function documentOf(name: string, versions: Versions, url: string): string {
  const all = [...versions].map(([version, { manifest }]) => {
    const tarball = `${url}${encodeURIComponent(name)}/-/${version}`;
    return [version, { ...manifest, dist: { tarball } }] as const;
  });
  const latest = all.at(-1)?.[0];
  return JSON.stringify({ name, 'dist-tags': { latest }, versions: Object.fromEntries(all) });
}

/** Without the packages below it, and without what its install script made there. */
function send(offered: Offered | undefined, response: ServerResponse): void {
  if (!offered?.folder) {
    response.writeHead(404).end('{}');
    return;
  }
  const { folder, manifest } = offered;
  const unpublished = ['node_modules', ...(manifest.hasInstallScript ? ['build'] : [])];
  const names = readdirSync(folder).filter((name) => !unpublished.includes(name));
  const archive = create({ cwd: folder, prefix: 'package', portable: true }, names);
  archive.on('error', () => response.destroy());
  archive.pipe(response);
}
