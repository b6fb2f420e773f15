/**
 * What npm's own configuration says of a registry: its address, keys, proxies and certificates, from
 * npm_config_* variables, the user's .npmrc and the global npmrc, in npm's order. Any process. It must
 * never give a key to another host than the one it was written for, and never show one.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'ini';

/** Where npm's configuration is. */
export interface NpmPlaces {
  /** All of it: a value may name any variable. */
  readonly env: NodeJS.ProcessEnv;
  readonly home: string;
  readonly platform: NodeJS.Platform;
  /** The path of the running Node, beside which npm's global configuration is. */
  readonly execPath: string;
}

/** How to talk to the registry of one scope. */
export interface NpmConfig {
  /** Ends in a slash; without user and password. */
  readonly registry: URL;
  /** The Authorization header for an address, or null. */
  authorization(url: URL): string | null;
  /** Empty = none. */
  readonly httpProxy: string;
  readonly httpsProxy: string;
  /** Hosts that are reached without a proxy, as NO_PROXY has them. */
  readonly noProxy: string;
  /** Certificates to trust instead of Node's; null = Node's. */
  readonly ca: readonly string[] | null;
  readonly strictSsl: boolean;
}

const PUBLIC_REGISTRY = 'https://registry.npmjs.org/';

/** One source's keys and values, all of them texts. */
type Source = Readonly<Record<string, string | readonly string[]>>;

/**
 * Reads npm's configuration for packages of `scope` (`@name`). Throws a plain Error where what it says
 * cannot be used.
 */
export async function readNpmConfig(scope: string, places: NpmPlaces): Promise<NpmConfig> {
  const sources = await readSources(places);
  const all = (key: string): readonly string[] => {
    const found = sources.find((source) => source[key] !== undefined && source[key] !== '')?.[key];
    return found === undefined ? [] : [found].flat();
  };
  const text = (key: string): string => all(key).at(-1) ?? '';
  const { env, home } = places;
  const given = text(`${scope}:registry`) || text('registry') || PUBLIC_REGISTRY;
  const { url: registry, authorization: own } = registryUrl(given);
  const httpNames = [
    ['proxy', text('proxy')],
    ['http_proxy', named(env, 'http_proxy')],
    ['proxy', named(env, 'proxy')],
  ] as const;
  const httpsNames = [
    ['https-proxy', text('https-proxy')],
    ['proxy', text('proxy')],
    ['https_proxy', named(env, 'https_proxy')],
    ...httpNames,
  ] as const;
  const noProxy = all('noproxy').join(',') || named(env, 'no_proxy');
  return {
    registry,
    authorization: (url) => {
      // Whoever listens on the way reads what goes by plain http; only a registry that is itself
      // written down with http is worth it to its user.
      if (url.protocol !== 'https:' && url.origin !== registry.origin) return null;
      return keyFor(url, text) ?? (url.origin === registry.origin ? own : null);
    },
    httpProxy: proxyOf(httpNames),
    httpsProxy: proxyOf(httpsNames),
    noProxy,
    ca: await certificates(text('cafile'), all('ca'), home),
    strictSsl: text('strict-ssl') !== 'false',
  };
}

/** From the strongest to the weakest, as npm has them. */
async function readSources(places: NpmPlaces): Promise<readonly Source[]> {
  const { env, home, platform, execPath } = places;
  const fromEnv = envSource(env);
  const userFile = oneOf(fromEnv.userconfig) || join(home, '.npmrc');
  const user = await fileSource(absolute(userFile, home), env);
  const beside = platform === 'win32' ? dirname(execPath) : dirname(dirname(execPath));
  const prefix = oneOf(fromEnv.prefix) || env.PREFIX || oneOf(user.prefix) || beside;
  const globalFile =
    oneOf(fromEnv.globalconfig) ||
    oneOf(user.globalconfig) ||
    join(absolute(prefix, home), 'etc', 'npmrc');
  return [fromEnv, user, await fileSource(absolute(globalFile, home), env)];
}

function oneOf(value: string | readonly string[] | undefined): string {
  return [value ?? ''].flat().at(-1) ?? '';
}

function absolute(path: string, home: string): string {
  return resolve(path.replace(/^~(?=[\\/])/, () => home));
}

/** `npm_config_strict_ssl` is `strict-ssl`; keys that begin with // or @ keep their spelling. */
function envSource(env: NodeJS.ProcessEnv): Source {
  const source: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    const key = /^npm_config_(.+)$/i.exec(name)?.[1];
    if (key === undefined || !value) continue;
    const known = key.startsWith('//') ? key : key.replace(/(?!^)_/g, '-').toLowerCase();
    source[known] = expand(value, env);
  }
  return source;
}

async function fileSource(path: string, env: NodeJS.ProcessEnv): Promise<Source> {
  const content = await readFile(path, 'utf8').catch(() => '');
  const source: Record<string, string | readonly string[]> = {};
  // ini's types know only `any`; each value is looked at here.
  for (const [key, value] of Object.entries(parse(content) as Record<string, unknown>)) {
    const texts = [value].flat().flatMap((one) => textOf(one, env));
    if (texts.length > 0)
      source[expand(key, env)] = Array.isArray(value) ? texts : (texts[0] ?? '');
  }
  return source;
}

/** null, and a section's contents, say nothing. */
function textOf(value: unknown, env: NodeJS.ProcessEnv): string[] {
  if (typeof value === 'string') return [expand(value, env)];
  return typeof value === 'boolean' || typeof value === 'number' ? [String(value)] : [];
}

/** `${NAME}` as npm expands it: an unset one stays as it is, `${NAME?}` becomes nothing. */
function expand(text: string, env: NodeJS.ProcessEnv): string {
  return text.replace(
    /(?<!\\)(\\*)\$\{([^${}?]+)(\??)\}/g,
    (whole, slashes: string, name: string, optional: string) => {
      if (slashes.length % 2 === 1) return whole.slice((slashes.length + 1) / 2);
      const value = env[name] ?? (optional ? '' : undefined);
      return value === undefined ? whole : slashes.slice(slashes.length / 2) + value;
    },
  );
}

/** A proxy variable in either case. */
function named(env: NodeJS.ProcessEnv, name: string): string {
  return env[name] || env[name.toUpperCase()] || '';
}

/** The first one that is set; npm's `false` is none. Its value may hold a password: never shown. */
function proxyOf(given: readonly (readonly [name: string, value: string])[]): string {
  const [name, value] = given.find((one) => one[1] !== '') ?? ['', 'false'];
  if (value === 'false') return '';
  try {
    const url = new URL(value);
    // Done here as well, since whoever uses it will.
    decodeURIComponent(url.username + url.password);
    if (/^https?:$/.test(url.protocol)) return value;
  } catch {
    // Said below; the cause would name the value.
  }
  throw new Error(`\`${name}\` is no http(s) URL`);
}

function registryUrl(given: string): { url: URL; authorization: string | null } {
  let url: URL;
  try {
    url = new URL(given.endsWith('/') ? given : `${given}/`);
  } catch (cause) {
    throw new Error('the registry in the npm configuration is no URL', { cause });
  }
  if (!/^https?:$/.test(url.protocol))
    throw new Error(`the registry is no http(s) URL: ${url.host}`);
  const { username, password } = url;
  url.username = '';
  url.password = '';
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { url, authorization: username === '' ? null : basic(pair) };
}

/**
 * The key that was written for this host and the longest part of this path: `//host/path/:_authToken`
 * before `//host/:_authToken`. A key without a host belongs to none.
 */
function keyFor(url: URL, text: (key: string) => string): string | null {
  const path = url.pathname.split('/');
  for (let length = path.length; length > 0; length -= 1) {
    const start = `//${url.host}${path.slice(0, length).join('/')}`.replace(/\/$/, '');
    for (const at of [`${start}/`, start]) {
      const token = text(`${at}:_authToken`);
      if (token !== '') return `Bearer ${token}`;
      const pair = text(`${at}:_auth`);
      if (pair !== '') return `Basic ${pair}`;
      const user = text(`${at}:username`);
      const password = text(`${at}:_password`);
      if (user !== '' && password !== '') {
        return basic(`${user}:${Buffer.from(password, 'base64').toString('utf8')}`);
      }
    }
  }
  return null;
}

function basic(pair: string): string {
  return `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`;
}

async function certificates(
  cafile: string,
  ca: readonly string[],
  home: string,
): Promise<readonly string[] | null> {
  if (cafile !== '') {
    const path = absolute(cafile, home);
    const content = await readFile(path, 'utf8').catch((cause: unknown) => {
      throw new Error(`cafile cannot be read: ${path}`, { cause });
    });
    const end = '-----END CERTIFICATE-----';
    const parts = content.split(end).slice(0, -1);
    return parts.map((part) => `${part.trimStart()}${end}`);
  }
  return ca.length === 0 ? null : ca.map((one) => one.replace(/\\n/g, '\n'));
}
