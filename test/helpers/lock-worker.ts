/**
 * A process that takes the lock of a file twice and says what it saw, for the ways of locking that
 * depend on what is installed. Started with [file, way]; the way is what its `tryLock` is like.
 */
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { type TryLock, withFileLock } from '../../src/models/lock.js';

const [file = '', way = ''] = process.argv.slice(2);

let asked = 0;
const ways: Readonly<Record<string, TryLock>> = {
  own: () => {
    console.log('asked');
    // The first time somebody else holds it.
    return ++asked > 1;
  },
  throwing: () => {
    throw new Error('the addon is missing');
  },
  unsupported: () => {
    throw Object.assign(new Error('no locks available'), { code: 'ENOLCK' });
  },
};

const tryLock = ways[way];
const options = { ...(tryLock ? { tryLock } : {}), warn: () => console.log('warned') };
let seen = '';
await withFileLock(
  file,
  async () => {
    seen = readdirSync(dirname(file)).join(' ');
  },
  options,
);
if (way !== 'own') {
  console.log(seen);
  await withFileLock(file, async () => {}, options);
}
console.log('done');
