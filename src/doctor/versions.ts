/**
 * Versions of what the system has: compared, and read from libraries. Any process; pure.
 */

/** Whether one version is older than another, number by number. */
export function isOlder(version: string, than: string): boolean {
  const [ours, theirs] = [version, than].map((text) => text.split('.').map(Number));
  for (const [index, number] of (theirs ?? []).entries()) {
    const difference = (ours?.[index] ?? 0) - number;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** The newest version of a family that a library names, as it does for each that it provides. */
export function newestOf(library: Buffer | null, family: string): string | null {
  const pattern = new RegExp(`\\0${family}_(\\d+(?:\\.\\d+)+)(?=\\0)`, 'g');
  let newest: string | null = null;
  for (const [, version] of (library?.toString('latin1') ?? '').matchAll(pattern)) {
    if (version && (newest === null || isOlder(newest, version))) newest = version;
  }
  return newest;
}
