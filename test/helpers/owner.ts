/**
 * The owner of what a whole suite shares. `after` of node:test, called in a hook, runs when that hook
 * has ended; so it is called while the suite is being described, and clean-ups are gathered here.
 */
import { after } from 'node:test';
import type { Owner } from './server.js';

/** Call it in the body of `describe`; clean-ups run in reverse order after the suite. */
export function suiteOwner(): Owner {
  const cleanUps: (() => Promise<void> | void)[] = [];
  after(async () => {
    for (const clean of cleanUps) await clean();
  });
  return { after: (clean) => void cleanUps.unshift(clean) };
}
