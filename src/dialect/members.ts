/**
 * The grammar of members that stand one after the other, each at most once: the parameters of a call, the
 * keys of an object. Pure, any thread; it must never know what a member looks like.
 */
import { choice, type Expression, type RuleSet, sequence, text } from '../grammar/expression.js';

/** One member, as it is written. */
export interface Member {
  readonly name: string;
  readonly isRequired: boolean;
  readonly written: Expression;
}

/** What stands around members. */
export interface MemberLayout {
  readonly between: Expression;
  /** After the last one. */
  readonly last: Expression;
  /** Where there is none. */
  readonly none: Expression;
  /** The family's template sorts members by their names. */
  readonly isSorted: boolean;
}

/** Up to this many members stand in any order; each one more doubles the grammar. */
const MOST_IN_ANY_ORDER = 5;
/** The same where there are many tools, whose grammars add up. */
const MOST_OF_MANY = 3;
const MANY_TOOLS = 16;

/** How many members may stand in any order where there are so many tools. */
export const anyOrderOf = (tools: number): number =>
  tools > MANY_TOOLS ? MOST_OF_MANY : MOST_IN_ANY_ORDER;

/** What stands between members, and nothing around. */
export const separated = (between: Expression, isSorted = false): MemberLayout => ({
  ...{ between, isSorted },
  ...{ last: text(''), none: text('') },
});

/**
 * Members in any order where there are at most `most` of them, else in their declared one, or sorted where
 * the family sorts. Those that need not be there are left out at will.
 */
export function membersOf(
  rules: RuleSet,
  members: readonly Member[],
  layout: MemberLayout,
  most: number,
): Expression {
  if (members.length <= most) return inAnyOrder(rules, members, layout);
  const declared = inOrder(rules, members, layout);
  if (!layout.isSorted) return declared;
  const sorted = [...members].sort((a, b) => compare(a.name.toLowerCase(), b.name.toLowerCase()));
  const isSame = sorted.every((member, index) => member === members[index]);
  return isSame ? declared : choice(declared, inOrder(rules, sorted, layout));
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function inAnyOrder(
  rules: RuleSet,
  members: readonly Member[],
  { between, last, none }: MemberLayout,
): Expression {
  const all = 2 ** members.length - 1;
  const after = new Map<number, Expression>([[all, all === 0 ? none : last]]);
  for (let written = all - 1; written >= 0; written--) {
    const options: Expression[] = [];
    for (const [index, member] of members.entries()) {
      if (written & (1 << index)) continue;
      const next = after.get(written | (1 << index)) ?? text('');
      const before = written === 0 ? text('') : between;
      options.push(sequence(before, member.written, next));
    }
    const isEnough = members.every(
      ({ isRequired }, index) => !isRequired || written & (1 << index),
    );
    if (isEnough) options.push(written === 0 ? none : last);
    after.set(
      written,
      rules.add('members', () => choice(...options)),
    );
  }
  return after.get(0) ?? none;
}

function inOrder(
  rules: RuleSet,
  members: readonly Member[],
  { between, last, none }: MemberLayout,
): Expression {
  let bare = none;
  let begun = last;
  for (const { isRequired, written } of members.toReversed()) {
    const [after, without] = [begun, bare];
    const more = sequence(between, written, after);
    begun = rules.add('members', () => (isRequired ? more : choice(more, after)));
    const first = sequence(written, after);
    bare = rules.add('members', () => (isRequired ? first : choice(first, without)));
  }
  return bare;
}
