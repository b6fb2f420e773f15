/**
 * The check of the systemd unit that `hoshikage service install` writes: whether it still starts this
 * Hoshikage, and as it is set up now. Main thread; systemd is asked for its version only.
 */
import { entryOf, isOurs, nodeOf, unitPath, unitText } from '../service/unit.js';
import { type Finding, finding, type Text } from './check.js';
import { type Patient, shortPath } from './patient.js';

const SYSTEMD_MS = 5000;

/** The check `server.service`. */
export async function examineService(
  patient: Patient,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const options = { env: patient.env, timeoutMs: SYSTEMD_MS, signal };
  const asked = ['--user', 'show', '--property=Version'];
  const { code } = await patient.machine.run('systemctl', asked, options);
  return [await unitFinding(patient, code === 0)];
}

/** `answers`: this user's systemd does, so that a service could be installed now. */
async function unitFinding(
  { machine, settings, root, command }: Patient,
  answers: boolean,
): Promise<Finding> {
  const { config } = settings;
  const path = unitPath(config);
  const short = shortPath(path, config);
  const bytes = await machine.bytes(path);
  if (bytes === null && !answers) {
    return finding('server.service', 'skipped', {
      ja: 'サービスにはなっていません(ここでは、この利用者の systemd が応答しません)',
      en: "Not installed as a service (this user's systemd does not answer here)",
    });
  }
  if (bytes === null) {
    return finding('server.service', 'skipped', {
      ja: `サービスにはなっていません(${command} service install でできます)`,
      en: `Not installed as a service (${command} service install does it)`,
    });
  }
  const text = bytes.toString('utf8');
  if (!isOurs(text)) {
    return finding('server.service', 'ok', {
      ja: `${short}(自分で書いたもの)`,
      en: `${short} (your own)`,
    });
  }
  const again: Text = answers
    ? {
        ja: `${command} service install で書き直してください`,
        en: `Write it anew with ${command} service install`,
      }
    : {
        ja: `この利用者の systemd が応答するところで、${command} service install で書き直してください`,
        en: `Write it anew with ${command} service install, where this user's systemd answers`,
      };
  const node = nodeOf(text);
  if (node === null || !(await machine.exists(node))) {
    const gone = node ?? '?';
    const detail = {
      ja: `ユニットの Node.js がもうありません: ${gone}`,
      en: `The Node.js of the unit is gone: ${gone}`,
    };
    return finding('server.service', 'broken', detail, again);
  }
  // Which Node.js it is to be was chosen when it was installed.
  if (text === unitText(config, { node, entry: entryOf(root) })) {
    return finding('server.service', 'ok', short);
  }
  const detail = {
    ja: `${short} は、この星影と今の設定に合っていません`,
    en: `${short} does not fit this Hoshikage and its settings`,
  };
  return finding('server.service', 'warning', detail, again);
}
