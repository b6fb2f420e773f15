/** What the built-in model is taught, and how its training reads that. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { augment, chanceOf } from '../../scripts/train-guide/augment.js';
import { Encoder, learnMerges } from '../../scripts/train-guide/bpe.js';
import {
  countReadings,
  matcher,
  type PatternNode,
  parsePattern,
  plain,
  reading,
  readLessons,
} from '../../scripts/train-guide/dialogues.js';
import { isRight, REWORDED_OF, tasksOf } from '../../scripts/train-guide/examination.js';
import { randomBits } from '../../src/models/prng.js';
import { spell } from '../../src/models/vocabulary.js';

const lessons = readLessons();

/** All readings of a pattern. */
function readingsOf(node: PatternNode): string[] {
  if (typeof node === 'string') return [node];
  if ('one' in node) return node.one.flatMap(readingsOf);
  return node.all.reduce<string[]>(
    (heads, part) => {
      const tails = readingsOf(part);
      return heads.flatMap((head) => tails.map((tail) => head + tail));
    },
    [''],
  );
}

describe('the dialogues of the guide', () => {
  it('teach every matter in both languages, and hold a paraphrase of each back', () => {
    const ids = lessons.map(({ id, language }) => `${id}.${language}`);
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(ids.length >= 300, `${ids.length} matters`);
    for (const { id, language, taught, heldOut, answer } of lessons) {
      assert.ok(taught.length >= 2 && heldOut.length >= 1, `${id}.${language}`);
      assert.equal(answer, answer.trim());
      assert.equal(answer.endsWith('。'), language === 'ja', answer);
    }
  });

  it('never teach a held-out paraphrase, whatever its spelling', () => {
    const matchers = lessons.flatMap(({ taught }) =>
      taught.map(({ line, node }) => ({ line, matches: matcher(node) })),
    );
    const seen = new Set<string>();
    for (const question of lessons.flatMap(({ heldOut }) => heldOut)) {
      const bare = plain(question);
      assert.ok(!seen.has(bare), `twice: ${question}`);
      seen.add(bare);
      for (const { line, matches } of matchers) {
        assert.ok(!matches.test(bare), `${question} is taught by ${line}`);
      }
    }
  });

  it('give one answer to one question', () => {
    const owners = new Map<string, string>();
    for (const { id, language, taught } of lessons) {
      for (const { node } of taught) {
        for (const question of readingsOf(node)) {
          const bare = plain(question);
          const owner = owners.get(bare) ?? `${id}.${language}`;
          assert.equal(owner, `${id}.${language}`, question);
          owners.set(bare, owner);
        }
      }
    }
  });
});

describe('a pattern', () => {
  const words = new Map([['COLOUR', { one: ['red', 'blue'] }]]);

  it('is read by its choices, its words and their nesting', () => {
    const node = parsePattern('a {$COLOUR|very {big|old}} house{|boat}', words);
    assert.equal(countReadings(node), 8);
    assert.equal(
      reading(node, () => 0),
      'a red house',
    );
    assert.equal(
      reading(node, (count) => count - 1),
      'a very old houseboat',
    );
    assert.match(plain('A  BLUE house?'), matcher(node));
    assert.doesNotMatch(plain('a green house'), matcher(node));
  });

  it('is refused where a brace or a word is wrong', () => {
    for (const line of ['{a', 'a}', 'a|b', '$NOBODY']) {
      assert.throws(() => parsePattern(line, words), Error, line);
    }
  });
});

describe('augmentation', () => {
  it('says the same thing in the same way for the same seed, and in many ways for many', () => {
    const ways = (seed: number): string[] => {
      const chance = chanceOf(randomBits(seed));
      return Array.from({ length: 100 }, () =>
        augment('モデルを登録するにはどうすればいいですか', 'ja', chance),
      );
    };
    assert.deepEqual(ways(1), ways(1));
    assert.ok(new Set(ways(1)).size > 30);
  });
});

describe('byte-level BPE', () => {
  const merges = learnMerges(
    new Map([
      ['モデル', 5],
      ['モデルを', 3],
      ['名前', 1],
    ]),
    100,
  );
  const encoder = new Encoder(merges);

  it('makes a token of every character it has met, and of what is met often', () => {
    assert.deepEqual(encoder.encode('モデル'), [spell('モデル')]);
    assert.deepEqual(encoder.encode('前名'), [spell('前'), spell('名')]);
  });

  it('falls back to bytes, and loses nothing', () => {
    assert.deepEqual(encoder.encode('龘'), [...spell('龘')]);
    const pieces = encoder.encode('モデルを名前', () => true);
    assert.deepEqual(pieces, [...spell('モデルを名前')]);
  });
});

describe('the examination', () => {
  const tasks = tasksOf(lessons);

  it('asks every pattern and every held-out paraphrase once, and some as people type', () => {
    const count = (group: string): number => tasks.filter((task) => task.group === group).length;
    const patterns = lessons.reduce((sum, { taught }) => sum + taught.length, 0);
    assert.equal(count('taught'), patterns);
    assert.ok(count('reworded') * REWORDED_OF >= patterns);
    assert.equal(
      count('held out'),
      lessons.reduce((sum, { heldOut }) => sum + heldOut.length, 0),
    );
  });

  it('takes an answer of another width for right, and any other word for wrong', () => {
    const [task] = tasks;
    assert.ok(task);
    assert.ok(isRight(task, ` ${task.answer.replace('(', '（')}\n`));
    assert.ok(!isRight(task, `${task.answer}と`));
    assert.ok(!isRight(task, ''));
  });
});
