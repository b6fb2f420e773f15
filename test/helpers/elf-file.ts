/** Writes the smallest shared objects that have a dynamic section, for tests. */
import { writeFileSync } from 'node:fs';

/** A little-endian ELF64 image with these DT_NEEDED and DT_SONAME entries. */
export function elfImage(needed: readonly string[], soname: string | null = null): Buffer {
  const base = 0x10000;
  const names = ['', ...needed, ...(soname === null ? [] : [soname])];
  const strings = Buffer.from(`${names.join('\0')}\0`);
  const offsetOfName = (index: number): number =>
    Buffer.byteLength(names.slice(0, index).join('\0')) + (index > 0 ? 1 : 0);
  const headersSize = 64 + 2 * 56;
  const entries: [number, number][] = needed.map((_, index) => [1, offsetOfName(index + 1)]);
  if (soname !== null) entries.push([14, offsetOfName(needed.length + 1)]);
  const dynamicSize = (entries.length + 2) * 16;
  entries.push([5, base + headersSize + dynamicSize], [0, 0]);
  const image = Buffer.alloc(headersSize + dynamicSize + strings.length);
  image.write('\x7fELF', 'latin1');
  image.set([2, 1, 1], 4);
  image.writeBigUInt64LE(64n, 32);
  image.writeUInt16LE(56, 54);
  image.writeUInt16LE(2, 56);
  writeSegment(image, 64, 1, 0, base, image.length);
  writeSegment(image, 120, 2, headersSize, base + headersSize, dynamicSize);
  for (const [index, [tag, value]] of entries.entries()) {
    image.writeBigUInt64LE(BigInt(tag), headersSize + index * 16);
    image.writeBigUInt64LE(BigInt(value), headersSize + index * 16 + 8);
  }
  strings.copy(image, headersSize + dynamicSize);
  return image;
}

export function writeElf(
  path: string,
  needed: readonly string[] = [],
  soname: string | null = null,
): void {
  writeFileSync(path, elfImage(needed, soname));
}

function writeSegment(
  image: Buffer,
  at: number,
  type: number,
  offset: number,
  address: number,
  size: number,
): void {
  image.writeUInt32LE(type, at);
  image.writeBigUInt64LE(BigInt(offset), at + 8);
  image.writeBigUInt64LE(BigInt(address), at + 16);
  image.writeBigUInt64LE(BigInt(size), at + 32);
}
