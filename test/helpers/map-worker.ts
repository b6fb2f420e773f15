/**
 * A process that changes a model map, for tests with several writers. Started with
 * [map, model file, prefix, count, mode]; says one line per change once it is acknowledged:
 * `added NAME` or `removed NAME`. Mode `keep` adds; `churn` adds all and removes every second one;
 * `hold` takes the lock, says `held`, and keeps it until it is killed.
 */

import { withFileLock } from '../../src/models/lock.js';
import { ModelRegistry } from '../../src/models/registry.js';

const [map = '', model = '', prefix = '', count = '0', mode = 'keep'] = process.argv.slice(2);

/** Written at once: what was said before a kill has been said. */
function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function run(): Promise<void> {
  if (mode === 'hold') {
    await withFileLock(map, async () => {
      say('held');
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    });
    return;
  }
  const registry = new ModelRegistry(map, { lockTimeoutMs: 60_000 });
  for (let index = 0; index < Number(count); index++) {
    const name = `${prefix}${index}`;
    await registry.add(name, { path: model });
    say(`added ${name}`);
    if (mode === 'churn' && index % 2 === 1) {
      await registry.remove(name);
      say(`removed ${name}`);
    }
  }
}

await run();
