/**
 * The shape of one row of the table of settings. Types only.
 */
import type { Kind } from '../setting-kinds.js';

/** One row of SETTINGS. */
export interface Setting {
  /** The name in the environment and in `.env`. */
  readonly key: string;
  /** The name in Config. */
  readonly property: string;
  readonly kind: Kind<unknown>;
  /** As one would write it; a relative path starts at `<config>/hoshikage`. */
  readonly default: string;
  readonly ja: string;
  readonly en: string;
  /** An empty value is a value (off), not "unset". */
  readonly emptyCounts?: true;
  /** Never shown in a message or a log. */
  readonly secret?: true;
}
