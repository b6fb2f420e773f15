/**
 * Plans what a scripted model says: cuts answers into chunks, one token each, so that the current
 * token and the topic alone determine the next one, and the answers cross each other on the way.
 * Pure, any thread. It must never know about weights.
 */
import { HoshikageError } from '../errors.js';
import { byteText, spell } from './vocabulary.js';

/** One text the model can say. */
export interface ScriptAnswer {
  /** Keywords in the last user message that choose this answer; absent = the default answer. */
  readonly when?: string | readonly string[];
  /**
   * The text, or its tokens one by one where a test needs to place the cuts itself (bytes may be
   * parts of characters; a control token's text is that token).
   */
  readonly say: string | readonly (string | Uint8Array)[];
  /** Where a plain text is cut: between characters (the default) or inside them. */
  readonly cut?: 'characters' | 'bytes';
  /** Begin again after the end, for ever. */
  readonly endless?: boolean;
}

/** A planned answer: vocabulary texts of its tokens in order. */
export interface PlannedAnswer {
  readonly keywords: readonly string[];
  readonly chunks: readonly string[];
  readonly endless: boolean;
}

/** So few, that the answers agree on which they share. */
const SHARED_MOST = 24;
const CHARACTER_SIZES = [2, 3, 2, 4];
const BYTE_SIZES = [2, 5, 1, 4];

const bad = (reason: string): HoshikageError => new HoshikageError('invalid_argument', { reason });

/**
 * Chunks of all answers. In an answer no chunk occurs twice. A chunk that several answers share is
 * a branch point: what follows it belongs to one answer only. Codes: invalid_argument (two answers
 * alike, not exactly one default, chunks given by hand that break these rules).
 */
export function planScript(
  answers: readonly ScriptAnswer[],
  reserved: ReadonlySet<string>,
): PlannedAnswer[] {
  if (answers.filter((answer) => answer.when === undefined).length !== 1) {
    throw bad('a script needs exactly one answer without `when`');
  }
  const keywords = answers.map((answer) => [answer.when ?? []].flat());
  const taken = new Set([...reserved, ...keywords.flat()]);
  if (new Set(keywords.flat()).size !== keywords.flat().length) throw bad('a keyword twice');
  const given = answers.map((answer) =>
    typeof answer.say === 'string' ? null : byHand(answer.say),
  );
  const cutter = new Cutter(taken, given, answers);
  // Short ones first: a long text can always find chunks that are still free, a short one not.
  const order = answers.map((_, i) => i).sort((a, b) => size(answers[a]) - size(answers[b]));
  const chunks: string[][] = answers.map(() => []);
  for (const index of order) chunks[index] = given[index] ?? cutter.cut(index);
  const plan = answers.map((answer, i) => ({
    keywords: keywords[i] ?? [],
    chunks: chunks[i] ?? [],
    endless: answer.endless ?? false,
  }));
  checkPlan(plan, taken);
  return plan;
}

function size(answer: ScriptAnswer | undefined): number {
  return answer === undefined ? 0 : units(answer).join('').length;
}

function byHand(say: readonly (string | Uint8Array)[]): string[] {
  return say.map((piece) => (typeof piece === 'string' ? spell(piece) : byteText(piece)));
}

/** The smallest pieces an answer may be cut into. */
function units(answer: ScriptAnswer): string[] {
  if (typeof answer.say !== 'string') return byHand(answer.say);
  if (answer.cut === 'bytes') return [...spell(answer.say)];
  return [...answer.say].map(spell);
}

/** Cuts texts so that every chunk is new, but for single units that answers share on purpose. */
class Cutter {
  readonly #answers: readonly ScriptAnswer[];
  /** Chunk texts that some answer has for itself, and those nobody may use. */
  readonly #taken: Set<string>;
  readonly #shared = new Set<string>();

  constructor(
    taken: ReadonlySet<string>,
    given: readonly (readonly string[] | null)[],
    answers: readonly ScriptAnswer[],
  ) {
    this.#answers = answers;
    this.#taken = new Set([...taken, ...given.flatMap((chunks) => chunks ?? [])]);
    const counts = new Map<string, number>();
    // A text of one unit needs it for itself.
    const whole = new Set(answers.map((answer) => units(answer).join('')));
    for (const unit of answers.flatMap((answer) => [...new Set(units(answer))])) {
      if (!this.#taken.has(unit) && !whole.has(unit)) counts.set(unit, (counts.get(unit) ?? 0) + 1);
    }
    const common = [...counts].filter(([, count]) => count > 1).sort(([, a], [, b]) => b - a);
    for (const [unit] of common.slice(0, SHARED_MOST)) this.#shared.add(unit);
  }

  cut(index: number): string[] {
    const answer = this.#answers[index];
    if (answer === undefined) return [];
    const all = units(answer);
    const sizes = answer.cut === 'bytes' ? BYTE_SIZES : CHARACTER_SIZES;
    const chunks: string[] = [];
    for (let at = 0; at < all.length; ) {
      if (this.#mayBranch(all, at, chunks)) {
        chunks.push(all[at] ?? '');
        at++;
      } else {
        at += this.#private(all, at, sizes[chunks.length % sizes.length] ?? 2, chunks);
      }
    }
    return chunks;
  }

  /** The first and the last chunk, and one after a shared one, belong to their answer alone. */
  #mayBranch(all: readonly string[], at: number, chunks: readonly string[]): boolean {
    const unit = all[at] ?? '';
    if (chunks.length === 0 || at + 1 >= all.length || !this.#shared.has(unit)) return false;
    return !chunks.includes(unit) && !this.#shared.has(chunks.at(-1) ?? '');
  }

  /** Appends a chunk that only this answer has; gives the number of units it took from `at`. */
  #private(all: readonly string[], at: number, wanted: number, chunks: string[]): number {
    let end = at + 1;
    while (end < Math.min(at + wanted, all.length) && !this.#mayBranch(all, end, ['', ...chunks]))
      end++;
    for (; end <= all.length; end++) {
      if (this.#claim(all.slice(at, end).join(''), chunks)) return end - at;
    }
    // Nothing left to grow into: the tail joins what came before it.
    let tail = all.slice(at).join('');
    while (chunks.length > 0) {
      const before = chunks.pop() ?? '';
      if (!this.#shared.has(before)) this.#taken.delete(before);
      tail = before + tail;
      if (this.#claim(tail, chunks)) return all.length - at;
    }
    throw bad(`an answer is too much like another, or like a keyword: ${tail}`);
  }

  #claim(text: string, chunks: string[]): boolean {
    if (this.#taken.has(text) || this.#shared.has(text)) return false;
    this.#taken.add(text);
    chunks.push(text);
    return true;
  }
}

/** The next chunk's text, or null for the end. */
export function successor(answer: PlannedAnswer, position: number): string | null {
  const next = answer.chunks[position + 1];
  return next ?? (answer.endless ? (answer.chunks[0] ?? null) : null);
}

/** What the weights rely on; chunks cut by us obey it, chunks given by hand may not. */
function checkPlan(plan: readonly PlannedAnswer[], taken: ReadonlySet<string>): void {
  const owners = new Map<string, number>();
  for (const answer of plan) {
    if (answer.chunks.length === 0) throw bad('an empty answer');
    if (new Set(answer.chunks).size !== answer.chunks.length)
      throw bad('a chunk twice in an answer');
    for (const chunk of answer.chunks) owners.set(chunk, (owners.get(chunk) ?? 0) + 1);
  }
  const shared = (chunk: string | null): boolean => chunk !== null && (owners.get(chunk) ?? 0) > 1;
  for (const answer of plan) {
    if (plan.length > 1 && shared(answer.chunks[0] ?? null)) {
      throw bad('two answers with the same first chunk');
    }
    answer.chunks.forEach((chunk, i) => {
      if (chunk === '' || taken.has(chunk))
        throw bad(`chunk ${i} is a keyword, a lone line feed or empty`);
      const next = successor(answer, i);
      if (shared(chunk) && (next === null || shared(next))) {
        throw bad('a chunk that answers share must be followed by one of its own');
      }
    });
  }
}
