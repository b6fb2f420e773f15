/**
 * `npm run release:check -- [PLATFORM…] [--tag TAG --repository OWNER/NAME]`: whether the prebuilt
 * addons (all of a release, or those named) and package.json may be published. Changes nothing; says
 * everything that is wrong and then exits 1.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { manifestProblems } from './release/manifest.js';
import { PLATFORMS, prebuildProblems } from './release/prebuilds.js';
import { ROOT } from './root.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { tag: { type: 'string' }, repository: { type: 'string' } },
});
const platforms = positionals.length > 0 ? positionals : PLATFORMS;
const problems: string[] = [];
for (const platform of platforms) problems.push(...(await prebuildProblems(ROOT, platform)));
if (values.tag !== undefined) {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const { tag, repository = '' } = values;
  problems.push(...manifestProblems(manifest, { tag, repository }));
}
for (const problem of problems) console.error(problem);
if (problems.length === 0) console.log(`${platforms.join(', ')}: fit for a release`);
process.exitCode = problems.length > 0 ? 1 : 0;
