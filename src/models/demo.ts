/**
 * The built-in sample model: a scripted one that says what it is and how to add a real model.
 * Any thread, any process; several may make the file at once. It must never touch the registry.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ScriptAnswer } from './script.js';
import { writeScripted } from './scripted.js';

/** The id under which the built-in model is offered. */
export const DEMO_ID = 'hoshikage-demo';

/** Goes up whenever the bytes change, so that an old file in the cache is not taken for the new one. */
const DEMO_VERSION = 3;

const ANSWERS: readonly ScriptAnswer[] = [
  {
    say: [
      'こんにちは、星影(Hoshikage)です。',
      '私は動作確認のための小さな見本で、本物の言語モデルではありません。質問の意味は考えず、前もって書かれた文章を、本物と同じ仕組み(libllama)で一語ずつお返ししています。',
      'つまり、この返事が読めたなら準備は完了です。GGUF 形式のモデルを用意して、次のように登録してください。',
      '    npx hoshikage add /path/to/model.gguf 名前',
      '「モデル」「設定」「ライブラリ」と話しかけると、それぞれの説明をします。Say "Hello" for English.',
    ].join('\n\n'),
  },
  {
    when: [
      'English',
      'english',
      'Hello',
      'hello',
      'What',
      'what',
      'Who',
      'who',
      'How',
      'how',
      'Where',
      'Which',
      'Please',
      'please',
      'Can ',
      'Tell',
      ' the ',
      ' is ',
      ' you',
    ],
    say: [
      'Hello! I am the built-in sample of Hoshikage.',
      'I am not a real language model: I do not understand your question, I only recite a short text that was written beforehand, one token at a time, through the very same engine (libllama) that runs real models.',
      'So if you can read this, everything works. Get a model in GGUF format and register it:',
      '    npx hoshikage add /path/to/model.gguf NAME',
      'Then use NAME as the model of your request. `npx hoshikage list` shows what is registered, and `npx hoshikage --help` shows the rest.',
    ].join('\n\n'),
  },
  {
    when: ['モデル', 'もでる', '登録'],
    say: [
      '本物のモデルの使い方です。',
      '1. GGUF 形式のファイル(拡張子 .gguf)を手に入れます。メモリーに収まる大きさのものを選んでください。',
      '2. npx hoshikage add /path/to/model.gguf 名前 で登録します。起動中のサーバーにもすぐ伝わります。',
      '3. リクエストの model に、付けた名前を指定します。',
      '一覧は npx hoshikage list、取り消しは npx hoshikage rm 名前 です。登録が一つでもあれば、見本の私は姿を消します。',
    ].join('\n\n'),
  },
  {
    when: ['設定', 'ポート', '環境変数'],
    say: [
      '設定は .env という一つのファイルに書きます。',
      '置き場所は、Linux と macOS では ~/.config/hoshikage/.env、Windows では %APPDATA% の下の hoshikage フォルダーです。何も書かなくても初期値で動きます。',
      'よく使うのは、PORT(待ち受けるポート、初期値 3030)、N_CTX(一度に扱えるトークン数)、IDLE_TIMEOUT(使われないモデルを片付けるまでの秒数)、API_KEY(合言葉)です。',
      '書き換えたら、サーバーを起動し直してください。',
    ].join('\n\n'),
  },
  {
    when: ['ライブラリ', 'ビルド', 'GPUを', 'GPU を'],
    say: [
      '推論は、llama.cpp の共有ライブラリ libllama が受け持っています。',
      '最初から付いてくるものは CPU 用です。GPU を使うなど、別のものと取り替えるには、npx hoshikage lib install で取り寄せ、npx hoshikage lib use 名前 で切り替えます。自分でビルドしたものは、lib use にその場所を渡してください。試してから切り替わり、サーバーの起動し直しは要りません。元に戻すのは npx hoshikage lib rollback です。',
      'いまどれが使われているかは、npx hoshikage lib list か、/v1/status の library の欄で分かります。',
    ].join('\n\n'),
  },
];

/** Where the built-in model's file is, or will be. */
export function demoModelPath(cacheDir: string): string {
  return join(cacheDir, `${DEMO_ID}-v${DEMO_VERSION}.gguf`);
}

/** Makes the file unless it is there; gives its path. File system errors come as they are. */
export async function ensureDemoModel(cacheDir: string): Promise<string> {
  const path = demoModelPath(cacheDir);
  if (await isFile(path)) return path;
  try {
    await writeScripted(path, { answers: ANSWERS, name: DEMO_ID, type: 'q8_0' });
  } catch (error) {
    // Where a file in use cannot be replaced, another process may have been quicker: the same bytes.
    if (!(await isFile(path))) throw error;
  }
  return path;
}

async function isFile(path: string): Promise<boolean> {
  const there = await stat(path).catch(() => null);
  return there?.isFile() ?? false;
}
