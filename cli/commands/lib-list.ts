/**
 * `hoshikage lib list [--json]`: every libllama at hand, which one is used and why. Runs in the CLI
 * process; what a library is comes from the remembered verdicts, else from a process of its own.
 */
import { isAbsolute } from 'node:path';
import type { Language } from '../../src/config.js';
import type { LibraryOrigin } from '../../src/library/find.js';
import type { Verdict } from '../../src/library/verdict.js';
import { type ExitCode, wordsOf } from '../fail.js';
import {
  DEFAULT,
  type LocalLibraries,
  localLibraries,
  serverLibrary,
  untilInterrupted,
} from '../local-library.js';
import { noteWords } from '../notes.js';
import { formatBytes, plain, print, printJson, shortPath, table, type Words } from '../print.js';
import type { Shell } from '../shell.js';

type LibraryIdentity = NonNullable<Verdict['identity']>;

/** One libllama, as it was found. */
interface Found {
  /** null for one that has no id: a loose file, the packaged one, the system's. */
  readonly id: string | null;
  readonly source: 'npm' | 'user' | 'link' | LibraryOrigin;
  readonly path: string | null;
  readonly sizeBytes: number | null;
}

/** With what it is. */
interface Row extends Found {
  readonly isUsed: boolean;
  readonly identity: LibraryIdentity | null;
  /** Its own name for its version, else the builds it can be of. */
  readonly version: string;
  readonly problem: Words | null;
  /** What it does without: the libraries of an accelerator that are not on this machine. */
  readonly lacks: readonly Words[];
}

const SOURCES: Readonly<Record<Found['source'], Words>> = {
  npm: { ja: 'lib install', en: 'lib install' },
  user: { ja: '手で置いたもの', en: 'put there by hand' },
  link: { ja: 'lib use <パス>', en: 'lib use <PATH>' },
  active: { ja: 'lib use', en: 'lib use' },
  HOSHIKAGE_LIB_PATH: { ja: 'HOSHIKAGE_LIB_PATH', en: 'HOSHIKAGE_LIB_PATH' },
  config: { ja: 'lib/ のファイル', en: 'files in lib/' },
  package: { ja: '付属のもの', en: 'the packaged one' },
  system: { ja: 'システムのもの', en: "the system's" },
};

/** Why the one in use is it. */
interface Used {
  readonly path: string | null;
  readonly origin: string | null;
  readonly reason: string;
}

/** Shows them. */
export async function listLibraries(json: boolean, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const libraries = await localLibraries(config);
  const used = (await usedByServer(libraries)) ?? (await usedHere(libraries, shell));
  const rows = await untilInterrupted(async (signal) => {
    const found = await findAll(libraries, used);
    const all: Row[] = [];
    for (const one of found)
      all.push(await inspect(one, { libraries, used, language: shell.language, signal }));
    return all;
  });
  if (json) printJson({ used, libraries: rows.map(toJson) });
  else for (const line of toText(rows, used, shell)) print(line);
  return 0;
}

/** A running server may have other settings than this command. */
async function usedByServer({ config }: LocalLibraries): Promise<Used | null> {
  const library = await serverLibrary(config);
  if (!library) return null;
  const { path, origin, reason } = library;
  const text = (value: unknown) => (typeof value === 'string' ? value : null);
  return { path: text(path), origin: text(origin), reason: text(reason) ?? '' };
}

async function usedHere({ places }: LocalLibraries, { language }: Shell): Promise<Used> {
  const { findLibrary } = await import('../../src/library/find.js');
  const { HoshikageError } = await import('../../src/errors.js');
  try {
    const { path, origin, reason } = await findLibrary(places);
    return { path, origin, reason };
  } catch (error) {
    if (!(error instanceof HoshikageError)) throw error;
    return {
      path: null,
      origin: null,
      reason: wordsOf(error)[language],
    };
  }
}

/** The installed ones, then those that the search order would find without a choice. */
async function findAll({ places, store }: LocalLibraries, used: Used): Promise<readonly Found[]> {
  const { findLibrary } = await import('../../src/library/find.js');
  const installed = (await store.list()).map(
    ({ id, source, path, sizeBytes }): Found => ({ id, source, path, sizeBytes }),
  );
  const others: Found[] = [];
  const add = async (origin: LibraryOrigin, changes: Partial<typeof places>): Promise<void> => {
    const found = await findLibrary({ ...places, ...changes }, null).catch(() => null);
    const known = [...installed, ...others].some(({ path }) => path === found?.path);
    if (found?.origin !== origin || known) return;
    // Without a path of its own the system's is only a name.
    if (origin === 'system' && found.path !== used.path) return;
    const { librarySize } = await import('../../src/library/store.js');
    const sizeBytes = isAbsolute(found.path) ? await librarySize(found.path) : null;
    others.push({ id: null, source: origin, path: found.path, sizeBytes });
  };
  await add('HOSHIKAGE_LIB_PATH', {});
  await add('config', { libPath: null });
  await add('package', { libPath: null, libDir: '' });
  await add('system', { libPath: null, libDir: '', packageRoots: [] });
  return [...installed, ...others];
}

async function inspect(
  found: Found,
  context: {
    libraries: LocalLibraries;
    used: Used;
    language: Language;
    signal: AbortSignal;
  },
): Promise<Row> {
  const { config, env } = context.libraries;
  const { path } = found;
  const isUsed = path !== null && path === context.used.path;
  if (path === null) {
    const problem = { ja: 'ファイルがありません', en: 'its files are gone' };
    return { ...found, isUsed, identity: null, version: '-', problem, lacks: [] };
  }
  const { knownVerdict } = await import('../../src/library/known.js');
  const { fromWire } = await import('../../src/engine/protocol.js');
  const { silentLog: log } = await import('../../src/log.js');
  const { cacheDir } = config;
  const { signal } = context;
  const { active } = await context.libraries.store.active().catch(() => ({ active: null }));
  const chosen = active?.id === found.id && active?.minimal === true;
  const allowUnknown = config.allowUnknownLibllama || chosen;
  const { verdict, scan } = await knownVerdict({ path, allowUnknown, cacheDir, env, log, signal });
  if (!verdict.error) {
    const { identity } = verdict;
    const version = identity.version ?? (await buildsText(identity, context.language));
    const lacks = scan.notes.map(noteWords);
    return { ...found, isUsed, identity, version, problem: null, lacks };
  }
  const problem = wordsOf(fromWire(verdict.error));
  return { ...found, isUsed, identity: null, version: '-', problem, lacks: [] };
}

function toJson({ id, source, path, sizeBytes, isUsed, identity, problem, lacks }: Row): object {
  return {
    id,
    source,
    path,
    used: isUsed,
    version: identity?.version ?? null,
    bracket: identity?.bracket ?? null,
    layout: identity?.layout ?? null,
    minimal: identity?.minimal ?? null,
    devices: identity?.devices.map(({ name, type }) => ({ name, type })) ?? null,
    size_bytes: sizeBytes,
    problem: problem?.en ?? null,
    lacks: lacks.map(({ en }) => en),
  };
}

function toText(rows: readonly Row[], used: Used, { say }: Shell): string[] {
  const head = say({
    ja: ' \t名前\t版\t構造体\t装置\tサイズ\t出どころ',
    en: ' \tID\tVERSION\tLAYOUT\tDEVICES\tSIZE\tFROM',
  }).split('\t');
  const body = rows.map((row) => {
    const { id, source, identity, sizeBytes, isUsed, problem } = row;
    return [
      `${isUsed ? '*' : ' '}${row.lacks.length > 0 ? '!' : ' '}`,
      id ?? (source === 'package' ? DEFAULT : '-'),
      problem ? say({ ja: '使えません', en: 'unusable' }) : row.version,
      identity ? layoutOf(identity) : '-',
      identity?.devices.map(({ name }) => name).join(', ') || '-',
      sizeBytes === null ? '-' : formatBytes(sizeBytes),
      say(SOURCES[source]),
    ];
  });
  const problems = rows.flatMap(({ id, source, problem }) =>
    problem ? [plain(`${id ?? say(SOURCES[source])}: ${say(problem)}`)] : [],
  );
  const lacks = rows.flatMap(({ id, source, lacks }) =>
    lacks.map((lack) => plain(`! ${id ?? say(SOURCES[source])}: ${say(lack)}`)),
  );
  const why = say({ ja: `使用中(*): `, en: 'In use (*): ' });
  const place =
    used.path === null ? used.reason : `${shortPath(used.path)} (${say(whyUsed(used, rows))})`;
  return [...table([head, ...body]), '', plain(why + place), ...problems, ...lacks];
}

/** Which step of the search order led there; a step that is not known here in the server's words. */
function whyUsed({ origin, reason }: Used, rows: readonly Row[]): Words {
  const id = rows.find(({ isUsed }) => isUsed)?.id ?? '?';
  const steps: Readonly<Record<string, Words>> = {
    HOSHIKAGE_LIB_PATH: {
      ja: 'HOSHIKAGE_LIB_PATH で指定',
      en: 'named by HOSHIKAGE_LIB_PATH',
    },
    active: { ja: `lib use ${id} で選択`, en: `chosen with lib use ${id}` },
    config: { ja: '設定の lib/ に置かれたもの', en: 'put into lib/ of the configuration' },
    package: { ja: '付属のもの。何も選ばれていない', en: 'the packaged one; nothing is chosen' },
    system: { ja: 'システムのもの', en: "the system's" },
  };
  return steps[origin ?? ''] ?? { ja: reason, en: reason };
}

async function buildsText({ bracket }: LibraryIdentity, language: Language): Promise<string> {
  const { buildsOf } = await import('../../src/library/bracket.js');
  const { builds, builds_ja } = buildsOf(bracket);
  return language === 'ja' ? builds_ja : builds;
}

function layoutOf({ layout, minimal }: LibraryIdentity): string {
  return minimal ? 'minimal' : `${layout.model}/${layout.context}`;
}
