/** The check of the systemd unit, on machines that a test plays. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { unitPath, unitText } from '../../src/service/unit.js';
import { examined, type PatientOptions, patient } from '../helpers/patient.js';

/** What the check says of a patient. */
async function checked(options: PatientOptions) {
  const result = (await examined(options)).get('server.service');
  assert.ok(result);
  return result;
}

describe('the doctor, of the service', () => {
  const { config } = patient().settings;
  const path = unitPath(config);
  const program = { node: '/opt/node/bin/node', entry: '/opt/hoshikage/dist/cli/main.js' };
  const unit = (text: string, node = program.node) => ({ files: { [path]: text, [node]: '' } });

  it('is content with a unit that starts this Hoshikage, and with none', async () => {
    const fits = unit(unitText(config, program));
    assert.equal((await checked(fits)).state, 'ok');
    assert.equal((await checked({})).state, 'skipped');
    const elsewhere = await examined({ machine: { platform: 'darwin' } });
    assert.equal(elsewhere.get('server.service'), undefined);
  });

  it("leaves somebody's own unit to him", async () => {
    const own = unit('[Service]\nExecStart=/bin/true\n');
    const { detail, state } = await checked(own);
    assert.equal(state, 'ok');
    assert.match(detail.en, /\(your own\)$/);
  });

  it('warns of one of another place or of other settings', async () => {
    const moved = unit(unitText(config, { ...program, entry: '/old/dist/cli/main.js' }));
    const other = unit(unitText({ ...config, shutdownGraceMs: 1000 }, program));
    for (const options of [moved, other]) {
      const { remedy, state } = await checked(options);
      assert.equal(state, 'warning');
      assert.match(remedy?.en ?? '', /npx hoshikage service install$/);
    }
  });

  it('finds that its Node.js is gone', async () => {
    const gone = { files: { [path]: unitText(config, program) } };
    const { detail, state } = await checked(gone);
    assert.equal(state, 'broken');
    assert.match(detail.en, /\/opt\/node\/bin\/node$/);
  });
});
