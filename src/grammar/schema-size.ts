/**
 * How large a schema is, measured before anything reads it. Pure, any thread; a loop with a stack of
 * its own, so that no depth can overflow the thread's.
 */
import { SchemaTooLarge } from './refusal.js';

/** The most values in a schema, all keywords and enum entries counted. */
export const MAX_SCHEMA_VALUES = 5_000;
/** The most characters of all names and texts of a schema. */
export const MAX_SCHEMA_CHARACTERS = 256 * 1024;
/** The deepest nesting of its JSON. */
export const MAX_SCHEMA_DEPTH = 128;

/** What the measuring saw. Codes: schema_unsupported where a limit is passed. */
export function measureSchema(schema: unknown): { readonly hasReferences: boolean } {
  const waiting: { readonly value: unknown; readonly depth: number }[] = [
    { value: schema, depth: 0 },
  ];
  let values = 0;
  let characters = 0;
  let hasReferences = false;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, depth } = next;
    values++;
    // JSON.parse makes Infinity of 1e999, and nothing could be written for it.
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw new SchemaTooLarge('', 'a number in it is not finite', '有限でない数が含まれています');
    }
    if (typeof value === 'string') characters += value.length;
    if (depth > MAX_SCHEMA_DEPTH) throw tooLarge('depth', MAX_SCHEMA_DEPTH, '深さ');
    if (typeof value === 'object' && value !== null) {
      const names = Object.keys(value);
      if (values + waiting.length + names.length > MAX_SCHEMA_VALUES) {
        throw tooLarge('number of values', MAX_SCHEMA_VALUES, '値の数');
      }
      for (const name of names) {
        if (!Array.isArray(value)) characters += name.length;
        hasReferences ||= name === '$ref';
        waiting.push({ value: (value as Record<string, unknown>)[name], depth: depth + 1 });
      }
    }
    if (characters > MAX_SCHEMA_CHARACTERS) {
      throw tooLarge('number of characters', MAX_SCHEMA_CHARACTERS, '文字数');
    }
  }
  return { hasReferences };
}

function tooLarge(what: string, limit: number, whatJa: string): Error {
  return new SchemaTooLarge(
    '',
    `its ${what} is more than ${limit}`,
    `${whatJa}が ${limit} を超えています`,
  );
}
