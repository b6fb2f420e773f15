/**
 * The plain part of YAML that our workflows are written in: maps and lists by indentation, one-line
 * scalars, lists in brackets. Whatever else is in a file is an error, so that nothing is misread.
 */

/** A value of a document; every scalar stays a text. */
export type Plain = string | readonly Plain[] | { readonly [key: string]: Plain };

interface Line {
  readonly number: number;
  readonly indent: number;
  readonly text: string;
}

/** Reads a document. Throws with the number of the line that it does not understand. */
export function readPlainYaml(text: string): Plain {
  const lines = text
    .split('\n')
    .map((raw, index): Line => {
      if (/\t|\s$/.test(raw)) throw unreadable(index + 1, 'a tab, or a space at the end');
      return { number: index + 1, indent: raw.search(/\S/), text: raw.trim() };
    })
    .filter((line) => line.text !== '' && !line.text.startsWith('#'));
  const [first] = lines;
  if (!first) throw unreadable(1, 'nothing');
  const { value, next } = block(lines, 0, first.indent);
  const left = lines[next];
  if (left) throw unreadable(left.number, 'an indentation that fits nothing');
  return value;
}

interface Read {
  readonly value: Plain;
  readonly next: number;
}

function block(lines: readonly Line[], at: number, indent: number): Read {
  return lines[at]?.text.startsWith('- ') ? list(lines, at, indent) : map(lines, at, indent);
}

function list(lines: readonly Line[], at: number, indent: number): Read {
  const items: Plain[] = [];
  let next = at;
  for (let line = lines[next]; line?.indent === indent; line = lines[next]) {
    if (!line.text.startsWith('- ')) throw unreadable(line.number, 'no item');
    const inner = { ...line, indent: indent + 2, text: line.text.slice(2) };
    if (!KEY.test(inner.text)) {
      items.push(scalar(inner));
      next += 1;
      continue;
    }
    const item = block(
      [...lines.slice(0, next), inner, ...lines.slice(next + 1)],
      next,
      indent + 2,
    );
    items.push(item.value);
    next = item.next;
  }
  return { value: items, next };
}

const KEY = /^([\w-]+):(?: (.*))?$/;

function map(lines: readonly Line[], at: number, indent: number): Read {
  const entries = new Map<string, Plain>();
  let next = at;
  for (let line = lines[next]; line?.indent === indent; line = lines[next]) {
    const [, key, rest] = KEY.exec(line.text) ?? [];
    if (key === undefined || entries.has(key)) throw unreadable(line.number, 'no new key');
    next += 1;
    if (rest !== undefined) {
      entries.set(key, scalar({ ...line, text: rest }));
      continue;
    }
    const inner = lines[next];
    if (!inner || inner.indent <= indent) {
      entries.set(key, '');
      continue;
    }
    const read = block(lines, next, inner.indent);
    entries.set(key, read.value);
    next = read.next;
  }
  return { value: Object.fromEntries(entries), next };
}

function scalar({ text, number }: Line): Plain {
  const quoted = /^(['"])([^'"\\]*)\1$/.exec(text)?.[2];
  if (quoted !== undefined) return quoted;
  const items = /^\[([^[\]{}]*)\]$/.exec(text)?.[1];
  if (items !== undefined) {
    return items.split(', ').map((item) => scalar({ text: item, number, indent: 0 }));
  }
  // Anchors, tags, blocks, maps in braces, a remark behind a value, a second key.
  if (/^[&*!|>{}[\]%@`'"?]|^- | #|: /.test(text)) throw unreadable(number, 'more than plain YAML');
  return text;
}

function unreadable(number: number, what: string): Error {
  return new Error(`line ${number}: ${what}`);
}
