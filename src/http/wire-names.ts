/**
 * Plain data of the rooms below in the wire's names: `idleMs` becomes `idle_ms`, in whole ms. Runs in
 * the server; pure.
 */

/** `nCtx` as `n_ctx`. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The same data with all its keys in the wire's names; times are rounded to whole ms. */
export function wireData(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(wireData);
  if (typeof value !== 'object' || value === null) return value;
  const rows = Object.entries(value).map(([key, one]) => {
    const isTime = typeof one === 'number' && (key === 'ms' || key.endsWith('Ms'));
    return [snakeCase(key), isTime ? Math.round(one) : wireData(one)];
  });
  return Object.fromEntries(rows);
}
