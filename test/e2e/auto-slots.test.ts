/** N_SLOTS=auto on a real library: measured once, remembered, and a draft model that is not there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SLOT_COUNTS } from '../../src/engine/slot-count.js';
import { talker } from '../helpers/models.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { chatBody, getJson } from '../helpers/wire.js';

const ask = (server: TestServer, model: string) =>
  getJson(`${server.url}/v1/chat/completions`, {
    json: chatBody(model, 'こんにちは', { temperature: 0, max_tokens: 4 }),
  });

interface Slots {
  readonly slot_choice: string | null;
  readonly slots: readonly object[];
}

async function slotsOf(server: TestServer): Promise<Slots> {
  const { model } = await server.status();
  return model as unknown as Slots; // the fields are asserted
}

test('the number of slots is measured at the first load and known at the next', async (t) => {
  const home = makeHome(t);
  const file = await talker();
  home.writeMap({ open: file, fixed: { file, n_slots: 3 } });
  const server = await startServer(t, { home, env: { N_SLOTS: 'auto', N_CTX: '256' } });
  assert.equal((await ask(server, 'open')).status, 200);
  const first = await slotsOf(server);
  assert.equal(first.slot_choice, 'measured', server.output());
  assert.ok(SLOT_COUNTS.includes(first.slots.length));
  const told = `slots=${first.slots.length} slotsAre=measured`;
  assert.ok(server.output().includes(told), server.output());

  assert.equal((await ask(server, 'fixed')).status, 200);
  const fixed = await slotsOf(server);
  assert.deepEqual([fixed.slot_choice, fixed.slots.length], [null, 3]);

  assert.equal((await ask(server, 'open')).status, 200);
  const again = await slotsOf(server);
  assert.deepEqual([again.slot_choice, again.slots.length], ['remembered', first.slots.length]);
});

test('a draft model that is not there is refused by its name, and nothing goes for it', async (t) => {
  const home = makeHome(t);
  const file = await talker();
  home.writeMap({ plain: file, guessing: { file, draft_model: 'nobody', n_ctx: 512 } });
  const server = await startServer(t, { home });
  assert.equal((await ask(server, 'plain')).status, 200);
  const { status, body } = await ask(server, 'guessing');
  assert.equal(status, 503);
  assert.match(JSON.stringify(body), /draft model nobody .*draft_model_unusable/);
  assert.equal((await server.status()).model?.id, 'plain');
});
