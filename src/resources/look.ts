/**
 * A limit for whatever is found out about a file: others wait meanwhile, and a network file system may
 * never answer. Any thread; it leaves no timer behind.
 */
import { after } from './timer.js';

/** Identifying a libllama and making the built-in model are within it. */
const LOOK_LIMIT_MS = 60_000;

/** What `work` gives, or an error after a minute; `work` itself goes on. */
export async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const seconds = LOOK_LIMIT_MS / 1000;
    const error = new Error(`its file could not be looked at within ${seconds} s`);
    timer = after(LOOK_LIMIT_MS, () => reject(error));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
