/**
 * `npm test`: runs every test/**\/*.test.ts. Arguments narrow the run: paths, folders or parts of a path.
 */
import fs from 'node:fs';
import path from 'node:path';
import { ROOT, runTests } from './run-tests.mjs';

/** Test files below test/, with `/` between names; projects with a package.json of their own stay out. */
function testFiles() {
  const foreign = [];
  const files = [];
  for (const name of fs.readdirSync(path.join(ROOT, 'test'), { recursive: true })) {
    const file = `test/${name.split(path.sep).join('/')}`;
    if (file.endsWith('/package.json')) foreign.push(path.posix.dirname(file));
    if (file.endsWith('.test.ts')) files.push(file);
  }
  return files
    .filter((file) => !foreign.some((folder) => file.startsWith(`${folder}/`)))
    .filter((file) => !file.includes('/node_modules/'))
    .sort();
}

runTests(testFiles(), process.argv.slice(2), 'compiled');
