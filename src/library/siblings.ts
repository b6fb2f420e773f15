/**
 * The libggml files that belong to a libllama: what it needs, found beside it, and so on from there.
 * Any process. It only looks at files in the library's own directory; it must never follow a search
 * path, since another version's libggml may lie there.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { BinaryFacts } from '../binary/binary.js';
import { readBinary } from '../binary/formats.js';

/** One library of a family. */
export interface Member {
  /** Its real path. */
  readonly path: string;
  readonly facts: BinaryFacts;
}

/** A libllama's family. */
export interface Family {
  /** In an order in which they can be opened: each after what it needs. Without libllama itself. */
  readonly siblings: readonly Member[];
  /** What is needed and not there: the needing file's name, and the missing one's. */
  readonly missing: readonly { readonly needer: string; readonly name: string }[];
  /** Files beside that cannot be read: name and problem. */
  readonly broken: readonly { readonly name: string; readonly problem: Problem }[];
}

type Problem = Extract<Awaited<ReturnType<typeof readBinary>>, { problem: string }>;

/** Names of libraries that come with libllama in one build, with or without a path before them. */
const OWN_NAME = /^(?:@\w+\/)?(?:lib)?(?:ggml|llama)[^/]*$/i;

/**
 * The family of a library with these facts. Links are followed; a file counts once, whatever its names.
 * `symbols`: read the siblings' symbols too.
 */
export async function familyOf(
  path: string,
  facts: BinaryFacts,
  options: { readonly symbols: boolean },
): Promise<Family> {
  const directory = dirname(path);
  const siblings: Member[] = [];
  const missing: { needer: string; name: string }[] = [];
  const broken: { name: string; problem: Problem }[] = [];
  const seen = new Set([path]);
  const names = new Directory(directory);
  const visit = async (needer: Member): Promise<void> => {
    for (const needed of needer.facts.needed) {
      if (!OWN_NAME.test(needed)) continue;
      const name = basename(needed);
      const found = await names.find(name);
      if (found === null) missing.push({ needer: basename(needer.path), name });
      if (found === null || seen.has(found)) continue;
      seen.add(found);
      const read = await readBinary(found, { ...options, arch: facts.machine });
      if ('problem' in read) {
        broken.push({ name: basename(found), problem: read });
        continue;
      }
      const member = { path: found, facts: read };
      await visit(member);
      siblings.push(member);
    }
  };
  await visit({ path, facts });
  return { siblings, missing, broken };
}

/** A directory whose libraries are found by file name, or by the name they call themselves. */
class Directory {
  readonly #path: string;
  #bySoname: Map<string, string> | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  async find(name: string): Promise<string | null> {
    const direct = await fileAt(join(this.#path, name));
    if (direct !== null) return direct;
    // Links are lost in copying; only the files themselves still know their names.
    this.#bySoname ??= await sonamesIn(this.#path);
    return this.#bySoname.get(name) ?? null;
  }
}

async function sonamesIn(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const names: readonly string[] = await readdir(directory).catch(() => []);
  for (const name of names.filter((one) => /^lib(ggml|llama).*\.so/.test(one)).sort()) {
    const path = await fileAt(join(directory, name));
    if (path === null) continue;
    const facts = await readBinary(path, { symbols: false });
    if ('problem' in facts || facts.soname === null) continue;
    found.set(facts.soname, path);
  }
  return found;
}

/** The real path of a plain file, or null. */
async function fileAt(path: string): Promise<string | null> {
  try {
    return (await stat(path)).isFile() ? await realpath(path) : null;
  } catch {
    return null;
  }
}
