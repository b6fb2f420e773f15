/** How answers are cut into tokens. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type PlannedAnswer, planScript, successor } from '../../src/models/script.js';
import { spell } from '../../src/models/vocabulary.js';

const reserved = new Set([spell('\n')]);

/** What the weights need, said independently of the planner. */
function assertSound(plan: readonly PlannedAnswer[]): void {
  const owners = (chunk: string | null): number =>
    plan.filter(({ chunks }) => chunk !== null && chunks.includes(chunk)).length;
  for (const answer of plan) {
    assert.equal(new Set(answer.chunks).size, answer.chunks.length, 'a chunk twice');
    if (plan.length > 1) assert.equal(owners(answer.chunks[0] ?? null), 1);
    for (const [i, chunk] of answer.chunks.entries()) {
      assert.notEqual(chunk, '');
      assert.ok(!reserved.has(chunk));
      if (owners(chunk) > 1) assert.equal(owners(successor(answer, i)), 1, `after ${chunk}`);
    }
  }
}

describe('a script', () => {
  it('joins up to the texts again, whatever they are', () => {
    const text = fc.oneof(
      fc.string({ minLength: 1, maxLength: 60, unit: 'binary' }),
      fc.string({
        minLength: 1,
        maxLength: 60,
        unit: fc.constantFrom('あ', 'い', 'a', '🎉', '\n', ' '),
      }),
    );
    const answer = fc.record({
      say: text,
      cut: fc.constantFrom('characters' as const, 'bytes' as const),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(answer, { minLength: 1, maxLength: 5, selector: ({ say }) => spell(say) }),
        (answers) => {
          fc.pre(answers.every(({ say }) => say !== '\n'));
          const plan = planScript(
            answers.map((each, i) => (i === 0 ? each : { ...each, when: `keyword ${i}` })),
            reserved,
          );
          assert.deepEqual(
            plan.map(({ chunks }) => chunks.join('')),
            answers.map(({ say }) => spell(say)),
          );
          assertSound(plan);
        },
      ),
    );
  });

  it('makes answers cross each other often when they share characters', () => {
    const plan = planScript(
      [
        { say: 'これは一つ目の答えで、いくつかの文からできています。' },
        { when: '二', say: 'それは二つ目の文で、これとは違う答えになっています。' },
      ],
      reserved,
    );
    const [first, second] = plan.map(({ chunks }) => chunks);
    const shared = first?.filter((chunk) => second?.includes(chunk)) ?? [];
    assert.ok(shared.length >= 3, `${shared.length} crossings`);
    assertSound(plan);
  });

  it('cuts inside characters only when asked to', () => {
    const whole = (cut: 'characters' | 'bytes'): boolean => {
      const [answer] = planScript([{ say: '星影は静かです🎉。', cut }], reserved);
      const leads = /^[\x21-\x7eÃ-ô]/;
      return answer?.chunks.every((chunk) => leads.test(chunk)) ?? false;
    };
    assert.equal(whole('characters'), true);
    assert.equal(whole('bytes'), false);
  });

  it('takes cuts given by hand as they are', () => {
    const [answer] = planScript(
      [{ say: ['ab', Uint8Array.of(0xe3, 0x81), Uint8Array.of(0x82)] }],
      reserved,
    );
    assert.deepEqual(
      answer?.chunks.map((chunk) => chunk.length),
      [2, 2, 1],
    );
    assert.equal(answer?.chunks.join(''), spell('abあ'));
  });

  it('comes to an end, or back to its beginning when it is endless', () => {
    const [plain] = planScript([{ say: ['a', 'b'] }], reserved);
    const [endless] = planScript([{ say: ['a', 'b'], endless: true }], reserved);
    assert.ok(plain && endless);
    assert.deepEqual([successor(plain, 0), successor(plain, 1)], ['b', null]);
    assert.deepEqual([successor(endless, 0), successor(endless, 1)], ['b', 'a']);
  });

  it('is refused when the next token would not be certain', () => {
    const refused: Record<string, Parameters<typeof planScript>[0]> = {
      'no default': [{ when: 'a', say: 'x' }],
      'two defaults': [{ say: 'x' }, { say: 'y' }],
      'the same text twice': [{ say: 'x' }, { when: 'a', say: 'x' }],
      'the same keyword twice': [
        { say: 'x' },
        { when: 'a', say: 'y' },
        { when: ['b', 'a'], say: 'z' },
      ],
      'an empty text': [{ say: '' }],
      'a repeated token': [{ say: ['a', 'b', 'a'] }],
      'a lone line feed': [{ say: ['a', '\n'] }],
      'a keyword as a token': [{ say: 'x' }, { when: 'key', say: ['the ', 'key'] }],
      'a shared beginning': [{ say: ['a', 'b'] }, { when: 'k', say: ['a', 'c'] }],
      'a shared end': [{ say: ['a', 'z'] }, { when: 'k', say: ['b', 'z'] }],
      'two shared in a row': [
        { say: ['a', 'y', 'z', '1'] },
        { when: 'k', say: ['b', 'y', 'z', '2'] },
      ],
    };
    for (const [why, answers] of Object.entries(refused)) {
      assert.throws(() => planScript(answers, reserved), { code: 'invalid_argument' }, why);
    }
  });
});
