/**
 * The bodies of POST /admin/models, as the earlier versions had it (`{name, path, stop?, force?, …}`
 * with an entry's settings beside), and of the other /admin routes that have one. Runs in the server; pure. What a
 * model's values may be is the registry's to say, so that the CLI keeps the same rules.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import {
  MODEL_SETTING_NAMES,
  MODEL_SETTING_SHAPES,
  readModelSettings,
} from '../../models/model-settings.js';
import { type NewModel, STOP_SHAPE } from '../../models/registry.js';
import { type FieldRule, IgnoredFields, isRecord } from './fields.js';
import { because, parseWith } from './issue.js';
import { keepAlive } from './turn.js';

/** A model to add. */
export interface AddCall {
  readonly id: string;
  readonly model: NewModel;
  readonly ignored: readonly string[];
}

/** POST /admin/models. */
export const ADD_FIELDS: Readonly<Record<string, FieldRule>> = {
  name: 'honoured',
  path: 'honoured',
  stop: 'honoured',
  force: 'honoured',
  ...Object.fromEntries(MODEL_SETTING_NAMES.map((name) => [name, 'honoured' as const])),
};
/** POST /admin/library. */
export const USE_FIELDS: Readonly<Record<string, FieldRule>> = { id: 'honoured' };
/** POST /admin/models/{id}/load. */
export const LOAD_FIELDS: Readonly<Record<string, FieldRule>> = { keep_alive: 'honoured' };
/** POST /admin/unload. */
export const UNLOAD_FIELDS: Readonly<Record<string, FieldRule>> = { model: 'honoured' };

const settings = Object.fromEntries(
  Object.entries(MODEL_SETTING_SHAPES).map(([name, shape]) => [name, shape.nullish()]),
);
/** The body of POST /admin/models. */
export const addBody = z.looseObject({
  ...settings,
  name: z.string().min(1),
  // The server's working directory is nothing a client knows.
  path: z
    .string()
    .refine(
      (path) => isAbsolute(path) || /^~[\\/]/.test(path),
      because('絶対パスにしてください', 'must be an absolute path'),
    ),
  stop: STOP_SHAPE.nullish(),
  force: z.boolean().nullish(),
});

/** Reads the body. Codes: missing_required_parameter, invalid_value, unknown_parameter. */
export function parseAdd(body: unknown, strict: boolean): AddCall {
  const { name, path, stop, force } = parseWith(addBody, body);
  const ignored = new IgnoredFields(strict);
  ignored.check(body, ADD_FIELDS);
  const given = isRecord(body) ? Object.entries(body).filter(([, value]) => value !== null) : [];
  return {
    id: name,
    model: {
      path,
      stop: stop ?? [],
      force: force ?? false,
      settings: readModelSettings(Object.fromEntries(given)),
    },
    ignored: ignored.names,
  };
}

/** A library to switch to; null = what the search order finds. */
export interface UseCall {
  readonly id: string | null;
  readonly ignored: readonly string[];
}

const LIBRARY_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The body of POST /admin/library. */
export const useBody = z.looseObject({
  // The name of an installed one and never a path: who may ask the server may not choose its files.
  id: z
    .string()
    .refine(
      (id) => LIBRARY_ID.test(id),
      because(
        '入っている libllama の名前か null にしてください(パスは使えません)',
        'must be the id of an installed libllama or null, never a path',
      ),
    )
    .meta({ pattern: LIBRARY_ID.source })
    .nullable(),
});

/** Reads the body. Codes: missing_required_parameter, invalid_value, unknown_parameter. */
export function parseUse(body: unknown, strict: boolean): UseCall {
  const { id } = parseWith(useBody, body);
  const ignored = new IgnoredFields(strict);
  ignored.check(body, USE_FIELDS);
  return { id, ignored: ignored.names };
}

/** How a model is to be loaded. */
export interface LoadCall {
  readonly keepAliveMs: number | null | undefined;
  readonly ignored: readonly string[];
}

/** The body of POST /admin/models/{id}/load. */
export const loadBody = z.looseObject({ keep_alive: keepAlive });

/** Reads the body of POST /admin/models/{id}/load. Codes: invalid_value, unknown_parameter. */
export function parseLoad(body: unknown, strict: boolean): LoadCall {
  const { keep_alive: keepAliveMs } = parseWith(loadBody, body);
  const ignored = new IgnoredFields(strict);
  ignored.check(body, LOAD_FIELDS);
  return { keepAliveMs, ignored: ignored.names };
}

/** What is to go; null = all. */
export interface UnloadCall {
  readonly model: string | null;
  readonly ignored: readonly string[];
}

/** The body of POST /admin/unload. */
export const unloadBody = z.looseObject({ model: z.string().min(1).nullish() });

/** Reads the body of POST /admin/unload. Codes: invalid_value, unknown_parameter. */
export function parseUnload(body: unknown, strict: boolean): UnloadCall {
  const { model } = parseWith(unloadBody, body);
  const ignored = new IgnoredFields(strict);
  ignored.check(body, UNLOAD_FIELDS);
  return { model: model ?? null, ignored: ignored.names };
}
