/**
 * The body of POST /infill, in the names of llama.cpp's server: from unknown JSON to a TextRequest with
 * one gap, or an error that names the field. Runs in the server; pure. null means the default.
 */
import { z } from 'zod';
import type { TextRequest } from '../../text/request.js';
import {
  type FieldRule,
  IgnoredFields,
  isRecord,
  never,
  only,
  SAMPLING_FIELDS,
  SERVICE_FIELDS,
} from './fields.js';
import { grammar } from './form.js';
import { parseWith } from './issue.js';
import { listOf } from './list.js';
import { withFields } from './notes.js';
import {
  given,
  idleFields,
  MAX_SAMPLERS,
  SAMPLER_WORDS,
  samplingShape,
  stopsOf,
  toSampling,
} from './sampling.js';
import { MAX_TEXT, modelName } from './tokens.js';
import { keepAlive } from './turn.js';

const MAX_EXTRA = 256;

/** POST /infill. null is neutral everywhere: it asks for the default. */
export const INFILL_FIELDS: Readonly<Record<string, FieldRule>> = {
  model: 'honoured',
  input_prefix: 'honoured',
  input_suffix: 'honoured',
  input_extra: 'honoured',
  prompt: 'honoured',
  n_predict: 'honoured',
  stream: 'honoured',
  grammar: 'honoured',
  keep_alive: 'honoured',
  ...SAMPLING_FIELDS,

  json_schema: never,
  n_probs: only(0),

  ...SERVICE_FIELDS,
};
/** An item of `input_extra`. */
export const EXTRA_FIELDS: Readonly<Record<string, FieldRule>> = {
  filename: 'honoured',
  text: 'honoured',
};

/** A gap to fill and how it is to be answered. */
export interface InfillCall {
  /** Its `model` is '' where none was named. */
  readonly request: TextRequest;
  readonly stream: boolean;
  readonly keepAliveMs: number | null | undefined;
  /** For `x-hoshikage-ignored`. */
  readonly ignored: readonly string[];
}

const text = z.string().max(MAX_TEXT);
const extra = z.looseObject({ filename: z.string().max(4096).nullish(), text });
withFields('extra', EXTRA_FIELDS, extra);

/** The body of POST /infill. */
export const infillBody = z.looseObject({
  model: modelName.nullish(),
  input_prefix: text,
  input_suffix: text,
  input_extra: z.array(z.unknown()).max(MAX_EXTRA).pipe(listOf(extra)).nullish(),
  prompt: text.nullish(),
  n_predict: z.int().min(-1).nullish(),
  stream: z.boolean().nullish(),
  grammar,
  keep_alive: keepAlive,
  ...samplingShape,
});

/** llama.cpp's own step, which editors' plugins name among the samplers. */
const OWN_SAMPLER = 'infill';

/** The body with the sampler that is left out, for the document of the API. */
export const infillForm = infillBody.extend({
  samplers: z
    .array(z.enum([...SAMPLER_WORDS, OWN_SAMPLER]))
    .max(MAX_SAMPLERS + 1)
    .meta({ uniqueItems: true })
    .nullish(),
});

/**
 * Reads the body. Codes: missing_required_parameter, invalid_value, unsupported_parameter,
 * unknown_parameter.
 */
export function parseInfill(body: unknown, strict: boolean): InfillCall {
  const ignored = new IgnoredFields(strict);
  ignored.check(body, INFILL_FIELDS);
  const call = parseWith(infillBody, withoutOwnSampler(body, ignored));
  for (const name of idleFields(call)) ignored.add(name);
  for (const [index, one] of (call.input_extra ?? []).entries()) {
    ignored.check(one, EXTRA_FIELDS, `input_extra[${index}]`);
  }
  const { n_predict: most } = call;
  return {
    request: {
      model: call.model ?? '',
      prompts: [
        {
          before: call.input_prefix + (call.prompt ?? ''),
          after: call.input_suffix,
          extra: (call.input_extra ?? []).map(({ filename, text: said }) => ({
            name: filename ?? '',
            text: said,
          })),
        },
      ],
      nameOf: () => 'input_prefix',
      gapParam: 'model',
      ...{ choices: 1, bestOf: 1, echo: false },
      sampling: toSampling(call),
      // -1: no limit but the context, also where a setting has one.
      ...given({ maxTokens: most }),
      warms: most === 0,
      stop: stopsOf(call),
      ...(call.grammar && { grammar: call.grammar }),
      cachePrompt: call.cache_prompt ?? true,
    },
    stream: call.stream ?? false,
    keepAliveMs: call.keep_alive,
    ignored: ignored.names,
  };
}

/** The step is left out, which is said: refusing it would refuse the plugins altogether. */
function withoutOwnSampler(body: unknown, ignored: IgnoredFields): unknown {
  if (!isRecord(body) || !Array.isArray(body.samplers)) return body;
  const place = body.samplers.indexOf(OWN_SAMPLER);
  if (place < 0) return body;
  ignored.add(`samplers[${place}]`, `samplers.${OWN_SAMPLER}`);
  return { ...body, samplers: body.samplers.filter((name) => name !== OWN_SAMPLER) };
}
