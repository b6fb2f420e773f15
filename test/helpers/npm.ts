/** The npm that comes with this Node (or runs us), as a script that needs no shell. */
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** Absolute path of npm-cli.js. */
export function npmCli(): string {
  const beside = dirname(process.execPath);
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'npm'));
  const found = [
    process.env.npm_execpath,
    join(beside, 'node_modules/npm/bin/npm-cli.js'),
    join(beside, '../lib/node_modules/npm/bin/npm-cli.js'),
    ...onPath,
  ].find((path) => (path?.endsWith('.js') ? existsSync(path) : path && isScript(path)));
  if (!found) throw new Error('npm is neither beside node nor on the PATH');
  return realpathSync(found);
}

/** False for a shell's or cmd's wrapper around the script. */
function isScript(path: string): boolean {
  return existsSync(path) && realpathSync(path).endsWith('npm-cli.js');
}
