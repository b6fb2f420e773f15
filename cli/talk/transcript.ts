/**
 * A conversation as a file: JSON with the messages of a request, or Markdown to be read. Runs in the CLI
 * process. It replaces no file that it did not write itself, and makes its own readable for this user only.
 */
import { lstat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Language } from '../../src/config.js';
import { HoshikageError } from '../../src/errors.js';
import { replaceFile } from '../../src/models/map-file.js';
import type { Conversation } from './conversation.js';

/** The conversation in the form that the name of the file asks for. */
export function transcriptOf(
  conversation: Conversation,
  path: string,
  { language, savedAt }: { readonly language: Language; readonly savedAt: Date },
): string {
  if (/\.json$/i.test(path)) return `${JSON.stringify(jsonOf(conversation, savedAt), null, 2)}\n`;
  return markdownOf(conversation, { language, savedAt });
}

function jsonOf({ model, system, turns }: Conversation, savedAt: Date): object {
  const messages = turns.map(({ role, content, reasoning }) => ({
    role,
    content,
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
  }));
  return {
    model,
    saved_at: savedAt.toISOString(),
    messages: [...(system === null ? [] : [{ role: 'system', content: system }]), ...messages],
  };
}

function markdownOf(
  { model, system, turns }: Conversation,
  { language, savedAt }: { readonly language: Language; readonly savedAt: Date },
): string {
  const ja = language === 'ja';
  const names = { user: ja ? 'あなた' : 'You', assistant: model };
  const parts = [
    `# ${ja ? '星影との会話' : 'A conversation with Hoshikage'}`,
    `${ja ? 'モデル' : 'Model'}: ${model}  \n${ja ? '日時' : 'Saved'}: ${localTime(savedAt, language)}`,
    ...(system === null ? [] : [`## ${ja ? 'システム' : 'System'}`, system]),
    ...turns.flatMap(({ role, content }) => [`## ${names[role]}`, content]),
  ];
  return `${parts.join('\n\n')}\n`;
}

function localTime(time: Date, language: Language): string {
  const styles = { dateStyle: 'long', timeStyle: 'long' } as const;
  return time.toLocaleString(language === 'ja' ? 'ja-JP' : 'en-GB', styles);
}

/** Saves conversations; remembers what it wrote, which it may write again. */
export class TranscriptFiles {
  readonly #own = new Set<string>();
  readonly #cwd: string;

  constructor(cwd: string) {
    this.#cwd = cwd;
  }

  /** Gives the absolute path. Code: file_unwritable. */
  async save(conversation: Conversation, name: string, language: Language): Promise<string> {
    const path = /^~[\\/]/.test(name) ? join(homedir(), name.slice(2)) : resolve(this.#cwd, name);
    const isThere = (await lstat(path).catch(() => null)) !== null;
    if (isThere && !this.#own.has(path)) {
      throw new HoshikageError('file_unwritable', {
        path,
        reason: 'there is a file of that name; choose another',
        reason_ja: 'その名前のものがもうあります。別の名前にしてください',
      });
    }
    const text = transcriptOf(conversation, path, { language, savedAt: new Date() });
    try {
      await replaceFile(path, text, 0o600);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new HoshikageError('file_unwritable', { path, reason }, { cause });
    }
    this.#own.add(path);
    return path;
  }
}
