/**
 * Checks of the places Hoshikage writes to and reads from. Main thread; nothing is created.
 */
import { dirname, resolve } from 'node:path';
import type { Config } from '../config.js';
import { sizeText } from '../models/size-text.js';
import { type Finding, finding } from './check.js';
import type { Machine } from './machine.js';
import { type Patient, shortPath } from './patient.js';

/** Below this, saved state, logs and a downloaded library may not fit. */
const LITTLE_SPACE_BYTES = 1024 ** 3;
/** Below this, not even the map, the sample model or a conversation can be written. */
const NO_SPACE_BYTES = 16 * 1024 ** 2;

/** Where conversations are kept unless STATE_DIR names another place. */
const SHARED_MEMORY = '/dev/shm';

/** The checks `storage.*`. */
export async function examineStorage(patient: Patient): Promise<readonly Finding[]> {
  return [
    await directoriesFinding(patient),
    await spaceFinding(patient),
    await ramdiskFinding(patient),
    await statesFinding(patient),
  ];
}

/** Directories that are written to, with the setting that names each. */
function written(config: Config): readonly (readonly [path: string, setting: string])[] {
  return [
    [config.configDir, 'XDG_CONFIG_HOME'],
    [config.cacheDir, 'XDG_CACHE_HOME'],
    [config.libDir, 'XDG_CONFIG_HOME'],
    [dirname(resolve(config.modelMapFile)), 'MODEL_MAP_FILE'],
    ...(config.logFilePath ? [[dirname(config.logFilePath), 'LOG_FILE_PATH'] as const] : []),
  ];
}

async function directoriesFinding({ machine, settings }: Patient): Promise<Finding> {
  const { config } = settings;
  const bad: string[] = [];
  const names: string[] = [];
  for (const [path, setting] of written(config)) {
    const there = await nearest(machine, path);
    const facts = there === null ? null : await machine.facts(there);
    const usable = there !== null && facts?.kind === 'directory' && (await machine.writable(there));
    if (!usable) {
      bad.push(path);
      if (!names.includes(setting)) names.push(setting);
    }
  }
  if (bad.length === 0) {
    const [config_, cache] = [config.configDir, config.cacheDir].map((one) =>
      shortPath(one, config),
    );
    return finding('storage.directories', 'ok', {
      ja: `書き込めます(設定 ${config_}、キャッシュ ${cache})`,
      en: `Writable (settings ${config_}, cache ${cache})`,
    });
  }
  const short = bad.map((path) => shortPath(path, config)).join(', ');
  return finding(
    'storage.directories',
    'broken',
    { ja: `書き込めません: ${short}`, en: `Not writable: ${short}` },
    {
      ja: `持ち主と権限を直すか、${names.join('、')} で別の場所にしてください`,
      en: `Mend owner and permissions, or choose other places with ${names.join(', ')}`,
    },
  );
}

/** The path itself, or the nearest directory above it that is there: what would be made is made in it. */
async function nearest(machine: Machine, path: string): Promise<string | null> {
  for (let at = resolve(path); ; at = dirname(at)) {
    if (await machine.exists(at)) return at;
    if (dirname(at) === at) return null;
  }
}

async function spaceFinding({ machine, settings }: Patient): Promise<Finding> {
  const { configDir, cacheDir, modelDir } = settings.config;
  const least = { path: '', freeBytes: Number.POSITIVE_INFINITY, isWritten: false };
  const parts: string[] = [];
  for (const path of [...new Set([configDir, cacheDir, modelDir])]) {
    const there = await nearest(machine, path);
    const space = there === null ? null : await machine.space(there);
    if (!space) continue;
    parts.push(`${shortPath(path, settings.config)} ${sizeText(space.freeBytes)}`);
    if (path !== modelDir && space.freeBytes < least.freeBytes) {
      Object.assign(least, { path, freeBytes: space.freeBytes });
    }
  }
  if (parts.length === 0) {
    return finding('storage.space', 'skipped', {
      ja: '分かりません',
      en: 'Not known',
    });
  }
  if (least.freeBytes >= LITTLE_SPACE_BYTES)
    return finding('storage.space', 'ok', parts.join(', '));
  const state = least.freeBytes < NO_SPACE_BYTES ? 'broken' : 'warning';
  const short = shortPath(least.path, settings.config);
  return finding('storage.space', state, parts.join(', '), {
    ja: `${short} のあるディスクに空きを作ってください`,
    en: `Make room on the disk that holds ${short}`,
  });
}

async function ramdiskFinding({ machine, settings }: Patient): Promise<Finding> {
  const path = settings.config.ramdiskPath;
  if (path === null) {
    return finding('storage.ramdisk', 'skipped', {
      ja: '使いません(RAMDISK_PATH が空です)',
      en: 'Not used (RAMDISK_PATH is empty)',
    });
  }
  if (machine.platform !== 'linux') {
    return finding('storage.ramdisk', 'skipped', {
      ja: '使いません(Linux でないため)',
      en: 'Not used (this is not Linux)',
    });
  }
  if (settings.config.ramdiskMode === 'off') {
    return finding('storage.ramdisk', 'skipped', {
      ja: '使いません(RAMDISK_MODE=off)',
      en: 'Not used (RAMDISK_MODE=off)',
    });
  }
  const facts = await machine.facts(path);
  const space = facts?.kind === 'directory' ? await machine.space(path) : null;
  if (!space && settings.config.origins.RAMDISK_PATH === 'default') {
    return finding('storage.ramdisk', 'skipped', {
      ja: `${path} がないので、RAM ディスクは使いません`,
      en: `There is no ${path}, so no RAM disk is used`,
    });
  }
  if (!space) {
    return finding(
      'storage.ramdisk',
      'warning',
      { ja: `${path} というディレクトリはありません`, en: `There is no directory ${path}` },
      { ja: 'RAMDISK_PATH を直してください', en: 'Mend RAMDISK_PATH' },
    );
  }
  if (!(await machine.writable(path))) {
    return finding(
      'storage.ramdisk',
      'warning',
      { ja: `${path} に書き込めません`, en: `${path} is not writable` },
      {
        ja: 'モデルはいつものファイルから読みます。使うなら、権限か RAMDISK_PATH を直してください',
        en: 'Models are read from their own files; to use it, mend its permissions or RAMDISK_PATH',
      },
    );
  }
  const [free, total] = [sizeText(space.freeBytes), sizeText(space.totalBytes)];
  return finding('storage.ramdisk', 'ok', {
    ja: `${path}(空き ${free} / ${total})`,
    en: `${path} (${free} of ${total} free)`,
  });
}

/** Where conversations are kept while their model is gone; in memory, or below STATE_DIR. */
async function statesFinding({ machine, settings }: Patient): Promise<Finding> {
  const { stateDir, stateCacheBytes } = settings.config;
  const id = 'storage.states';
  if (stateCacheBytes === 0) {
    return finding(id, 'skipped', {
      ja: '取っておきません(STATE_CACHE_BYTES=0)',
      en: 'Not kept (STATE_CACHE_BYTES=0)',
    });
  }
  const path = stateDir ?? (machine.platform === 'linux' ? SHARED_MEMORY : null);
  const there = path === null || stateDir === null ? path : await nearest(machine, path);
  const facts = there === null ? null : await machine.facts(there);
  const usable = there !== null && facts?.kind === 'directory' && (await machine.writable(there));
  if (path === null || (!usable && stateDir === null)) {
    return finding(id, 'skipped', {
      ja: 'メモリに置ける場所がないので、取っておきません(STATE_DIR を設定すると使えます)',
      en: 'Not kept, since there is no place in memory (STATE_DIR names one)',
    });
  }
  const short = shortPath(path, settings.config);
  if (!usable) {
    return finding(
      id,
      'warning',
      { ja: `${short} に書き込めません`, en: `${short} is not writable` },
      {
        ja: '持ち主と権限を直すか、STATE_DIR を別の場所にしてください。それまでは計算し直します',
        en: 'Mend owner and permissions, or choose another STATE_DIR; until then prompts are computed again',
      },
    );
  }
  const space = await machine.space(there);
  if (space && space.freeBytes < NO_SPACE_BYTES) {
    const left = sizeText(space.freeBytes);
    return finding(
      id,
      'warning',
      { ja: `${short} に空きがありません(${left})`, en: `No room in ${short} (${left} free)` },
      {
        ja: '空きを作るか、STATE_DIR を別の場所にしてください。それまでは計算し直します',
        en: 'Make room, or choose another place with STATE_DIR; until then prompts are computed again',
      },
    );
  }
  const limit = sizeText(stateCacheBytes);
  const free = space === null ? '?' : sizeText(space.freeBytes);
  return finding(id, 'ok', {
    ja: `${short}(空き ${free}、${limit} まで)`,
    en: `${short} (${free} free, up to ${limit})`,
  });
}
