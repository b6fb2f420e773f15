/**
 * Checks of the settings and of who may read them. Main thread; secrets are never shown.
 */
import { dirname } from 'node:path';
import type { Origin } from '../config.js';
import { SETTINGS } from '../settings.js';
import { type Finding, finding, type Text, textOf } from './check.js';
import { type Patient, shortPath } from './patient.js';

const ORIGINS: Readonly<Record<Origin, Text>> = {
  flag: { ja: 'フラグ', en: 'flag' },
  environment: { ja: '環境変数', en: 'environment' },
  file: { ja: 'ファイル', en: 'file' },
  default: { ja: '既定値', en: 'default' },
};

/** The checks `config.*`. */
export async function examineSettings(patient: Patient): Promise<readonly Finding[]> {
  return [settingsFinding(patient), hintsFinding(patient), await permissionsFinding(patient)];
}

function settingsFinding({ settings }: Patient): Finding {
  const { config, problems } = settings;
  if (problems.length > 0) {
    const texts = problems.map(textOf);
    return finding(
      'config.settings',
      'broken',
      {
        ja: texts.map(({ ja }) => ja).join(' / '),
        en: texts.map(({ en }) => en).join(' / '),
      },
      {
        ja: '名指しされた値を直してください。ほかの確認は、そこだけ既定値にして続けました(docs/CONFIG.md)',
        en: 'Mend the values named; the other checks went on with their defaults (docs/CONFIG.md)',
      },
    );
  }
  const set = SETTINGS.filter(({ key }) => config.origins[key] !== 'default');
  const file = shortPath(config.envFile, config);
  if (set.length === 0) {
    return finding('config.settings', 'ok', {
      ja: `すべて既定値(ファイルは ${file})`,
      en: `All at their defaults (the file would be ${file})`,
    });
  }
  const shown = (language: 'ja' | 'en') =>
    set
      .map(({ key }) => `${key}=${settings.texts[key]} (${ORIGINS[config.origins[key]][language]})`)
      .join(', ');
  const fromFile = set.some(({ key }) => config.origins[key] === 'file');
  return finding('config.settings', 'ok', {
    ja: shown('ja') + (fromFile ? ` — ${file}` : ''),
    en: shown('en') + (fromFile ? ` — ${file}` : ''),
  });
}

function hintsFinding({ settings }: Patient): Finding {
  const { hints } = settings.config;
  if (hints.length === 0) {
    return finding('config.hints', 'ok', { ja: 'ありません', en: 'None' });
  }
  // Each hint is written as Japanese, a slash, English.
  const halves = hints.map((hint) => /^(.*?) \/ (.*)$/s.exec(hint) ?? [hint, hint, hint]);
  const half = (at: 1 | 2) => halves.map((pair) => pair[at]).join('; ');
  return finding('config.hints', 'warning', { ja: half(1), en: half(2) });
}

/** What others on this machine could read: the server's token, and the key in the .env file. */
async function permissionsFinding({ machine, settings }: Patient): Promise<Finding> {
  const { config } = settings;
  if (machine.platform === 'win32') {
    return finding('config.permissions', 'skipped', {
      ja: 'Windows では見ません',
      en: 'Not looked at on Windows',
    });
  }
  const secret = config.apiKey !== null && config.origins.API_KEY === 'file';
  const paths = [config.runFile, ...(secret ? [config.envFile] : [])];
  const open: string[] = [];
  for (const path of paths) {
    const [facts, above] = [await machine.facts(path), await machine.facts(dirname(path))];
    const isReachable = ((above?.mode ?? 0) & 0o011) !== 0;
    if (facts && isReachable && (facts.mode & 0o044) !== 0) open.push(path);
  }
  if (open.length === 0) {
    return finding('config.permissions', 'ok', {
      ja: '鍵とトークンは、ほかの人には読めません',
      en: 'Keys and tokens are not readable by others',
    });
  }
  const short = open.map((path) => shortPath(path, config)).join(' ');
  return finding(
    'config.permissions',
    'warning',
    {
      ja: `このマシンのほかの利用者が読めます: ${short}`,
      en: `Other users of this machine can read: ${short}`,
    },
    { ja: `chmod 600 ${short}`, en: `chmod 600 ${short}` },
  );
}
