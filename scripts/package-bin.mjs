/** Finds the commands of installed packages, so that they can be run by Node without a shell or npx. */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);

/** The script behind a package's command. */
export function packageBin(name, command) {
  const file = require.resolve(`${name}/package.json`);
  const { bin: commands } = JSON.parse(fs.readFileSync(file, 'utf8'));
  return path.join(path.dirname(file), typeof commands === 'string' ? commands : commands[command]);
}
