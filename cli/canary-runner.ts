/**
 * Runs the canary for a command and shows it check by check. Runs in the CLI process; the library is
 * opened by processes of its own only.
 */
import type { CanaryCheck, CanaryReport } from '../src/canary/canary.js';
import type { LocalLibraries } from './local-library.js';
import { plain, print, type Words } from './print.js';
import type { Shell } from './shell.js';

const NAMES: Readonly<Record<CanaryCheck['name'], Words>> = {
  identify: { ja: '身元', en: 'identity' },
  load: { ja: '読み込み', en: 'load' },
  text: { ja: '文章', en: 'text' },
  logits: { ja: '計算の値', en: 'logits' },
  embeddings: { ja: '埋め込み', en: 'embeddings' },
  state: { ja: '状態の保存', en: 'state' },
  grammar: { ja: '文法', en: 'grammar' },
  cancel: { ja: '中断', en: 'cancel' },
};

/** Proves the libllama at `path`, showing each check as it ends. Codes: cancelled, library_*. */
export async function showCanary(
  path: string,
  { config, env }: LocalLibraries,
  options: { readonly minimal: boolean; readonly shell: Shell; readonly signal: AbortSignal },
): Promise<CanaryReport> {
  const { runCanary } = await import('../src/canary/canary.js');
  const { libraryFiles } = await import('../src/library/known.js');
  const { silentLog } = await import('../src/log.js');
  const { minimal, shell, signal } = options;
  return runCanary({
    files: await libraryFiles(path, minimal, env),
    env,
    cacheDir: config.cacheDir,
    gpuLayers: config.nGpuLayers === 'auto' ? -1 : config.nGpuLayers,
    log: silentLog,
    signal,
    onCheck: (check) => print(lineOf(check, shell)),
  });
}

function lineOf(check: CanaryCheck, { say }: Shell): string {
  const { name, ok, detail, detail_ja = detail, ms } = check;
  const mark = ok ? '✓' : '✗';
  const seen = say({ ja: detail_ja, en: detail });
  return plain(`  ${mark} ${say(NAMES[name])}  ${Math.round(ms)} ms  ${seen}`);
}
