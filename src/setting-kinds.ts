/**
 * The kinds of value a setting can have: what a text must look like, and what it becomes.
 * Pure functions, any thread. They touch no file and no environment, and never guess: a text that
 * does not fit is refused (undefined) and the caller names key, value and source.
 */
import { isAbsolute, join, resolve } from 'node:path';

/** Where a raw text was found, as far as its meaning depends on it. */
export interface Place {
  /** Absolute directory that a relative path starts from. */
  readonly baseDir: string;
  /** The user's home directory, for `~`. */
  readonly home: string;
}

/** One kind of value. `en` and `ja` complete "expected …" and are shown when a value is refused. */
export interface Kind<T> {
  readonly type: 'integer' | 'number' | 'boolean' | 'text' | 'choice' | 'list' | 'path';
  readonly en: string;
  readonly ja: string;
  /** The value of a trimmed text that is not empty; undefined = refused. */
  parse(raw: string, place: Place): T | undefined;
  /** The value of an empty text. */
  readonly empty?: T;
}

interface Bounds {
  readonly min: number;
  readonly max: number;
}

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function decimal(raw: string, { min, max }: Bounds): number | undefined {
  if (!DECIMAL.test(raw)) return undefined;
  const value = Number(raw);
  return Number.isFinite(value) && value >= min && value <= max ? value : undefined;
}

function range({ min, max }: Bounds): string {
  return max === Number.MAX_SAFE_INTEGER ? `>= ${min}` : `${min} - ${max}`;
}

/** A whole number within bounds, both included. */
export function integer(min: number, max = Number.MAX_SAFE_INTEGER): Kind<number> {
  const shown = range({ min, max });
  return {
    type: 'integer',
    en: `a whole number (${shown})`,
    ja: `整数(${shown})`,
    parse: (raw) => (/^[+-]?\d+$/.test(raw) ? decimal(raw, { min, max }) : undefined),
  };
}

/** A decimal number within bounds, both included. */
export function number(min: number, max = Number.MAX_SAFE_INTEGER): Kind<number> {
  const shown = range({ min, max });
  return {
    type: 'number',
    en: `a number (${shown})`,
    ja: `数値(${shown})`,
    parse: (raw) => decimal(raw, { min, max }),
  };
}

/** The longest delay a Node timer can keep. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A length of time, fractions allowed, given in `unitMs`; the value is in whole milliseconds. */
export function duration(unit: 'seconds' | 'minutes', min = 0): Kind<number> {
  const unitMs = unit === 'seconds' ? 1000 : 60_000;
  const max = Math.floor(MAX_TIMER_MS / unitMs);
  return {
    type: 'number',
    en: `${unit} (${min} - ${max}, fractions allowed)`,
    ja: `${unit === 'seconds' ? '秒' : '分'}(${min} - ${max}、小数も可)`,
    parse(raw) {
      const value = decimal(raw, { min, max });
      return value === undefined ? undefined : Math.ceil(value * unitMs);
    },
  };
}

const TRUE = new Set(['1', 'true', 'yes', 'on']);
const FALSE = new Set(['0', 'false', 'no', 'off']);

/** Yes or no. */
export function boolean(): Kind<boolean> {
  return {
    type: 'boolean',
    en: '1 or 0 (also true/false, yes/no, on/off)',
    ja: '1 または 0(true/false、yes/no、on/off も可)',
    parse(raw) {
      const lower = raw.toLowerCase();
      if (TRUE.has(lower)) return true;
      return FALSE.has(lower) ? false : undefined;
    },
  };
}

/** One of a few words, upper or lower case. */
export function choice<const T extends string>(...words: readonly T[]): Kind<T> {
  return {
    type: 'choice',
    en: words.length === 1 ? `${words[0]}` : `one of ${words.join(', ')}`,
    ja: words.length === 1 ? `${words[0]}` : `${words.join('、')} のどれか`,
    parse: (raw) => words.find((word) => word === raw.toLowerCase()),
  };
}

/** A file or directory; the value is absolute, `~` expanded. */
export function path(): Kind<string> {
  return {
    type: 'path',
    en: 'a path',
    ja: 'パス',
    parse: (raw, place) => (raw.includes('\0') ? undefined : absolutePath(raw, place)),
  };
}

/** An absolute path from a text: `~` and `~/…` mean the home directory, the rest starts at `baseDir`. */
export function absolutePath(raw: string, { baseDir, home }: Place): string {
  if (raw === '~') return home;
  if (raw.startsWith('~/') || raw.startsWith('~\\')) return join(home, raw.slice(2));
  return isAbsolute(raw) ? raw : resolve(baseDir, raw);
}

/** A model by its name, which is kept as it is, or by its file's path, `~` expanded. */
export function modelReference(): Kind<string> {
  return {
    type: 'text',
    en: 'the name of a model, or the absolute path of a GGUF file',
    ja: 'モデルの名前か、GGUF ファイルの絶対パス',
    parse: (raw, place) => {
      if (raw.includes('\0')) return undefined;
      return /^~[\\/]/.test(raw) ? absolutePath(raw, place) : raw;
    },
  };
}

/** A host name or address to listen on, without a port; brackets around an IPv6 address are dropped. */
export function host(): Kind<string> {
  const address = /^(\[[0-9a-f:.%]+\]|[0-9a-f]*:[0-9a-f:.%]*:[0-9a-f:.%]*|[a-z0-9._-]+)$/i;
  return {
    type: 'text',
    en: 'a host name or an IP address, without a port',
    ja: 'ホスト名または IP アドレス(ポートは含めない)',
    parse: (raw) => (address.test(raw) ? raw.replace(/^\[|\]$/g, '') : undefined),
  };
}

/** A bearer token: what an Authorization header can carry (RFC 6750). */
export function bearerToken(): Kind<string> {
  return {
    type: 'text',
    en: 'letters, digits and -._~+/ (an Authorization header carries nothing else)',
    ja: '英数字と -._~+/(Authorization ヘッダーで送れる文字)',
    parse: (raw) => (/^[A-Za-z0-9._~+/-]+=*$/.test(raw) ? raw : undefined),
  };
}

/** Items separated by commas; every item must pass `item`, which may also normalise it. */
function list<T>(
  words: { en: string; ja: string },
  item: (raw: string) => T | undefined,
): Kind<readonly T[]> {
  return {
    type: 'list',
    ...words,
    empty: [],
    parse(raw) {
      const items: T[] = [];
      for (const part of raw.split(',')) {
        const value = item(part.trim());
        if (value === undefined) return undefined;
        items.push(value);
      }
      return items;
    },
  };
}

/** Host names as they stand in a Host header, lower case, without a port. */
export function hostNames(): Kind<readonly string[]> {
  const { parse } = host();
  return list({ en: 'host names, separated by commas', ja: 'ホスト名(コンマ区切り)' }, (raw) =>
    parse(raw.toLowerCase(), { baseDir: '', home: '' }),
  );
}

/** Origins as a browser sends them (`https://app.example`), or `*` for any. */
export function webOrigins(): Kind<readonly string[]> {
  return list(
    {
      en: 'origins such as http://localhost:5173, separated by commas, or *',
      ja: 'http://localhost:5173 のようなオリジン(コンマ区切り)、または *',
    },
    (raw) => {
      const origin = raw.toLowerCase().replace(/\/$/, '');
      return origin === '*' || /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/.test(origin)
        ? origin
        : undefined;
    },
  );
}

/** The address of a service, without a slash at its end; no password and no query may stand in it. */
export function webAddress(): Kind<string> {
  return {
    type: 'text',
    en: 'an http(s) address without a password',
    ja: 'http(s) のアドレス(パスワードは含めない)',
    parse: (raw) => {
      if (!/^https?:\/\//i.test(raw) || !URL.canParse(raw)) return undefined;
      const { origin, pathname, username, password, search, hash } = new URL(raw);
      if (username + password + search + hash !== '') return undefined;
      return origin + pathname.replace(/\/+$/, '');
    },
  };
}

/** Shares of a whole, e.g. `3,1`: numbers from 0, at least one above it. */
export function shares(): Kind<readonly number[]> {
  const kind = list({ en: 'shares such as 3,1', ja: '3,1 のような比率' }, (raw) =>
    decimal(raw, { min: 0, max: 1_000_000 }),
  );
  return {
    type: 'list',
    en: kind.en,
    ja: kind.ja,
    parse(raw, place) {
      const parts = kind.parse(raw, place);
      return parts?.some((part) => part > 0) ? parts : undefined;
    },
  };
}

/** The kind, or null where nothing is given. */
export function optional<T>(kind: Kind<T>): Kind<T | null> {
  return { ...kind, empty: null };
}

/** What the one kind takes, or else the other. */
export function either<A, B>(one: Kind<A>, other: Kind<B>): Kind<A | B> {
  return {
    type: other.type,
    en: `${one.en}, or ${other.en}`,
    ja: `${one.ja}、または${other.ja}`,
    parse: (raw, place) => one.parse(raw, place) ?? other.parse(raw, place),
  };
}
