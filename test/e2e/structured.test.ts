/**
 * Structured output from a model with random weights: whatever it would rather say, what it is made to
 * say obeys the schema: random bounded schemas, four seeds each, against ajv.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { randomModel } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { randomSchema } from '../helpers/random-schema.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { tries } from '../helpers/thorough.js';
import { chatBody, getJson } from '../helpers/wire.js';

const SCHEMAS = tries(60, 500);
const SEEDS = 4;
const MAX_TOKENS = 500;

interface Outcome {
  readonly status: number;
  readonly code: string | null;
  readonly message: string;
  readonly finish: string | null;
  readonly content: string;
}

describe('A model with random weights that has to obey a schema', () => {
  const owner = suiteOwner();
  let server: TestServer;

  before(async () => {
    const home = makeHome(owner);
    const small = { embedding: 64, layers: 2, heads: 2, kvHeads: 2, feedForward: 128 };
    home.writeMap({ noise: await randomModel(small) });
    server = await startServer(owner, { home, env: { N_CTX: '1024' } });
  });

  async function answer(schema: unknown, seed: number): Promise<Outcome> {
    const format = { type: 'json_schema', json_schema: { name: 'random', schema, strict: true } };
    const body = chatBody('noise', 'x', {
      ...{ response_format: format, seed, max_tokens: MAX_TOKENS },
      ...{ temperature: 1, top_p: 1, top_k: 0, repeat_penalty: 1 },
    });
    const sent = await getJson(`${server.url}/v1/chat/completions`, { json: body });
    // The two shapes that this route answers with.
    const { error, choices } = sent.body as {
      error?: { code: string; message: string };
      choices?: { message: { content: string }; finish_reason: string }[];
    };
    return {
      status: sent.status,
      code: error?.code ?? null,
      message: error?.message ?? '',
      finish: choices?.[0]?.finish_reason ?? null,
      content: choices?.[0]?.message.content ?? '',
    };
  }

  test('gives nothing that the schema forbids, and ends nearly always', {
    timeout: 600_000,
  }, async () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: true });
    // Its types are those of another module system.
    (formats as unknown as (to: Ajv2020) => void)(ajv);
    let [finished, cut, refused] = [0, 0, 0];
    for (let index = 0; index < SCHEMAS; index++) {
      const schema = randomSchema(index);
      const validate = ajv.compile(schema as object);
      for (let seed = 0; seed < SEEDS; seed++) {
        const { status, code, message, finish, content } = await answer(schema, seed);
        const what = `schema ${index}, seed ${seed}: ${JSON.stringify(schema)}: ${content}`;
        if (status === 400) {
          assert.equal(code, 'schema_unsupported', `${what} ${message}`);
          assert.match(message, /\/[a-zA-Z]/, 'the keyword is named by its place');
          refused += 1;
          break;
        }
        assert.equal(status, 200, `${what} ${message}`);
        if (finish === 'length') {
          cut += 1;
          continue;
        }
        assert.equal(finish, 'stop', what);
        assert.ok(validate(JSON.parse(content)), `${what} ${ajv.errorsText(validate.errors)}`);
        finished += 1;
      }
    }
    const said = `${finished} finished, ${cut} cut, ${refused} schemas refused`;
    console.log(said);
    assert.ok(finished / (finished + cut) >= 0.95, said);
    assert.ok(refused < SCHEMAS / 4, said);
  });
});
