/**
 * The models one can ask for, as the running server or else the files say. Runs in the CLI process.
 */
import type { Config } from '../src/config.js';
import { remark } from './print.js';
import type { Shell } from './shell.js';

/** A model as the server or the map names it. */
export interface KnownModel {
  readonly id: string;
  readonly path: string;
  readonly stop: readonly string[];
  readonly origin: string;
}

/** All of them, in the order in which they are offered. Codes: those of ModelCatalog. */
export async function knownModels(config: Config, shell: Shell): Promise<readonly KnownModel[]> {
  return (await fromServer(config, shell)) ?? (await fromFiles(config));
}

async function fromServer(config: Config, shell: Shell): Promise<KnownModel[] | null> {
  const { ask, findServer, NO_ANSWER } = await import('./admin-client.js');
  const server = findServer(config);
  if (!server) return null;
  const answer = await ask(server, 'GET', '/admin/models');
  if (!answer) remark(NO_ANSWER, shell.language);
  const models = answer?.body.models;
  return Array.isArray(models) ? models.flatMap(toKnown) : null;
}

function toKnown(value: unknown): KnownModel[] {
  if (typeof value !== 'object' || value === null) return [];
  const { id, path, stop, origin } = value as Record<string, unknown>; // each is checked below
  if (typeof id !== 'string' || typeof path !== 'string') return [];
  const texts = Array.isArray(stop) ? stop.filter((text) => typeof text === 'string') : [];
  return [{ id, path, stop: texts, origin: typeof origin === 'string' ? origin : 'map' }];
}

async function fromFiles(config: Config): Promise<readonly KnownModel[]> {
  const { withLocalModels } = await import('./local-models.js');
  return withLocalModels(config, async (models) => models.list());
}
