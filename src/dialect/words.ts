/**
 * The grammar of words beside calls: any text that a listener reads as content, up to where a call begins.
 * Only the very beginnings of calls are kept out of it, so that answers in JSON, in HTML or with blocks of
 * code are free. Pure, any thread; it must never take in what is read as a call.
 */
import {
  choice,
  type Expression,
  noneOf,
  oneOf,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
} from '../grammar/expression.js';
import { anyJson, codeOf } from '../grammar/json.js';
import { ARGUMENT_KEYS, NAME_KEYS, OTHER_KEYS } from './json-calls.js';

/** What words are kept apart from. */
export interface WordsRules {
  /** Texts that begin a call or reasoning: none of them occurs. */
  readonly marks: readonly string[];
  /** Texts that end with a bracket, after which there may be a call. */
  readonly brackets: readonly string[];
  /** Names of the tools. */
  readonly names: readonly string[];
  /** What may stand where words end; null for their end alone. */
  readonly after: Expression | null;
}

/** What follows a text that was read along its way; null: nothing may. */
type Ways = ReadonlyMap<string, Expression | null>;

const BLANK_POINTS = [0x09, 0x0a, 0x0d, 0x20];
const BLANK = oneOf(...BLANK_POINTS.map((point) => [point, point] as const));
/** Words are free to have as much of it as they want. */
const BLANKS = repeat(BLANK, 0);

/** One code point that is none of these. */
const otherThan = (chars: Iterable<string>): Expression =>
  noneOf(...Array.from(chars, (char) => [codeOf(char), codeOf(char)] as const));
const BLANK_CHARS = BLANK_POINTS.map((point) => String.fromCodePoint(point));

/** Words of one answer. */
export class Words {
  readonly #rules: RuleSet;
  readonly #marks: readonly string[];
  readonly #brackets: readonly string[];
  readonly #texts: readonly string[];
  readonly #firsts: ReadonlySet<string>;
  readonly #names: readonly string[];
  readonly #after: Expression | null;

  constructor(rules: RuleSet, { marks, brackets, names, after }: WordsRules) {
    this.#rules = rules;
    this.#marks = marks;
    this.#brackets = brackets;
    this.#texts = [...marks, ...brackets];
    this.#firsts = new Set(this.#texts.map((mark) => mark.charAt(0)));
    this.#names = names;
    this.#after = after;
  }

  /** Words from their beginning, or in the middle of a text. */
  any(): Expression {
    return this.#rules.shared('words', () => {
      const free: Expression = { kind: 'free', texts: this.#texts };
      const begun = this.#brackets.map((one) => sequence(text(one), this.#inside(one)));
      return sequence(free, choice(this.#end(), ...begun));
    });
  }

  /** Words that do not begin as a bare call would. */
  notBare(): Expression {
    // What a mark begins with too is left to the mark.
    const opens = ['{', '['].filter((open) => !this.#firsts.has(open));
    const begun = choice(
      this.#other([...BLANK_CHARS, '{', '[']),
      ...opens.map((open) => sequence(text(open), this.#inside(open))),
    );
    return sequence(BLANKS, optional(begun));
  }

  /** What follows a bracket that is none of a call's. */
  #inside(bracket: string): Expression {
    if (bracket.endsWith('{')) return sequence(BLANKS, optional(this.#object()));
    return this.#rules.shared('no-calls', () => {
      const object = sequence(text('{'), BLANKS, optional(this.#object()));
      return sequence(BLANKS, optional(choice(this.#other([...BLANK_CHARS, '{']), object)));
    });
  }

  #end(): Expression {
    return this.#after === null ? text('') : optional(this.#after);
  }

  /** A character that is none of these, and words after it. */
  #other(not: readonly string[]): Expression {
    return this.#rules.shared(`other ${[...not].sort().join('')}`, () => {
      const begun = [...this.#firsts].filter((char) => !not.includes(char));
      return choice(
        sequence(otherThan([...not, ...this.#firsts]), this.any()),
        ...begun.map((char) => sequence(text(char), this.#within(char))),
      );
    });
  }

  /** What follows the beginning of a mark. */
  #within(begun: string): Expression {
    return this.#rules.shared(`words ${begun}`, () => {
      const chars = new Set(this.#firsts);
      for (const mark of this.#texts) {
        if (mark.startsWith(begun)) chars.add(mark.charAt(begun.length));
      }
      const options = [this.#end(), sequence(otherThan(chars), this.any())];
      for (const char of chars) {
        const next = this.#stateOf(begun + char);
        if (this.#brackets.includes(next)) options.push(sequence(text(char), this.#inside(next)));
        else if (!this.#marks.includes(next)) {
          options.push(sequence(text(char), next === '' ? this.any() : this.#within(next)));
        }
      }
      return choice(...options);
    });
  }

  /** The longest end of a text with which a mark begins. */
  #stateOf(read: string): string {
    let state = read;
    while (state !== '' && !this.#texts.some((mark) => mark.startsWith(state)))
      state = state.slice(1);
    return state;
  }

  /** The inside of an object that is no call, after white space. */
  #object(): Expression {
    return this.#rules.shared('no-call', (self) => {
      const value = sequence(BLANKS, text(':'), BLANKS);
      const then = choice(
        text(''),
        sequence(text(','), BLANKS, choice(text(''), self)),
        this.#other([...BLANK_CHARS, ',']),
      );
      // Numbers of any length, and whatever else is one word.
      const word = repeat(otherThan([...BLANK_CHARS, ...',:"{}[]', ...this.#firsts]), 1);
      const skipped = sequence(value, choice(anyJson(this.#rules), word), BLANKS, then);
      const object = sequence(text('{'), BLANKS, self);
      const array = sequence(text('['), BLANKS, choice(this.#other([...BLANK_CHARS, '{']), object));
      const ways = new Map<string, Expression | null>();
      for (const key of NAME_KEYS) ways.set(`${key}"`, this.#notNamed());
      for (const key of [...ARGUMENT_KEYS, ...OTHER_KEYS]) ways.set(`${key}"`, skipped);
      const holder = (open: string, inside: Expression): Expression =>
        sequence(value, choice(inside, this.#other([...BLANK_CHARS, open])));
      ways.set('function"', holder('{', object));
      ways.set('tool_calls"', holder('[', array));
      return choice(
        this.#other([...BLANK_CHARS, '"']),
        sequence(text('"'), this.#astray('key', ways, '')),
      );
    });
  }

  /** After the key of a name: anything but the name of a tool. */
  #notNamed(): Expression {
    return this.#rules.shared('no-name', () => {
      const ways = new Map(this.#names.map((name) => [`${name}"`, null] as const));
      const value = choice(
        this.#other([...BLANK_CHARS, '"']),
        sequence(text('"'), this.#astray('name', ways, '')),
      );
      return sequence(BLANKS, text(':'), BLANKS, value);
    });
  }

  /** Text that leaves all of the ways, or goes one to its end. An escape could hide a way. */
  #astray(label: string, ways: Ways, read: string): Expression {
    return this.#rules.shared(`no-${label} ${read}`, () => {
      const next = new Set<string>();
      for (const way of ways.keys()) if (way.startsWith(read)) next.add(way.charAt(read.length));
      const options = [this.#other(['\\', ...next])];
      for (const char of next) {
        const longer = read + char;
        const end = ways.get(longer);
        if (end === null) continue;
        options.push(sequence(text(char), end ?? this.#astray(label, ways, longer)));
      }
      return choice(...options);
    });
  }
}
