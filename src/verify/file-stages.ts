/**
 * What can be said of a model by its files alone, before anything native reads them. Main thread of the
 * process that wants to know; files are read through libuv, templates rendered in their worker.
 */
import { basename } from 'node:path';
import { buildPrompt, CHATML, type PromptText } from '../chat/prompt.js';
import { TemplateRenderer } from '../chat/template.js';
import { checkSealed } from '../engine/sealed.js';
import { HoshikageError } from '../errors.js';
import { sha256Of } from '../models/digest.js';
import { type FileState, type GgufFacts, refusal, type SoundFile } from '../models/gguf.js';
import { REASON_CODES, type ReasonCode } from '../models/gguf-reasons.js';
import { readModelFiles } from '../models/model-files.js';
import { sizeText } from '../models/size-text.js';
import { Finding, type Seen, type Stages } from './stage.js';

/** The files of a model, the first one first. */
export type ModelFiles = readonly [SoundFile, ...SoundFile[]];

/** In the order in which a file is read. */
const FILE_STAGES = ['files', 'header', 'vocabulary', 'tensors'] as const;
type FileStage = (typeof FILE_STAGES)[number];

/** Which stage a reason belongs to; all others are the header's. */
const PLACES: Readonly<Partial<Record<ReasonCode, FileStage>>> = {
  not_regular: 'files',
  impossible_path: 'files',
  split_name: 'files',
  split_first: 'files',
  split_other: 'files',
  tensor_twice: 'tensors',
  dimension_count: 'tensors',
  dimensions: 'tensors',
  removed_type: 'tensors',
  matrix_type: 'tensors',
  block: 'tensors',
  not_aligned: 'tensors',
  beyond_end: 'tensors',
  overlap: 'tensors',
  no_tensors: 'tensors',
  split_tensors: 'tensors',
  no_tokens: 'vocabulary',
  token_count: 'vocabulary',
  token_twice: 'vocabulary',
  token_list: 'vocabulary',
  usual_token: 'vocabulary',
  dummy_tokens: 'vocabulary',
  charsmap: 'vocabulary',
  embedding_rows: 'tensors',
};

/** Said of the stages before one that failed. */
const NOTHING_WRONG: Seen = { en: 'nothing wrong', ja: '問題なし' };
const READABLE: Seen = { en: 'can be read', ja: '読み出せる' };

/** The stages `files` to `tensors`; null where one of them did not pass. */
export async function checkFiles(path: string, stages: Stages): Promise<ModelFiles | null> {
  const begun = performance.now();
  try {
    const files = await readModelFiles(path);
    const ms = performance.now() - begun;
    const facts = files.map((file) => file.facts);
    stages.note('files', filesSeen(files));
    stages.note('header', headerSeen(files[0].facts), 'passed', ms);
    stages.note('vocabulary', vocabularySeen(files[0].facts));
    stages.note('tensors', tensorsSeen(facts));
    return files;
  } catch (error) {
    const place = placeOf(error);
    for (const name of FILE_STAGES.slice(0, FILE_STAGES.indexOf(place))) {
      stages.note(name, name === 'files' ? READABLE : NOTHING_WRONG);
    }
    stages.fail(place, error, { ms: performance.now() - begun });
    return null;
  }
}

function placeOf(error: unknown): FileStage {
  if (!(error instanceof HoshikageError) || error.code !== 'model_file_invalid') return 'files';
  const reason = REASON_CODES.find((code) => code === error.details.check);
  return (reason && PLACES[reason]) ?? 'header';
}

function filesSeen(files: ModelFiles): Seen {
  const bytes = files.reduce((sum, { facts }) => sum + facts.sizeBytes, 0);
  const name = basename(files[0].state.path);
  const count = files.length;
  return count === 1
    ? { en: `${name}, ${sizeText(bytes)}`, ja: `${name}、${sizeText(bytes)}` }
    : {
        en: `${name} and ${count - 1} more, ${sizeText(bytes)}`,
        ja: `${name} ほか ${count - 1} 個、${sizeText(bytes)}`,
      };
}

function headerSeen({ version, architecture, layers, contextLength }: GgufFacts): Seen {
  const en = [`GGUF v${version}`, architecture];
  const ja = [...en];
  if (layers !== null) {
    en.push(`${layers} layers`);
    ja.push(`${layers} 層`);
  }
  if (contextLength !== null) {
    en.push(`trained for ${contextLength} tokens`);
    ja.push(`${contextLength} トークンまで`);
  }
  return { en: en.join(', '), ja: ja.join('、') };
}

/** All kinds of tensors; what is not known of one could not be checked. */
function tensorsSeen(parts: readonly GgufFacts[]): Seen {
  const kinds = new Map<string, number>();
  const unknown = new Map<number, number>();
  for (const { type, name, tensors } of parts.flatMap(({ tensorTypes }) => tensorTypes)) {
    if (name !== null) kinds.set(name, (kinds.get(name) ?? 0) + tensors);
    else unknown.set(type, (unknown.get(type) ?? 0) + tensors);
  }
  const count = parts.reduce((sum, { tensorCount }) => sum + tensorCount, 0);
  const list = [...kinds].map(([name, tensors]) => `${name} × ${tensors}`);
  const en = [`${count} (${list.join(', ')}), all of them in the file`];
  const ja = [`${count} 個(${list.join('、')})、すべてファイルの中`];
  for (const [type, tensors] of unknown) {
    en.push(`type ${type} is not known, so ${tensors} were not checked`);
    ja.push(`型 ${type} は知らないので、${tensors} 個は確かめていません`);
  }
  return { en: en.join(', '), ja: ja.join('、') };
}

function vocabularySeen(facts: GgufFacts): Seen {
  const { vocabularySize, tokenizerModel, tokenizerPre, merges, specialTokens } = facts;
  if (vocabularySize === null) return { en: 'none', ja: 'ありません' };
  const kind = [tokenizerModel, tokenizerPre].filter((name) => name !== null).join(' / ');
  const en = [`${vocabularySize} tokens${kind && ` (${kind})`}`];
  const ja = [`${vocabularySize} トークン${kind && `(${kind})`}`];
  if (merges !== null) {
    en.push(`${merges} merges`);
    ja.push(`結合 ${merges} 個`);
  }
  for (const { role, id } of specialTokens.filter(
    (one) => one.id < 0 || one.id >= vocabularySize,
  )) {
    en.push(`${role} is token ${id}, which there is not, and counts as not said`);
    ja.push(`${role} の ${id} 番は語彙にないので、ないものとして扱われます`);
  }
  return { en: en.join(', '), ja: ja.join('、') };
}

/** A file's digest, and that it is still what was looked at. */
export interface HashedFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Told after every piece: the bytes of this file so far, and of all of it. */
export type OnHashed = (path: string, done: number, total: number) => void;

/** The stage `hash`: every byte of every file read. */
export function hashFiles(
  files: ModelFiles,
  stages: Stages,
  { signal, onHashed }: { readonly signal: AbortSignal; readonly onHashed: OnHashed },
): Promise<readonly HashedFile[] | null> {
  return stages.run('hash', async () => {
    const hashed: HashedFile[] = [];
    for (const { state } of files) hashed.push(await hashFile(state, signal, onHashed));
    const [first] = hashed;
    const seen = hashed.length === 1 ? (first?.sha256 ?? '') : `${first?.sha256 ?? ''} …`;
    return [{ en: seen, ja: seen }, hashed];
  });
}

async function hashFile(
  state: FileState,
  signal: AbortSignal,
  onHashed: OnHashed,
): Promise<HashedFile> {
  const { path } = state;
  const bytes = Number(state.size);
  onHashed(path, 0, bytes);
  await checkSealed([state]);
  const sha256 = await sha256Of(path, signal, (done) => onHashed(path, done, bytes)).catch(
    (error: unknown) => {
      throw refusal(path, error);
    },
  );
  await checkSealed([state]);
  return { path, bytes, sha256 };
}

/** What a template is tried with. */
const TALK = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: '星は何色ですか?' },
  { role: 'assistant', content: 'いろいろです。' },
  { role: 'user', content: 'Which one is the brightest?' },
] as const;

/** The stage `template`: a conversation as this model's template writes it; null without a prompt. */
export async function renderTemplate(
  { chatTemplate, specialTokens }: GgufFacts,
  stages: Stages,
  { signal, isEmbedder }: { readonly signal: AbortSignal; readonly isEmbedder: boolean },
): Promise<PromptText | null> {
  if (chatTemplate === null && isEmbedder) {
    const seen = { en: 'none, and none needed', ja: 'ありません(要りません)' };
    stages.note('template', seen, 'skipped');
    return null;
  }
  const renderer = new TemplateRenderer();
  const textOf = (role: string): string =>
    specialTokens.find((token) => token.role === role)?.text ?? '';
  try {
    return await stages.run('template', async () => {
      const model = { bosText: textOf('bos'), eosText: textOf('eos'), controlTexts: [] };
      const request = { renderer, model, messages: TALK, variables: {}, signal };
      const prompt = await buildPrompt({ ...request, template: chatTemplate ?? CHATML });
      const { length } = prompt.segments.map(({ text }) => text).join('');
      if (length === 0) throw new Finding({ en: 'it gives no text', ja: '何も書きません' });
      const own = chatTemplate !== null;
      const seen = {
        en: `${own ? 'its own' : 'none: ChatML instead'}, ${length} characters for ${TALK.length} messages`,
        ja: `${own ? '自前' : 'なし(ChatML を使う)'}、メッセージ ${TALK.length} つが ${length} 文字`,
      };
      return [seen, prompt];
    });
  } finally {
    await renderer.close();
  }
}
