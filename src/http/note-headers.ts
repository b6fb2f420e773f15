/**
 * Response headers that name what had no effect or was changed: nothing is silent. Runs in the server;
 * pure.
 */

/** What only the model could tell, as far as it is known. */
export interface Notes {
  /** Template variables without effect. */
  readonly unused?: readonly string[];
  readonly altered?: boolean;
  readonly truncatedTokens?: number;
}

const MAX_HEADER_LENGTH = 1000;

/** The headers for what was ignored, changed and left out; as much as is known so far. */
export function noteHeaders(
  ignored: readonly string[],
  { unused = [], altered = false, truncatedTokens = 0 }: Notes = {},
): Record<string, string> {
  return {
    ...ignoredHeader([...ignored, ...unused]),
    ...(altered && { 'x-hoshikage-altered': 'messages' }),
    ...(truncatedTokens > 0 && { 'x-hoshikage-truncated': String(truncatedTokens) }),
  };
}

/** `x-hoshikage-ignored`, where there is something to name. */
export function ignoredHeader(names: readonly string[]): Record<string, string> {
  if (names.length === 0) return {};
  let list = '';
  for (const name of names) {
    if (list.length > MAX_HEADER_LENGTH) break;
    // A field's name may be any text, and of any length; a header may not.
    const beginning = name.slice(0, MAX_HEADER_LENGTH + 1);
    const encoded = beginning.replace(/[^\w.[\]-]/gu, encodeSafely);
    list += list === '' ? encoded : `,${encoded}`;
  }
  const isLong = list.length > MAX_HEADER_LENGTH;
  return { 'x-hoshikage-ignored': isLong ? `${list.slice(0, MAX_HEADER_LENGTH)}...` : list };
}

function encodeSafely(character: string): string {
  return /\p{Surrogate}/u.test(character) ? '%EF%BF%BD' : encodeURIComponent(character);
}
