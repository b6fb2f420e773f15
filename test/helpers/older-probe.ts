/** Entry of a probe that knows no newer layouts than an older table does. */
import { loadAddon } from '../../src/engine/addon.js';
import { type LibraryFiles, toWire } from '../../src/engine/protocol.js';
import { olderTable } from './older-table.js';

process.on('disconnect', () => process.exit(1));
process.once('message', (message) => {
  // Only identify.ts sends here.
  const files = message as LibraryFiles;
  loadAddon()
    .openLibrary({ ...files, abi: olderTable(), proveSamplers: true, backends: true })
    .then(
      (identity) => ({ identity, error: null }),
      (error: unknown) => ({ identity: null, error: toWire(error, 'library_incompatible') }),
    )
    .then((verdict) => process.send?.(verdict, undefined, {}, () => process.exit(0)));
});
