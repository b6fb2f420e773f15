/**
 * Checks of the models: the map, the files it names, and what lies in MODEL_DIR. Main thread; reads
 * headers only, and changes nothing.
 */
import type { Config } from '../config.js';
import { readModelFiles } from '../models/model-files.js';
import { type ModelEntry, ModelRegistry } from '../models/registry.js';
import { scanModels } from '../models/scan.js';
import { type Finding, finding, type Text, textOf } from './check.js';
import { listed, type Patient, shellQuoted, shortPath } from './patient.js';

/** The checks `models.*`. */
export async function examineModels(
  { settings, command }: Patient,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const { config } = settings;
  const directory = await directoryFinding(config, signal);
  try {
    const entries = await new ModelRegistry(config.modelMapFile).read();
    const map = shortPath(config.modelMapFile, config);
    const count = finding('models.map', 'ok', {
      ja: entries.length === 0 ? 'まだ何も登録されていません' : `${entries.length} 件(${map})`,
      en: entries.length === 0 ? 'Nothing is added yet' : `${entries.length} models (${map})`,
    });
    return [count, await filesFinding(entries, command, signal), directory];
  } catch (error) {
    const remedy = {
      ja: '言われた場所をエディターで直してください。星影はこのファイルに触れていません',
      en: 'Mend the place named with an editor; Hoshikage has not touched the file',
    };
    const files = finding('models.files', 'skipped', {
      ja: '台帳が読めないため',
      en: 'Because the map cannot be read',
    });
    return [finding('models.map', 'broken', textOf(error), remedy), files, directory];
  }
}

async function filesFinding(
  entries: readonly ModelEntry[],
  command: string,
  signal: AbortSignal,
): Promise<Finding> {
  if (entries.length === 0) {
    return finding('models.files', 'skipped', {
      ja: '登録したモデルはありません(付属の hoshikage-guide が使えます)',
      en: 'No model is added (the built-in hoshikage-guide is offered)',
    });
  }
  const bad: { readonly id: string; readonly why: Text }[] = [];
  for (const { id, path } of entries) {
    signal.throwIfAborted();
    const why = await problemOf(path);
    if (why) bad.push({ id, why });
  }
  if (bad.length === 0) {
    return finding('models.files', 'ok', {
      ja: 'すべてのファイルがあり、見出しが読めます',
      en: 'Every file is there and has a sound header',
    });
  }
  const told = (language: 'ja' | 'en') =>
    listed(bad.map(({ id, why }) => `${id}: ${why[language]}`))[language];
  const first = bad[0]?.id ?? '';
  return finding(
    'models.files',
    'broken',
    { ja: told('ja'), en: told('en') },
    {
      ja: `ファイルを戻すか、登録を外してください(${command} rm ${shellQuoted(first)})`,
      en: `Put the file back, or take the model out (${command} rm ${shellQuoted(first)})`,
    },
  );
}

/** Why a model's files cannot be used, or null. */
async function problemOf(path: string): Promise<Text | null> {
  try {
    await readModelFiles(path);
    return null;
  } catch (error) {
    return textOf(error);
  }
}

async function directoryFinding(config: Config, signal: AbortSignal): Promise<Finding> {
  const short = shortPath(config.modelDir, config);
  const found = await scanModels(config.modelDir).catch((error: Error) => error);
  if (found instanceof Error) {
    return finding('models.directory', 'warning', {
      ja: `${short} を読めません: ${found.message}`,
      en: `${short} cannot be read: ${found.message}`,
    });
  }
  const bad: string[] = [];
  for (const { id, path } of found.entries) {
    signal.throwIfAborted();
    if (await problemOf(path)) bad.push(id);
  }
  const count = found.entries.length;
  const sound = { ja: `${short} に ${count} 件`, en: `${count} in ${short}` };
  if (bad.length === 0 && found.skipped.length === 0) {
    return finding('models.directory', 'ok', sound);
  }
  const names = listed([...bad, ...found.skipped.map(({ path }) => path)]);
  return finding(
    'models.directory',
    'warning',
    {
      ja: `${sound.ja}。使えないもの: ${names.ja}`,
      en: `${sound.en}; not usable: ${names.en}`,
    },
    {
      ja: 'ダウンロードし直すか、ほかへ移してください',
      en: 'Download them again, or move them away',
    },
  );
}
