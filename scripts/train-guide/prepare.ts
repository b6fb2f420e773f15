/**
 * Makes from the dialogues what the trainer reads: a vocabulary, and rows of tokens with marks for
 * those that are to be learned. Every row is a conversation of its own; which questions it holds,
 * and how they are put, comes from the seed. It must never look at a held-out question.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBits } from '../../src/models/prng.js';
import { CONTROL, spell, Vocabulary } from '../../src/models/vocabulary.js';
import { augment, type Chance, chanceOf } from './augment.js';
import { Encoder, learnMerges, type Merge, wordsOf } from './bpe.js';
import {
  LANGUAGES,
  type Language,
  type Lesson,
  reading,
  readLessons,
  UNKNOWN,
} from './dialogues.js';
import { WORK } from './paths.js';

/** How much there is to learn from, and in which form. */
export interface Syllabus {
  readonly seed: number;
  readonly merges: number;
  /** One after the other, each from its own rate of learning down. */
  readonly courses: readonly Course[];
}

/** The names are those of train.py, to which it goes as it is. */
export interface Course {
  /** Its highest rates, as a share of the trainer's. */
  readonly rate: number;
  readonly dropout: number;
  /** In the order in which they are learned. */
  readonly parts: readonly Part[];
}

/** Rows of one kind. */
export interface Part {
  /** Tokens of a row. */
  readonly length: number;
  readonly rows: number;
  /** Of the questions, this share is the first reading of a pattern, as it stands there. */
  readonly verbatim: number;
  /** Of the answers, this share ends after a few tokens: what is asked shows in those, at less cost. */
  readonly short: number;
}

/** What the trainer must know of the files beside its own: the names are those of train.py. */
interface Sheet {
  readonly vocabulary: number;
  readonly courses: readonly Course[];
}

/** Of the questions, this share has nothing to do with Hoshikage. */
const UNKNOWN_SHARE = 0.13;
const SHORT_TOKENS = 7;

const SYSTEM_PROMPTS = [
  'You are a helpful assistant.',
  'あなたは親切なアシスタントです。',
  'あなたは親切です。',
  'You are the Hoshikage guide.',
  'Answer briefly.',
  '簡潔に答えてください。',
  'You are a friendly and honest assistant. Answer in the language of the question.',
];

/** The vocabulary of a list of merges: bytes and control tokens first. */
export function vocabularyOf(merges: readonly Merge[]): Vocabulary {
  const vocabulary = new Vocabulary();
  for (const [left, right] of merges) vocabulary.join(left, right);
  return vocabulary;
}

/** Writes tokens.bin, marks.bin, merges.json and sheet.json. */
export function prepare(syllabus: Syllabus): void {
  const chance = chanceOf(randomBits(syllabus.seed));
  const lessons = readLessons();
  const merges = learnMerges(countWords(lessons, chance), syllabus.merges);
  const vocabulary = vocabularyOf(merges);
  const writer = new Writer(lessons, new Encoder(merges), vocabulary, chance);
  const parts = syllabus.courses.flatMap((course) => course.parts);
  const size = parts.reduce((sum, { length, rows }) => sum + length * rows, 0);
  const tokens = new Uint16Array(size);
  const marks = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    const { length, rows } = part;
    for (let row = 0; row < rows; row++, at += length) {
      writer.write(tokens.subarray(at, at + length), marks.subarray(at, at + length), part);
    }
  }
  mkdirSync(WORK, { recursive: true });
  const sheet: Sheet = { vocabulary: vocabulary.size, courses: syllabus.courses };
  writeFileSync(join(WORK, 'tokens.bin'), tokens);
  writeFileSync(join(WORK, 'marks.bin'), marks);
  writeFileSync(join(WORK, 'merges.json'), JSON.stringify(merges));
  writeFileSync(join(WORK, 'sheet.json'), JSON.stringify(sheet));
}

/** How often each word is met, answers counting as much as all questions to them. */
function countWords(lessons: readonly Lesson[], chance: Chance): Map<string, number> {
  const counts = new Map<string, number>();
  const count = (text: string, times: number): void => {
    for (const word of wordsOf(text)) counts.set(word, (counts.get(word) ?? 0) + times);
  };
  for (const { answer, taught, language } of lessons) {
    count(answer, 20);
    for (const { node } of taught) {
      for (let i = 0; i < 5; i++) count(augment(reading(node, chance.below), language, chance), 1);
    }
  }
  return counts;
}

/** Fills rows with conversations. */
class Writer {
  readonly #known: Record<Language, readonly Lesson[]>;
  readonly #unknown: Record<Language, Lesson | undefined>;
  readonly #encoder: Encoder;
  readonly #vocabulary: Vocabulary;
  readonly #chance: Chance;

  constructor(
    lessons: readonly Lesson[],
    encoder: Encoder,
    vocabulary: Vocabulary,
    chance: Chance,
  ) {
    const of = (language: Language) => lessons.filter((lesson) => lesson.language === language);
    this.#known = {
      ja: of('ja').filter(({ id }) => id !== UNKNOWN),
      en: of('en').filter(({ id }) => id !== UNKNOWN),
    };
    this.#unknown = {
      ja: of('ja').find(({ id }) => id === UNKNOWN),
      en: of('en').find(({ id }) => id === UNKNOWN),
    };
    this.#encoder = encoder;
    this.#vocabulary = vocabulary;
    this.#chance = chance;
  }

  write(tokens: Uint16Array, marks: Uint8Array, { verbatim, short }: Part): void {
    const chance = this.#chance;
    let at = 0;
    const put = (ids: readonly number[], learned: boolean): void => {
      for (const id of ids) {
        if (at >= tokens.length) return;
        tokens[at] = id;
        marks[at++] = learned ? 1 : 0;
      }
    };
    const turn = (role: string, text: readonly number[]): void =>
      put([this.#control('start'), ...this.#ids(`${role}\n`), ...text], false);
    const end = [this.#control('end'), ...this.#ids('\n')];
    put([this.#control('bos')], false);
    if (chance.in(0.15)) {
      turn('system', this.#ids(SYSTEM_PROMPTS[chance.below(SYSTEM_PROMPTS.length)] ?? ''));
      put(end, false);
    }
    let language: Language = LANGUAGES[chance.below(2)] ?? 'ja';
    while (at < tokens.length) {
      if (chance.in(0.15)) language = language === 'ja' ? 'en' : 'ja';
      const lesson = this.#lesson(language);
      turn('user', this.#question(lesson, verbatim));
      put(end, false);
      turn('assistant', []);
      const answer = this.#ids(lesson.answer);
      if (chance.in(short) && answer.length > SHORT_TOKENS) {
        put(answer.slice(0, SHORT_TOKENS), true);
      } else {
        put([...answer, this.#control('end')], true);
        put(this.#ids('\n'), false);
        continue;
      }
      put(end, false);
    }
  }

  #lesson(language: Language): Lesson {
    const known = this.#known[language];
    const unknown = this.#unknown[language];
    const chosen = known[this.#chance.below(known.length)];
    const lesson = this.#chance.in(UNKNOWN_SHARE) ? unknown : chosen;
    if (lesson === undefined) throw new Error(`nothing is taught in ${language}`);
    return lesson;
  }

  #question({ taught, language }: Lesson, verbatim: number): number[] {
    const chance = this.#chance;
    const pattern = taught[chance.below(taught.length)];
    if (pattern === undefined) throw new Error('a lesson without questions');
    if (verbatim > 0 && chance.in(verbatim)) return this.#ids(reading(pattern.node, () => 0));
    const plain = reading(pattern.node, chance.below);
    const text = chance.in(0.2) ? plain : augment(plain, language, chance);
    return this.#ids(text, chance.in(0.4) ? () => chance.in(0.15) : undefined);
  }

  #ids(text: string, skips?: () => boolean): number[] {
    return this.#encoder.encode(text, skips).map((token) => this.#id(token));
  }

  #control(name: keyof typeof CONTROL): number {
    return this.#id(CONTROL[name]);
  }

  #id(token: string): number {
    const id = this.#vocabulary.id(token);
    if (id === undefined) throw new Error(`no such token: ${spell(token)}`);
    return id;
  }
}
