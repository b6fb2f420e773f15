/**
 * What an engine counts, in one list: a name that is added here is asked of the addon, carried to the
 * server and shown. Pure; any process.
 */

/** What an engine counts. All of it begins at 0 with the engine and only grows. */
export const ENGINE_COUNTERS = [
  /** Decode steps. */
  'steps',
  /** Prompt tokens that were computed, and those that a slot's own cache or another slot's had. */
  'promptTokens',
  'cachedTokens',
  'sharedTokens',
  /** Tokens brought back from the memory for conversations that had lost their slot. */
  'storedTokens',
  'generatedTokens',
  /** Tokens that were guessed ahead, and those of them that were right. */
  'draftedTokens',
  'acceptedTokens',
  /** How often the engine's JavaScript was woken for news. */
  'rings',
  /** The longest step in which anybody generated, ms. */
  'longestStepMs',
] as const;

/** How much of each; what an addon does not count is 0. */
export type EngineCounters = Readonly<Record<(typeof ENGINE_COUNTERS)[number], number>>;

/** What the addon counts, and 0 for what it does not. */
export function countersOf(native: Partial<EngineCounters> = {}): EngineCounters {
  const rows = ENGINE_COUNTERS.map((name) => [name, native[name] ?? 0]);
  // The rows of all the names there are.
  return Object.fromEntries(rows) as EngineCounters;
}
