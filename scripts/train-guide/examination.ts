/**
 * What the guide is examined in: taught questions as they are written, other readings of the same
 * patterns, and the paraphrases that were held out from training. Pure. It must never ask anybody.
 */
import { randomBits } from '../../src/models/prng.js';
import { augment, chanceOf } from './augment.js';
import { type Language, type Lesson, reading, UNKNOWN } from './dialogues.js';

export const GROUPS = ['taught', 'reworded', 'held out'] as const;
export type Group = (typeof GROUPS)[number];

/** A question with its right answer. */
export interface Task {
  readonly group: Group;
  readonly id: string;
  readonly language: Language;
  readonly question: string;
  readonly answer: string;
}

/** The questions to which "I do not know" is the right answer are told apart in a report. */
export const isOutside = ({ id }: Task): boolean => id === UNKNOWN;

/** Of a matter's patterns, one in so many is also asked as somebody might type it. */
export const REWORDED_OF = 5;

/** Every pattern's first reading, others as somebody might type them, and every held-out question. */
export function tasksOf(lessons: readonly Lesson[], seed = 20): Task[] {
  const chance = chanceOf(randomBits(seed));
  return lessons.flatMap(({ id, language, answer, taught, heldOut }): Task[] => {
    const task = (group: Group, question: string): Task => ({
      ...{ group, id, language, question, answer },
    });
    return [
      ...taught.map(({ node }) =>
        task(
          'taught',
          reading(node, () => 0),
        ),
      ),
      ...taught
        .filter((_, index) => index % REWORDED_OF === 0)
        .map(({ node }) =>
          task('reworded', augment(reading(node, chance.below), language, chance)),
        ),
      ...heldOut.map((question) => task('held out', question)),
    ];
  });
}

/** Whether an answer is the right one: the same but for width, and blanks at its ends and in a row. */
export function isRight({ answer }: Task, said: string): boolean {
  const even = (text: string): string => text.normalize('NFKC').replace(/\s+/g, ' ').trim();
  return even(answer) === even(said);
}
