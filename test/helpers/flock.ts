/**
 * The kernel's lock as the server takes it where fs-ext is not installed, for tests that need one and
 * must pass either way.
 */
import { loadAddon } from '../../src/engine/addon.js';

/** The addon's; it is loaded only where it is asked for. */
export const tryLock = (fd: number): boolean => loadAddon().tryLock(fd);
