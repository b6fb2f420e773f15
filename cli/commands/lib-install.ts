/**
 * `hoshikage lib install [cpu|cuda|vulkan|metal] [--version X]`: brings a libllama from the registry
 * that npm's configuration names. Runs in the CLI process. It only installs; `lib use` switches.
 */
import { homedir } from 'node:os';
import { HoshikageError } from '../../src/errors.js';
import type { InstallResult, Variant } from '../../src/install/install.js';
import { type ExitCode, usageError } from '../fail.js';
import { localLibraries, untilInterrupted } from '../local-library.js';
import { formatBytes, ownCommand, print } from '../print.js';
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
  const { env, places, tryLock } = await localLibraries(
    loadConfig({ flags: { lang: shell.language } }),
  );
  const { libDir, platform, arch } = places;
  const variant = await chooseVariant(wanted.variant, env);
  const { execPath } = process;
  const npmPlaces = { env: npmEnvironment(), home: homedir(), platform, execPath };
  const npm = await readNpmConfig(SCOPE, npmPlaces).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HoshikageError('registry_unreachable', { url: '.npmrc', reason }, { cause });
  });
  const progress = new DownloadProgress();
  try {
    const result = await untilInterrupted((signal) =>
      installLibrary({
        ...{ variant, version, libDir, npm, platform, arch, env, tryLock, signal },
        onProgress: ({ package: name, received, total }) => progress.update(name, received, total),
      }),
    );
    progress.clear();
    report(result, shell);
    return 0;
  } finally {
    progress.clear();
  }
}

/** The one that was named, or the one for this machine. Code: usage. */
async function chooseVariant(named: Variant | undefined, env: NodeJS.ProcessEnv): Promise<Variant> {
  const { platform, arch } = process;
  const { variantsFor } = await import('../../src/install/install.js');
  const there = variantsFor(platform, arch);
  const [plain] = there;
  if (plain === undefined) {
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
    return best !== null && there.includes(best) ? best : plain;
  }
  if (there.includes(named)) return named;
  const list = there.join(', ');
  throw usageError({
    ja: `このマシン(${platform}-${arch})に ${named} はありません(あるのは ${list})`,
    en: `There is no ${named} for this machine (${platform}-${arch}); there is ${list}`,
  });
}

function report({ installed, already, missing }: InstallResult, { say }: Shell): void {
  const { id, sizeBytes, dir } = installed;
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
  const command = `${ownCommand()} lib use ${id}`;
  print(say({ ja: `使うには: ${command}`, en: `To use it: ${command}` }));
}
