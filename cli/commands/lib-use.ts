/**
 * `hoshikage lib use ID|PATH` and `lib rollback`: first the canary, then the switch, by the running
 * server where there is one. Runs in the CLI process. Whatever fails, nothing has changed.
 */
import type { Config } from '../../src/config.js';
import { HoshikageError } from '../../src/errors.js';
import type { Choice } from '../../src/library/active.js';
import type { Verdict } from '../../src/library/verdict.js';
import { showCanary } from '../canary-runner.js';
import type { ExitCode } from '../fail.js';
import {
  DEFAULT,
  type LocalLibraries,
  localLibraries,
  type Named,
  resolveDefault,
  resolveInstalled,
  resolveNamed,
  serverLibrary,
  untilInterrupted,
} from '../local-library.js';
import { sayNotes } from '../notes.js';
import { ownCommand, plain, print, remark, shortPath, type Words } from '../print.js';
import { askYes } from '../question.js';
import type { Shell } from '../shell.js';

/** The server identifies the library before it answers; its probe has a deadline of its own. */
const SWITCH_LIMIT_MS = 60_000;

interface UseOptions {
  /** The minimal mode is agreed to. */
  readonly minimal: boolean;
}

/** Proves a library and switches to it. */
export async function use(text: string, options: UseOptions, shell: Shell): Promise<ExitCode> {
  const libraries = await open(shell);
  const named = await resolveNamed(text, libraries);
  return untilInterrupted(async (signal) => {
    if (!(await isInUse(named, libraries, signal))) {
      return switchTo(named, { ...options, libraries, shell, signal });
    }
    print(
      shell.say({ ja: `もう使っています: ${named.shown}`, en: `Already in use: ${named.shown}` }),
    );
    return 0;
  });
}

/**
 * It is chosen, a running server has it too, and its files passed as they are. What the search order
 * finds needs no proof, only to be usable.
 */
async function isInUse(
  named: Named,
  libraries: LocalLibraries,
  signal: AbortSignal,
): Promise<boolean> {
  const { id, link } = named;
  // A file that cannot be read is mended by choosing anew.
  const chosen = await libraries.store.active().catch(() => null);
  if (link !== null || chosen === null || (chosen.active?.id ?? null) !== id) return false;
  const live = await serverLibrary(libraries.config);
  if (live !== null && (live.state !== 'ok' || live.path !== named.path)) return false;
  if (id !== null) return hasProof(named, chosen.active, libraries);
  return live !== null || (await verdictOn(named, libraries, false, signal)).error === null;
}

/** Switches to the one before; without a canary where nothing has changed since it passed. */
export async function rollback(shell: Shell): Promise<ExitCode> {
  const libraries = await open(shell);
  const { active, previous } = await libraries.store.active();
  if (previous === undefined) throw noPrevious(active);
  const named = previous
    ? await resolveInstalled(previous.id, libraries)
    : await resolveDefault(libraries);
  const minimal = previous?.minimal === true;
  const isProved = await hasProof(named, previous, libraries);
  if (!isProved) {
    print(
      shell.say({
        ja: `${named.shown} は、今のファイルでは試験に通っていないので、先に試験します`,
        en: `${named.shown} has not passed with its files as they are, so it is proved first`,
      }),
    );
  }
  return untilInterrupted((signal) =>
    switchTo(named, { minimal, isProved, libraries, shell, signal }),
  );
}

/** Whoever has chosen one had another before, if only the default; it must have been removed. */
function noPrevious(active: Choice | null): HoshikageError {
  return new HoshikageError(
    'library_no_previous',
    active === null
      ? {
          reason: 'nothing was switched yet, or the one before was removed',
          reason_ja: 'まだ切り替えていないか、前のものが消されています',
        }
      : { reason: 'the one before was removed', reason_ja: '前のものは消されています' },
  );
}

/** Codes: library_pinned and those of loadConfig. */
async function open(shell: Shell): Promise<LocalLibraries> {
  const { loadConfig } = await import('../../src/config.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const { libPath } = config;
  if (libPath !== null) throw new HoshikageError('library_pinned', { path: libPath });
  // A server may have been started with another environment than this command.
  const used = await serverLibrary(config);
  if (used?.origin === 'HOSHIKAGE_LIB_PATH') {
    throw new HoshikageError('library_pinned', { path: String(used.path) });
  }
  return localLibraries(config);
}

async function hasProof(
  { path }: Named,
  choice: Choice | null,
  { config }: LocalLibraries,
): Promise<boolean> {
  const { recallProof } = await import('../../src/library/proofs.js');
  const proof = await recallProof(config.cacheDir, path);
  return proof !== null && proof.minimal === (choice?.minimal === true);
}

interface Switching extends UseOptions {
  readonly isProved?: boolean;
  readonly libraries: LocalLibraries;
  readonly shell: Shell;
  readonly signal: AbortSignal;
}

async function switchTo(named: Named, switching: Switching): Promise<ExitCode> {
  const { libraries, shell, signal } = switching;
  let minimal = switching.minimal;
  if (switching.isProved !== true) {
    const proof = await prove(named, switching);
    if (proof === null) return 1;
    minimal = proof.minimal;
  }
  const { store } = libraries;
  if (signal.aborted) throw new HoshikageError('cancelled');
  const link = named.link === null ? null : await store.link(named.link);
  const id = link?.id ?? named.id;
  try {
    await assertSamePath(id, named, libraries);
    if (signal.aborted) throw new HoshikageError('cancelled');
    const isLive = await activate(id, { minimal, libraries, shell });
    report(id, isLive, shell);
    if (link?.created) print(plain(shell.say(linkWords(link.id, named.path))));
    const { scanHere } = await import('../../src/library/known.js');
    sayNotes((await scanHere(named.path, libraries.env)).notes, shell);
    return 0;
  } catch (error) {
    // A link that nobody asked for by itself goes with the switch that failed.
    if (link?.created) await store.remove(link.id).catch(() => false);
    throw error;
  }
}

/** What was proved is what the id now means: a link on the way may lead elsewhere. Code: library_changed. */
async function assertSamePath(
  id: string | null,
  { path, shown }: Named,
  { store }: LocalLibraries,
): Promise<void> {
  if (id === null || (await store.get(id))?.path === path) return;
  throw new HoshikageError('library_changed', { id: shown });
}

/**
 * The canary; its proof is kept. Null where its mode was not agreed to, which has been said.
 * Codes: those of a refused library, library_canary_failed, library_changed, cancelled.
 */
async function prove(
  named: Named,
  { minimal: agreed, libraries, shell, signal }: Switching,
): Promise<{ readonly minimal: boolean } | null> {
  const { config } = libraries;
  const { shown, path } = named;
  const { say } = shell;
  const place = shortPath(path);
  print(plain(say({ ja: `試験しています: ${place}`, en: `Proving ${place}` })));
  const { proofKey, recordProof } = await import('../../src/library/proofs.js');
  // Before anything is tried: only these files will have passed.
  const key = await proofKey(path);
  const unknown = await needsMinimal(named, libraries, signal);
  const options = { minimal: unknown, shell, signal };
  const { passed, minimal, checks } = await showCanary(path, libraries, options);
  const failed = checks.find(({ ok }) => !ok);
  if (!passed) {
    const check = failed?.name ?? 'identify';
    const reason = failed?.detail ?? '?';
    throw new HoshikageError('library_canary_failed', { id: shown, check, reason });
  }
  const isAgreed = !minimal || config.allowUnknownLibllama || agreed;
  if (!isAgreed && !(await agreeTo(shown, shell, signal))) return null;
  if ((await proofKey(path)) !== key) throw new HoshikageError('library_changed', { id: shown });
  // A bare name is no file that could be remembered.
  if (key !== null) await recordProof(config.cacheDir, key, { minimal });
  return { minimal };
}

/**
 * Whether the library can be identified in the minimal mode only; without a choice there is nothing to
 * which that mode could belong. Codes: library_incompatible, library_not_found.
 */
async function needsMinimal(
  named: Named,
  libraries: LocalLibraries,
  signal: AbortSignal,
): Promise<boolean> {
  const { fromWire } = await import('../../src/engine/protocol.js');
  const { error } = await verdictOn(named, libraries, false, signal);
  if (!error) return false;
  const isChoice = named.id !== null || named.link !== null;
  if (isChoice || libraries.config.allowUnknownLibllama) {
    const lenient = await verdictOn(named, libraries, true, signal);
    if (lenient.identity?.minimal) return true;
  }
  throw fromWire(error);
}

async function verdictOn(
  { path }: Named,
  { config, env }: LocalLibraries,
  allowUnknown: boolean,
  signal: AbortSignal,
): Promise<Verdict> {
  const { knownVerdict } = await import('../../src/library/known.js');
  const { silentLog: log } = await import('../../src/log.js');
  const { cacheDir } = config;
  return (await knownVerdict({ path, allowUnknown, cacheDir, env, log, signal })).verdict;
}

/** What it means, and whether the user wants it; without a terminal the way to say so is shown. */
async function agreeTo(
  shown: string,
  { say, language }: Shell,
  signal: AbortSignal,
): Promise<boolean> {
  print(
    say({
      ja: `${shown} は星影の表より新しく、構造体の形を知りません。最小モードの試験には通りました。\nこのモードでは、変わったことのない項目だけを設定し、ほかは libllama の既定のまま使います(KV キャッシュの型、フラッシュアテンションなどの設定は効きません)。`,
      en: `${shown} is newer than our table, and its layouts are unknown. It passed in the minimal mode:\nonly fields that never moved are set, all else stays as libllama has it (settings of the KV cache's type, flash attention and such have no effect).`,
    }),
  );
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    const command = `${ownCommand()} lib use ${shown} --minimal`;
    remark({ ja: `使うには: ${command}`, en: `To use it: ${command}` }, language);
    return false;
  }
  const question = say({ ja: '使いますか? [y/N] ', en: 'Use it? [y/N] ' });
  return askYes(question, { input: process.stdin, output: process.stdout, signal });
}

/** Switches by the server, or in the file where none runs. True where a server has switched. */
async function activate(
  id: string | null,
  { minimal, libraries, shell }: { minimal: boolean; libraries: LocalLibraries; shell: Shell },
): Promise<boolean> {
  if (await askServer(libraries.config, id, shell)) return true;
  await libraries.store.activate(id, { minimal });
  return false;
}

async function askServer(config: Config, id: string | null, shell: Shell): Promise<boolean> {
  const { ask, findServer } = await import('../admin-client.js');
  const server = findServer(config);
  if (!server) return false;
  const asked = { body: { id }, details: { id: id ?? DEFAULT }, limitMs: SWITCH_LIMIT_MS };
  const answer = await ask(server, 'POST', '/admin/library', asked);
  if (!answer) remark(NOT_ASKED, shell.language);
  return answer !== null;
}

const NOT_ASKED = {
  ja: 'サーバーが応答しないため、次に起動したときから使います',
  en: 'The server does not answer; its next start will use it',
};

const linkWords = (id: string, path: string): Words => ({
  ja: `${id} は ${shortPath(path)} に付けた名前です(lib list に出ます)`,
  en: `${id} is the name given to ${shortPath(path)} (lib list shows it)`,
});

function report(id: string | null, isLive: boolean, { say }: Shell): void {
  const name = id ?? DEFAULT;
  print(
    isLive
      ? say({
          ja: `切り替えました: ${name}(実行中の応答は前のもので終わり、次のリクエストから使います)`,
          en: `Switched to ${name} (running answers finish on the one before; the next request uses it)`,
        })
      : say({
          ja: `切り替えました: ${name}(サーバーを起動すると使います)`,
          en: `Switched to ${name} (the server uses it when it starts)`,
        }),
  );
}
