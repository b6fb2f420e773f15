/** A choice's words as events, whatever reads them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Answer, type AnswerEvent, newCallId } from '../../src/chat/answer.js';
import type { Listener, Run, Said } from '../../src/dialect/dialect.js';
import type { SaidToken, Spoken } from '../../src/generate/text.js';

/** Says what it is told to for each run, one after the other. */
class ScriptedListener implements Listener {
  isReasoning = false;
  readonly #said: (readonly Said[])[];

  constructor(...said: readonly (readonly Said[])[]) {
    this.#said = [...said];
  }

  push(_run: Run): readonly Said[] {
    return this.#said.shift() ?? [];
  }

  end(): readonly Said[] {
    return this.#said.flat();
  }
}

const token = (id: number, from: number, to: number): SaidToken => ({
  ...{ token: id, from, to, bytes: new Uint8Array() },
});
const spoken = (runs: number, ...tokens: readonly SaidToken[]): Spoken => ({
  runs: Array.from({ length: runs }, () => ({ text: 'x', control: false })),
  tokens,
});
const answering = (...said: readonly (readonly Said[])[]) =>
  new Answer(new ScriptedListener(...said), { shortIds: false });

describe('An answer', () => {
  test('gives content with the tokens that it was made of', () => {
    const answer = answering(
      [{ type: 'reasoning', text: 'hm', from: 0 }],
      [{ type: 'content', text: 'so', from: 10 }],
    );
    const [thought] = answer.take(spoken(1, token(1, 0, 2)));
    assert.deepEqual(thought, { type: 'reasoning', text: 'hm' });
    // The second token is a mark, the third one the content's.
    const events = answer.take(spoken(1, token(2, 2, 10), token(3, 10, 12)));
    assert.deepEqual(events, [{ type: 'content', text: 'so', tokens: [token(3, 10, 12)] }]);
  });

  test('joins what follows on each other, and nothing else', () => {
    const answer = answering(
      [{ type: 'content', text: 'a', from: 0 }],
      [{ type: 'content', text: 'b', from: 1 }],
      [{ type: 'content', text: 'c', from: 7 }],
    );
    const texts = answer.take(spoken(3)).map((event) => 'text' in event && event.text);
    assert.deepEqual(texts, ['ab', 'c']);
  });

  test('numbers its calls and gives each an id, or the one that the model gave it', () => {
    const answer = answering(
      [
        { type: 'call', name: 'look', id: null },
        { type: 'arguments', text: '{"a"' },
        { type: 'arguments', text: ':1}' },
        { type: 'called', raw: 'R', complete: true },
      ],
      [
        { type: 'call', name: 'listen', id: 'functions.listen:1' },
        { type: 'called', raw: 'R', complete: false },
      ],
    );
    const events = answer.take(spoken(1));
    const [call] = events;
    assert.ok(call?.type === 'call');
    assert.match(call.id, /^call_[A-Za-z0-9]{24}$/);
    assert.deepEqual(events.slice(1), [
      { type: 'arguments', index: 0, text: '{"a":1}' },
      { type: 'called', index: 0, raw: 'R', complete: true },
    ] satisfies AnswerEvent[]);
    assert.equal(answer.hasCalls, true);
    const [second] = answer.take(spoken(1));
    assert.deepEqual(second, { type: 'call', index: 1, id: 'functions.listen:1', name: 'listen' });
    assert.equal(answer.hasCalls, false, 'the second one was cut');
  });

  test('counts the tokens that the model thinks in', () => {
    const listener = new ScriptedListener();
    const answer = new Answer(listener, { shortIds: false });
    answer.take(spoken(1, token(1, 0, 1)));
    listener.isReasoning = true;
    answer.take(spoken(1, token(2, 1, 2), token(3, 2, 3)));
    assert.equal(answer.reasoningTokens, 2);
  });
});

test('ids are nine letters and digits where a template wants such', () => {
  assert.match(newCallId(true), /^[A-Za-z0-9]{9}$/);
  assert.notEqual(newCallId(false), newCallId(false));
});
