/**
 * What a starting and a stopping server say to whoever started it: where it listens, what to try, or
 * why no model can answer. Runs in the server process. It only writes; it decides nothing.
 */
import { networkInterfaces } from 'node:os';
import type { Config } from '../src/config.js';
import type { RunningServer } from '../src/start.js';
import { wordsOf } from './fail.js';
import type { GpuOffer } from './offer.js';
import { ownCommand, plain } from './print.js';

/** What RunningServer tells of its libllama. */
type Library = Awaited<ReturnType<RunningServer['library']>>;

/** What the greeting is made of. */
export interface Greeted {
  readonly version: string;
  readonly library: Library;
  /** A GPU that the library in use leaves idle. */
  readonly offer: GpuOffer | null;
  /** Another server, which the commands talked to until now. */
  readonly other: RunningServer['displaced'];
}

/** Says where the server listens and what to try next, or what to mend first. */
export function greet(
  config: Config,
  server: RunningServer,
  { version, library, offer, other }: Greeted,
): void {
  const url = urlOf(server);
  const lan = lanAddress(server.host);
  const next = library.error ? repair(library, config) : invitation(config, server, url);
  write(config, [
    '',
    `  星影 Hoshikage ${version}  ${url}`,
    ...(lan ? [`  ほかの機械から / From other machines: http://${lan}:${server.port}`] : []),
    '',
    ...next,
    ...(offer ? idleGpu(offer) : []),
    ...(other ? company(urlOf(other)) : []),
    '  終了 / Stop: Ctrl-C(2 回で今すぐ / twice: at once)',
    '',
  ]);
}

/** Says that the end may take a while, and how to have it at once. */
export function sayStopping(config: Config, graceMs: number): void {
  const seconds = Math.ceil(graceMs / 1000);
  write(config, [
    '',
    `  実行中の応答を最大 ${seconds} 秒待って終わります。もう一度 Ctrl-C を押すと、すぐに終わります`,
    `  Running answers may finish within ${seconds} s; a second Ctrl-C stops at once`,
    '',
  ]);
}

/** Standard output belongs to nobody where the log has a file: a service reads standard error. */
function write(config: Config, lines: readonly string[]): void {
  const stream = config.logFilePath === null ? process.stdout : process.stderr;
  stream.write(`${lines.join('\n')}\n`);
}

/** Why no model can answer, and what to do. */
function repair({ error, origin }: Library, config: Config): string[] {
  if (!error) return [];
  const said = wordsOf(error);
  const lines = [
    '  まだ応答できません / No model can answer yet:',
    `    ${said.ja}`,
    `    ${said.en}`,
  ];
  if (error.code !== 'addon_missing')
    lines.push('  直し方 / What to do:', ...remedy(origin, config));
  return lines;
}

function remedy(origin: Library['origin'], { libPath, libDir }: Config): string[] {
  if (libPath !== null) {
    return [
      '    HOSHIKAGE_LIB_PATH を直すか消して(消せば付属のものを使います)、再起動してください',
      '    Mend or remove HOSHIKAGE_LIB_PATH (without it the packaged one is used), then restart',
    ];
  }
  if (origin === 'active') {
    const command = `${ownCommand()} lib rollback`;
    return [
      `    ${command} で前のものに戻して、再起動してください`,
      `    Go back to the one before with ${command}, then restart`,
    ];
  }
  if (origin === 'config') {
    return [
      `    ${libDir} のファイルを入れ替えるか、ほかへ移してください`,
      `    Replace the files in ${libDir}, or move them away`,
    ];
  }
  return [
    '    星影のディレクトリで npm ci をやり直すと、付属の libllama が入ります',
    "    Run npm ci again in Hoshikage's directory: it brings the packaged libllama",
  ];
}

function invitation(config: Config, server: RunningServer, url: string): string[] {
  return [
    '  試す / Try:',
    `    ${tryCommand(config, server, url)}`,
    ...(config.apiKey === null
      ? []
      : ['    (<API_KEY> には設定した鍵を / <API_KEY>: the key from your settings)']),
    '  モデルを追加 / Add a model:',
    `    ${ownCommand()} pull lfm2.5-1.2b-jp`,
    `    ${ownCommand()} add ./model.gguf my-model`,
  ];
}

function idleGpu({ build, evidence }: GpuOffer): string[] {
  return [
    `  GPU を使うには / To use the GPU (${plain(evidence)}):`,
    `    ${ownCommand()} lib install ${build}`,
  ];
}

function company(url: string): string[] {
  return [
    `  ほかの星影も動いています / Another Hoshikage is running: ${url}`,
    '    ps や load などのコマンドは、これからはこのサーバーへ。終われば、また向こうへつながります',
    '    ps, load and the other commands talk to this server now, and to that one again after it',
  ];
}

/** An address one can connect to: "all addresses" is shown as this machine. */
function urlOf({ host, port }: Pick<RunningServer, 'host' | 'port'>): string {
  if (host === '0.0.0.0' || host === '::') return `http://127.0.0.1:${port}`;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Where others reach a server that listens on all addresses; null where they cannot. */
function lanAddress(host: string): string | null {
  if (host !== '0.0.0.0' && host !== '::') return null;
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? null;
}

/** A request the reader can paste: a first chat with the first model. */
function tryCommand(config: Config, server: RunningServer, url: string): string {
  const key = config.apiKey === null ? '' : ' -H "Authorization: Bearer <API_KEY>"';
  // cmd.exe quotes in a way of its own.
  if (process.platform === 'win32') return `curl${key} ${url}/v1/models`;
  const [model] = server.models();
  if (model === undefined) return `curl${key} ${url}/v1/models`;
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'こんにちは' }] });
  const quoted = `'${body.replaceAll("'", "'\\''")}'`;
  return `curl${key} ${url}/v1/chat/completions -H 'Content-Type: application/json' -d ${quoted}`;
}
