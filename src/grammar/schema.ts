/**
 * JSON Schema (2020-12, and what draft 7 wrote differently) as a grammar of the JSON that obeys it.
 * Main thread: size and depth are bounded before anything is done. It must never write a value that
 * the schema does not allow; what it cannot express is refused by its JSON pointer.
 */
import { endlessRule } from './check.js';
import { flatten } from './compile.js';
import { choice, type Expression, type RuleSet, text } from './expression.js';
import {
  anyJson,
  JSON_BOOLEAN,
  JSON_INTEGER,
  JSON_NUMBER,
  jsonArray,
  jsonObject,
  jsonString,
} from './json.js';
import { ImpossibleSchema, SchemaTooLarge, unsupportedSchema } from './refusal.js';
import { arrayExpression } from './schema-array.js';
import { exclude } from './schema-disjoint.js';
import { enumExpression } from './schema-enum.js';
import type { Facts, Group, JsonType, Place } from './schema-facts.js';
import { isObject } from './schema-facts.js';
import { collectFacts, keyOf, leaveOut, type Source, spend } from './schema-merge.js';
import { integerExpression, numberExpression } from './schema-number.js';
import { objectExpression } from './schema-object.js';
import { measureSchema } from './schema-size.js';
import { stringExpression } from './schema-string.js';

/** How many schemas are made grammars, those behind references and in each branch included. */
const MAX_BUILT = 5_000;
/** How deep values may stand in one another before a reference leads back. */
const MAX_DEPTH = 64;
/** What it costs to write a pattern, and a number between bounds: see spend(). */
const PATTERN_UNITS_PER_STEP = 8;
const STEPS_FOR_BOUNDS = 25;
/** The deepest indentation, for values that references put at any depth. */
const ANY_DEPTH = 16;

/**
 * JSON that obeys the schema, compact or with the whitespace that models write. Keys stand in their
 * declared order; where additionalProperties is not said, only declared ones are written.
 * Codes: schema_unsupported with the pointer of what cannot be expressed.
 */
export function schemaExpression(schema: unknown, rules: RuleSet): Expression {
  return new Builder(schema, rules, false).whole();
}

/**
 * The same, but what cannot be expressed is bound by its type only, and a schema beyond all limits by
 * being an object: for the arguments of tools that are not strict. Never refuses.
 */
export function looseSchema(schema: unknown, rules: RuleSet): Expression {
  try {
    return new Builder(schema, rules, true).whole();
  } catch (thrown) {
    if (isRefusal(thrown)) return jsonObject(rules);
    throw thrown;
  }
}

function isRefusal(thrown: unknown): boolean {
  return (
    thrown instanceof Error && 'code' in thrown && String(thrown.code) === 'schema_unsupported'
  );
}

class Builder {
  readonly #source: Source;
  readonly #rules: RuleSet;
  readonly #isLoose: boolean;
  /** By the places that a value must obey: one rule, however often it is asked for. */
  readonly #made = new Map<string, Expression>();
  readonly #failed = new Map<string, unknown>();
  readonly #pointers = new Map<string, string>();
  /** What is being made without anything written in between: meeting it again is a circle. */
  #open = new Set<string>();
  #built = 0;
  #hasReferences = false;

  constructor(schema: unknown, rules: RuleSet, isLoose: boolean) {
    this.#source = { root: schema, rules, work: 0 };
    this.#rules = rules;
    this.#isLoose = isLoose;
  }

  whole(): Expression {
    this.#hasReferences = measureSchema(this.#source.root).hasReferences;
    const root = this.#build([{ schema: this.#source.root, pointer: '' }], 0);
    if (this.#hasReferences) this.#checkEnds(root);
    return root;
  }

  /** A recursion in which every value needs another one inside has no value at all. */
  #checkEnds(root: Expression): void {
    const endless = endlessRule(flatten(root, this.#rules));
    if (endless === null) return;
    throw new ImpossibleSchema(
      this.#pointers.get(endless) ?? '',
      'it requires itself without end',
      '自分自身を際限なく必要としています',
    );
  }

  #build(places: readonly Place[], depth: number): Expression {
    if (++this.#built > MAX_BUILT || depth > MAX_DEPTH) {
      throw new SchemaTooLarge(
        places[0]?.pointer ?? '',
        `with its references it is more than ${MAX_BUILT} schemas, or ${MAX_DEPTH} deep`,
        `参照を含めて、スキーマが ${MAX_BUILT} 個または深さ ${MAX_DEPTH} を超えています`,
      );
    }
    try {
      return this.#ruleFor(collectFacts(places, this.#source), depth);
    } catch (thrown) {
      if (!this.#isLoose || !isRefusal(thrown) || thrown instanceof SchemaTooLarge) throw thrown;
      return this.#byType(places);
    }
  }

  #ruleFor(facts: Facts, depth: number): Expression {
    if (facts.places.length === 0) return anyJson(this.#rules);
    const key = keyOf(facts.places);
    const pointer = facts.places[0]?.pointer ?? '';
    if (this.#open.has(key)) {
      throw unsupportedSchema(
        pointer,
        'it refers to nothing but itself',
        '自分自身だけを参照しています',
      );
    }
    if (this.#failed.has(key)) throw this.#failed.get(key);
    const made = this.#made.get(key);
    if (made !== undefined) return made;
    this.#open.add(key);
    const whole = this.#rules.add(`schema ${pointer}`, (self) => {
      this.#made.set(key, self);
      if (self.kind === 'rule') this.#pointers.set(self.name, pointer);
      return this.#tried(key, facts, depth);
    });
    this.#open.delete(key);
    if (!this.#failed.has(key)) return whole;
    this.#made.delete(key);
    throw this.#failed.get(key);
  }

  /** What failed is kept; the rule has no value then, for whoever has named it already. */
  #tried(key: string, facts: Facts, depth: number): Expression {
    try {
      return this.#value(facts, depth);
    } catch (thrown) {
      if (this.#isLoose && isRefusal(thrown) && !(thrown instanceof SchemaTooLarge)) {
        return this.#byType(facts.places);
      }
      this.#failed.set(key, thrown);
      return choice();
    }
  }

  #value(facts: Facts, depth: number): Expression {
    const [group] = facts.groups;
    if (group !== undefined) return this.#branches(facts, group, depth);
    if (facts.values !== null) return enumExpression(facts, facts.values, this.#rules);
    const types = [...(facts.types ?? facts.implied)];
    if (types.length === 0) return anyJson(this.#rules);
    const options: Expression[] = [];
    let failure: unknown = null;
    for (const type of types) {
      if (type === 'integer' && types.includes('number')) continue;
      try {
        options.push(this.#ofType(type, facts, depth));
      } catch (thrown) {
        if (!(thrown instanceof ImpossibleSchema)) throw thrown;
        failure = thrown;
      }
    }
    if (options.length === 0) throw failure;
    return choice(...options);
  }

  #ofType(type: JsonType, facts: Facts, depth: number): Expression {
    switch (type) {
      case 'object':
      case 'array':
        return this.#container(type, facts, depth);
      case 'string':
        for (const { value, pointer } of facts.patterns) {
          spend(this.#source, pointer, Math.ceil(value.length / PATTERN_UNITS_PER_STEP));
        }
        return stringExpression(facts, this.#rules, this.#source);
      case 'integer':
      case 'number': {
        const [bound] = [...facts.lows, ...facts.highs];
        if (bound !== undefined) spend(this.#source, bound.pointer, STEPS_FOR_BOUNDS);
        const isWhole = type === 'integer' || facts.isWhole;
        return isWhole ? integerExpression(facts) : numberExpression(facts);
      }
      case 'boolean':
        return JSON_BOOLEAN;
      case 'null':
        return text('null');
    }
  }

  #container(type: 'object' | 'array', facts: Facts, depth: number): Expression {
    const outer = this.#open;
    this.#open = new Set();
    try {
      const inside = {
        rules: this.#rules,
        depth: this.#hasReferences ? ANY_DEPTH : depth,
        build: (places: readonly Place[]) => this.#build(places, depth + 1),
      };
      return type === 'object' ? objectExpression(facts, inside) : arrayExpression(facts, inside);
    } finally {
      this.#open = outer;
    }
  }

  /** Each branch with all that stands beside it. */
  #branches(facts: Facts, group: Group, depth: number): Expression {
    const rest = facts.places.map((place) =>
      place === group.place ? leaveOut(place, group.keyword) : place,
    );
    if (group.keyword === 'oneOf' && !this.#isLoose) exclude(rest, group, this.#source);
    const options: Expression[] = [];
    let failure: unknown = null;
    for (const branch of group.branches) {
      try {
        options.push(this.#build([...rest, branch], depth));
      } catch (thrown) {
        if (!(thrown instanceof ImpossibleSchema)) throw thrown;
        failure = thrown;
      }
    }
    if (options.length === 0) throw failure;
    return choice(...options);
  }

  /** Any value of the types that the places name; of any type where they name none. */
  #byType(places: readonly Place[]): Expression {
    const types = places.flatMap(({ schema }): unknown[] => {
      if (!isObject(schema)) return [];
      if (schema.type !== undefined) return [schema.type].flat();
      return 'properties' in schema ? ['object'] : 'items' in schema ? ['array'] : [];
    });
    const options = types.flatMap((type) => this.#generic(type) ?? []);
    return options.length === 0 ? anyJson(this.#rules) : choice(...options);
  }

  #generic(type: unknown): Expression | null {
    switch (type) {
      case 'object':
        return jsonObject(this.#rules);
      case 'array':
        return jsonArray(this.#rules);
      case 'string':
        return jsonString(this.#rules);
      case 'number':
        return JSON_NUMBER;
      case 'integer':
        return JSON_INTEGER;
      case 'boolean':
        return JSON_BOOLEAN;
      case 'null':
        return text('null');
      default:
        return null;
    }
  }
}
