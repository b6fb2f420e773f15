/**
 * Which of some names was probably meant by one that is none of them. Any thread; pure. It only suggests:
 * nothing may act on what it gives.
 */

/** Typing errors (a letter too much, missing, wrong, or two swapped) between two names. */
export function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 0; i < a.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j += 1) {
      const replace = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1);
      const swapped = i > 0 && j > 0 && a[i] === b[j - 1] && a[i - 1] === b[j];
      const swap = swapped ? (before[j - 1] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      next.push(Math.min(replace, swap, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}

/** Comparing takes the product of two lengths; nobody mistypes a longer name. */
const LONGEST = 128;
/** A shorter one is a part of too much. */
const SHORTEST_PART = 3;

/**
 * The known name that is nearest to `name`, whatever their case: within a typing error per three
 * letters, else the shortest that begins with it or holds it; null where none is near.
 */
export function nearest(name: string, known: Iterable<string>): string | null {
  const wanted = fold(name);
  if (wanted === '' || wanted.length > LONGEST) return null;
  const others = [...known].map((text) => ({ text, folded: fold(text) }));
  const most = Math.max(1, Math.floor(wanted.length / 3));
  const byErrors = others
    // Lengths alone are that many errors.
    .filter(({ folded }) => Math.abs(folded.length - wanted.length) <= most)
    .map(({ text, folded }) => ({ text, errors: distance(wanted, folded) }))
    .filter(({ text, errors }) => errors <= most && errors < text.length)
    .sort((a, b) => a.errors - b.errors);
  if (byErrors[0]) return byErrors[0].text;
  if (wanted.length < SHORTEST_PART) return null;
  const holding = others
    .filter(({ folded }) => folded.includes(wanted))
    .sort(
      (a, b) =>
        a.folded.indexOf(wanted) - b.folded.indexOf(wanted) || a.text.length - b.text.length,
    );
  return holding[0]?.text ?? null;
}

function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase();
}
