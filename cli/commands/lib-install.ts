/**
 * `hoshikage lib install [cpu|cuda|vulkan|metal] [--version X]`: brings a libllama from the registry
 * that npm's configuration names. Runs in the CLI process. It only installs; `lib use` switches.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { HoshikageError } from '../../src/errors.js';
import type { InstallResult, Unusable, Variant } from '../../src/install/install.js';
import type { NpmConfig } from '../../src/install/npmrc.js';
import { type ExitCode, usageError, wordsOf } from '../fail.js';
import { type LocalLibraries, localLibraries, untilInterrupted } from '../local-library.js';
import { sayNotes } from '../notes.js';
import { formatBytes, ownCommand, plain, print, shortPath, type Words } from '../print.js';
import { DownloadProgress } from '../progress.js';
import type { Shell } from '../shell.js';

interface Wanted {
  readonly variant: Variant | undefined;
  readonly version: string;
}

/** Installs it and says how to use it. */
export async function install(wanted: Wanted, shell: Shell): Promise<ExitCode> {
  const { loadConfig, npmEnvironment } = await import('../../src/config.js');
  const { installLibrary, SCOPE } = await import('../../src/install/install.js');
  const { readNpmConfig } = await import('../../src/install/npmrc.js');
  const { version } = wanted;
  if (!/^[\w.+-]{1,64}$/.test(version)) {
    throw usageError({ ja: `版の書き方が違います: ${version}`, en: `Not a version: ${version}` });
  }
  const libraries = await localLibraries(loadConfig({ flags: { lang: shell.language } }));
  const { env, places, tryLock } = libraries;
  const { libDir, platform, arch } = places;
  const { variant, hasGpu } = await chooseVariant(wanted.variant, env);
  const { execPath } = process;
  const npmPlaces = { env: npmEnvironment(), home: homedir(), platform, execPath };
  const npm = await readNpmConfig(SCOPE, npmPlaces).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HoshikageError('registry_unreachable', { url: '.npmrc', reason }, { cause });
  });
  if (wanted.variant === undefined && !hasGpu) {
    print(shell.say(NO_GPU(variant)));
    if (await isPackaged({ variant, version, npm }, libraries, shell)) return 0;
  }
  const progress = new DownloadProgress();
  try {
    const result = await untilInterrupted((signal) =>
      installLibrary({
        ...{ variant, version, libDir, npm, platform, arch, env, tryLock, signal },
        inspect: (path) => whyUseless(path, env),
        onProgress: ({ package: name, received, total }) => progress.update(name, received, total),
      }),
    );
    progress.clear();
    await report(result, env, shell);
    return 0;
  } finally {
    progress.clear();
  }
}

const NO_GPU = (variant: Variant): Words => ({
  ja: `GPU のドライバーが見つからないので、${variant} 版です`,
  en: `No driver of a GPU was found, so it is the ${variant} build`,
});

/** Whether the package that came with us is that very version; then nothing is to be downloaded. */
async function isPackaged(
  wanted: { readonly variant: Variant; readonly version: string; readonly npm: NpmConfig },
  { places }: LocalLibraries,
  { say }: Shell,
): Promise<boolean> {
  const { offeredVersion } = await import('../../src/install/install.js');
  const { findLibrary } = await import('../../src/library/find.js');
  const { platform, arch } = places;
  const packaged = await findLibrary({ ...places, libPath: null, libDir: '' }, null);
  if (packaged.origin !== 'package') return false;
  const manifest = join(dirname(packaged.path), '..', '..', 'package.json');
  const facts: unknown = JSON.parse(await readFile(manifest, 'utf8'));
  const has = typeof facts === 'object' && facts && 'version' in facts ? facts.version : null;
  const offered = await untilInterrupted((signal) =>
    offeredVersion({ ...wanted, platform, arch, signal }),
  );
  if (has !== offered) return false;
  const command = `${ownCommand()} lib install ${wanted.variant}`;
  print(
    say({
      ja: `同じ版(${offered})が付属しているので、取り寄せません。それでも入れるには: ${command}`,
      en: `The same version (${offered}) came with Hoshikage, so nothing is downloaded; to install it anyway: ${command}`,
    }),
  );
  return true;
}

/** What speaks against the file itself, on whatever machine of this kind; not what is missing here. */
async function whyUseless(path: string, env: NodeJS.ProcessEnv): Promise<Unusable | null> {
  const { scanHere } = await import('../../src/library/known.js');
  const { readAbi } = await import('../../src/engine/addon.js');
  const { bracket, refusal } = await scanHere(path, env);
  if (!refusal || (bracket && bracket[1] > readAbi().floor)) return null;
  const { reason, reason_ja } = refusal.details;
  return { reason: String(reason), reason_ja: String(reason_ja ?? reason) };
}

/** The one that was named, or the one for this machine. Code: usage. */
async function chooseVariant(
  named: Variant | undefined,
  env: NodeJS.ProcessEnv,
): Promise<{ readonly variant: Variant; readonly hasGpu: boolean }> {
  const { platform, arch } = process;
  const { variantsFor } = await import('../../src/install/install.js');
  const there = variantsFor(platform, arch);
  const [usual] = there;
  if (usual === undefined) {
    throw usageError({
      ja: `このマシン(${platform}-${arch})用のパッケージはありません。llama.cpp をビルドして lib use <パス> としてください`,
      en: `There is no package for this machine (${platform}-${arch}); build llama.cpp and use lib use <PATH>`,
    });
  }
  if (named === undefined) {
    const { bestBuild, findAccelerators, readDriverFacts } = await import(
      '../../src/library/drivers.js'
    );
    const best = bestBuild(findAccelerators(await readDriverFacts({ platform, arch, env })));
    const isThere = best !== null && there.includes(best);
    return { variant: isThere ? best : usual, hasGpu: isThere };
  }
  if (there.includes(named)) return { variant: named, hasGpu: true };
  const list = there.join(', ');
  throw usageError({
    ja: `このマシン(${platform}-${arch})に ${named} はありません(あるのは ${list})`,
    en: `There is no ${named} for this machine (${platform}-${arch}); there is ${list}`,
  });
}

async function report(
  { installed, already, missing }: InstallResult,
  env: NodeJS.ProcessEnv,
  shell: Shell,
): Promise<void> {
  const { say } = shell;
  const { id, sizeBytes, path } = installed;
  const dir = shortPath(installed.dir);
  print(
    already
      ? say({ ja: `もう入っています: ${id}`, en: `Already installed: ${id}` })
      : say({
          ja: `入れました: ${id}(${formatBytes(sizeBytes)}、${dir})`,
          en: `Installed ${id} (${formatBytes(sizeBytes)}, ${dir})`,
        }),
  );
  if (missing.length > 0) {
    const names = missing.join(', ');
    print(
      say({
        ja: `CUDA のライブラリが見つかりません: ${names}。CUDA を入れるか、場所を .env の LD_LIBRARY_PATH に書いてください。それまでは CPU で動きます`,
        en: `CUDA's libraries were not found: ${names}; install CUDA, or write their directory as LD_LIBRARY_PATH into .env. Until then it computes on the CPU`,
      }),
    );
  }
  if (path !== null) {
    const { scanHere } = await import('../../src/library/known.js');
    const { notes, refusal } = await scanHere(path, env);
    // What CUDA lacks has been said with where to write its place.
    const others = notes.filter(({ reason }) => !missing.some((name) => reason.includes(name)));
    sayNotes(others, shell);
    if (refusal) print(plain(`✗ ${wordsOf(refusal)[shell.language]}`));
  }
  const command = `${ownCommand()} lib use ${id}`;
  print(say({ ja: `使うには: ${command}`, en: `To use it: ${command}` }));
}
