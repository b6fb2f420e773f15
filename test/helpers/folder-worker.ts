/**
 * A server that has a private folder and then does not end by itself. Started with [base, what]; says
 * the folder's path. `hold`: stays until it is killed. `keep`: leaves it to be kept, and ends. `exit`:
 * ends without closing anything.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PrivateFolder } from '../../src/folders/private-folder.js';
import { tryLock } from './flock.js';

const [base = '', what = ''] = process.argv.slice(2);

const folder = await PrivateFolder.open({ base, kind: 'ramdisk', tryLock });
writeFileSync(join(folder.path, 'content'), what);
await folder.note({ said: what });
if (what === 'keep') await folder.close({ keep: true });
console.log(folder.path);
if (what === 'hold') setInterval(() => {}, 60_000);
if (what === 'exit') process.exit(1);
