/**
 * From a zod issue to one of our errors: OpenAI's `param` (`messages[0].content`) and a reason in
 * both languages. Runs in the server. It must never put a value that a client sent into its words.
 */
import type { z } from 'zod';
import { HoshikageError } from '../../errors.js';

type Issue = z.core.$ZodIssue;

/** A reason in both languages. */
export interface Reason {
  readonly ja: string;
  readonly en: string;
}

/** The most characters of a key that an error or the log repeats. */
const MAX_SHOWN_KEY = 100;

/** A key as an error and the log may show it: of a client's own, which may be any text, the beginning. */
export function shownKey(key: string): string {
  return key.length > MAX_SHOWN_KEY ? `${key.slice(0, MAX_SHOWN_KEY)}…` : key;
}

/** `['messages', 0, 'content']` as `messages[0].content`. */
export function paramOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((param, key) => {
    if (typeof key === 'number') return `${param}[${key}]`;
    const shown = shownKey(String(key));
    return param === '' ? shown : `${param}.${shown}`;
  }, '');
}

/** `invalid_value` for a parameter, with the reason in both languages. */
export function invalidValue(param: string, reason: Reason): HoshikageError {
  return new HoshikageError('invalid_value', { param, reason: reason.en, reason_ja: reason.ja });
}

/** Parses `body` or throws missing_required_parameter, invalid_value or unsupported_parameter. */
export function parseWith<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const first = deepest(result.error.issues);
  throw errorOf(first.issue, first.path, body);
}

/**
 * The issue to report: the first one; of a union the branch that got furthest, since that is the form
 * the client meant.
 */
function deepest(issues: readonly Issue[]): { issue: Issue; path: readonly PropertyKey[] } {
  const issue = issues[0];
  if (issue === undefined) throw new HoshikageError('internal_error');
  if (issue.code !== 'invalid_union' || issue.errors.length === 0)
    return { issue, path: issue.path };
  const branches = issue.errors.map((branch) => deepest(branch));
  const meant = branches.find(
    ({ issue: inner, path }) => path.length > 0 || inner.code !== 'invalid_type',
  );
  if (meant === undefined) return { issue, path: issue.path };
  return { issue: meant.issue, path: [...issue.path, ...meant.path] };
}

function errorOf(issue: Issue, path: readonly PropertyKey[], body: unknown): HoshikageError {
  const param = paramOf(path) || 'body';
  if (issue.code === 'custom' && issue.params?.unsupported) {
    return new HoshikageError('unsupported_parameter', { param });
  }
  if (issue.code !== 'custom' && valueAt(body, path) === undefined) {
    return new HoshikageError('missing_required_parameter', { param });
  }
  return invalidValue(param, reasonOf(issue));
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    // The check above makes this an own property of an object.
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

const TYPES: Readonly<Record<string, Reason>> = {
  string: { ja: '文字列にしてください', en: 'expected a string' },
  number: { ja: '数値にしてください', en: 'expected a number' },
  int: { ja: '整数にしてください', en: 'expected an integer' },
  boolean: { ja: 'true か false にしてください', en: 'expected true or false' },
  array: { ja: '配列にしてください', en: 'expected an array' },
  object: { ja: 'オブジェクトにしてください', en: 'expected an object' },
  record: { ja: 'オブジェクトにしてください', en: 'expected an object' },
};

function reasonOf(issue: Issue): Reason {
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected] ?? { ja: '型が違います', en: `expected ${issue.expected}` };
    case 'invalid_union':
      return unionReason(issue.errors);
    case 'invalid_value': {
      const values = issue.values.map(String).join(', ');
      return { ja: `${values} のどれかにしてください`, en: `must be one of ${values}` };
    }
    case 'too_small':
      return bound(issue.origin, Number(issue.minimum), 'min', issue.inclusive !== false);
    case 'too_big':
      return bound(issue.origin, Number(issue.maximum), 'max', issue.inclusive !== false);
    case 'invalid_key':
      return { ja: 'キーが正しくありません', en: 'invalid key' };
    case 'custom':
      return customReason(issue);
    default:
      return { ja: '形式が違います', en: 'wrong format' };
  }
}

/** Two reasons joined, e.g. "expected a string or expected an array". */
function unionReason(branches: readonly (readonly Issue[])[]): Reason {
  const reasons = branches.flatMap((branch) => (branch[0] ? [reasonOf(branch[0])] : []));
  return {
    ja: reasons.map((reason) => reason.ja).join('、または'),
    en: reasons.map((reason) => reason.en).join(', or '),
  };
}

function bound(origin: string, limit: number, side: 'min' | 'max', inclusive: boolean): Reason {
  const atLeast = side === 'min';
  if (origin === 'array' || origin === 'record' || origin === 'object') {
    return atLeast
      ? { ja: `${limit} 個以上必要です`, en: `needs at least ${limit} item(s)` }
      : { ja: `${limit} 個までです`, en: `at most ${limit} items are allowed` };
  }
  if (origin === 'string') {
    return atLeast
      ? { ja: '空にはできません', en: 'must not be empty' }
      : { ja: `${limit} 文字までです`, en: `at most ${limit} characters are allowed` };
  }
  if (!inclusive) {
    return atLeast
      ? { ja: `${limit} より大きくしてください`, en: `must be greater than ${limit}` }
      : { ja: `${limit} より小さくしてください`, en: `must be less than ${limit}` };
  }
  return atLeast
    ? { ja: `${limit} 以上にしてください`, en: `must be at least ${limit}` }
    : { ja: `${limit} 以下にしてください`, en: `must be at most ${limit}` };
}

function customReason(issue: Extract<Issue, { code: 'custom' }>): Reason {
  const ja: unknown = issue.params?.ja;
  return { ja: typeof ja === 'string' ? ja : issue.message, en: issue.message };
}

/** Options of a `refine` whose failure is an invalid_value with these words. */
export function because(ja: string, en: string): { error: string; params: { ja: string } } {
  return { error: en, params: { ja } };
}
