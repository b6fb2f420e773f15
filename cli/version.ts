/**
 * The version of this package, from its package.json: two steps up from dist/cli, one from cli.
 * Runs in the CLI process, synchronously.
 */
import { readFileSync } from 'node:fs';

/** The version, or `0.0.0` where package.json is not beside us. */
export function packageVersion(): string {
  for (const step of ['../package.json', '../../package.json']) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(step, import.meta.url), 'utf8'));
      if (typeof found === 'object' && found !== null && 'version' in found) {
        if ('name' in found && found.name === 'hoshikage') return String(found.version);
      }
    } catch {
      // The next step may have it.
    }
  }
  return '0.0.0';
}
