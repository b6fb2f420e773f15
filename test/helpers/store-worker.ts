/** A process that chooses one library again and again: `store-worker.ts <libDir> <id>`. */
import { LibraryStore } from '../../src/library/store.js';

const [, , libDir = '', id = ''] = process.argv;
const store = new LibraryStore(libDir);
for (let round = 0; round < 5; round += 1) {
  await store.activate(id);
  await store.active();
}
