/**
 * Keys of a JSON object that are not declared: any others, or those that propertyNames and
 * patternProperties speak of. Pure, any thread; a key must never be one of those that are declared,
 * since the later of two equal keys would count.
 */
import {
  type CodePointRange,
  choice,
  commonRanges,
  counted,
  type Expression,
  otherRanges,
  type RuleSet,
  sequence,
  text,
} from './expression.js';
import { PLAIN_CHARACTER } from './json.js';
import { SchemaTooLarge } from './refusal.js';
import type { Facts } from './schema-facts.js';
import { isRefusal, type Source } from './schema-merge.js';
import { obeysText, stringExpression } from './schema-string.js';

/** The longest key that is written beside the declared ones. */
const MAX_EXTRA_KEY = 64;
/** The most characters of declared names that further keys are kept apart from. */
const MAX_KEPT_APART = 20_000;

/** What that costs: see RuleSet.spend(). */
const CHARACTERS_PER_STEP = 2;

/** The keys that these facts of a string allow, where they are a list of them; null where not. */
export function listedKeys(names: Facts, source: Source): readonly string[] | null {
  if (names.types !== null && !names.types.has('string')) return [];
  if (names.values === null) return null;
  const texts = [...names.values.value.values()].filter((value) => typeof value === 'string');
  return texts.filter((one) => obeysText(one, names, source));
}

/** Whether a key is among those. */
export function allowsKey(name: string, names: Facts, source: Source): boolean {
  return listedKeys(names, source)?.includes(name) ?? obeysText(name, names, source);
}

/** A key that these facts allow, in quotes; of at most 64 characters where that can be said. */
export function boundKey(names: Facts, rules: RuleSet, source: Source): Expression {
  const { value, pointer } = names.maxLength;
  const maxLength = { value: Math.min(value, MAX_EXTRA_KEY), pointer };
  try {
    return stringExpression({ ...names, maxLength }, rules, source);
  } catch (thrown) {
    if (!isRefusal(thrown) || thrown instanceof SchemaTooLarge) throw thrown;
    return stringExpression(names, rules, source);
  }
}

interface Branch {
  isName: boolean;
  readonly next: Map<number, Branch>;
}

/** A key without escapes that is none of these names, in quotes. */
export function otherKey(names: ReadonlySet<string>, pointer: string, rules: RuleSet): Expression {
  const top: Branch = { isName: false, next: new Map() };
  let size = 0;
  for (const name of names) {
    const points = Array.from(name, (character) => character.codePointAt(0) ?? 0);
    if (points.length > MAX_EXTRA_KEY) continue;
    size += points.length;
    const isCheap = rules.spend(points.length / CHARACTERS_PER_STEP);
    if (!isCheap || size > MAX_KEPT_APART) {
      throw new SchemaTooLarge(
        pointer,
        `the declared names have too many characters (one object may have ${MAX_KEPT_APART})`,
        `宣言された名前の文字数が多すぎます(一つのオブジェクトで ${MAX_KEPT_APART} まで)`,
      );
    }
    let branch = top;
    for (const point of points) {
      const next = branch.next.get(point) ?? { isName: false, next: new Map() };
      branch.next.set(point, next);
      branch = next;
    }
    branch.isName = true;
  }
  return sequence(text('"'), keyFrom(top, 0), text('"'));
}

const PLAIN: readonly CodePointRange[] =
  PLAIN_CHARACTER.kind === 'class' ? PLAIN_CHARACTER.ranges : [];

/** For ASCII, of which names are made: a thousand of them have few different ones. */
const plainButOne = new Map<number, Expression>();

/** A plain character that is none of these. */
function plainBut(points: readonly number[]): Expression {
  const [only] = points;
  const known = points.length === 1 ? plainButOne.get(only ?? 0) : undefined;
  if (known !== undefined) return known;
  const taken = points.map((point): CodePointRange => [point, point]);
  const others: Expression = { kind: 'class', ranges: commonRanges(PLAIN, otherRanges(taken)) };
  if (points.length === 1 && only !== undefined && only < 0x80) plainButOne.set(only, others);
  return others;
}

/** As deep as names are long: at most MAX_EXTRA_KEY. */
function keyFrom(branch: Branch, length: number): Expression {
  const left = MAX_EXTRA_KEY - length;
  if (branch.next.size === 0 && !branch.isName) return counted(PLAIN_CHARACTER, 0, left);
  const options: Expression[] = branch.isName ? [] : [text('')];
  if (left > 0) {
    const others = plainBut([...branch.next.keys()]);
    options.push(sequence(others, counted(PLAIN_CHARACTER, 0, left - 1)));
  }
  for (const [point, next] of branch.next) {
    const isPlain = commonRanges(PLAIN, [[point, point]]).length > 0;
    if (isPlain && (left > 1 || !next.isName)) {
      options.push(sequence(text(String.fromCodePoint(point)), keyFrom(next, length + 1)));
    }
  }
  return choice(...options);
}
