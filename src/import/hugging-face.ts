/**
 * What the cache of Hugging Face keeps: repositories with snapshots, whose files are links to blobs. Any
 * process, main thread. Of several revisions of a file only one counts: that of `main`, else the newest.
 */
import { readdir, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { readSmallFile } from '../models/map-file.js';
import { modelName, partsOf, unreadableOf } from './files.js';
import { bare, type Holding, type Holdings, type Skipped } from './holding.js';
import { filesBelow } from './walk.js';

/** The models in a cache (`…/hub`). */
export async function huggingFaceModels(root: string): Promise<Holdings> {
  const names = await readdir(root).catch(() => []);
  const repositories = names.filter((name) => /^models--[^/]+$/.test(name)).sort();
  const found: Holdings[] = [];
  for (const name of repositories) found.push(await modelsOf(join(root, name)));
  return {
    holdings: found.flatMap(({ holdings }) => holdings),
    skipped: found.flatMap(({ skipped }) => skipped),
  };
}

async function modelsOf(repository: string): Promise<Holdings> {
  const holdings: Holding[] = [];
  /** Files of a revision that counts more. */
  const seen = new Set<string>();
  const skipped: Skipped[] = [];
  for (const revision of await revisionsOf(repository)) {
    const folder = join(repository, 'snapshots', revision);
    const below = await filesBelow(folder);
    skipped.push(...unreadableOf('huggingface', below));
    const files = below.files.filter((path) => !seen.has(relative(folder, path)));
    skipped.push(...partsOf('huggingface', { files }));
    for (const path of files) {
      seen.add(relative(folder, path));
      const name = modelName(basename(path));
      if (name !== null) holdings.push(bare('huggingface', name, path));
    }
  }
  return { holdings, skipped };
}

/** The revisions that are there: that of `main` first, then the newest. */
async function revisionsOf(repository: string): Promise<readonly string[]> {
  const found = await readSmallFile(join(repository, 'refs', 'main'), 1024).catch(() => null);
  const main = Buffer.from(found?.bytes ?? [])
    .toString('utf8')
    .trim();
  const names = await readdir(join(repository, 'snapshots')).catch(() => []);
  const dated = await Promise.all(
    names.map(async (name) => {
      const facts = await stat(join(repository, 'snapshots', name)).catch(() => null);
      return { name, at: name === main ? Number.POSITIVE_INFINITY : (facts?.mtimeMs ?? 0) };
    }),
  );
  return dated.sort((a, b) => b.at - a.at).map(({ name }) => name);
}
