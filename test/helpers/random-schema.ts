/**
 * Random JSON Schemas of the kinds that Hoshikage makes grammars of, small enough that a model with
 * random weights comes to an end. The same seed gives the same schema.
 */
import { seeded } from './grammar-matcher.js';

/** A JSON Schema as an object. */
export type RandomSchema = Record<string, unknown>;

/** Depth at most 3, strings at most 12 long, lists at most 3. */
export function randomSchema(seed: number): RandomSchema {
  const random = seeded(seed);
  const maker = new Maker(random);
  // Asked for at the root: what clients send nearly always.
  const root = random() < 0.8 ? maker.object(0) : maker.schema(0);
  return maker.definitions === null ? root : { ...root, $defs: maker.definitions };
}

const WORDS = ['name', 'age', 'kind', 'tags', 'a b', '日本', 'x/y', 'size', 'q"t', '名前'];
const PATTERNS = [
  ...['^[a-z]{2,5}$', '^\\d{3}-\\d{2}$', '^(?:ab|cd){1,3}$', '^\\w\\s?[^a-z"]{1,2}$'],
  ...['^(?=.*\\d)(?!0)\\w{2,5}$', '(^a{1,3}$)|(^b.$)', '^\\p{Lu}\\P{L}?$'],
];
const FORMATS = ['date', 'time', 'date-time', 'uuid', 'ipv4', 'email'];

class Maker {
  definitions: RandomSchema | null = null;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  schema(depth: number): RandomSchema {
    const leaf = [
      () => this.#text(),
      () => this.#text(),
      () => this.#integer(),
      () => this.#number(),
      () => this.#decimal(),
      () => ({ type: 'boolean' }),
      () => this.#values(),
      () => this.#several(),
    ];
    const inner = [
      () => this.object(depth),
      () => this.#list(depth),
      () => this.#tuple(depth),
      () => ({ anyOf: [this.schema(depth + 1), this.schema(depth + 1)] }),
      () => this.#tagged(depth),
      () => this.#record(depth),
      () => this.#different(),
      () => this.#either(depth),
      () => this.#merged(depth),
      () => this.#reference(),
    ];
    return this.#one(depth < 3 && this.#random() < 0.4 ? inner : leaf)();
  }

  object(depth: number): RandomSchema {
    const names = WORDS.filter(() => this.#random() < 0.3).slice(0, 3);
    const properties = Object.fromEntries(names.map((name) => [name, this.schema(depth + 1)]));
    const required = names.filter(() => this.#random() < 0.6);
    return {
      type: 'object',
      properties,
      ...(required.length > 0 && { required }),
      ...(this.#random() < 0.5 && { additionalProperties: false }),
    };
  }

  #one<T>(list: readonly T[]): T {
    const chosen = list[Math.floor(this.#random() * list.length)];
    if (chosen === undefined) throw new Error('a choice of nothing');
    return chosen;
  }

  #whole(from: number, to: number): number {
    return from + Math.floor(this.#random() * (to - from + 1));
  }

  #text(): RandomSchema {
    const kind = this.#random();
    if (kind < 0.2) return { type: 'string', pattern: this.#one(PATTERNS) };
    if (kind < 0.4) return { type: 'string', format: this.#one(FORMATS) };
    if (kind < 0.45) return { type: 'string', format: 'uri', maxLength: this.#whole(30, 130) };
    if (kind < 0.5) return { enum: ['a', 'ab', 'b', 'ba'], pattern: '^a', maxLength: 2 };
    const minLength = this.#whole(0, 4);
    return { type: 'string', minLength, maxLength: minLength + this.#whole(0, 8) };
  }

  #integer(): RandomSchema {
    if (this.#random() < 0.3) return { type: 'integer' };
    if (this.#random() < 0.2) {
      return { type: 'integer', minimum: -30, maximum: 70, multipleOf: this.#one([2, 5, 10]) };
    }
    const minimum = this.#whole(-2000, 2000);
    const to = minimum + this.#whole(1, 5000);
    return this.#random() < 0.5
      ? { type: 'integer', minimum, maximum: to }
      : { type: 'integer', exclusiveMinimum: minimum, exclusiveMaximum: to + 1 };
  }

  #number(): RandomSchema {
    if (this.#random() < 0.5) return { type: 'number' };
    const from = this.#whole(-20, 20);
    const to = from + this.#whole(1, 200);
    return {
      type: 'number',
      [this.#random() < 0.5 ? 'minimum' : 'exclusiveMinimum']: from,
      [this.#random() < 0.5 ? 'maximum' : 'exclusiveMaximum']: to,
    };
  }

  #decimal(): RandomSchema {
    const from = this.#whole(-4000, 4000) / this.#one([10, 100, 1000]);
    const to = from + this.#whole(1, 300) / this.#one([1, 10, 100, 1000]);
    return {
      type: 'number',
      [this.#random() < 0.5 ? 'minimum' : 'exclusiveMinimum']: from,
      [this.#random() < 0.5 ? 'maximum' : 'exclusiveMaximum']: Number(to.toFixed(3)),
    };
  }

  #values(): RandomSchema {
    const values = [
      'red',
      'green',
      'greenish',
      '日本',
      'a"b',
      1,
      1.5,
      true,
      null,
      [1, 'x'],
      { k: 1 },
    ];
    const some = values.filter(() => this.#random() < 0.4);
    return some.length > 0 ? { enum: some } : { const: this.#one(values) };
  }

  #several(): RandomSchema {
    return this.#random() < 0.5
      ? { type: ['string', 'null'], maxLength: 5 }
      : { type: ['integer', 'boolean'], minimum: 0, maximum: 99 };
  }

  #list(depth: number): RandomSchema {
    const minItems = this.#whole(0, 2);
    return {
      type: 'array',
      items: this.schema(depth + 1),
      minItems,
      maxItems: minItems + this.#whole(0, 3 - minItems),
    };
  }

  #tuple(depth: number): RandomSchema {
    const prefixItems = [this.schema(depth + 1), this.schema(depth + 1)];
    return {
      type: 'array',
      prefixItems,
      items: false,
      ...(this.#random() < 0.5 && { minItems: 1 }),
    };
  }

  #tagged(depth: number): RandomSchema {
    const branch = (tag: string): RandomSchema => ({
      type: 'object',
      properties: { tag: { const: tag }, value: this.schema(depth + 1) },
      required: ['tag'],
    });
    return { oneOf: [branch('left'), branch('right'), { type: 'null' }] };
  }

  #record(depth: number): RandomSchema {
    const value = this.schema(depth + 1);
    const counts = { minProperties: this.#whole(0, 1), maxProperties: this.#whole(1, 3) };
    const kinds: RandomSchema[] = [
      { additionalProperties: value },
      { propertyNames: { pattern: '^[a-z]{1,3}$' }, additionalProperties: value },
      { patternProperties: { '^x_\\d$': value }, additionalProperties: false },
      { properties: { a: value, b: true, c: true }, unevaluatedProperties: false },
    ];
    return { type: 'object', ...this.#one(kinds), ...counts };
  }

  #different(): RandomSchema {
    const items = this.#one([{ enum: ['x', 'y', 3, null] }, { type: ['boolean', 'null'] }]);
    return { type: 'array', items, uniqueItems: true, minItems: this.#whole(0, 2) };
  }

  /** Alternatives that only what they require tells apart, or a tag that may be missing. */
  #either(depth: number): RandomSchema {
    const properties = {
      a: this.schema(depth + 1),
      b: { type: 'null' },
      kind: { type: 'string', maxLength: 4 },
    };
    const names = ['a', 'b', 'kind'].filter(() => this.#random() < 0.7);
    const oneOf =
      names.length > 1 && this.#random() < 0.5
        ? names.map((name) => ({ required: [name] }))
        : ['p', 'q'].map((kind) => ({ properties: { kind: { const: kind, default: kind } } }));
    return { type: 'object', properties, oneOf };
  }

  #merged(depth: number): RandomSchema {
    return {
      type: 'object',
      allOf: [
        { properties: { first: this.schema(depth + 1) }, required: ['first'] },
        { properties: { second: { type: 'integer' }, first: true } },
      ],
    };
  }

  /** A chain of at most four. */
  #reference(): RandomSchema {
    this.definitions ??= {
      end: { type: 'object', properties: { id: { type: 'integer', minimum: 0, maximum: 9 } } },
      link: {
        type: 'object',
        properties: { next: { anyOf: [{ $ref: '#/$defs/end' }, { type: 'null' }] } },
        required: ['next'],
      },
    };
    return { $ref: this.#random() < 0.5 ? '#/$defs/end' : '#/$defs/link' };
  }
}
