/**
 * The stages that a library passes before it is used, and the one at which it was refused.
 * Any process; pure.
 */
import type { HoshikageError } from '../errors.js';
import type { ScanReport } from './scan.js';

/** A stage, in the order in which they are passed. */
export type StageName = 'scan' | 'open' | 'symbols' | 'layout' | 'batch' | 'samplers' | 'devices';

/** What the addon's refusals say, by the stage they belong to. */
const SIGNS: readonly (readonly [sign: RegExp, stage: StageName])[] = [
  [/^missing symbols|^its symbols|^too old/, 'symbols'],
  [/^llama_batch/, 'batch'],
  [/^its samplers/, 'samplers'],
  [/layout|_params\b/, 'layout'],
];

/** The stage at which a library was refused. `scan`: what its files said, where they were looked at. */
export function stageOf(
  scan: Pick<ScanReport, 'refusal'> | null,
  refusal: HoshikageError,
): StageName {
  if (scan?.refusal) return 'scan';
  if (refusal.code === 'library_not_found') return 'open';
  const reason = String(refusal.details.reason ?? '');
  return SIGNS.find(([sign]) => sign.test(reason))?.[1] ?? 'open';
}
