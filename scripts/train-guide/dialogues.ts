/**
 * The questions and answers that the guide is taught, as they stand in dialogues/*.txt, the
 * paraphrases of paraphrases/*.txt, and the readings of a pattern. Reads files, decides nothing about
 * training. It must never change a held-out question: those are kept from training altogether.
 *
 *   # name           a matter, with one answer in each language
 *   ja> text         its answer
 *   ja: pattern      questions that are taught; {a|b} is a choice, $NAME one of the words of NAME
 *   ja~ text         a held-out paraphrase: only in paraphrases/, so that nobody who writes what is
 *                    taught must read it
 *   $NAME = a|b      words for patterns, of this file or (in words.txt) of all
 *   ; text           a remark
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inProject } from '../root.js';

export const LANGUAGES = ['ja', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];

/** A pattern as a tree: a text, a sequence, or a choice. */
export type PatternNode =
  | string
  | { readonly all: readonly PatternNode[] }
  | { readonly one: readonly PatternNode[] };

/** Questions written as one line. */
export interface Pattern {
  readonly line: string;
  readonly node: PatternNode;
}

/** What is known of one matter in one language. */
export interface Lesson {
  readonly id: string;
  readonly language: Language;
  readonly answer: string;
  readonly taught: readonly Pattern[];
  readonly heldOut: readonly string[];
}

/** The matter of all questions that have nothing to do with Hoshikage. */
export const UNKNOWN = 'unknown';

const FOLDER = inProject('scripts/train-guide');

/** All lessons, in the order of the files' names and of their lines. Throws where a line is wrong. */
export function readLessons(folder = FOLDER): Lesson[] {
  const textOf = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const common = wordsOf(textOf('dialogues/words.txt'), new Map());
  const files = readdirSync(join(folder, 'dialogues')).sort();
  return files
    .filter((name) => name.endsWith('.txt') && name !== 'words.txt')
    .flatMap((name) =>
      lessonsOf(`${textOf(`dialogues/${name}`)}\n${textOf(`paraphrases/${name}`)}`, common),
    );
}

function wordsOf(text: string, common: ReadonlyMap<string, PatternNode>): Map<string, PatternNode> {
  const words = new Map(common);
  for (const [, name = '', choices = ''] of text.matchAll(/^\$([A-Z]+) = (.*)$/gm)) {
    words.set(name, { one: choices.split('|') });
  }
  return words;
}

type Draft = { answer: string; taught: Pattern[]; heldOut: string[] };

/** The matters of a file, whose lines may come in several places under the same name. */
function lessonsOf(text: string, common: ReadonlyMap<string, PatternNode>): Lesson[] {
  const words = wordsOf(text, common);
  const drafts = new Map<string, Record<Language, Draft>>();
  const empty = (): Draft => ({ answer: '', taught: [], heldOut: [] });
  let id = '';
  for (const line of text.split('\n')) {
    if (line === '' || /^[;$]/.test(line)) continue;
    if (line.startsWith('# ')) {
      id = line.slice(2);
      if (!drafts.has(id)) drafts.set(id, { ja: empty(), en: empty() });
      continue;
    }
    const [, language, kind, rest = ''] = /^(ja|en)([>:~]) (.+)$/.exec(line) ?? [];
    const draft = drafts.get(id)?.[language as Language];
    if (draft === undefined) throw new Error(`not a line of a dialogue: ${line}`);
    if (kind === '>') draft.answer = rest;
    if (kind === ':') draft.taught.push({ line: rest, node: parsePattern(rest, words) });
    if (kind === '~') draft.heldOut.push(rest);
  }
  return [...drafts].flatMap(([id, both]) =>
    LANGUAGES.map((language) => {
      const draft = both[language];
      if (!draft.answer || draft.taught.length === 0) throw new Error(`${id}: no ${language}`);
      return { id, language, ...draft };
    }),
  );
}

/** Reads a pattern. Throws where braces do not match, or nobody knows a $NAME. */
export function parsePattern(line: string, words: ReadonlyMap<string, PatternNode>): PatternNode {
  const parts = line.match(/\$[A-Z]+|[{}|]|[^${}|]+/g) ?? [];
  let at = 0;
  const sequence = (): PatternNode => {
    const all: PatternNode[] = [];
    for (; at < parts.length; at++) {
      const part = parts[at] ?? '';
      if (part === '|' || part === '}') break;
      if (part === '{') all.push(choice());
      else if (part.startsWith('$')) all.push(known(part));
      else all.push(part);
    }
    return { all };
  };
  const choice = (): PatternNode => {
    const one: PatternNode[] = [];
    do {
      at += 1;
      one.push(sequence());
    } while (parts[at] === '|');
    if (parts[at] !== '}') throw new Error(`a brace is open: ${line}`);
    return { one };
  };
  const known = (name: string): PatternNode => {
    const word = words.get(name.slice(1));
    if (word === undefined) throw new Error(`${name} is not known: ${line}`);
    return word;
  };
  const whole = sequence();
  if (at < parts.length) throw new Error(`a brace too many: ${line}`);
  return whole;
}

/** A reading of a pattern; `choose` gives a number below the one it gets. */
export function reading(node: PatternNode, choose: (count: number) => number): string {
  const text = read(node, choose);
  return text.replace(/ {2,}/g, ' ').trim();
}

function read(node: PatternNode, choose: (count: number) => number): string {
  if (typeof node === 'string') return node;
  if ('all' in node) return node.all.map((part) => read(part, choose)).join('');
  const chosen = node.one[choose(node.one.length)];
  return chosen === undefined ? '' : read(chosen, choose);
}

/** How many readings a pattern has. */
export function countReadings(node: PatternNode): number {
  if (typeof node === 'string') return 1;
  if ('all' in node) return node.all.reduce((product, part) => product * countReadings(part), 1);
  return node.one.reduce((sum, part) => sum + countReadings(part), 0);
}

/** A matcher for the plain forms of all readings. */
export function matcher(node: PatternNode): RegExp {
  return new RegExp(`^${source(node)}$`, 'u');
}

function source(node: PatternNode): string {
  if (typeof node === 'string') return plain(node).replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  if ('all' in node) return node.all.map(source).join('');
  return `(?:${node.one.map(source).join('|')})`;
}

/** A question without what does not tell questions apart: case, width, blanks, punctuation. */
export function plain(question: string): string {
  return question
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[\s、。,.?!'"「」:;]+/gu, '');
}
