/**
 * Versions of what the system has, as its libraries name them. Any process; pure.
 */
import { compareVersions } from '../binary/binary.js';

/** The newest version of a family that a library names, as it does for each that it provides. */
export function newestOf(library: Buffer | null, family: string): string | null {
  const pattern = new RegExp(`\\0${family}_(\\d+(?:\\.\\d+)+)(?=\\0)`, 'g');
  let newest: string | null = null;
  for (const [, version] of (library?.toString('latin1') ?? '').matchAll(pattern)) {
    if (version && (newest === null || compareVersions(newest, version) < 0)) newest = version;
  }
  return newest;
}
