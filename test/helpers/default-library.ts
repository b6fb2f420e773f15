/**
 * The default libllama of this platform as npm installed it, and why it cannot be used, if so.
 * For tests that run a real library in their own process. It must never load anything itself.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/root.js';
import { type AbiTable, loadAddon } from '../../src/engine/addon.js';
import type { EngineOptions } from '../../src/engine/engine.js';
import { openLocalEngine } from '../../src/engine/local.js';
import { engineOptions } from './engine-options.js';

/** Absolute path of the library, or null. */
function libraryPath(): string | null {
  const packages = join(ROOT, 'node_modules/@node-llama-cpp');
  if (!existsSync(packages)) return null;
  const system = { linux: 'linux', darwin: 'mac', win32: 'win' }[String(process.platform)];
  const wanted = readdirSync(packages).find((name) => name.startsWith(`${system}-${process.arch}`));
  if (wanted === undefined) return null;
  const folder = join(packages, wanted, 'bins', wanted);
  if (!existsSync(folder)) return null;
  const file = readdirSync(folder).find((name) =>
    /^(lib)?llama(\.[\w.]+)?\.(so|dylib|dll)$/.test(name),
  );
  return file === undefined ? null : join(folder, file);
}

/** Why tests with the real library have to be skipped; false = they can run. */
export function whyNoLibrary(): string | false {
  if (libraryPath() === null) return 'no libllama is installed for this platform';
  try {
    loadAddon();
    return false;
  } catch {
    return 'the addon is not built';
  }
}

/** An engine in this process on the default library, CPU only, one thread. */
export function openRealEngine(modelPath: string, changes: Partial<EngineOptions> = {}) {
  const abi: AbiTable = JSON.parse(readFileSync(join(ROOT, 'native/abi/llama.json'), 'utf8'));
  return openLocalEngine({
    addon: loadAddon(),
    abi,
    library: { path: libraryPath() ?? '', preload: [], unknownSymbols: [], allowUnknown: false },
    options: engineOptions({ modelPath, contextTokens: 4096, batchTokens: 512, ...changes }),
  });
}
