/** Writes the smallest DLLs with an export and an import directory, for tests. */

/** What a DLL is to hold. */
export interface PeContent {
  readonly name?: string;
  readonly exports?: readonly string[];
  /** Functions it takes, by DLL. */
  readonly imports?: Readonly<Record<string, readonly string[]>>;
  readonly wide?: boolean;
  /** IMAGE_FILE_MACHINE: 0x8664 = x64. */
  readonly machine?: number;
  /** 0x2000 = a DLL. */
  readonly characteristics?: number;
}

const HEADERS = 0x400;
const BASE = 0x1000;

/** A PE image of one section. */
export function peImage(content: PeContent = {}): Buffer {
  const { name = 'llama.dll', exports = [], imports = {}, wide = true } = content;
  const body = new Body();
  const exportsAt = exports.length > 0 ? writeExports(body, name, exports) : 0;
  const importsAt = Object.keys(imports).length > 0 ? writeImports(body, imports, wide) : 0;
  const section = body.bytes();
  const image = Buffer.alloc(HEADERS + section.length);
  image.write('MZ', 0, 'latin1');
  image.writeUInt32LE(0x80, 60);
  image.write('PE\0\0', 0x80, 'latin1');
  image.writeUInt16LE(content.machine ?? 0x8664, 0x84);
  image.writeUInt16LE(1, 0x86);
  const optionalSize = (wide ? 112 : 96) + 16 * 8;
  image.writeUInt16LE(optionalSize, 0x94);
  image.writeUInt16LE(content.characteristics ?? 0x2022, 0x96);
  const optional = 0x98;
  image.writeUInt16LE(wide ? 0x20b : 0x10b, optional);
  const directories = optional + (wide ? 112 : 96);
  image.writeUInt32LE(16, directories - 4);
  image.writeUInt32LE(exportsAt, directories);
  image.writeUInt32LE(exportsAt ? 40 : 0, directories + 4);
  image.writeUInt32LE(importsAt, directories + 8);
  image.writeUInt32LE(importsAt ? 20 : 0, directories + 12);
  const row = optional + optionalSize;
  image.write('.data', row, 'latin1');
  image.writeUInt32LE(section.length, row + 8);
  image.writeUInt32LE(BASE, row + 12);
  image.writeUInt32LE(section.length, row + 16);
  image.writeUInt32LE(HEADERS, row + 20);
  section.copy(image, HEADERS);
  return image;
}

function writeExports(body: Body, name: string, exports: readonly string[]): number {
  const names = exports.map((one) => body.text(one));
  const table = body.add(...names.map(word));
  return body.add(
    word(0),
    word(0),
    word(0),
    word(body.text(name)),
    word(1),
    word(exports.length),
    word(exports.length),
    word(0),
    word(table),
    word(0),
  );
}

function writeImports(
  body: Body,
  imports: Readonly<Record<string, readonly string[]>>,
  wide: boolean,
): number {
  const rows = Object.entries(imports).map(([library, functions]) => {
    const hints = functions.map((name) => body.text(`\0\0${name}`));
    const thunks = body.add(
      ...[...hints, 0].flatMap((at) => [word(at), ...(wide ? [word(0)] : [])]),
    );
    return [word(thunks), word(0), word(0), word(body.text(library)), word(thunks)];
  });
  return body.add(...rows.flat(), Buffer.alloc(20));
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** A section that grows; what is added gets an address. */
class Body {
  #bytes = Buffer.alloc(16);

  add(...parts: readonly Buffer[]): number {
    const at = this.#bytes.length;
    this.#bytes = Buffer.concat([this.#bytes, ...parts]);
    return BASE + at;
  }

  text(text: string): number {
    return this.add(Buffer.from(`${text}\0`, 'latin1'));
  }

  bytes(): Buffer {
    return this.#bytes;
  }
}
