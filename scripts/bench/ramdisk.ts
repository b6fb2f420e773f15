/**
 * What a copy on the RAM disk is worth: from the request to the first token with the model's file on a
 * disk that has to be read, in the page cache, and copied to a tmpfs. Linux only; needs GNU dd, which
 * asks the kernel to forget a file's pages without being root.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { makeHome, startServer, type TestServer } from '../../test/helpers/server.js';
import { until } from '../../test/helpers/waiting.js';
import { ask } from '../../test/helpers/wire.js';
import { cleaningUp } from './cleanup.js';
import type { Row } from './report.js';
import { firstToken, weighty } from './switch.js';

const RAMDISK = '/dev/shm';
const MODEL = 'one';

/** The three ways, in turns. Rows in ms; none where there is no RAM disk. */
export function measureRamDisk(repeats: number): Promise<Row[]> {
  if (!existsSync(RAMDISK)) return Promise.resolve([]);
  return cleaningUp(async (owner) => {
    const file = await weighty(1);
    const start = async (mode: string): Promise<TestServer> => {
      const home = makeHome(owner);
      home.writeMap({ [MODEL]: file });
      const env = { LOG_LEVEL: 'warn', RAMDISK_PATH: RAMDISK, RAMDISK_MODE: mode };
      return startServer(owner, { home, env });
    };
    const plain = await start('off');
    const copying = await start('always');
    await firstToken(copying, MODEL);
    await until('copy', () => hasCopy(statSync(file).size), { deadlineMs: 60_000, everyMs: 100 });
    await unload(copying);
    const disk: number[] = [];
    const cached: number[] = [];
    const copy: number[] = [];
    for (let turn = 0; turn < repeats; turn++) {
      forget(file);
      disk.push(await loaded(plain));
      cached.push(await loaded(plain));
      copy.push(await loaded(copying));
    }
    return rowsOf(disk, cached, copy);
  });
}

function rowsOf(disk: number[], cached: number[], copy: number[]): Row[] {
  const loaded = { name: 'first token, loaded from the RAM disk', unit: 'ms', values: copy };
  return [
    { ...loaded, against: { name: 'from the disk', values: disk }, target: '<= 0.5 x' },
    { ...loaded, against: { name: 'from the page cache', values: cached } },
  ];
}

async function loaded(server: TestServer): Promise<number> {
  const took = await firstToken(server, MODEL);
  await unload(server);
  return took;
}

async function unload(server: TestServer): Promise<void> {
  const headers = { authorization: `Bearer ${server.run.token}` };
  const { status } = await ask(`${server.url}/admin/unload`, { method: 'POST', headers });
  if (status !== 200) throw new Error(`unload: ${status}`);
  await until('unload', async () => (await server.status()).model === null);
}

/** POSIX_FADV_DONTNEED for the whole file: dd does so where nothing is copied. */
function forget(file: string): void {
  execFileSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
}

/** One whole copy, its parts never being counted before they are renamed. */
function hasCopy(bytes: number): boolean {
  return readdirSync(RAMDISK, { recursive: true, encoding: 'utf8' }).some(
    (name) =>
      /^hoshikage-\d+\/ramdisk-[0-9a-f]+\/[0-9a-f]+\/.*\.gguf$/.test(name) &&
      statSync(join(RAMDISK, name)).size === bytes,
  );
}
