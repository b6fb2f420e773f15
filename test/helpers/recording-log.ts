/** A Log that keeps what was logged, for tests that ask what the user would have read. */
import type { Log } from '../../src/log.js';

export interface Recorded {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly message: string;
  readonly fields: object;
}

export function recordingLog(): Log & { readonly records: Recorded[] } {
  const records: Recorded[] = [];
  const at =
    (level: Recorded['level']) =>
    (message: string, fields: object = {}): void => {
      records.push({ level, message, fields });
    };
  const log = {
    records,
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    start: at('info'),
    child: () => log,
    close: async () => {},
  };
  return log;
}
