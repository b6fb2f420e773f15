/**
 * Where the project lies: seen from its TypeScript sources and from what is compiled to dist/ alike.
 * For scripts and tests, in any process. It must never be used by what is published.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const above = dirname(dirname(fileURLToPath(import.meta.url)));

/** The absolute path of the project's folder. */
export const ROOT = above.replace(/[\\/]dist$/, '');

/** The absolute path of a file of the project. */
export const inProject = (path: string): string => join(ROOT, path);
