/**
 * `hoshikage verify FILE [--json]`: whether a model's file is sound and works, stage by stage. Runs in the
 * CLI process; the file is used by a process of its own only, once it is known to be sound and hashed,
 * whether or not its template could be rendered.
 */

import type { Stage, StageName } from '../../src/verify/stage.js';
import type { Certificate } from '../../src/verify/verify.js';
import type { ExitCode } from '../fail.js';
import { displayWidth, plain, print, printJson, shortPath, type Words } from '../print.js';
import { type Command, literal, type Shell } from '../shell.js';

/** Registers the command. */
export const verifyCommand: Command = (parser, shell) =>
  parser.command(
    'verify <file>',
    shell.say({ ja: 'モデルのファイルが正しく、動くかを調べる', en: 'Prove a model file' }),
    (verify) =>
      verify
        .positional('file', {
          type: 'string',
          demandOption: true,
          describe: shell.say({
            ja: 'GGUF ファイルか、モデルの名前',
            en: 'The GGUF file, or the name of a model',
          }),
        })
        .option('json', {
          type: 'boolean',
          describe: shell.say({ ja: 'JSON で出力する', en: 'Print JSON' }),
        }),
    ({ file, json = false }) => shell.run(() => verify(literal(file), json, shell)),
  );

/** What the command ends with: 1 is the file's fault, 3 is not. */
const EXITS: Readonly<Record<Certificate['verdict'], ExitCode>> = {
  sound: 0,
  refused: 1,
  unchecked: 3,
};

const NAMES: Readonly<Record<StageName, Words>> = {
  files: { ja: 'ファイル', en: 'files' },
  header: { ja: '見出し', en: 'header' },
  tensors: { ja: 'テンソル', en: 'tensors' },
  vocabulary: { ja: '語彙', en: 'vocabulary' },
  hash: { ja: 'SHA-256', en: 'SHA-256' },
  template: { ja: 'テンプレート', en: 'template' },
  library: { ja: 'libllama', en: 'libllama' },
  load: { ja: '読み込み', en: 'load' },
  tokenizer: { ja: 'トークン化', en: 'tokenizer' },
  generation: { ja: '生成', en: 'generation' },
  embedding: { ja: '埋め込み', en: 'embedding' },
};

const MARKS: Readonly<Record<Stage['state'], string>> = {
  passed: '✓',
  failed: '✗',
  unchecked: '?',
  skipped: '-',
  unreached: '-',
};

const VERDICTS: Readonly<Record<Certificate['verdict'], Words>> = {
  sound: {
    ja: '証明: このファイルは健全で、動きます',
    en: 'Certificate: the file is sound, and works',
  },
  refused: { ja: '証明できません: ファイルに問題があります', en: 'Refused: the file is at fault' },
  unchecked: {
    ja: '最後まで調べられませんでした(ファイルのせいとは言えません)',
    en: 'Not everything could be checked (which is not to say that the file is at fault)',
  },
};

async function verify(text: string, json: boolean, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const { localLibraries, untilInterrupted } = await import('../local-library.js');
  const { modelNamed } = await import('../model-named.js');
  const { verifyModel } = await import('../../src/verify/verify.js');
  const { silentLog } = await import('../../src/log.js');
  const { DownloadProgress, LoadProgress } = await import('../progress.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const { entry } = await modelNamed(text, 'file', { config, shell });
  const { places, env } = await localLibraries(config);
  const hashing = new DownloadProgress();
  const loading = new LoadProgress();
  const width = Math.max(...Object.values(NAMES).map((name) => displayWidth(shell.say(name))));
  const { cacheDir, memoryCheck, engineHangTimeoutMs: hangLimitMs, nice } = config;
  const certificate = await untilInterrupted(async (signal) => {
    try {
      return await verifyModel({
        ...{ path: entry.path, places, env, cacheDir, memoryCheck, hangLimitMs, nice },
        ...{ allowUnknown: config.allowUnknownLibllama, log: silentLog, signal },
        onStage: (stage) => {
          hashing.clear();
          loading.clear();
          if (!json) print(lineOf(stage, width, shell));
        },
        onHashed: (path, done, total) => hashing.update(shortPath(path), done, total),
        onLoading: (fraction) => loading.update(shell.say(NAMES.load), fraction),
      });
    } finally {
      hashing.clear();
      loading.clear();
    }
  });
  if (json) printJson(toJson(entry.path, certificate));
  else sayVerdict(certificate, width, shell);
  return EXITS[certificate.verdict];
}

function lineOf({ name, state, seen, ms }: Stage, width: number, { say }: Shell): string {
  const called = say(NAMES[name]);
  const padding = ' '.repeat(width - displayWidth(called));
  const took = ms >= 100 ? `  (${(ms / 1000).toFixed(1)} s)` : '';
  return plain(`${MARKS[state]} ${called}${padding}  ${say(seen)}${took}`);
}

/** The stages that were not reached, the digests of all parts, and the verdict. */
function sayVerdict({ verdict, stages, files }: Certificate, width: number, shell: Shell): void {
  const { say } = shell;
  for (const stage of stages) {
    if (stage.state === 'unreached') print(lineOf(stage, width, shell));
  }
  if (files.length > 1) {
    for (const { path, sha256 } of files) print(plain(`  ${sha256}  ${shortPath(path)}`));
  }
  print(say(VERDICTS[verdict]));
}

function toJson(path: string, { verdict, stages, files }: Certificate): object {
  return {
    path,
    verdict,
    files: files.map(({ path: file, bytes, sha256 }) => ({
      path: file,
      size_bytes: bytes,
      sha256,
    })),
    stages: stages.map(({ name, state, seen, code, ms }) => ({
      ...{ name, state, code },
      ...{ seen: seen.en, seen_ja: seen.ja, ms },
    })),
  };
}
