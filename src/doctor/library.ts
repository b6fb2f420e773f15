/**
 * Checks of libllama: which one is used and why, and what became of it at each stage. Main thread; the
 * stages themselves ran in a process of their own (library-view.ts).
 */
import { basename, relative } from 'node:path';
import { compareVersions } from '../binary/binary.js';
import type { LibraryIdentity } from '../engine/engine.js';
import type { HoshikageError } from '../errors.js';
import { buildsOf } from '../library/bracket.js';
import type { LibraryOrigin } from '../library/find.js';
import { stageOf as libraryStageOf } from '../library/stages.js';
import { sizeText } from '../models/size-text.js';
import { type CheckId, type Finding, finding, type Text, textOf } from './check.js';
import type { LibraryView } from './library-view.js';
import { listed, type Patient, shortPath } from './patient.js';
import { newestOf } from './versions.js';

/** The stages in the order in which they are passed. */
export const STAGES = [
  'library.scan',
  'library.open',
  'library.symbols',
  'library.layout',
  'library.batch',
  'library.samplers',
  'library.devices',
  'library.mode',
] as const satisfies readonly CheckId[];
type Stage = (typeof STAGES)[number];

const ORIGINS: Readonly<Record<LibraryOrigin, Text>> = {
  HOSHIKAGE_LIB_PATH: { ja: 'HOSHIKAGE_LIB_PATH で指定', en: 'named by HOSHIKAGE_LIB_PATH' },
  active: { ja: 'lib use で選択', en: 'chosen by lib use' },
  config: { ja: 'lib/ に置かれたもの', en: 'put into lib/' },
  package: { ja: 'npm のパッケージ', en: 'the npm package' },
  system: { ja: 'システム', en: 'the system' },
};

/** The checks `library.*`. */
export async function examineLibrary(patient: Patient): Promise<readonly Finding[]> {
  const view = await patient.library();
  if (view.path === null || isNowhere(view)) {
    const rest = ['library.needs' as const, ...STAGES];
    return [missing(patient, view), ...rest.map((id) => finding(id, 'skipped', NOT_REACHED))];
  }
  const search = place(patient, view);
  const needs = await needsFinding(patient, view);
  return [search, needs, ...stages(patient, view)];
}

/** A bare name that the system does not find either. */
function isNowhere({ path, error }: LibraryView): boolean {
  return error?.code === 'library_not_found' && path !== null && !/[\\/]/.test(path);
}

function missing(patient: Patient, { error, origin }: LibraryView): Finding {
  const { command } = patient;
  // A choice that leads nowhere: going back may lead nowhere too.
  const again: Text = {
    ja: `${command} lib use <名前> で選び直すか、${command} lib use default で選択をやめてください`,
    en: `Choose again with ${command} lib use <ID>, or choose nothing with ${command} lib use default`,
  };
  const remedy = origin === 'active' ? again : remedyFor(patient, origin);
  return finding('library.search', 'broken', textOf(error), remedy);
}

function place({ settings, root }: Patient, { path, origin }: LibraryView): Finding {
  const inside = path?.startsWith(root) ? relative(root, path) : null;
  const short = inside ?? shortPath(path ?? '', settings.config);
  const why = origin ? ORIGINS[origin] : { ja: '', en: '' };
  return finding('library.search', 'ok', { ja: `${short}(${why.ja})`, en: `${short} (${why.en})` });
}

/** What to do about a library that cannot be used, by where it comes from. */
function remedyFor({ settings, command }: Patient, origin: LibraryOrigin | null): Text {
  const { libPath, libDir } = settings.config;
  if (libPath !== null) {
    return {
      ja: 'HOSHIKAGE_LIB_PATH を直すか消してください(消せば付属のものを使います)',
      en: 'Mend or remove HOSHIKAGE_LIB_PATH (without it the packaged one is used)',
    };
  }
  if (origin === 'active') {
    return {
      ja: `${command} lib rollback で前のものに戻してください`,
      en: `Go back to the one before with ${command} lib rollback`,
    };
  }
  if (origin === 'config') {
    const short = shortPath(libDir, settings.config);
    return {
      ja: `${short} のファイルを入れ替えるか、ほかへ移してください(docs/LIBRARY_GUIDE.md)`,
      en: `Replace the files in ${short}, or move them away (docs/LIBRARY_GUIDE.md)`,
    };
  }
  return {
    ja: '星影のディレクトリで npm ci をやり直すと、付属の libllama が入ります',
    en: "Run npm ci again in Hoshikage's directory: it brings the packaged libllama",
  };
}

/** The C libraries that the files need against those that are here (glibc systems only). */
async function needsFinding({ machine }: Patient, { needs }: LibraryView): Promise<Finding> {
  const standard = machine.loaded(/\/libstdc\+\+\.so/);
  const present = {
    GLIBC: machine.glibc(),
    GLIBCXX: standard && newestOf(await machine.bytes(standard), 'GLIBCXX'),
  };
  const parts: string[] = [];
  const short: string[] = [];
  for (const [family, has] of Object.entries(present)) {
    const needed = needs[family];
    if (!needed || !has) continue;
    parts.push(`${family} ${needed} ≤ ${has}`);
    if (compareVersions(has, needed) < 0) short.push(`${family}_${needed} > ${has}`);
  }
  if (parts.length === 0) {
    return finding('library.needs', 'skipped', { ja: '分かりません', en: 'Not known' });
  }
  if (short.length === 0) return finding('library.needs', 'ok', parts.join(', '));
  return finding(
    'library.needs',
    'broken',
    {
      ja: `このマシンのほうが古い: ${short.join(', ')}`,
      en: `This machine is older: ${short.join(', ')}`,
    },
    {
      ja: 'このマシンで llama.cpp をビルドするか、OS を新しくしてください',
      en: 'Build llama.cpp on this machine, or renew the system',
    },
  );
}

/** One finding per stage: those before the failure passed, those after it were never reached. */
function stages(patient: Patient, view: LibraryView): readonly Finding[] {
  const { identity, error, origin } = view;
  const failed = error ? stageOf(error, view) : null;
  const at = failed ? STAGES.indexOf(failed) : STAGES.length;
  return STAGES.map((stage, index) => {
    if (index < at && identity) return passed(stage, identity, view);
    if (index < at) return finding(stage, 'ok', stage === 'library.scan' ? scanText(view) : PASSED);
    if (index === at) return finding(stage, 'broken', textOf(error), remedyFor(patient, origin));
    return finding(stage, 'skipped', NOT_REACHED);
  });
}

const NOT_REACHED: Text = { ja: '前の段で止まったため', en: 'Not reached' };
const PASSED: Text = { ja: '通りました', en: 'Passed' };

/** The stage at which a library was refused, by what the refusal says. */
function stageOf(error: HoshikageError, { scan }: LibraryView): Stage {
  return `library.${libraryStageOf(scan, error)}`;
}

function passed(stage: Stage, identity: LibraryIdentity, view: LibraryView): Finding {
  switch (stage) {
    case 'library.scan':
      return finding(stage, 'ok', scanText(view));
    case 'library.open':
      return finding(stage, 'ok', versionText(identity));
    case 'library.symbols':
      return symbolsFinding(identity);
    case 'library.layout': {
      const { model, context } = identity.layout;
      return finding(stage, 'ok', `${model} / ${context}`);
    }
    case 'library.batch':
      return finding(stage, 'ok', { ja: '知っている形です', en: 'Of the known shape' });
    case 'library.samplers':
      return samplersFinding(identity);
    case 'library.devices':
      return devicesFinding(identity);
    case 'library.mode':
      return modeFinding(identity);
  }
}

function scanText({ path, scan }: LibraryView): Text {
  const count = scan?.preload.length ?? 0;
  const name = basename(path ?? '');
  return {
    ja: `${name} と、先に開く ${count} ファイル`,
    en: `${name}, and ${count} files opened before it`,
  };
}

function versionText({ version, ggmlVersion, ggmlCommit, path }: LibraryIdentity): string {
  const ggml = ggmlVersion ? `ggml ${ggmlVersion}${ggmlCommit ? ` (${ggmlCommit})` : ''}` : null;
  return [version ?? basename(path), ggml].filter((part) => part !== null).join(', ');
}

function symbolsFinding({ bracket, unknownSymbols }: LibraryIdentity): Finding {
  const { builds, builds_ja } = buildsOf(bracket);
  const named = { ja: `llama.cpp ${builds_ja}`, en: `llama.cpp ${builds}` };
  if (unknownSymbols.length === 0) return finding('library.symbols', 'ok', named);
  const names = listed(unknownSymbols, 3);
  return finding('library.symbols', 'ok', {
    ja: `${named.ja}。星影の表より新しい関数がある(${names.ja})`,
    en: `${named.en}; it has functions newer than our table (${names.en})`,
  });
}

function samplersFinding({ samplers }: LibraryIdentity): Finding {
  const known = Object.entries(samplers).filter(([, count]) => count !== null);
  if (known.length === 0) {
    return finding('library.samplers', 'ok', {
      ja: '形を確かめられないので、星影のものだけを使います',
      en: 'Their shape is not proved, so only our own are used',
    });
  }
  const ja = known.map(([name, count]) => `${name} の引数は ${count} 個`).join('、');
  const en = known.map(([name, count]) => `${name} takes ${count} arguments`).join(', ');
  return finding('library.samplers', 'ok', { ja, en });
}

function devicesFinding({ devices }: LibraryIdentity): Finding {
  if (devices.length === 0) {
    return finding(
      'library.devices',
      'broken',
      { ja: '計算に使えるデバイスがありません', en: 'There is no device to compute with' },
      {
        ja: 'libllama と同じビルドの libggml-cpu* を、同じディレクトリに置いてください',
        en: 'Put the libggml-cpu* files of the same build into the same directory',
      },
    );
  }
  const text = (language: 'ja' | 'en') =>
    devices
      .map(({ name, description, type, totalBytes, freeBytes }) => {
        const free = language === 'ja' ? '空き' : 'free';
        const memory =
          totalBytes > 0 ? `, ${free} ${sizeText(freeBytes)} / ${sizeText(totalBytes)}` : '';
        return `${name} [${type}] ${description}${memory}`;
      })
      .join('; ');
  return finding('library.devices', 'ok', { ja: text('ja'), en: text('en') });
}

function modeFinding({ minimal }: LibraryIdentity): Finding {
  if (!minimal) return finding('library.mode', 'ok', { ja: '通常', en: 'Normal' });
  return finding(
    'library.mode',
    'warning',
    {
      ja: '最小モード: 構造体の形が星影の表にないので、変わったことのない項目だけを設定しています',
      en: 'Minimal mode: the layouts are not in our table, so only fields that never moved are set',
    },
    {
      ja: '星影を新しくするか、表にある版の llama.cpp を使うと、すべての設定が効きます(docs/LIBRARY_GUIDE.md)',
      en: 'A newer Hoshikage, or a llama.cpp that is in the table, has all settings work (docs/LIBRARY_GUIDE.md)',
    },
  );
}
