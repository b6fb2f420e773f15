/**
 * How this room says no: in both languages, always by a code of the catalogue. Any thread; it must
 * never quote more than a name of what was refused.
 */
import { HoshikageError } from '../errors.js';

/** The most characters of a name that a message shows. */
const SHOWN = 60;
/** The most characters of a JSON pointer that a message shows. */
const MAX_POINTER = 300;

/** A name from outside as a message shows it: in quotes, on one line, cut. */
export function shown(name: string): string {
  const points = [...name.slice(0, 2 * SHOWN)];
  return JSON.stringify(
    points.length > SHOWN ? `${points.slice(0, SHOWN).join('')}…` : points.join(''),
  );
}

/** grammar_invalid with its reason. */
export function invalidGrammar(reason: string, reasonJa: string): HoshikageError {
  return new HoshikageError('grammar_invalid', { reason, reason_ja: reasonJa });
}

/** schema_unsupported at this JSON pointer; the whole schema is shown as `#`. */
export function unsupportedSchema(
  pointer: string,
  reason: string,
  reasonJa: string,
): HoshikageError {
  return new HoshikageError('schema_unsupported', details(pointer, reason, reasonJa));
}

/**
 * A schema that no value obeys. Whoever can leave the value out (a branch of anyOf, an optional
 * property) catches it; otherwise it reaches the client as it is.
 */
export class ImpossibleSchema extends HoshikageError {
  constructor(pointer: string, reason: string, reasonJa: string) {
    super('schema_unsupported', details(pointer, reason, reasonJa));
  }
}

/** A schema beyond our limits; nothing smaller stands in for a part of it. */
export class SchemaTooLarge extends HoshikageError {
  constructor(pointer: string, reason: string, reasonJa: string) {
    super('schema_unsupported', details(pointer, reason, reasonJa));
  }
}

/** A pointer as a message shows it: of one with a long name in it, the beginning. */
function cut(pointer: string): string {
  return pointer.length > MAX_POINTER ? `${pointer.slice(0, MAX_POINTER)}…` : pointer;
}

function details(pointer: string, reason: string, reasonJa: string): Record<string, string> {
  return { pointer: pointer === '' ? '#' : cut(pointer), reason, reason_ja: reasonJa };
}

/** What `make` gives; its refusal with the field of the request that it is about. */
export function namingParam<T>(param: string, make: () => T): T {
  try {
    return make();
  } catch (thrown) {
    if (!(thrown instanceof HoshikageError)) throw thrown;
    throw new HoshikageError(thrown.code, { param, ...thrown.details }, { cause: thrown });
  }
}
