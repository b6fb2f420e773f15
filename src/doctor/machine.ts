/**
 * The machine as the doctor sees it: files, space, processes, ports, behind small functions, so that
 * another machine can be played. Any process, main thread. It only looks: it creates no file and
 * changes nothing; the one port it opens is closed again at once.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, readdir, readFile, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { FileLooks } from '../library/drivers.js';

/** What a path is. */
export interface PathFacts {
  readonly kind: 'file' | 'directory' | 'other';
  /** Permission bits. */
  readonly mode: number;
  readonly sizeBytes: number;
}

/** How a program ended; `code` is null where it could not be started or was killed. */
export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Everything the checks ask of a machine. No function rejects for what it finds. */
export interface Machine extends FileLooks {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** As process.versions.node has it. */
  readonly nodeVersion: string;
  /** Version of glibc; null for musl, and on systems without either. */
  readonly glibc: () => string | null;
  /** Path of a shared library that this process has loaded, by its file name's pattern. */
  readonly loaded: (name: RegExp) => string | null;
  readonly facts: (path: string) => Promise<PathFacts | null>;
  readonly writable: (path: string) => Promise<boolean>;
  readonly space: (
    path: string,
  ) => Promise<{ readonly freeBytes: number; readonly totalBytes: number } | null>;
  readonly run: (file: string, args: readonly string[], options: RunOptions) => Promise<Ran>;
  /** Null where one can listen there, else the code of the system's error. */
  readonly listen: (host: string, port: number) => Promise<string | null>;
}

/** How to run a program. */
export interface RunOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** The machine this process runs on. */
export function thisMachine(): Machine {
  return {
    platform: process.platform,
    arch: process.arch,
    nodeVersion: process.versions.node,
    ...reported(),
    bytes: (path) => readFile(path).catch(() => null),
    names: (directory) => readdir(directory).catch(() => []),
    exists: (path) => holds(access(path)),
    facts: factsOf,
    writable: (path) => holds(access(path, constants.W_OK)),
    space: spaceOf,
    run,
    listen,
  };
}

/** What Node's report knows of the loaded libraries; it costs some milliseconds, so it is made once. */
function reported(): Pick<Machine, 'glibc' | 'loaded'> {
  let made: { readonly glibc: string | null; readonly objects: readonly string[] } | undefined;
  const report = () => {
    made ??= readReport();
    return made;
  };
  return {
    glibc: () => report().glibc,
    loaded: (name) => report().objects.find((path) => name.test(path)) ?? null,
  };
}

function readReport(): { readonly glibc: string | null; readonly objects: readonly string[] } {
  // Otherwise it may ask name servers about every open connection.
  Object.assign(process.report, { excludeNetwork: true });
  // Typed as object; Node documents these two fields.
  const { header, sharedObjects } = process.report.getReport() as {
    header?: { glibcVersionRuntime?: string };
    sharedObjects?: readonly string[];
  };
  return { glibc: header?.glibcVersionRuntime ?? null, objects: sharedObjects ?? [] };
}

function holds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}

async function factsOf(path: string): Promise<PathFacts | null> {
  const found = await stat(path).catch(() => null);
  if (!found) return null;
  const kind = found.isDirectory() ? 'directory' : 'other';
  return {
    kind: found.isFile() ? 'file' : kind,
    mode: found.mode & 0o777,
    sizeBytes: found.size,
  };
}

async function spaceOf(path: string) {
  const found = await statfs(path).catch(() => null);
  if (!found) return null;
  return { freeBytes: found.bavail * found.bsize, totalBytes: found.blocks * found.bsize };
}

function run(
  file: string,
  args: readonly string[],
  { env, timeoutMs, signal }: RunOptions,
): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { env, timeout: timeoutMs, signal, killSignal: 'SIGKILL' } as const;
    execFile(file, [...args], { ...options, encoding: 'utf8' }, (error, stdout, stderr) => {
      const code = typeof error?.code === 'number' ? error.code : null;
      resolve({ code: error ? code : 0, stdout, stderr: stderr || (error?.message ?? '') });
    });
  });
}

function listen(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}
