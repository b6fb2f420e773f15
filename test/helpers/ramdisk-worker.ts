/**
 * A server's RAM disk in a process of its own. Started with [base, source, what]; copies the source and
 * says `copying` once some of it is written. `hold`: stays until it is killed, in the middle of it.
 * `full`: believes that there is room, whatever the file system says, and tells how it ended.
 */

import { spaceAt } from '../../src/folders/space.js';
import { RamDisk } from '../../src/staging/ramdisk.js';
import { tryLock } from './flock.js';
import { eventKeeper, modelsBelow, ramdiskSettings } from './ramdisk-files.js';
import { recordingLog } from './recording-log.js';
import { pause, until } from './waiting.js';

const [base = '', source = '', what = ''] = process.argv.slice(2);

const log = recordingLog();
const events = eventKeeper();
const space = async (path: string) => {
  const found = await spaceAt(path);
  const plenty = 2 ** 40;
  if (what === 'hold' && (ramdisk.status().copying?.copied ?? 0) > 0) {
    console.log('copying');
    await pause(60_000);
  }
  return what === 'full' ? { ...found, diskFree: plenty, diskTotal: plenty } : found;
};
const settings = ramdiskSettings(base);
const ramdisk = RamDisk.open({ settings, asked: true, log, events, tryLock, space });
ramdisk.loaded(source, { bytes: 1, ms: 1, readBytes: null });
await until('end of the copy', () =>
  events.told.some(({ state }) => state === 'failed' || state === 'done'),
);
console.log(JSON.stringify(events.told.map(({ state, reason }) => ({ state, reason }))));
console.log(JSON.stringify(log.records.filter(({ level }) => level === 'warn')));
console.log(JSON.stringify([await ramdisk.pathFor(source), modelsBelow(base)]));
await ramdisk.close();
