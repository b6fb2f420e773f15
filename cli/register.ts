/**
 * Gives a model's file its name: by the running server where there is one, else in the map itself. Runs in
 * the CLI process. It checks nothing that the registry checks.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../src/config.js';
import type { ModelSettings } from '../src/models/model-settings.js';
import { remark } from './print.js';
import type { Shell } from './shell.js';

/** A model to be registered. */
export interface Registration {
  /** Absolute path of the GGUF file. */
  readonly path: string;
  readonly alias: string;
  readonly stop: readonly string[];
  readonly settings?: ModelSettings;
  /** Replace an entry of that name. */
  readonly force: boolean;
}

/** What came of it. `unchanged`: the map said just this already. */
export interface Registered {
  readonly outcome: 'done' | 'unchanged';
  /** A server runs, and knows of it. */
  readonly byServer: boolean;
}

/** Registers it. Codes: those of ModelRegistry.add. */
export async function register(
  config: Config,
  wanted: Registration,
  shell: Shell,
): Promise<Registered> {
  const outcome = (await isInMap(config, wanted)) ? 'unchanged' : 'done';
  const byServer = await addByServer(config, wanted, shell);
  if (!byServer) await addToFile(config, wanted);
  return { outcome, byServer };
}

/** The line that says how a registered model is asked for. */
export function usageLine(alias: string, { say }: Shell): string {
  const field = `"model": ${JSON.stringify(alias)}`;
  return say({
    ja: `リクエストに ${field} と書くと使えます`,
    en: `To use it, write ${field} in a request`,
  });
}

/** True where the map already says just this; a map that cannot be read says nothing. */
async function isInMap(
  { modelMapFile }: Config,
  { path, alias, stop }: Registration,
): Promise<boolean> {
  const { findEntry, ModelRegistry } = await import('../src/models/registry.js');
  const entries = await new ModelRegistry(modelMapFile).read().catch(() => []);
  const entry = findEntry(entries, alias);
  return entry?.path === path && isDeepStrictEqual(entry.stop, stop);
}

async function addByServer(
  config: Config,
  { path, alias, stop, force, settings = {} }: Registration,
  shell: Shell,
): Promise<boolean> {
  const { writeModelSettings } = await import('../src/models/model-settings.js');
  const { ask, findServer, NO_ANSWER } = await import('./admin-client.js');
  const server = findServer(config);
  if (!server) return false;
  const body = { name: alias, path, stop, force, ...writeModelSettings(settings) };
  const answer = await ask(server, 'POST', '/admin/models', { body, details: { model: alias } });
  if (!answer) remark(NO_ANSWER, shell.language);
  return answer !== null;
}

async function addToFile(config: Config, { alias, ...model }: Registration): Promise<void> {
  const { withLocalModels } = await import('./local-models.js');
  await withLocalModels(config, (models) => models.add(alias, model));
}
