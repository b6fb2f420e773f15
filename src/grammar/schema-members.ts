/**
 * In which order the members of a JSON object stand, and how many there are. Pure, any thread. Declared
 * ones keep their order, or may have any where there are few; further ones come at the end.
 */
import {
  choice,
  counted,
  type Expression,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
} from './expression.js';
import { jsonSpace } from './json.js';
import { ImpossibleSchema, unsupportedSchema } from './refusal.js';
import type { Facts } from './schema-facts.js';

/** A declared key with its value. */
export interface Member {
  readonly isRequired: boolean;
  readonly written: Expression;
}

/** So many members may stand in any order: a rule for each set of them that may have been written. */
const MAX_ANY_ORDER = 5;
/** The most rules for how many members there have been before each one. */
const MAX_COUNTED = 4_000;

interface Layout {
  readonly members: readonly Member[];
  readonly extra: Expression | null;
  readonly min: number;
  readonly max: number;
  readonly rules: RuleSet;
  readonly comma: Expression;
  /** What may stand before the bracket at the end. */
  readonly end: Expression;
}

/**
 * An object of these members, and any number of `extra`, as many of all as the facts say.
 * Codes: schema_unsupported.
 */
export function membersExpression(
  members: readonly Member[],
  extra: Expression | null,
  { minProperties, maxProperties }: Facts,
  { rules, depth, isAnyOrder }: { rules: RuleSet; depth: number; isAnyOrder: boolean },
): Expression {
  const space = jsonSpace(rules, depth + 1);
  const comma = sequence(text(','), space);
  const [min, max] = [minProperties.value, maxProperties.value];
  const layout = { members, extra, min, max, rules, comma, end: jsonSpace(rules, depth) };
  const needed = members.filter(({ isRequired }) => isRequired).length;
  const isFree =
    needed >= min && max >= (extra === null ? members.length : Number.POSITIVE_INFINITY);
  const isShort = members.length > 1 && members.length <= MAX_ANY_ORDER;
  let content: Expression | null;
  if (isAnyOrder && isShort) content = anyOrder(layout);
  else if (isFree) content = inOrder(layout);
  else content = inCountedOrder(layout, minProperties.pointer || maxProperties.pointer);
  if (content !== null) return sequence(text('{'), space, content, text('}'));
  const most = members.length + (extra === null ? 0 : Number.POSITIVE_INFINITY);
  const pointer = minProperties.pointer || maxProperties.pointer;
  if (min > max || needed > max || most < min) {
    throw new ImpossibleSchema(
      pointer,
      'no object has so many properties',
      'その個数のプロパティを持つオブジェクトがありません',
    );
  }
  throw unsupportedSchema(
    pointer,
    'more than one of its properties would have any name, and names may repeat',
    '名前の決まっていないプロパティが二つ以上必要で、同じ名前にならないことを守れません',
  );
}

/** In declared order, without a count. */
function inOrder({ members, extra, rules, comma, end }: Layout): Expression {
  // From the end: what may follow, once something has been written.
  let after: Expression[] = extra === null ? [] : [repeat(sequence(comma, extra), 0)];
  let starts: Expression[] = extra === null ? [] : [sequence(extra, ...after)];
  let mayBeEmpty = true;
  for (const { isRequired, written } of [...members].reverse()) {
    const rest = rules.add('members', () => sequence(...after));
    const start = sequence(written, rest);
    if (isRequired) {
      after = [comma, written, rest];
      starts = [start];
      mayBeEmpty = false;
    } else {
      after = [choice(sequence(comma, written, rest), rest)];
      starts = [start, ...starts];
    }
  }
  if (starts.length === 0) return text('');
  const all = sequence(choice(...starts), end);
  return mayBeEmpty ? optional(all) : all;
}

/** What follows the declared members, so many of which have been written; null where nothing may. */
function ending(count: number, { extra, min, max, comma, end }: Layout): Expression | null {
  if (count > max) return null;
  const missing = min - count;
  if (extra === null || count === max) {
    if (missing > 0) return null;
    return count > 0 ? end : text('');
  }
  // Of keys with any name only one is sure to be another.
  if (missing > 1) return null;
  const more = counted(sequence(comma, extra), 0, max - count - (count > 0 ? 0 : 1));
  if (count === 0) {
    const all = sequence(extra, more, end);
    return missing > 0 ? all : optional(all);
  }
  return missing > 0
    ? sequence(comma, extra, counted(sequence(comma, extra), 0, max - count - 1), end)
    : sequence(more, end);
}

/** In declared order; null where no object has so many members. */
function inCountedOrder(layout: Layout, pointer: string): Expression | null {
  const { members, min, max, rules, comma } = layout;
  // Beyond what is asked for, or allowed, it does not matter how many there have been.
  const cap = Math.max(1, max === Number.POSITIVE_INFINITY ? min : max);
  if (members.length * (Math.min(cap, members.length) + 1) > MAX_COUNTED) {
    throw unsupportedSchema(
      pointer,
      'it counts too many declared properties',
      '数える対象のプロパティが多すぎます',
    );
  }
  let after: (Expression | null)[] = [];
  for (let count = 0; count <= Math.min(cap, members.length); count++) {
    after.push(ending(count, layout));
  }
  for (const { isRequired, written } of [...members].reverse()) {
    after = after.map((rest, count) => {
      const isFull = count >= max;
      const next = isFull ? null : (after[Math.min(count + 1, after.length - 1)] ?? null);
      const options: Expression[] = [];
      if (next !== null) options.push(sequence(...(count > 0 ? [comma] : []), written, next));
      if (!isRequired && rest !== null) options.push(rest);
      if (options.length === 0) return null;
      return rules.add('members', () => choice(...options));
    });
  }
  return after[0] ?? null;
}

/** In any order, each at most once; null where no object has so many members. */
function anyOrder(layout: Layout): Expression | null {
  const { members, max, rules, comma } = layout;
  const needed = members.reduce(
    (set, { isRequired }, index) => (isRequired ? set | (1 << index) : set),
    0,
  );
  const made = new Map<number, Expression | null>();
  const rest = (set: number, count: number): Expression | null => {
    const known = made.get(set);
    if (known !== undefined) return known;
    const options: Expression[] = [];
    for (const [index, { written }] of count < max ? members.entries() : []) {
      if ((set & (1 << index)) !== 0) continue;
      const next = rest(set | (1 << index), count + 1);
      if (next !== null) options.push(sequence(...(count > 0 ? [comma] : []), written, next));
    }
    const end = (set & needed) === needed ? ending(count, layout) : null;
    if (end !== null) options.push(end);
    const rule = options.length === 0 ? null : rules.add('members', () => choice(...options));
    made.set(set, rule);
    return rule;
  };
  return rest(0, 0);
}
