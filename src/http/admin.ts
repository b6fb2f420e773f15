/**
 * /admin/*: changes to the list of models, to what is resident and to the library, for the CLI and for people with
 * the key. Runs in the server, behind adminGuard. It must never answer before the change is on disk.
 */
import type { Context } from 'hono';
import { HoshikageError } from '../errors.js';
import { writeModelSettings } from '../models/model-settings.js';
import type { ModelEntry } from '../models/registry.js';
import { unlessGone } from '../resources/gone.js';
import { readJson, readOptionalJson } from './body.js';
import type { AppDeps, AppEnv, LibraryReport } from './deps.js';
import { entryOf } from './models.js';
import { ignoredHeader } from './note-headers.js';
import { json } from './response.js';
import { parseAdd, parseLoad, parseUnload, parseUse } from './schema/admin.js';
import { turnOf } from './schema/turn.js';
import { libraryOf } from './status.js';

/** An entry on the wire: the catalogue's, its settings by their names in the map. */
function wireEntry({ id, path, stop, origin, settings }: ModelEntry): object {
  return { id, path, stop, origin, ...writeModelSettings(settings) };
}

/** GET /admin/models. */
export function adminList({ catalog }: AppDeps): Response {
  const models = catalog.list().map(wireEntry);
  const message = `${models.length} 件のモデル / ${models.length} model(s)`;
  return json({ success: true, message, models });
}

/** POST /admin/models. Codes: those of parseAdd and ModelCatalog.add; a bad file is a 400 here. */
export async function adminAdd(
  c: Context<AppEnv>,
  { config, catalog }: AppDeps,
): Promise<Response> {
  const body = await readJson(c.req.raw, config.maxBodyBytes);
  const { id, model, ignored } = parseAdd(body, config.strictFields);
  const entry = await catalog.add(id, model).catch((thrown: unknown) => {
    throw namingPath(thrown);
  });
  const message = `${entry.id} を登録しました / Added ${entry.id}`;
  return json({ success: true, message, entry: wireEntry(entry) }, ignoredHeader(ignored));
}

/** What is wrong with the file, as the fault of the field that named it. */
function namingPath(thrown: unknown): unknown {
  if (!(thrown instanceof HoshikageError) || !thrown.code.startsWith('model_file_')) return thrown;
  return new HoshikageError(thrown.code, { ...thrown.details, param: 'path' }, { cause: thrown });
}

/** DELETE /admin/models/{id}. Codes: those of ModelCatalog.remove. */
export async function adminRemove(id: string, { catalog }: AppDeps): Promise<Response> {
  const entry = catalog.get(id);
  await catalog.remove(id);
  const message = `${id} を外しました / Removed ${id}`;
  return json({ success: true, message, entry: entry ? wireEntry(entry) : null });
}

/** POST /admin/reload. Code: map_broken. */
export async function adminReload({ catalog }: AppDeps): Promise<Response> {
  await catalog.reload();
  const count = catalog.list().length;
  const message = `モデルの一覧を読み直しました(${count} 件) / Reloaded ${count} model(s)`;
  return json({ success: true, message, entry: null });
}

/**
 * POST /admin/models/{id}/load: also of a model that is held back since its engine crashed. Codes:
 * model_not_found, those of parseLoad and of ModelPool.load.
 */
export async function adminLoad(c: Context<AppEnv>, id: string, deps: AppDeps): Promise<Response> {
  const { maxBodyBytes, strictFields } = deps.config;
  const { signal, headers } = c.req.raw;
  const { keepAliveMs, ignored } = parseLoad(
    await readOptionalJson(c.req.raw, maxBodyBytes),
    strictFields,
  );
  const entry = await entryOf(deps, id);
  await deps.pool.load(entry, { signal, ...turnOf(headers, keepAliveMs) });
  const message = `${entry.id} を読み込みました / Loaded ${entry.id}`;
  return json({ success: true, message, entry: wireEntry(entry) }, ignoredHeader(ignored));
}

/**
 * POST /admin/unload: what is resident, or the one named, goes after its running requests; nothing
 * resident is as well. The answer comes when it has gone; a caller that leaves earlier stops only the
 * waiting. Codes: those of parseUnload, model_not_found, cancelled.
 */
export async function adminUnload(c: Context<AppEnv>, deps: AppDeps): Promise<Response> {
  const { maxBodyBytes, strictFields } = deps.config;
  const { model, ignored } = parseUnload(
    await readOptionalJson(c.req.raw, maxBodyBytes),
    strictFields,
  );
  const entry = model === null ? undefined : deps.catalog.get(model);
  const id = entry?.id ?? model ?? undefined;
  const unloaded = await unlessGone(deps.pool.unload(id), c.req.raw.signal);
  // One that was removed from the list may still have been there.
  if (unloaded.length === 0 && id !== undefined) await entryOf(deps, id);
  const names = unloaded.join(', ');
  const message =
    unloaded.length > 0
      ? `${names} をメモリから降ろしました / Unloaded ${names}`
      : '読み込まれていません / Not loaded';
  return json({ success: true, message, entry: null, unloaded }, ignoredHeader(ignored));
}

/** GET /admin/library: which library is used and why, and which are installed. */
export async function adminLibrary({ library }: AppDeps): Promise<Response> {
  const installed = (await library.store.list()).map((one) => ({
    id: one.id,
    path: one.path,
    source: one.source,
    variant: one.variant ?? null,
    version: one.version ?? null,
    size: one.sizeBytes,
  }));
  const count = installed.length;
  const message = `${count} 個の libllama が入っています / ${count} libllama(s) installed`;
  return json({ success: true, message, library: wireLibrary(library.status()), installed });
}

/**
 * POST /admin/library: the next engine is made of another library; the one that runs finishes first.
 * Codes: those of parseUse and LibraryService.use.
 */
export async function adminUse(
  c: Context<AppEnv>,
  { config, library }: AppDeps,
): Promise<Response> {
  const body = await readJson(c.req.raw, config.maxBodyBytes);
  const { id, ignored } = parseUse(body, config.strictFields);
  const status = await library.use(id, c.req.raw.signal);
  const name = id ?? 'default';
  const message = `次のエンジンから ${name} を使います / The next engine uses ${name}`;
  return json({ success: true, message, library: wireLibrary(status) }, ignoredHeader(ignored));
}

function wireLibrary(report: LibraryReport): object {
  const { id, reason } = report;
  return { id, reason, ...libraryOf(report) };
}
