/**
 * A small deterministic random source, so that a made model is the same bytes on every machine.
 * Pure, any thread. It must never be used where a secret is needed.
 */

/** A function giving 32 random bits per call, the same sequence for the same seed (xorshift128). */
export function randomBits(seed: number): () => number {
  // Four words spread from one seed by a 32-bit mixer; a xorshift state must not be all zero.
  const spread = (n: number): number => {
    let z = Math.imul((seed >>> 0) + Math.imul(n, 0x9e3779b9), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) | (n === 4 ? 1 : 0);
  };
  let [x, y, z, w] = [spread(1), spread(2), spread(3), spread(4)];
  return () => {
    const t = x ^ (x << 11);
    x = y;
    y = z;
    z = w;
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    return w >>> 0;
  };
}
