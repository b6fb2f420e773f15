/**
 * Which builds of llama.cpp a library can be, by the functions it has.
 * Any process; pure. The addon asks the same of the loaded library (native/src/llama/abi.cc), so the
 * two must stay alike. It must never decide about layouts: functions alone do not tell them.
 */

import type { BinaryFacts } from '../binary/binary.js';
import { because, type Reason } from '../binary/reasons.js';
import type { AbiTable } from '../engine/addon.js';

/** A bracket's end where no function sets one; the addon says the same. */
export const NO_END = 2 ** 31 - 1;

/** A symbol that was never taken away carries this as its last build, or a larger number. */
const FOR_EVER = 9_999_999;

/** Releases count from here on, in the place of build numbers. */
const FIRST_RELEASE = 11_000;

/** Without these no libllama of any age works. */
const ESSENTIAL = [
  'llama_backend_init',
  'llama_model_default_params',
  'llama_context_default_params',
  'llama_decode',
  'llama_tokenize',
];

/** A bracket of builds, and why the library is refused by its functions, if it is. */
export interface BracketResult {
  readonly bracket: readonly [number, number] | null;
  readonly refusal: Reason | null;
}

/** The builds in which exactly these functions existed. */
export function bracketOf(file: string, facts: BinaryFacts, abi: AbiTable): BracketResult {
  const has = new Set(facts.exports);
  const missing = ESSENTIAL.filter((name) => !has.has(name));
  if (missing.length > 0) {
    const refusal = because('lacks_functions', { file, missing: missing.join(', ') });
    return { bracket: null, refusal };
  }
  let [from, fromSymbol] = [0, ''];
  let [to, toSymbol] = [NO_END, ''];
  for (const [name, since, gone] of abi.symbols) {
    const present = has.has(name);
    if (present && since > from) [from, fromSymbol] = [since, name];
    if (present && gone < FOR_EVER && gone < to) [to, toSymbol] = [gone, name];
    // What was taken away later may be missing on either side; what is there for ever tells.
    if (!present && gone >= FOR_EVER && since < to) [to, toSymbol] = [since, `no ${name}`];
  }
  if (from >= to) {
    const details = { file, from_symbol: fromSymbol, from, to_symbol: toSymbol, to };
    return { bracket: null, refusal: because('fork', details) };
  }
  const bracket = [from, to] as const;
  if (to > abi.floor) return { bracket, refusal: null };
  const details = { file, floor: abi.floor, ...buildsOf(bracket) };
  return { bracket, refusal: because('too_old', details) };
}

/** llama_* functions that the table has never heard of. */
export function unknownNames({ exports }: BinaryFacts, abi: AbiTable): readonly string[] {
  const known = new Set([...abi.symbols.map(([name]) => name), ...abi.alwaysThere]);
  return exports.filter((name) => name.startsWith('llama_') && !known.has(name)).sort();
}

/** A bracket in words: `b4463–b5434`. */
export function buildsOf([from, to]: readonly [number, number]): {
  readonly builds: string;
  readonly builds_ja: string;
} {
  if (from >= FIRST_RELEASE) {
    return {
      builds: 'a release after the numbered builds',
      builds_ja: '番号付きのビルドより後の版',
    };
  }
  if (to >= FIRST_RELEASE) return { builds: `b${from} or newer`, builds_ja: `b${from} 以降` };
  const builds = from === 0 ? `older than b${to}` : `b${from}–b${to - 1}`;
  return { builds, builds_ja: from === 0 ? `b${to} より前` : builds };
}
