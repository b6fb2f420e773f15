/**
 * Entry of the probe: a short-lived process that opens a library, says what it is, and ends.
 * Main thread of its own process: a library that crashes when it is opened takes only this one along.
 * It must never be imported by anything else.
 */
import { loadAddon, readAbi } from '../engine/addon.js';
import { type LibraryFiles, toWire } from '../engine/protocol.js';
import { HoshikageError } from '../errors.js';
import { ggmlContradiction } from './ggml-version.js';
import type { Verdict } from './verdict.js';

async function identify(files: LibraryFiles): Promise<Verdict> {
  try {
    const addon = loadAddon();
    addon.dieWithParent();
    const options = { ...files, abi: readAbi(), proveSamplers: true, backends: true };
    const identity = await addon.openLibrary(options);
    const contradiction = ggmlContradiction(identity);
    if (contradiction) throw new HoshikageError('library_incompatible', contradiction);
    return { identity, error: null };
  } catch (error) {
    return { identity: null, error: toWire(error, 'library_incompatible') };
  }
}

process.on('disconnect', () => process.exit(1));
process.once('message', (message) => {
  // Only identify.ts sends here.
  void identify(message as LibraryFiles).then((verdict) => {
    process.send?.(verdict, undefined, {}, () => process.exit(0));
  });
});
