/**
 * Entry of the process that looks at everything for `hoshikage doctor`. A call into a dead file system
 * never comes back, and Node itself would wait for it at its end; whoever started this one kills it.
 * Main thread of its own process; commands/doctor.ts starts it, and nothing else.
 */
import type { Config, Language } from '../src/config.js';
import type { Diagnosis } from '../src/doctor/doctor.js';
import type { ServerReport } from '../src/doctor/patient.js';
import { isRecord } from '../src/models/map-file.js';
import type { Words } from './print.js';

/** What it is asked for, once. */
export interface DoctorOrder {
  readonly language: Language;
  /** How the user starts Hoshikage. */
  readonly command: string;
}

/** What it answers: the groups of checks that still run, and in the end how it went. */
export type DoctorNews =
  | { readonly waiting: readonly Words[] }
  | { readonly diagnosis: Diagnosis }
  | { readonly failure: string };

/** No check waits longer than a minute; the whole must end even where that fails. */
const LIMIT_MS = 120_000;

function tell(news: DoctorNews): void {
  process.send?.(news, undefined, {}, () => {});
}

async function examine({ language, command }: DoctorOrder): Promise<Diagnosis> {
  const { diagnose } = await import('../src/doctor/doctor.js');
  const { examineConfig } = await import('../src/config.js');
  const sources = { flags: { lang: language } };
  return diagnose({
    sources,
    command,
    server: () => askServer(examineConfig(sources).config),
    signal: AbortSignal.timeout(LIMIT_MS),
    onWait: (waiting) => tell({ waiting }),
  });
}

/**
 * What the server that run.json names says; it may hang, so silence is an answer. Its own token opens
 * /admin only: with API_KEY set, the whole status wants that key, which may be in its environment alone.
 */
async function askServer({
  runFile,
  apiKey,
}: Pick<Config, 'runFile' | 'apiKey'>): Promise<ServerReport | null> {
  const { askOnce, findServer } = await import('./admin-client.js');
  const server = findServer({ runFile });
  if (!server) return null;
  const { pid, host, port } = server;
  const get = (path: string, token = server.token) =>
    askOnce({ ...server, token }, 'GET', path, {}).catch(() => ({ status: 0, body: null }));
  const owned = await get('/admin/library');
  if (owned.status !== 200 || !isRecord(owned.body?.library)) {
    return { pid, host, port, status: null, refused: owned.status === 401 || owned.status === 403 };
  }
  const whole = await get('/v1/status', apiKey ?? server.token);
  const status = whole.status === 200 && whole.body ? whole.body : { library: owned.body.library };
  return { pid, host, port, status, refused: false };
}

// Ending would wait for what hangs.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.once('message', (message) => {
  // Only commands/doctor.ts sends here.
  void examine(message as DoctorOrder).then(
    (diagnosis) => tell({ diagnosis }),
    (thrown: unknown) => tell({ failure: thrown instanceof Error ? thrown.message : 'unknown' }),
  );
});
