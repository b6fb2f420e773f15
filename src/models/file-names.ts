/**
 * What the name of a GGUF file says: which model it is, or that it is none of its own. Any process; pure.
 */

/**
 * The id a file is offered under: its name without extension and part number; null where it is not a
 * model of its own (hidden files, vision projectors, later parts of a split model, other files).
 */
export function idOfFile(name: string): string | null {
  const stem = /^(?!\.)(.*)\.gguf$/is.exec(name)?.[1];
  if (stem === undefined || /^mmproj/i.test(stem)) return null;
  const part = /^(.+)-(\d{5})-of-\d{5}$/s.exec(stem);
  if (part && Number(part[2]) !== 1) return null;
  return (part?.[1] ?? stem).normalize('NFC');
}
