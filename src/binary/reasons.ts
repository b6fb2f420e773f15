/**
 * Why a file cannot be used as libllama, or does less than it could: one table, in both languages.
 * Any process. The texts go into `library_incompatible` as its reason, so they are half sentences
 * without a full stop; each names the file, and where there is a remedy, the remedy.
 */
import type { ErrorDetails } from '../errors.js';

/** A reason in both languages, as error details carry it. */
export interface Reason extends ErrorDetails {
  /** English. */
  readonly reason: string;
  readonly reason_ja: string;
}

/** `{name}` is replaced by the parameter of that name. */
const REASONS = {
  unreadable: { ja: '{file} を読めません({why})', en: '{file} cannot be read ({why})' },
  not_a_file: {
    ja: '{file} は普通のファイルではありません',
    en: '{file} is not a plain file',
  },
  empty: { ja: '{file} は空です', en: '{file} is empty' },
  text: {
    ja: '{file} はテキストで、ライブラリではありません',
    en: '{file} is a text, not a library',
  },
  linker_script: {
    ja: '{file} はリンカーのスクリプトです。中に書かれた本物の .so を指してください',
    en: '{file} is a linker script; point to the real .so that it names',
  },
  web_page: {
    ja: '{file} はウェブページです。ダウンロードし直してください',
    en: '{file} is a web page; download the library again',
  },
  lfs_pointer: {
    ja: '{file} は Git LFS の目印です。git lfs pull で中身を取り出してください',
    en: '{file} is a Git LFS pointer; fetch the content with git lfs pull',
  },
  packed: {
    ja: '{file} は書庫({kind})です。展開してから、その中のライブラリを指してください',
    en: '{file} is a packed archive ({kind}); unpack it and point to the library in it',
  },
  model: {
    ja: '{file} はモデル(GGUF)です。ライブラリではありません',
    en: '{file} is a model (GGUF), not a library',
  },
  static_archive: {
    ja: '{file} は静的ライブラリです。共有ライブラリ(-DBUILD_SHARED_LIBS=ON)が要ります',
    en: '{file} is a static library; a shared one is needed (-DBUILD_SHARED_LIBS=ON)',
  },
  unknown_format: {
    ja: '{file} は知られているどの形のライブラリでもありません',
    en: '{file} is in no known format of a library',
  },
  no_library: {
    ja: '{file} は共有ライブラリではありません(プログラムか、途中の部品です)',
    en: '{file} is not a shared library, but a program or a part of one',
  },
  big_endian: {
    ja: '{file} はビッグエンディアンの機械のためのものです',
    en: '{file} is for a big-endian machine',
  },
  cut_off: {
    ja: '{file} は途中で切れているか壊れています({what}: {end} バイト目まであるはずですが、ファイルは {size} バイト)。コピーし直してください',
    en: '{file} is cut off or damaged ({what} should reach to byte {end}, but the file has {size}); copy it again',
  },
  damaged: {
    ja: '{file} は壊れています({what})。コピーし直してください',
    en: '{file} is damaged ({what}); copy it again',
  },
  wrong_system: {
    ja: '{file} は {theirs} のライブラリです。ここは {ours} です',
    en: '{file} is a library for {theirs}; this is {ours}',
  },
  wrong_machine: {
    ja: '{file} は {theirs}({bits} ビット)のためのものです。ここは {ours} です',
    en: '{file} is for {theirs} ({bits} bits); this is {ours}',
  },
  is_common: {
    ja: '{file} は llama.cpp のプログラムのための libllama-common で、libllama ではありません{beside}',
    en: "{file} is libllama-common, which llama.cpp's own programs use, not libllama{beside}",
  },
  is_ggml: {
    ja: '{file} は libggml で、libllama ではありません{beside}',
    en: '{file} is a libggml, not libllama{beside}',
  },
  is_other: {
    ja: '{file} は libllama ではありません(llama_ で始まる関数がありません){beside}',
    en: '{file} is not libllama: it has no function that begins with llama_{beside}',
  },
  lacks_functions: {
    ja: '{file} には {missing} がありません。これは llama.cpp の libllama ではないようです',
    en: '{file} lacks {missing}; this seems not to be the libllama of llama.cpp',
  },
  fork: {
    ja: '{file} の関数の組み合わせは llama.cpp のどの版にもありません。派生版のようです({from_symbol} は b{from} 以降、{to_symbol} は b{to} より前)。llama.cpp 本家のビルドを使ってください',
    en: 'the functions of {file} contradict each other, so it seems to be a fork ({from_symbol} is there since b{from}, {to_symbol} only before b{to}); use a build of llama.cpp itself',
  },
  too_old: {
    ja: '{file} は古すぎます(llama.cpp の {builds}。b{floor} 以降が要ります)。新しいビルドに替えてください',
    en: '{file} is too old: {builds} of llama.cpp, b{floor} or newer is needed; take a newer build',
  },
  missing_sibling: {
    ja: '{needer} が必要とする {missing} が {directory} にありません。同じビルドの libggml 一式を libllama と同じ場所に置いてください{elsewhere}',
    en: '{needer} needs {missing}, which is not in {directory}; put all libggml files of the same build beside libllama{elsewhere}',
  },
  mixed_functions: {
    ja: '{needer} が必要とする {symbol} が {providers} にありません。違う版のファイルが混ざっています。版ごとに別のディレクトリに置いてください',
    en: '{needer} needs {symbol}, which {providers} beside it lack: files of different versions are mixed; keep each version in a directory of its own',
  },
  mixed_directory: {
    ja: '{directory} に違う版の libllama({one} と {other})があり、どちらも同じ {shared} を使います。版ごとに別のディレクトリに置いてください',
    en: '{directory} holds two versions of libllama ({one} and {other}) that share {shared}; keep each version in a directory of its own',
  },
  mixed_versions: {
    ja: 'libllama は {builds} のものなのに、一緒に置かれた libggml は {version} です。違う版のファイルが混ざっています。版ごとに別のディレクトリに置いてください',
    en: 'libllama is of {builds}, but the libggml beside it is {version}: files of different versions are mixed; keep each version in a directory of its own',
  },
  needs_version: {
    ja: '{needer} には {family} {needed} 以降が要りますが、ここにあるのは {present} です。この OS でビルドしたもの、または古い OS 向けのものを使ってください',
    en: '{needer} needs {family} {needed}, but {present} is what is here; use a build made on this system, or one for older systems',
  },
  missing_library: {
    ja: '{needer} が必要とする {missing} が見つかりません。{remedy}',
    en: '{needer} needs {missing}, which cannot be found; {remedy}',
  },
  no_backend: {
    ja: '{directory} に計算を受け持つ libggml-cpu などがありません。同じビルドの libggml 一式を置いてください',
    en: '{directory} holds no libggml-cpu or other compute backend; put all libggml files of the same build there',
  },
} as const satisfies Record<string, { readonly ja: string; readonly en: string }>;

/** Parts of a file as `{what}` names them. */
const PARTS = {
  'the ELF header': 'ELF のヘッダー',
  'the program headers': 'プログラムヘッダー',
  'the section headers': 'セクションヘッダー',
  'a segment': 'セグメント',
  'a section': 'セクション',
  'the section table': 'セクションの表',
  'the dynamic section': '動的セクション',
  'the string table': '文字列の表',
  'the symbol table': '記号の表',
  'the hash table': 'ハッシュの表',
  'the version table': '版の表',
  'the PE header': 'PE のヘッダー',
  'the export directory': '輸出の表',
  'the import directory': '輸入の表',
  'an import table': '輸入の表',
  'the Mach-O header': 'Mach-O のヘッダー',
  'the table of machines': '機種の表',
  'the part for this machine': 'この機種の部分',
  'the load commands': 'ロードコマンド',
  'the export trie': '輸出の木',
  'the beginning': '先頭',
  'a table': '表',
} as const;

/** A key of PARTS. */
export type PartName = keyof typeof PARTS;

/** A key of REASONS. */
export type ReasonKey = keyof typeof REASONS;

/** A reason of the table with its parameters filled in; `{name}_ja` is the one for Japanese. */
export function because(key: ReasonKey, parameters: ErrorDetails): Reason {
  const fill = (text: string, language: string): string =>
    text.replace(/\{(\w+)\}/g, (_, name: string) =>
      String(parameters[`${name}${language}`] ?? parameters[name] ?? ''),
    );
  return { reason: fill(REASONS[key].en, ''), reason_ja: fill(REASONS[key].ja, '_ja') };
}

/** `{what}` in both languages. */
export function partName(what: PartName): { readonly what: string; readonly what_ja: string } {
  return { what, what_ja: PARTS[what] };
}
