/**
 * The document of the API, OpenAPI 3.1: made of the schemas that read the requests, the tables of their
 * fields and a row for each route. Runs in the server; pure. Where a key is asked for it follows the
 * settings, so it is of this server and of no other.
 */
import type { Config } from '../../config.js';
import { ANSWERS, type AnswerName } from './answers.js';
import { bodySchema, type JsonSchema } from './body-schema.js';
import { OPERATIONS, type Operation } from './operations.js';
import { PRIORITIES, PRIORITY_HEADER } from './turn.js';

/** What the document says of the server it describes. */
export interface OpenApiSource {
  readonly config: Config;
  readonly version: string;
}

/** The whole document; `operations` are the project's own where they are not given. */
export function openApiDocument(
  { config, version }: OpenApiSource,
  operations: readonly Operation[] = OPERATIONS,
): JsonSchema {
  const paths = new Map<string, Record<string, unknown>>();
  for (const operation of operations) {
    const path = paths.get(operation.path) ?? {};
    path[operation.method.toLowerCase()] = operationOf(operation, config);
    paths.set(operation.path, path);
  }
  const bodies = operations.flatMap(({ body }) =>
    body ? [[body.title, bodySchema(body.schema, body.table, config)] as const] : [],
  );
  return {
    openapi: '3.1.0',
    info: {
      title: '星影 Hoshikage',
      version,
      description: ABOUT,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths: Object.fromEntries(paths),
    components: {
      schemas: { ...Object.fromEntries(bodies), ...ANSWERS },
      headers: HEADERS,
      responses: {
        Error: {
          description: '断られたか、できなかった / Refused, or failed',
          headers: headersOf('x-request-id', 'retry-after'),
          content: { 'application/json': { schema: refTo('Error') } },
        },
      },
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: 'API_KEY' },
        admin: {
          type: 'http',
          scheme: 'bearer',
          description: 'run.json の token、または API_KEY / The token of run.json, or API_KEY',
        },
      },
    },
  };
}

const ABOUT = [
  '送られた項目は、使う(honoured)か、名指しで断る(refused)か、無視して応答のヘッダー x-hoshikage-ignored で知らせる(ignored)。どれかは、各項目の x-hoshikage にある。',
  'Every field that is sent is honoured, or refused by name, or ignored and named in the header x-hoshikage-ignored of the answer; x-hoshikage of each field says which.',
].join(' / ');

const TAGS = {
  inference: '推論 / Inference',
  models: 'モデル / Models',
  server: 'サーバー / Server',
  admin: '管理 / Administration',
} as const;

const HEADERS = {
  'x-request-id': {
    description: 'この応答の番号。ログにも残る / The number of this answer, in the log as well',
    schema: { type: 'string' },
  },
  'x-hoshikage-ignored': {
    description: '無視した項目の名前 / The names of fields that were ignored',
    schema: { type: 'string' },
  },
  'x-hoshikage-altered': {
    description: 'messages: 安全な形に変えた / messages: they were changed into a safe form',
    schema: { const: 'messages' },
  },
  'x-hoshikage-truncated': {
    description:
      '長すぎる会話から外したトークン数 / Tokens left out of a conversation that was too long',
    schema: { type: 'integer', minimum: 1 },
  },
  'retry-after': {
    description: '待つとよい秒数 / Seconds after which to try again',
    schema: { type: 'integer' },
  },
} as const;

function headersOf(...names: readonly (keyof typeof HEADERS)[]): JsonSchema {
  return Object.fromEntries(
    names.map((name) => [name, { $ref: `#/components/headers/${name}` }] as const),
  );
}

function refTo(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

function operationOf(operation: Operation, config: Config): JsonSchema {
  const { id, ja, en, body, headers = [] } = operation;
  const parameters = parametersOf(operation);
  return {
    operationId: id,
    summary: `${ja} / ${en}`,
    tags: [tagOf(operation.path)],
    security: securityOf(operation.path, config),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: {
        required: body.optional !== true,
        content: { 'application/json': { schema: refTo(body.title), example: body.example } },
      },
    }),
    responses: {
      200: {
        description: '答え / The answer',
        headers: headersOf(
          'x-request-id',
          ...(body ? (['x-hoshikage-ignored'] as const) : []),
          ...headers,
        ),
        content: contentOf(operation),
      },
      default: { $ref: '#/components/responses/Error' },
    },
  };
}

function contentOf({ answer, events, text }: Operation): JsonSchema {
  const schemaOf = (name: AnswerName) => ({ schema: refTo(name) });
  return {
    ...(answer && { 'application/json': schemaOf(answer) }),
    ...(events && { 'text/event-stream': schemaOf(events) }),
    ...(text && { [text]: { schema: { type: 'string' } } }),
  };
}

function parametersOf({ path, waits }: Operation): readonly JsonSchema[] {
  return [...(path.includes('{id}') ? [ID_PARAMETER] : []), ...(waits ? [PRIORITY_PARAMETER] : [])];
}

const ID_PARAMETER = {
  name: 'id',
  in: 'path',
  required: true,
  description:
    'モデルの名前。/ を含んでもよく、そのままでも %2F でもよい / The name of a model; a slash in it may be written as it is or as %2F',
  schema: { type: 'string', minLength: 1 },
};
const PRIORITY_PARAMETER = {
  name: PRIORITY_HEADER,
  in: 'header',
  required: false,
  description:
    'batch は、待っている interactive がなくなってから順番が来る / batch waits until no interactive request does',
  schema: { enum: PRIORITIES, default: PRIORITIES[0] },
};

function tagOf(path: string): keyof typeof TAGS {
  if (path.startsWith('/admin/')) return 'admin';
  if (path.startsWith('/v1/models')) return 'models';
  return SERVER_PATHS.includes(path) ? 'server' : 'inference';
}

const SERVER_PATHS = ['/', '/health', '/v1/status', '/v1/api/version', '/openapi.json', '/docs'];
const OPEN_PATHS = ['/', '/health'];

function securityOf(path: string, { apiKey }: Config): readonly object[] {
  if (path.startsWith('/admin/')) return [{ admin: [] }];
  return apiKey === null || OPEN_PATHS.includes(path) ? [] : [{ apiKey: [] }];
}
