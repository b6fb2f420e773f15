/** A question on a terminal, and how a signal ends the work that asks it. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { Interrupted } from '../../cli/fail.js';
import { untilInterrupted } from '../../cli/local-library.js';
import { askYes } from '../../cli/question.js';
import { HoshikageError } from '../../src/errors.js';

/** A terminal into which somebody types. */
function terminal() {
  const input = Object.assign(new PassThrough(), { isTTY: true });
  const output = Object.assign(new PassThrough(), { isTTY: true });
  output.resume();
  return { input, output };
}

const patient = () => AbortSignal.timeout(10_000);

describe('a question', () => {
  it('is agreed to by y and yes only', async () => {
    for (const [typed, agreed] of [
      ['y\r', true],
      [' YES \r', true],
      ['\r', false],
      ['n\r', false],
      ['yesterday\r', false],
    ] as const) {
      const { input, output } = terminal();
      const answer = askYes('? ', { input, output, signal: patient() });
      input.write(typed);
      assert.equal(await answer, agreed, typed);
    }
  });

  it('that nobody will ever answer is a no', async () => {
    const { input, output } = terminal();
    const answer = askYes('? ', { input, output, signal: patient() });
    input.end();
    assert.equal(await answer, false);
  });

  it('ends with the work by Ctrl-C, with the exit code of that signal', async () => {
    const { input, output } = terminal();
    const asked = untilInterrupted((signal) => {
      const answer = askYes('? ', { input, output, signal });
      input.write('\x03');
      return answer;
    });
    await assert.rejects(asked, (error) => error instanceof Interrupted && error.exitCode === 130);
  });

  it('is not even asked when the work has been cancelled before', async () => {
    const { input, output } = terminal();
    const asked = askYes('? ', { input, output, signal: AbortSignal.abort() });
    await assert.rejects(asked, { code: 'cancelled' });
  });
});

describe('work until a signal', () => {
  it('ends with the exit code of the signal that came', async () => {
    for (const [name, exitCode] of [
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      const work = untilInterrupted(async (signal) => {
        process.emit(name, name);
        if (signal.aborted) throw new HoshikageError('cancelled');
      });
      await assert.rejects(work, (error) => {
        return error instanceof Interrupted && error.exitCode === exitCode;
      });
    }
  });

  it('fails as it fails where no signal came, or where something else was wrong', async () => {
    const cancelled = new HoshikageError('cancelled');
    await assert.rejects(
      untilInterrupted(async () => {
        throw cancelled;
      }),
      cancelled,
    );
    const wrong = new HoshikageError('library_unknown', { id: 'x' });
    await assert.rejects(
      untilInterrupted(async () => {
        process.emit('SIGINT', 'SIGINT');
        throw wrong;
      }),
      wrong,
    );
  });
});
