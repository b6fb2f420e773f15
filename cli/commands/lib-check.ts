/**
 * `hoshikage lib check ID|PATH [--canary]`: what a libllama is, stage by stage, changing nothing. Runs
 * in the CLI process; the library is opened by processes of its own only.
 */
import { basename } from 'node:path';
import type { HoshikageError } from '../../src/errors.js';
import type { ScanReport } from '../../src/library/scan.js';
import type { Verdict } from '../../src/library/verdict.js';
import { showCanary } from '../canary-runner.js';
import { type ExitCode, wordsOf } from '../fail.js';
import {
  type LocalLibraries,
  localLibraries,
  resolveNamed,
  untilInterrupted,
} from '../local-library.js';
import { formatBytes, plain, print, shortPath, table, type Words } from '../print.js';
import type { Shell } from '../shell.js';

type LibraryIdentity = NonNullable<Verdict['identity']>;

/** One line of the report: what was looked at, and what was seen. */
type Line = readonly [what: Words, seen: string];

/** Looks at it; exit code 1 where it cannot be used. */
export async function check(
  text: string,
  { canary }: { readonly canary: boolean },
  shell: Shell,
): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const libraries = await localLibraries(config);
  const { path } = await resolveNamed(text, libraries);
  return untilInterrupted(async (signal) => {
    const { scan, identity, error } = await look(path, libraries, signal);
    const { buildsOf } = await import('../../src/library/bracket.js');
    const builds = scan.bracket && buildsOf(scan.bracket);
    const lines = [
      ...scanLines(scan, builds && { ja: builds.builds_ja, en: builds.builds }, shell),
      ...(identity ? identityLines(identity, shell) : []),
    ];
    for (const line of table(lines.map(([what, seen]) => [shell.say(what), seen]))) print(line);
    if (error) return sayRefused(error, shell);
    if (!canary) return sayUsable(identity, config.allowUnknownLibllama, shell);
    const minimal = identity?.minimal === true;
    const { passed } = await showCanary(path, libraries, { minimal, shell, signal });
    print(
      passed
        ? shell.say({ ja: '試験に通りました', en: 'It passed' })
        : shell.say({ ja: '試験に通りませんでした', en: 'It did not pass' }),
    );
    return passed ? 0 : 1;
  });
}

/** Scan and probe; an unknown layout is looked at in the minimal mode too. */
async function look(
  path: string,
  { config, env }: LocalLibraries,
  signal: AbortSignal,
): Promise<{
  scan: ScanReport;
  identity: LibraryIdentity | null;
  error: HoshikageError | null;
}> {
  const { knownVerdict } = await import('../../src/library/known.js');
  const { fromWire } = await import('../../src/engine/protocol.js');
  const { silentLog: log } = await import('../../src/log.js');
  const { cacheDir } = config;
  const ask = (allowUnknown: boolean) =>
    knownVerdict({ path, allowUnknown, cacheDir, env, log, signal });
  const { scan, verdict } = await ask(false);
  if (!verdict.error) return { scan, identity: verdict.identity, error: null };
  const { identity } = scan.refusal ? { identity: null } : (await ask(true)).verdict;
  return { scan, identity, error: identity?.minimal ? null : fromWire(verdict.error) };
}

function scanLines(
  { path, facts, unknownSymbols, preload, notes }: ScanReport,
  builds: Words | null,
  shell: Shell,
) {
  const { say, language } = shell;
  const lines: Line[] = [[{ ja: 'ファイル', en: 'File' }, shortPath(path)]];
  if (facts) {
    const { format, bits, machine } = facts;
    lines.push([{ ja: '形式', en: 'Format' }, `${format}, ${bits}-bit, ${machine}`]);
  }
  if (builds) lines.push([{ ja: 'llama.cpp', en: 'llama.cpp' }, say(builds)]);
  if (preload.length > 0) {
    const names = preload.map((one) => basename(one)).join(', ');
    lines.push([{ ja: '先に開くもの', en: 'Opened before it' }, names]);
  }
  if (unknownSymbols.length > 0) {
    const more = unknownSymbols.length > 3 ? ' …' : '';
    const names = unknownSymbols.slice(0, 3).join(', ');
    const count = say({ ja: `${unknownSymbols.length} 個`, en: `${unknownSymbols.length}` });
    lines.push([{ ja: '知らない関数', en: 'Unknown functions' }, `${count}: ${names}${more}`]);
  }
  for (const { reason, reason_ja } of notes) {
    lines.push([{ ja: '注意', en: 'Note' }, language === 'ja' ? reason_ja : reason]);
  }
  return lines;
}

function identityLines(identity: LibraryIdentity, { say }: Shell): Line[] {
  const { version, ggmlVersion, layout, minimal, samplers, devices } = identity;
  const mode = minimal
    ? say({ ja: '知らない形(最小モード)', en: 'unknown (minimal mode)' })
    : `${layout.model} / ${layout.context}`;
  const shapes = Object.entries(samplers)
    .map(([name, count]) => `${name} ${count ?? '?'}`)
    .join(', ');
  return [
    [{ ja: '版', en: 'Version' }, `${version ?? '-'}, ggml ${ggmlVersion ?? '-'}`],
    [{ ja: '構造体', en: 'Layouts' }, mode],
    [{ ja: 'サンプラーの引数', en: 'Sampler arguments' }, shapes],
    ...devices.map(({ name, description, type, totalBytes }): Line => {
      const memory = totalBytes > 0 ? `, ${formatBytes(totalBytes)}` : '';
      return [{ ja: '装置', en: 'Device' }, `${name} [${type}] ${description}${memory}`];
    }),
  ];
}

function sayRefused(error: HoshikageError, { language }: Shell): ExitCode {
  print(plain(`✗ ${wordsOf(error)[language]}`));
  return 1;
}

function sayUsable(
  identity: LibraryIdentity | null,
  allowUnknown: boolean,
  { say }: Shell,
): ExitCode {
  if (identity?.minimal && !allowUnknown) {
    print(
      say({
        ja: '✗ 星影の表より新しい版です。lib use なら、最小モードで試験できます',
        en: '✗ Newer than our table; lib use can prove it in the minimal mode',
      }),
    );
    return 1;
  }
  print(say({ ja: '✓ 使えます', en: '✓ It can be used' }));
  return 0;
}
