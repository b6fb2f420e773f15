/**
 * `tojson` as Hugging Face defines it, which is Python's json.dumps with ensure_ascii off. Pure; runs in
 * the template worker. `1.0` cannot be told from `1` once a request has been read, so it prints as `1`.
 */
import type { Budget } from './budget.js';
import { Call, sorted } from './calls.js';
import { order } from './operators.js';
import { floatText, toText } from './text.js';
import {
  Dict,
  fromJson,
  intOf,
  isFloat,
  isText,
  iterate,
  type Keywords,
  numberOf,
  Tuple,
  typeOf,
  type Value,
} from './values.js';

interface Style {
  readonly ascii: boolean;
  readonly indent: string | null;
  readonly item: string;
  readonly key: string;
  readonly sorted: boolean;
}

/** The filter: ensure_ascii, indent, separators, sort_keys, in this order. */
export function toJson(
  value: Value,
  args: readonly Value[],
  keywords: Keywords,
  budget: Budget,
): string {
  const call = new Call(
    'tojson',
    ['ensure_ascii', 'indent', 'separators', 'sort_keys'],
    args,
    keywords,
  );
  const indent = call.get('indent');
  const separators = call.get('separators');
  const [item, key] =
    separators === null
      ? [indent === null ? ', ' : ',', ': ']
      : iterate(separators, budget).map((one) => toText(one, budget));
  if (item === undefined || key === undefined) throw new Error('separators must be two texts');
  const text = dumps(
    value,
    {
      ascii: call.isTrue('ensure_ascii'),
      indent:
        indent === null
          ? null
          : isText(indent)
            ? toText(indent, budget)
            : spaces(intOf(indent), budget),
      item,
      key,
      sorted: call.isTrue('sort_keys'),
    },
    '\n',
    budget,
  );
  budget.copy(text.length);
  return text;
}

function spaces(count: number, budget: Budget): string {
  budget.copy(Math.max(0, count));
  return ' '.repeat(Math.max(0, count));
}

function dumps(value: Value, style: Style, line: string, budget: Budget): string {
  budget.step();
  if (value === null) return 'null';
  if (typeof value === 'boolean') return String(value);
  if (isText(value)) return jsonText(toText(value, budget), style, budget);
  if (isFloat(value)) return jsonFloat(numberOf(value) ?? 0);
  if (typeof value === 'number') return toText(value, budget);
  return budget.nested(() => {
    const inner = style.indent === null ? '' : line + style.indent;
    const put = (open: string, parts: readonly string[], close: string): string => {
      if (parts.length === 0) return open + close;
      const text = parts.join(style.item + inner);
      return open + inner + text + (style.indent === null ? '' : line) + close;
    };
    const next = style.indent === null ? line : inner;
    const each = (one: Value): string => dumps(one, style, next, budget);
    if (Array.isArray(value)) return put('[', bounded(value, each, budget), ']');
    if (value instanceof Tuple) return put('[', bounded(value.items, each, budget), ']');
    if (!(value instanceof Dict)) {
      throw new Error(`Object of type ${typeOf(value)} is not JSON serializable`);
    }
    const rows = [...value.entries.values()];
    const ordered = style.sorted ? sorted(rows, ([a], [b]) => order(a, b, budget)) : rows;
    const row = ([key, one]: readonly [Value, Value]): string =>
      jsonText(keyText(key, budget), style, budget) + style.key + each(one);
    return put('{', bounded(ordered, row, budget), '}');
  });
}

/** Stops before the sum of the parts is too long. */
function bounded<T>(items: readonly T[], write: (item: T) => string, budget: Budget): string[] {
  let length = 0;
  return items.map((item) => {
    const text = write(item);
    length += text.length;
    budget.size(length);
    return text;
  });
}

function keyText(key: Value, budget: Budget): string {
  if (isText(key)) return toText(key, budget);
  if (key === null) return 'null';
  if (typeof key === 'boolean') return String(key);
  if (isFloat(key)) return jsonFloat(numberOf(key) ?? 0);
  if (typeof key === 'number') return toText(key, budget);
  throw new Error(`keys must be str, int, float, bool or None, not ${typeOf(key)}`);
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  return floatText(value);
}

function jsonText(text: string, { ascii }: Style, budget: Budget): string {
  budget.copy(text.length);
  const quoted = JSON.stringify(text);
  if (!ascii) return quoted;
  return quoted.replace(/[\x7f-\uffff]/g, (one) =>
    one === '\x7f' ? one : `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** `from_json`, which some models' templates call though Hugging Face has no such filter. */
export function readJson(value: Value, budget: Budget): Value {
  if (!isText(value)) throw new Error(`from_json: expected str, got ${typeOf(value)}`);
  const text = toText(value, budget);
  budget.copy(text.length);
  return fromJson(JSON.parse(text), budget);
}
