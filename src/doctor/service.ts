/**
 * The check of the systemd unit that `hoshikage service install` writes: whether it still starts this
 * Hoshikage, and as it is set up now. Main thread; systemd is not asked.
 */
import { entryOf, isOurs, nodeOf, unitPath, unitText } from '../service/unit.js';
import { type Finding, finding, type Text } from './check.js';
import { type Patient, shortPath } from './patient.js';

/** The check `server.service`. */
export async function examineService(patient: Patient): Promise<readonly Finding[]> {
  return [await unitFinding(patient)];
}

async function unitFinding({ machine, settings, root, command }: Patient): Promise<Finding> {
  const { config } = settings;
  const path = unitPath(config);
  const short = shortPath(path, config);
  const bytes = await machine.bytes(path);
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
  const again: Text = {
    ja: `${command} service install で書き直してください`,
    en: `Write it anew with ${command} service install`,
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
