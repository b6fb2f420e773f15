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

  it("offers none where this user's systemd does not answer", async () => {
    const asked: string[] = [];
    const machine = (code: number | null) => ({
      run: async (file: string, args: readonly string[]) => {
        if (file === 'systemctl') asked.push(args.join(' '));
        return { code: file === 'systemctl' ? code : 0, stdout: '{"napiVersion":8}', stderr: '' };
      },
    });
    assert.match((await checked({ machine: machine(0) })).detail.en, /service install/);
    // It refused, or there is no such program.
    for (const code of [1, null]) {
      const { detail, state } = await checked({ machine: machine(code) });
      assert.equal(state, 'skipped');
      assert.doesNotMatch(`${detail.en} ${detail.ja}`, /service install/);
      const moved = unit(unitText(config, { ...program, entry: '/old/dist/cli/main.js' }));
      const { remedy } = await checked({ ...moved, machine: machine(code) });
      assert.match(remedy?.en ?? '', /where this user's systemd answers$/);
    }
    assert.equal(asked.length, 5);
    assert.ok(asked.every((args) => args.startsWith('--user show ')));
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
