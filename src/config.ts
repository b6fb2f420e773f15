/**
 * Reads every setting once (flag > environment > .env file > default) into a frozen Config with the
 * origin of each value. The only file that reads process.env; it never writes to it. Runs in the
 * server and in the CLI, on the main thread, synchronously. A value that does not fit throws
 * `setting_invalid`, naming key, value and source. zod is left out on purpose: all values are single
 * texts, and loading it would cost the CLI more than the whole of its work.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, posix, resolve, win32 } from 'node:path';
import { parse as parseDotenv } from 'dotenv';
import { HoshikageError } from './errors.js';
import { distance } from './near.js';
import { absolutePath, type Place } from './setting-kinds.js';
import { envLines } from './settings/env-lines.js';
import { type ModelPlaces, modelPlacesIn } from './settings/model-places.js';
import {
  FORMER_NAMES,
  SETTINGS,
  type Setting,
  type SettingKey,
  type SettingValues,
} from './settings.js';

export { SETTINGS } from './settings.js';

/** Where a value came from. */
export type Origin = 'flag' | 'environment' | 'file' | 'default';

/** The language of help and messages; the other one follows where both are shown. */
export type Language = 'ja' | 'en';

/** The places that are known without reading a setting. All absolute. */
export interface ConfigPaths {
  /** `<config>/hoshikage`. */
  readonly configDir: string;
  readonly cacheDir: string;
  /** Where a library may be dropped in. */
  readonly libDir: string;
  /** What a running server leaves for the CLI. */
  readonly runFile: string;
  /** The .env file that is read; it may not exist. */
  readonly envFile: string;
}

/** All settings and places; frozen. Times are in milliseconds, sizes in bytes. */
export interface Config extends SettingValues, ConfigPaths {
  readonly language: Language;
  readonly origins: Readonly<Record<SettingKey, Origin>>;
  /** Variables of the .env file that are no settings (LD_LIBRARY_PATH …), for the engine process. */
  readonly engineEnvironment: Readonly<Record<string, string>>;
  /** Remarks on names, lines and values without effect, Japanese and English, to be logged at start. */
  readonly hints: readonly string[];
}

/** What loadConfig reads; everything absent is taken from this process. */
export interface ConfigSources {
  /** By property name (`port`, `host` …) and `lang`; undefined values count as absent. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env?: NodeJS.ProcessEnv;
  readonly platform?: NodeJS.Platform;
  readonly home?: string;
  readonly cwd?: string;
}

type Sources = Required<ConfigSources>;

function complete(sources: ConfigSources): Sources {
  const env = sources.env ?? process.env;
  const platform = sources.platform ?? process.platform;
  const home = sources.home ?? (platform === 'win32' ? env.USERPROFILE : env.HOME);
  return {
    flags: sources.flags ?? {},
    env,
    platform,
    home: home || homedir(),
    cwd: sources.cwd ?? process.cwd(),
  };
}

/** The places of this user, without reading a setting. */
export function configPaths(sources: ConfigSources = {}): ConfigPaths {
  const { env, platform, home, cwd } = complete(sources);
  const windows = platform === 'win32';
  const { join, isAbsolute } = windows ? win32 : posix;
  // The XDG specification: a relative path in these variables is to be ignored.
  const base = (variable: string, fallback: string) => {
    const value = env[variable];
    return value && isAbsolute(value) ? value : fallback;
  };
  const configHome = windows
    ? base('APPDATA', join(home, 'AppData', 'Roaming'))
    : base('XDG_CONFIG_HOME', join(home, '.config'));
  const cacheHome = windows
    ? base('LOCALAPPDATA', join(home, 'AppData', 'Local'))
    : base('XDG_CACHE_HOME', join(home, '.cache'));
  const configDir = join(configHome, 'hoshikage');
  const chosen = env.HOSHIKAGE_CONFIG_PATH?.trim();
  return {
    configDir,
    cacheDir: join(cacheHome, 'hoshikage'),
    libDir: join(configDir, 'lib'),
    runFile: join(configDir, 'run.json'),
    envFile: chosen ? absolutePath(chosen, { baseDir: cwd, home }) : join(configDir, '.env'),
  };
}

/** The language of this user: `--lang`, else the locale, else English. */
export function chooseLanguage(sources: ConfigSources = {}): Language {
  const { flags, env, platform } = complete(sources);
  if (flags.lang === 'ja' || flags.lang === 'en') return flags.lang;
  const locale = env.LC_ALL || env.LC_MESSAGES || env.LANG;
  if (locale) return /^ja/i.test(locale) ? 'ja' : 'en';
  // Windows and macOS applications are often started without any of these.
  if (platform === 'linux') return 'en';
  return /^ja/i.test(Intl.DateTimeFormat().resolvedOptions().locale) ? 'ja' : 'en';
}

/** All settings, what is wrong with them, and how each was written. */
export interface ExaminedConfig {
  /** Where a value does not fit, the default stands in. */
  readonly config: Config;
  /** All of the code `setting_invalid`; empty where the settings are sound. */
  readonly problems: readonly HoshikageError[];
  /** Each setting as its source writes it; a secret as `***`. */
  readonly texts: Readonly<Record<SettingKey, string>>;
}

/** Reads all settings. Throws `setting_invalid`. */
export function loadConfig(sources: ConfigSources = {}): Config {
  const { config, problems } = examineConfig(sources);
  if (problems[0]) throw problems[0];
  return config;
}

/** Reads all settings, with defaults in the place of what is wrong, for whoever reports it. */
export function examineConfig(sources: ConfigSources = {}): ExaminedConfig {
  const from = complete(sources);
  const paths = configPaths(from);
  const named = Boolean(from.env.HOSHIKAGE_CONFIG_PATH?.trim());
  const problems: HoshikageError[] = [];
  const text = attempt(problems, () => readEnvFile(paths.envFile, named)) ?? '';
  const file = parseDotenv(text);
  const values: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  const texts: Record<string, string> = {};
  for (const setting of SETTINGS as readonly Setting[]) {
    const found = find(setting, from, file, paths);
    const value = attempt(problems, () => read(setting, found));
    values[setting.property] = value === undefined ? read(setting, usual(setting, from)) : value;
    origins[setting.key] = found.origin;
    texts[setting.key] = setting.secret && found.raw !== '' ? '***' : found.raw.trim();
  }
  const config = Object.freeze({
    // The loop above filled every property by its own kind; the compiler cannot follow that.
    ...(values as unknown as SettingValues),
    ...paths,
    language: chooseLanguage(from),
    origins: Object.freeze(origins as Record<SettingKey, Origin>),
    engineEnvironment: Object.freeze(engineEnvironment(file, from.env)),
    hints: Object.freeze([...nameHints(file, from.env), ...lineHints(text, paths.envFile)]),
  });
  return { config, problems, texts: texts as Record<SettingKey, string> }; // the same loop
}

/** What `work` gives; undefined where it throws a HoshikageError, which joins the problems. */
function attempt<T>(problems: HoshikageError[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof HoshikageError)) throw error;
    problems.push(error);
    return undefined;
  }
}

/**
 * What a text would mean as a line of the .env file. Codes: setting_invalid; setting_unknown where the key
 * is no setting.
 */
export function valueInFile(key: string, raw: string, sources: ConfigSources = {}): unknown {
  const setting = (SETTINGS as readonly Setting[]).find((one) => one.key === key);
  if (!setting) throw new HoshikageError('setting_unknown', { key });
  const from = complete(sources);
  const { envFile } = configPaths(from);
  // It is not in the file yet.
  const source = { en: 'what was given', ja: '渡された値' };
  const place = { baseDir: dirname(envFile), home: from.home };
  return read(setting, { raw, origin: 'file', source, place });
}

/** The text of the .env file; a file that was named must exist. */
function readEnvFile(path: string, named: boolean): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    if (missing && !named) return '';
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw invalidFile({ path, named }, { en: reason, ja: `読めません: ${reason}` }, cause);
  }
  if (text.includes('\0')) {
    const reason = { en: 'it is not UTF-8 text', ja: 'UTF-8 のテキストではありません' };
    throw invalidFile({ path, named }, reason);
  }
  return text.replace(/^\uFEFF/, '');
}

function invalidFile(
  { path, named }: { readonly path: string; readonly named: boolean },
  reason: { readonly en: string; readonly ja: string },
  cause?: unknown,
): HoshikageError {
  return new HoshikageError(
    'setting_invalid',
    {
      key: 'HOSHIKAGE_CONFIG_PATH',
      value: path,
      origin: named ? 'the environment' : 'the default',
      origin_ja: named ? '環境変数' : '既定値',
      reason: reason.en,
      reason_ja: reason.ja,
    },
    { cause },
  );
}

interface Found {
  readonly raw: string;
  readonly origin: Origin;
  /** The source in words. */
  readonly source: { readonly en: string; readonly ja: string };
  readonly place: Place;
}

/** The text that counts for a setting. */
function find(
  setting: Setting,
  from: Sources,
  file: Record<string, string>,
  paths: ConfigPaths,
): Found {
  const { home, cwd } = from;
  const counts = (raw: string | undefined): raw is string =>
    raw !== undefined && (raw.trim() !== '' || setting.emptyCounts === true);
  const flag = from.flags[setting.property];
  if (flag !== undefined) {
    const source = `--${setting.property}`;
    const place = { baseDir: cwd, home };
    return { raw: String(flag), origin: 'flag', source: { en: source, ja: source }, place };
  }
  const variable = from.env[setting.key];
  if (counts(variable)) {
    const source = { en: 'the environment', ja: '環境変数' };
    return { raw: variable, origin: 'environment', source, place: { baseDir: cwd, home } };
  }
  const line = file[setting.key];
  if (counts(line)) {
    const source = { en: paths.envFile, ja: paths.envFile };
    return { raw: line, origin: 'file', source, place: { baseDir: dirname(paths.envFile), home } };
  }
  return usual(setting, from);
}

/** The default of a setting. */
function usual(setting: Setting, from: Sources): Found {
  const source = { en: 'the default', ja: '既定値' };
  const place = { baseDir: configPaths(from).configDir, home: from.home };
  return { raw: setting.default, origin: 'default', source, place };
}

/** The value of a text that was found. Throws `setting_invalid`. */
function read({ key, kind, secret }: Setting, { raw, source, place }: Found): unknown {
  const text = raw.trim();
  const value = text === '' ? kind.empty : kind.parse(text, place);
  if (value !== undefined) return Array.isArray(value) ? Object.freeze(value) : value;
  throw new HoshikageError('setting_invalid', {
    key,
    value: secret ? '***' : text.slice(0, 200),
    origin: source.en,
    origin_ja: source.ja,
    reason: `expected ${kind.en}`,
    reason_ja: `${kind.ja}を指定してください`,
  });
}

function isSettingKey(key: string): boolean {
  return SETTINGS.some((setting) => setting.key === key);
}

/** What the engine process gets besides the environment; a variable that is already set wins. */
function engineEnvironment(
  file: Record<string, string>,
  env: NodeJS.ProcessEnv,
): Record<string, string> {
  const own = Object.entries(file).filter(
    ([key]) =>
      !isSettingKey(key) &&
      !Object.hasOwn(FORMER_NAMES, key) &&
      key !== 'HOSHIKAGE_CONFIG_PATH' &&
      !env[key],
  );
  return Object.fromEntries(own);
}

/** Remarks on former names and on likely typing errors. */
function nameHints(file: Record<string, string>, env: NodeJS.ProcessEnv): string[] {
  const remarks: string[] = [];
  for (const [name, successor] of Object.entries(FORMER_NAMES)) {
    if (file[name] === undefined && !env[name]) continue;
    remarks.push(
      successor === null
        ? `${name} はこの版では使いません / ${name} has no effect in this version`
        : `${name} は使いません。${successor} を使ってください / ${name} has no effect; use ${successor}`,
    );
  }
  for (const name of Object.keys(file)) {
    if (isSettingKey(name) || Object.hasOwn(FORMER_NAMES, name)) continue;
    const near = SETTINGS.find(({ key }) => distance(name.toUpperCase(), key) <= 1)?.key;
    if (near) {
      remarks.push(`${name} は ${near} の誤りではありませんか / ${name}: did you mean ${near}?`);
    }
  }
  return remarks;
}

/** Remarks on lines that say nothing; their text may be a secret, so only the number is told. */
function lineHints(text: string, envFile: string): string[] {
  return envLines(text)
    .filter(({ isStray }) => isStray)
    .map(
      ({ at }) =>
        `${envFile} の ${at + 1} 行目は 名前=値 の形ではないので無視しました / ${envFile}, line ${at + 1}: ignored, because it is not NAME=value`,
    );
}

/** Makes the directories the server writes to or looks into. Throws `setting_invalid`. */
export function createDirectories(config: Config): void {
  const wanted: [key: string, path: string, mode: number][] = [
    ['XDG_CONFIG_HOME', config.configDir, 0o700],
    ['XDG_CACHE_HOME', config.cacheDir, 0o700],
    ['XDG_CONFIG_HOME', config.libDir, 0o755],
    ['MODEL_DIR', config.modelDir, 0o755],
    ['MODEL_MAP_FILE', dirname(resolve(config.modelMapFile)), 0o755],
  ];
  if (config.logFilePath) wanted.push(['LOG_FILE_PATH', dirname(config.logFilePath), 0o755]);
  for (const [key, path, mode] of wanted) {
    try {
      mkdirSync(path, { recursive: true, mode });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new HoshikageError(
        'setting_invalid',
        {
          key,
          value: path,
          origin: 'directory',
          origin_ja: 'ディレクトリ',
          reason: `cannot create it: ${reason}`,
          reason_ja: `作れません: ${reason}`,
        },
        { cause },
      );
    }
  }
}

/** Refuses an address that others can reach without a key. Throws `insecure_bind`. */
export function checkBind({ host, apiKey, allowInsecureBind }: Config): void {
  if (apiKey !== null || allowInsecureBind || isLoopback(host)) return;
  throw new HoshikageError('insecure_bind', { host });
}

/** True for names and addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The whole environment of an engine process: ours without our settings, and the .env file's rest. */
export function engineEnvironmentOf(
  config: Pick<Config, 'engineEnvironment'>,
  env: NodeJS.ProcessEnv = process.env,
): NodeJS.ProcessEnv {
  const inherited = Object.entries(env).filter(([name]) => !isSettingKey(name));
  return { ...Object.fromEntries(inherited), ...config.engineEnvironment };
}

/** The package that npx was started with, as it was written; empty where none was. */
export function npxPackage({ npm_config_package }: NodeJS.ProcessEnv = process.env): string {
  return npm_config_package ?? '';
}

/**
 * This process's environment for reading npm's own configuration, whose values may name any variable.
 * Nothing of it may be shown or kept.
 */
export function npmEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return env;
}

/**
 * Proxies of HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case, as the environment or the .env file
 * has them. A value may hold a password: it is never shown. Throws `setting_invalid`.
 */
export function proxiesOf(
  config: Pick<Config, 'engineEnvironment'>,
  env: NodeJS.ProcessEnv = process.env,
): { readonly httpProxy: string; readonly httpsProxy: string; readonly noProxy: string } {
  const named = (name: string): string =>
    [env, config.engineEnvironment]
      .flatMap((source) => [source[name], source[name.toUpperCase()]])
      .find((value) => value) ?? '';
  const proxy = (name: string): string => {
    const value = named(name);
    const url = value === '' || /^\w+:\/\//.test(value) ? value : `http://${value}`;
    if (url === '' || (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))) return url;
    throw new HoshikageError('setting_invalid', {
      key: name.toUpperCase(),
      value: '***',
      origin: 'the environment',
      origin_ja: '環境変数',
      reason: 'expected an http(s) address',
      reason_ja: 'http(s) のアドレスを指定してください',
    });
  };
  return {
    httpProxy: proxy('http_proxy'),
    httpsProxy: proxy('https_proxy') || proxy('http_proxy'),
    noProxy: named('no_proxy'),
  };
}

/** What this process's environment says of other programs' models. */
export function modelPlaces(sources: ConfigSources = {}): ModelPlaces {
  return modelPlacesIn(complete(sources));
}
