/**
 * Which format a file has, and its facts by the reader of that format.
 * Any process. It must never throw for what a file holds: a problem is an answer too.
 */
import { type BinaryFacts, BinaryFile, Damage, type ReadOptions } from './binary.js';
import { readElf } from './elf.js';
import { readMachO } from './macho.js';
import { readPe } from './pe.js';
import { because, type Reason } from './reasons.js';

/** Why a file could not be read as a library, in both languages. */
export interface Problem {
  readonly problem: string;
  readonly problem_ja: string;
}

/** A library's facts, or why it has none. Never rejects for what a path leads to. */
export async function readBinary(
  path: string,
  options: Partial<ReadOptions> = {},
): Promise<BinaryFacts | Problem> {
  try {
    const file = await BinaryFile.open(path);
    try {
      return await readFormat(file, { symbols: true, arch: process.arch, ...options });
    } catch (error) {
      // A number in the file led outside of what was read.
      if (error instanceof RangeError) throw file.damage('a table');
      throw error;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    return { problem: error.why.reason, problem_ja: error.why.reason_ja };
  }
}

/** Archives by their first bytes. */
const PACKED: readonly (readonly [kind: string, start: string])[] = [
  ['gzip', '\x1f\x8b'],
  ['zip', 'PK\x03\x04'],
  ['xz', '\xfd7zXZ'],
  ['zstd', '\x28\xb5\x2f\xfd'],
  ['bzip2', 'BZh'],
  ['7z', '7z\xbc\xaf\x27\x1c'],
  ['rpm', '\xed\xab\xee\xdb'],
];

async function readFormat(file: BinaryFile, options: ReadOptions): Promise<BinaryFacts> {
  const head = await file.upTo(0, 1024, 'the beginning');
  const start = head.toString('latin1');
  if (start.startsWith('\x7fELF')) return readElf(file, options);
  if (start.startsWith('MZ')) return readPe(file, options);
  if (/^(\xcf\xfa\xed\xfe|\xce\xfa\xed\xfe|\xca\xfe\xba[\xbe\xbf])/.test(start)) {
    return readMachO(file, options);
  }
  throw new Damage(whatElse(file.name, start));
}

/** What a file is that is no library. */
function whatElse(file: string, start: string): Reason {
  if (start === '') return because('empty', { file });
  if (/^!<(arch|thin)>\n/.test(start)) return because('static_archive', { file });
  if (start.startsWith('GGUF')) return because('model', { file });
  const packed = PACKED.find(([, magic]) => start.startsWith(magic));
  if (packed) return because('packed', { file, kind: packed[0] });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what tells a text from others
  if (/[\x00-\x08\x0e-\x1a\x1c-\x1f]/.test(start)) return because('unknown_format', { file });
  if (start.startsWith('version https://git-lfs')) return because('lfs_pointer', { file });
  if (/^\s*<(!doctype|html)/i.test(start)) return because('web_page', { file });
  if (/GNU ld script|^\s*(GROUP|INPUT)\s*\(/m.test(start))
    return because('linker_script', { file });
  return because('text', { file });
}
