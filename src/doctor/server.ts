/**
 * Checks of the server: one that runs, and whether one could start. Main thread; the port is opened
 * for a moment, where nothing of ours listens on it.
 */
import { checkBind } from '../config.js';
import { isRecord } from '../library/remembered.js';
import { type Finding, finding, type Text, textOf } from './check.js';
import { listed, type Patient, type ServerReport, shellQuoted } from './patient.js';

/** The checks `server.*`. */
export async function examineServer(patient: Patient): Promise<readonly Finding[]> {
  const server = await patient.server();
  return [runningFinding(server, patient), await portFinding(server, patient)];
}

function runningFinding(server: ServerReport | null, { settings, command }: Patient): Finding {
  if (!server) {
    return finding('server.running', 'skipped', {
      ja: '動いていません',
      en: 'None is running',
    });
  }
  const { pid, host, port, status, refused } = server;
  if (refused) {
    return finding('server.running', 'warning', {
      ja: `${host}:${port} は応答しますが、${settings.config.runFile} の鍵を受け付けません。星影のサーバーかどうか分かりません`,
      en: `${host}:${port} answers, but not to the key in ${settings.config.runFile}: whether it is a server of Hoshikage cannot be told`,
    });
  }
  if (!status) {
    return finding(
      'server.running',
      'warning',
      {
        ja: `${settings.config.runFile} が指すプロセス ${pid} が ${host}:${port} で応答しません`,
        en: `The process ${pid} that ${settings.config.runFile} names does not answer on ${host}:${port}`,
      },
      {
        ja: '固まったサーバーなら終わらせて、もう一度起動してください',
        en: 'If it is a server that hangs, end it and start it again',
      },
    );
  }
  const version = textAt(status, 'version');
  const where = `${host}:${port} (pid ${pid}${version === null ? '' : `, ${version}`})`;
  const problem = problemIn(status);
  if (problem) return finding('server.running', 'broken', `${where}: ${problem}`);
  const held = heldIn(status);
  if (held.length > 0) {
    const names = listed(held);
    const [first = ''] = held;
    return finding(
      'server.running',
      'warning',
      {
        ja: `${where}: 続けて落ちたので、読み込まずにいるモデルがあります: ${names.ja}`,
        en: `${where}: held back, since the engine crashed with them again and again: ${names.en}`,
      },
      {
        ja: `${command} load ${shellQuoted(first)} で、もう一度読み込みます`,
        en: `${command} load ${shellQuoted(first)} tries it again`,
      },
    );
  }
  if (!('model' in status)) {
    return finding('server.running', 'ok', {
      ja: `${where}。詳しくは API_KEY を設定して見てください`,
      en: `${where}; set API_KEY to see more of it`,
    });
  }
  const model = textAt(status.model, 'id');
  return finding('server.running', 'ok', {
    ja: `${where}、載っているモデル: ${model ?? 'なし'}`,
    en: `${where}, model in memory: ${model ?? 'none'}`,
  });
}

/** What the server itself reports as wrong, in its own words. */
function problemIn(status: Readonly<Record<string, unknown>>): string | null {
  const library = status.library;
  const error = isRecord(library) ? library.error : null;
  return textAt(error, 'message') ?? textAt(status.problem, 'message');
}

/** Names of the models that are not loaded any more because of their crashes. */
function heldIn({ held }: Readonly<Record<string, unknown>>): readonly string[] {
  return Array.isArray(held) ? held.flatMap((one) => textAt(one, 'model') ?? []) : [];
}

async function portFinding(
  server: ServerReport | null,
  { machine, settings, command }: Patient,
): Promise<Finding> {
  const { config } = settings;
  const { host, port } = config;
  try {
    checkBind(config);
  } catch (error) {
    return finding('server.port', 'broken', textOf(error), {
      ja: 'API_KEY を設定するか、HOST を 127.0.0.1 に戻してください',
      en: 'Set API_KEY, or put HOST back to 127.0.0.1',
    });
  }
  const address = `${host}:${port}`;
  if (server?.status && server.port === port) {
    return finding('server.port', 'ok', {
      ja: `${address} は星影のサーバーが使っています`,
      en: `${address} is used by Hoshikage's server`,
    });
  }
  const code = await machine.listen(host, port);
  if (code === null) {
    return finding('server.port', 'ok', {
      ja: port === 0 ? '空いているものを使います' : `${address} は空いています`,
      en: port === 0 ? 'Any free one is taken' : `${address} is free`,
    });
  }
  if (code === 'EADDRINUSE' && server?.refused && server.port === port) {
    return finding(
      'server.port',
      'warning',
      {
        ja: `${address} は使われています。星影のサーバーかどうか分かりません`,
        en: `${address} is in use; whether by a server of Hoshikage cannot be told`,
      },
      {
        ja: `もう 1 つ起動するなら、別のポートにしてください(PORT=3031、または ${command} serve --port 3031)`,
        en: `To start another one, choose another port (PORT=3031, or ${command} serve --port 3031)`,
      },
    );
  }
  const { detail, remedy } = refusal(code, { host, address, command });
  return finding('server.port', 'broken', detail, remedy);
}

function refusal(
  code: string,
  { host, address, command }: Readonly<Record<'host' | 'address' | 'command', string>>,
): { readonly detail: Text; readonly remedy: Text } {
  if (code === 'EADDRINUSE') {
    return {
      detail: {
        ja: `${address} は別のプログラムが使っています`,
        en: `${address} is used by another program`,
      },
      remedy: {
        ja: `それを止めるか、別のポートにしてください(PORT=3031、または ${command} serve --port 3031)`,
        en: `Stop it, or choose another port (PORT=3031, or ${command} serve --port 3031)`,
      },
    };
  }
  if (code === 'EACCES') {
    return {
      detail: {
        ja: `${address} で待つ権限がありません`,
        en: `Listening on ${address} is not permitted`,
      },
      remedy: { ja: 'PORT を 1024 以上にしてください', en: 'Choose a PORT of 1024 or more' },
    };
  }
  return {
    detail: {
      ja: `${address} で待てません(${code})`,
      en: `Listening on ${address} is not possible (${code})`,
    },
    remedy: {
      ja: `HOST を、このマシンのアドレスにしてください(今は ${host})`,
      en: `Set HOST to an address of this machine (it is ${host})`,
    },
  };
}

function textAt(value: unknown, key: string): string | null {
  const found = isRecord(value) ? value[key] : null;
  return typeof found === 'string' ? found : null;
}
