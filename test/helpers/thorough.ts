/**
 * How much a test tries whose cases come from a seeded source: few enough for every run, or, where
 * HOSHIKAGE_THOROUGH is 1, as many as it takes to be sure before a release.
 */

/** The smaller number, or the larger one in a thorough run. */
export function tries(usual: number, thorough: number): number {
  return process.env.HOSHIKAGE_THOROUGH === '1' ? thorough : usual;
}
