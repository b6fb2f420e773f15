/**
 * Whether a libllama and its libggml are of about the same time, by what libggml says of itself.
 * Any process; pure. Functions alone do not tell an old libllama on a newer libggml, which still has
 * all the old ones; but their structs may have changed under it.
 */

import { compareVersions } from '../binary/binary.js';
import { because, type Reason } from '../binary/reasons.js';
import type { LibraryIdentity } from '../engine/engine.js';
import { buildsOf } from './bracket.js';

/** The build of llama.cpp that a version of ggml came with. Newer ones than the last are let pass. */
const CAME_WITH: readonly (readonly [version: string, build: number])[] = [
  ['0.9.4', 6644],
  ['0.9.5', 7596],
  ['0.9.7', 8066],
  ['0.9.8', 8410],
  ['0.10.0', 8866],
  ['0.11.0', 9032],
  ['0.12.0', 9185],
  ['0.13.0', 9325],
  ['0.14.0', 9560],
  ['0.15.0', 9599],
  ['0.16.0', 9954],
  ['0.17.0', 10_062],
  ['0.18.0', 10_191],
  ['0.19.0', 10_317],
  ['0.20.0', 10_432],
  ['0.23.0', 10_653],
  ['0.25.1', 11_000],
];

/**
 * Why a library and its libggml are not of one build; null where they may be. A distribution may pair
 * neighbouring versions, so one step of the table in either direction is no contradiction.
 */
export function ggmlContradiction(
  identity: Pick<LibraryIdentity, 'ggmlVersion' | 'bracket'>,
): Reason | null {
  const { ggmlVersion, bracket } = identity;
  const version = /^\d+\.\d+\.\d+/.exec(ggmlVersion ?? '')?.[0];
  if (version === undefined) return null;
  const own = CAME_WITH.findLastIndex(([known]) => compareVersions(known, version) <= 0);
  const first = CAME_WITH[own - 1]?.[1] ?? 0;
  const end = CAME_WITH[own + 2]?.[1] ?? Number.POSITIVE_INFINITY;
  const [from, to] = bracket;
  if (first < to && from < end) return null;
  return because('mixed_versions', { version, ...buildsOf(bracket) });
}
